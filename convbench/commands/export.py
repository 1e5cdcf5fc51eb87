"""`python -m convbench export DIR --format …`: a finished run for other tools; nothing is measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..facts import units
from ..facts.configuration_key import KEY_COLUMNS, ConfigurationKey
from ..facts.plain import FORMULA_CELL
from ..facts.record import Record
from ..facts.settings import CONFIGURATION
from ..facts.timed_as import CALL
from ..facts.values import InvalidValue
from ..findings.network_rows import switch_rows, total_rows
from ..findings.networks import totals
from ..results.files import environments, readable, replacing
from ..results.naming import distinct_names, labels_of
from ..results.schema import opened
from ..results.table import pieces, records, table_files, whole
from ..terminal.arguments import Arguments, writing
from ..timing.samples import Samples
from .bencher import metrics
from .text_tables import Table, as_latex, as_markdown, tables_of

FIGURES = ("speedup", "speedup_low", "speedup_high", "speed", "accuracy", "bound_ratio", "equals_baseline", "converged")


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its table, its rows in the table's order, and the names of its configurations."""

    path: Path
    table: pd.DataFrame
    rows: list[Record]
    names: Mapping[ConfigurationKey, str]

    @classmethod
    def read(cls, path: Path) -> Run:
        table = whole(path)
        rows = records(table)
        return cls(path, table, rows, distinct_names(rows))

    def name(self, row: Record) -> str:
        return self.names[ConfigurationKey.of(row)]

    def beside(self, name: str) -> list[Path]:
        """The files of this name that lie beside the run's table, or beside the tables of its shards."""
        return [f for table in table_files(self.path) if (f := table.parent / name).is_file()]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the export and returns 0; raises InvalidValue."""
    parser = Arguments("export", description="Write a finished run for others.")
    parser.add_argument("run", metavar="DIR", type=Path, help="folder that a sweep wrote, or a folder with its shards")
    parser.add_argument("--format", choices=tuple(FORMATS), required=True, help="what to write")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write there instead of to standard output")
    args = parser.parse_args(argv)
    texts = FORMATS[args.format](args.run)
    if args.out is None:
        for text in texts:
            sys.stdout.write(text)
        return 0
    with writing(args.out), replacing(args.out) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        for text in texts:
            file.write(text)
    return 0


def as_csv(path: Path) -> Iterator[str]:
    """The table as CSV with every column, unknown cells empty, a piece at a time."""
    for number, piece in enumerate(pieces(path)):
        for name, column in piece.items():
            if isinstance(column.dtype, pd.StringDtype):
                piece[name] = column.str.replace(FORMULA_CELL, r"'\1", regex=True)
        yield str(piece.to_csv(index=False, header=number == 0))


def as_totals(run: Run) -> str:
    """What each network takes by each method, and the lines whose method should be another one, as JSON: the rows of
    `convbench.totals` and `convbench.switches`."""
    found = totals(run.rows)
    if not found:
        raise InvalidValue(
            "--format",
            f"{run.path} has no timed line that says how often it occurs; sweep a list of cases with a column count, "
            "as `trace` writes it",
        )
    content = {
        "totals": [row for total in found for row in total_rows(total)],
        "switches": [row for total in found for row in switch_rows(total)],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_gha(run: Run) -> str:
    """github-action-benchmark's `customSmallerIsBetter`: the method's time as a share of the baseline's, from pairs.

    A row without a ratio is left out, never written as 0.
    """
    entries = []
    for row in run.rows:
        if row["method"] == row.get("baseline") or "speedup" not in row:
            continue
        entry: dict[str, Any] = {
            "name": f"{run.name(row)} · {row['method']}",
            "unit": f"time / {row['baseline']}'s time",
            "value": 1 / row["speedup"],
            "extra": f"config_id {row['config_id']}, accuracy {row.get('accuracy', 'not judged')}, "
            f"{units.time(row.get('time_s'))} per call",
        }
        if "speedup_low" in row and "speedup_high" in row:
            entry["range"] = f"{1 / row['speedup_high']:.4f} to {1 / row['speedup_low']:.4f}"
        entries.append(entry)
    if not entries:
        raise InvalidValue(
            "--format",
            f"{run.path} holds no ratio to a baseline; run the sweep with a baseline and without measure=none",
        )
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def as_bencher(run: Run) -> str:
    """Bencher's metric format: times in nanoseconds and speedups, each with its 95% interval."""
    found = metrics((f"{run.name(row)} · {row['method']}", row) for row in run.rows)
    if not found:
        raise InvalidValue("--format", f"{run.path} holds no times; run the sweep without measure=none")
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def as_pytest_benchmark(run: Run) -> str:
    """What `pytest --benchmark-json` writes, so that `pytest-benchmark compare` reads it; from the raw samples."""
    from pytest_benchmark import __version__ as version

    environment = _environment(run)
    content = {
        "machine_info": _machine_info(environment),
        "commit_info": {
            "id": next((row["commit"] for row in run.rows if "commit" in row), "unversioned"),
            "time": None,
            "author_time": None,
            "dirty": any(row.get("dirty", False) for row in run.rows),
            "project": "convbench",
            "branch": "(unknown)",
        },
        "benchmarks": _benchmarks(run),
        "datetime": min((row["started_at"] for row in run.rows if "started_at" in row), default=None),
        "version": version,
    }
    return json.dumps(content, indent=4, ensure_ascii=True) + "\n"


