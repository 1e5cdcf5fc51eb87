"""`python -m convbench recompute DIR`: the speed columns of a finished run once more, from its raw samples alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..facts.configuration_key import KEY_COLUMNS, ConfigurationKey
from ..facts.measure import Measure
from ..facts.rates import RATES
from ..facts.timed_as import CALL, COLUMN_OF, OF_OTHERS
from ..facts.values import InvalidValue
from ..results import store
from ..results.arrow import for_people
from ..results.files import readable, replacing
from ..results.schema import opened
from ..terminal.arguments import Arguments
from ..terminal.screen import console
from ..timing.figures import with_figures
from ..timing.samples import Samples

if TYPE_CHECKING:
    import pyarrow as pa

FOLLOWS = (
    *("time_s", "time_low_s", "time_high_s", "samples", "calls_per_sample", "converged"),
    *("speedup", "speedup_low", "speedup_high", "speedup_mode_low", "speedup_mode_high"),
    *("speed", "margin", "disturbed"),
    *("mean_s", "mean_speedup", "mean_speedup_low", "mean_speedup_high", "mean_differs"),
)
"""Columns that follow from the samples alone."""

SAME = 1e-9
"""Relative difference up to which a value counts as the same; rates may have been rounded in another order."""

READ = (
    *KEY_COLUMNS,
    "method",
    "baseline",
    "status",
    "accuracy",
    "flops",
    "bytes",
    "ceiling_tflops",
    "ceiling_gbps",
    "least_s",
    "threads",
    "cpus",
    "baseline_slowed",
)


@dataclass(slots=True)
class Recomputed:
    """How many rows have samples, and of those the changed ones by column."""

    rows: int = 0
    changed: dict[str, int] = field(default_factory=dict)


def parser() -> Arguments:
    out = Arguments(
        "recompute",
        description="Compute the speed columns of a run's table again from its raw samples (samples.parquet, which "
        "measure.samples=true keeps) and write the table in place. Exit code 0, or 2 where a file is at fault.",
    )
    out.add_argument("dir", metavar="DIR", type=Path, help="folder of a run (its out=)")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrites DIR/results.parquet and DIR/results.csv; returns 0 and raises InvalidValue."""
    out: Path = parser().parse_args(argv).dir
    for name in ("results.parquet", "samples.parquet"):
        if not (out / name).is_file():
            hint = "measure with measure.samples=true" if name.startswith("samples") else "give the folder of a run"
            raise InvalidValue("DIR", f"{out} has no {name}; {hint}")
    with store.locked(out):
        found = recompute(out)
    screen = console()
    screen.print(f"{found.rows} rows recomputed from their samples.")
    for column, count in found.changed.items():
        screen.print(f"{column} changed in {count} rows.")
    if not found.changed:
        screen.print("Every value is as it was.")
    return 0


def recompute(out: Path) -> Recomputed:
    """Writes the tables of `out` with every column that follows from the samples computed again."""
    import pyarrow.csv
    import pyarrow.parquet

    with readable(out / "results.parquet", "run the sweep again, which writes it anew"):
        table = opened(out / "results.parquet").read()
        names = [name for name in dict.fromkeys((*READ, *FOLLOWS, *OF_OTHERS, *RATES)) if name in table.column_names]
        rows = table.select(names).to_pylist()
    found = Recomputed()
    with readable(out / "samples.parquet", "run the sweep again, which writes it anew"):
        samples = samples_of(out / "samples.parquet")
        for row in rows:
            parts = samples.get(ConfigurationKey.of(row), [])
            if any(row["method"] in part.arms for part in parts if part.timed_as == CALL) and row["time_s"] is not None:
                found.rows += 1
                _update(row, speed_columns(row, parts), found)
    table = _with_columns(table, rows)
    with replacing(out / "results.parquet") as parquet, replacing(out / "results.csv") as csv:
        pyarrow.parquet.write_table(table, parquet, write_page_checksum=True)
        pyarrow.csv.write_csv(for_people(table), csv)
    return found


def speed_columns(row: Mapping[str, Any], parts: Sequence[Samples]) -> dict[str, Any]:
    """The columns FOLLOWS and RATES of one row, from the samples of its configuration, one Samples per process."""
    measure = Measure(margin=parts[0].margin, half_width=parts[0].half_width)
    known = {name: row[name] for name in READ if name in row}
    columns = with_figures(known, parts, row["baseline"], measure)
    others = [name for way, names in COLUMN_OF.items() if _sampled(parts, way) for name in names.values()]
    return {name: columns.get(name) for name in (*FOLLOWS, *others, *RATES)}


def _sampled(parts: Sequence[Samples], timed_as: str) -> bool:
    return any(part.timed_as == timed_as for part in parts)


def samples_of(path: Path) -> dict[ConfigurationKey, list[Samples]]:
    """The samples of every configuration. Its rows stand together in the file, so that few are held as rows at once."""
    return {key: Samples.from_rows(rows) for key, rows in groupby(_rows(path), ConfigurationKey.of)}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with opened(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def _update(row: dict[str, Any], columns: Mapping[str, Any], found: Recomputed) -> None:
    for name, value in columns.items():
        if name in row and not _same(row[name], value):
            row[name] = value
            found.changed[name] = found.changed.get(name, 0) + 1


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=SAME)
    return bool(a == b)


def _with_columns(table: pa.Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    for name in (*FOLLOWS, *OF_OTHERS, *RATES):
        if name in table.column_names:
            place = table.schema.get_field_index(name)
            wanted = table.schema.field(place)
            table = table.set_column(place, wanted, pa.array([row[name] for row in rows], wanted.type))
    return table
