"""Measures configurations of a finished run again, in fresh processes, by running convbench on their rows."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..facts.exits import Exit, interrupted
from ..facts.values import InvalidValue
from ..results.table import load

if TYPE_CHECKING:
    import pandas as pd

CAREFULLY = ("measure=default", "measure.processes=6", "measure.memory=false", "measure.backward=false")
"""Six fresh processes, whatever the run itself used: what differs from process to process is then in the interval. Each
may be as short as usual, for many pairs in one process say nothing about the others."""

DECIDED = ("name", "enabled", "processes", "memory", "kernels", "samples", "backward", "cache", "cuda_graph", "time")
"""Settings of a measurement that CAREFULLY or the table decide."""
AS_IT_WAS = ("timeout_s", "memory_limit", "reference.max_flops", "reference.max_bytes")
"""Settings that no row names."""

STDERR = 2
"""The new run's own output goes where it cannot be mistaken for the comparison's."""


def check_trusted(rows: pd.DataFrame, trust: Collection[str]) -> None:
    """Raises InvalidValue where `rows` name code of somebody's own that is not among `trust`: a table is data."""
    named = {name for column in ("method", "baseline") for name in rows[column].dropna() if ":" in name}
    unknown = sorted(named - set(trust))
    if unknown and "all" not in trust:
        raise InvalidValue(
            "--confirm",
            f"--confirm would run code that the table names: {', '.join(unknown)}; if you trust it, add "
            f"{' '.join(f'--trust {name}' for name in unknown)}, or --trust all",
        )


def as_it_was(settings: Mapping[str, Any]) -> list[str]:
    """The words that repeat what run.json says of a run's `settings`, as far as no row of its table does."""
    keys = [key for key in settings if key in AS_IT_WAS or key.startswith("measure.")]
    kept = [key for key in keys if key.removeprefix("measure.") not in DECIDED and settings[key] is not None]
    return [f"{key}={_written(settings[key])}" for key in kept]


def _written(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def measure_again(rows: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The table of a new run of the configurations and methods in `rows` (a part of a table), under the `settings` of
    that table's run.json.

    Raises InvalidValue where convbench refuses to run them.
    """
    import pandas as pd

    with tempfile.TemporaryDirectory(prefix="convbench-confirm-") as folder, _stoppable():
        groups = enumerate(_groups(rows, as_it_was(settings)))
        tables = [_run(group, words, Path(folder) / str(i)) for i, (group, words) in groups]
    return pd.concat(tables, ignore_index=True)


@contextmanager
def _stoppable() -> Iterator[None]:
    """A signal ends this program with 130 or 143, and with it the run that it has started."""

    def stop(number: int, frame: object) -> NoReturn:
        raise SystemExit(interrupted(number))

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _groups(rows: pd.DataFrame, further: list[str]) -> Iterator[tuple[pd.DataFrame, list[str]]]:
    """Configurations that one command can measure, with the settings that a cases file cannot hold."""
    cell = ["config_id", "baseline"]
    keyed = rows.assign(methods=rows.groupby(cell)["method"].transform(lambda names: ",".join(sorted(set(names)))))
    keyed = keyed.drop_duplicates(cell)
    by = ["methods", "baseline", "cache", "cuda_graph", "time", "measure"]
    for key, group in keyed.groupby(by, dropna=False, sort=False):
        yield group.drop(columns="methods"), _settings(key, further)


def _settings(key: Any, further: list[str]) -> list[str]:
    methods, baseline, cache, cuda_graph, time, measure = key
    # What differs between the run's own rows is in the preset's name, which says what was changed.
    changed = [word for word in (measure.split()[1:] if _known(measure) else ()) if "=" in word]
    own = {
        word.partition("=")[0]: word
        for word in (*further, *(f"measure.{word}" for word in changed if word.partition("=")[0] not in DECIDED))
    }
    words = [f"methods=[{methods}]", f"baseline={baseline}", *CAREFULLY, *own.values()]
    if _known(cache):
        words.append(f"measure.cache={cache}")
    if _known(time):
        words.append(f"measure.time={time}")
    if _known(cuda_graph):
        words.append(f"measure.cuda_graph={str(bool(cuda_graph)).lower()}")
    return words


def _known(value: Any) -> bool:
    import pandas as pd

    return not pd.isna(value)


def _run(rows: pd.DataFrame, words: list[str], folder: Path) -> pd.DataFrame:
    folder.mkdir()
    cases, out = folder / "suspects.csv", folder / "run"
    rows.to_csv(cases, index=False)
    command = [sys.executable, "-m", "convbench", "-m", f"cases={cases}", f"out={out}", *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=STDERR, stderr=subprocess.PIPE, text=True)
    if done.returncode not in (Exit.GOOD, Exit.WRONG, Exit.UNMEASURED):
        said = done.stderr.strip().splitlines()
        raise InvalidValue("--confirm", f"--confirm could not measure again: {said[-1] if said else done.returncode}")
    return load(out)