def _benchmarks(run: Run) -> list[dict[str, Any]]:
    files = run.beside("samples.parquet")
    if not files:
        raise InvalidValue(
            "--format",
            f"{run.path} holds no raw samples, from which pytest-benchmark's minimum, quartiles and deviation come; "
            "run the sweep with measure.samples=true",
        )
    found = []
    for file in files:
        with readable(file, "run the sweep again, which writes it anew"):
            found += _of_samples(run, file)
    return found


def _of_samples(run: Run, file: Path) -> list[dict[str, Any]]:
    kept = opened(file).read().to_pandas()
    kept["labels"] = kept["labels"].astype(object).where(kept["labels"].notna(), None)
    samples = {
        ConfigurationKey.of(group.iloc[0].to_dict()): Samples.from_rows(group.to_dict("records"))
        for _, group in kept.groupby(list(KEY_COLUMNS), sort=False, dropna=False)
    }
    return [
        _benchmark(row, run.name(row), parts)
        for row in run.rows
        if row["status"] == "ok" and (parts := _with_method(samples.get(ConfigurationKey.of(row), []), row["method"]))
    ]


def _with_method(parts: Sequence[Samples], method: str) -> list[Samples]:
    return [part for part in parts if part.timed_as == CALL and method in part.arms]


def _benchmark(row: Record, name: str, parts: Sequence[Samples]) -> dict[str, Any]:
    """One benchmark: seconds per call of every sample in the order taken, and pytest-benchmark's own statistics."""
    from pytest_benchmark.stats import Stats

    method = row["method"]
    labels = [f"{key}={value}" for key, value in labels_of(row).items()]
    stats: Any = Stats()  # type: ignore[no-untyped-call]
    stats.data = [seconds for part in parts for seconds in part.of(method)]
    return {
        "group": name,
        "name": f"{method}[{name}]",
        "fullname": f"convbench::{method}[{' · '.join([row['config_id'], *labels])}]",
        "params": {key: row[key] for key in (*CONFIGURATION, "method") if key in row},
        "param": row["config_id"],
        "extra_info": {key: row[key] for key in ("config_id", "baseline", *FIGURES) if key in row},
        "options": {"disable_gc": True, "timer": "perf_counter", "warmup": True, "min_rounds": stats.rounds},
        "stats": {**stats.as_dict(), "data": stats.data, "iterations": row.get("calls_per_sample", 1)},
    }


def _environment(run: Run) -> Mapping[str, Any]:
    """The run's environment (the first, if it has several); empty where environment.json is not there or damaged."""
    folders = [table.parent for table in table_files(run.path)]
    return next((one for folder in folders for one in environments(folder).values()), {})


def _machine_info(environment: Mapping[str, Any]) -> dict[str, Any]:
    """pytest-benchmark's keys; what convbench does not record, the host's name first of all, stays empty."""
    return {
        "node": "",
        "processor": environment.get("architecture", ""),
        "machine": environment.get("architecture", ""),
        "python_implementation": "",
        "python_version": environment.get("python", ""),
        "system": environment.get("system", ""),
        "cpu": {"brand_raw": environment.get("cpu", ""), "count": environment.get("cores")},
        "convbench": dict(environment),
    }


def _whole(made: Callable[[Run], str]) -> Callable[[Path], Iterable[str]]:
    return lambda path: [made(Run.read(path))]


def _tables(written: Callable[[Sequence[Table]], str]) -> Callable[[Path], Iterable[str]]:
    return _whole(lambda run: written(tables_of(run.rows, run.name)))


FORMATS: dict[str, Callable[[Path], Iterable[str]]] = {
    "pytest-benchmark": _whole(as_pytest_benchmark),
    "gha": _whole(as_gha),
    "bencher": _whole(as_bencher),
    "csv": as_csv,
    "markdown": _tables(as_markdown),
    "latex": _tables(as_latex),
    "totals": _whole(as_totals),
}
