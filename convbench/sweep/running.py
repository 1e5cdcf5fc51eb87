"""Runs the chosen configurations in this process, chunk by chunk, and adds up what became of them."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..execution import git
from ..execution.execute import RunOptions, driving, execute
from ..execution.outcome import Outcome
from ..execution.source import check_found
from ..facts import units
from ..facts.record import Record
from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..results import run_file
from ..terminal.progress import Progress
from .config import Settings
from .grid import Sweep


def fresh_folder(parent: Path) -> Path:
    """A new folder named after the time; two programs that start in the same second get two folders.

    Raises InvalidValue where it cannot be made.
    """
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in itertools.count(1):
        path = parent / (now if attempt == 1 else f"{now}_{attempt}")
        try:
            path.mkdir(parents=True)
        except OSError as error:
            if isinstance(error, FileExistsError) and path.is_dir():
                continue
            raise InvalidValue(
                "out", f"{path} cannot be made ({error.strerror}); give a folder that you may write to with out=DIR"
            ) from error
        break
    _link(parent / run_file.LATEST, path)
    return path


def _remember(out: Path) -> None:
    """Points results/latest to a folder of one's own choice in results/, as to one that is named after the time."""
    results = Path("results").absolute()
    if out.absolute().parent == results and out.name != run_file.LATEST:
        _link(results / run_file.LATEST, out)


def _link(link: Path, folder: Path) -> None:
    """Points `link` to the newest run; where links cannot be made, or something else has the name, there is none."""
    if link.exists() and not link.is_symlink():
        return
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    with suppress(OSError):
        beside.symlink_to(folder.name)
        beside.replace(link)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended: what became of it and where its files are.

    `illegal` counts combinations that were left out; `refused` says what else a searching sweeper tried in vain.
    """

    outcome: Outcome
    out: Path
    strict: bool
    illegal: int
    refused: Sequence[str] = ()


class RecordingProgress(Progress):
    """Progress that keeps the rows it is shown, of each method of a configuration the last."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._rows: dict[tuple[str, str], Record] = {}

    @property
    def rows(self) -> list[Record]:
        return list(self._rows.values())

    def finish(self, spec: Spec, records: Sequence[Record]) -> None:
        self._rows.update({(spec.key.unit, row["method"]): row for row in records})
        super().finish(spec, records)


def run_options(settings: Settings, out: Path) -> RunOptions:
    return RunOptions(out, settings.isolation, settings.memory_limit, settings.retry, settings.budget_s)


def here(sweep: Sweep, settings: Settings, progress: Progress | None = None) -> Run:
    """Runs everything with one child that lives from one chunk to the next.

    Raises InvalidValue("out", …), and before anything runs for a user's method whose module is nowhere.
    """
    check_modules(sweep)
    progress = progress or Progress(len(sweep))
    out = settings.out or fresh_folder(Path("results").absolute())
    run = run_options(settings, out)
    outcomes: list[Outcome] = []
    before = run_file.settings_of(out)
    with progress, driving(run), run_file.noted(out, facts_of(settings, len(sweep))):
        _remember(out)
        tell(sweep, progress)
        if changed := measured_anew(before, settings.asked.get("settings", {})):
            progress.warn(f"out={out.name} was measured with {changed[0]}, and now with {changed[1]}", ANEW)
        # A time budget is divided among all configurations, and a pass goes over all of them: they are one chunk then.
        several = any(grid.passes > 1 for grid in sweep.grids)
        step = max(1, len(sweep)) if several or settings.budget_s is not None else settings.chunk
        for start in range(0, len(sweep), step):
            chunk = sweep[start : start + step]
            outcomes.append(execute(chunk, run, progress, chunk.positions))
            if outcomes[-1].signal is not None:
                break
    return Run(whole(outcomes, len(sweep)), out, settings.strict, sweep.left_out.illegal)


ANEW = "nothing measured under the earlier settings is reused; another out=DIR keeps the two apart"

DECIDE = ("methods", "baseline", "timeout_s", "seed", "reference.max_flops", "reference.max_bytes")
"""Settings, beside those of the measurement, with which a configuration of the same case is another one."""


def measured_anew(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str] | None:
    """The settings of an earlier run and of this one that differ, so that resuming finds none of its rows.

    None where they agree or the earlier run said nothing.
    """
    keys = [key for key in now if key in DECIDE or (key.startswith("measure.") and key != "measure.name")]
    differing = [key for key in keys if key in before and _listed(before[key]) != _listed(now[key])]
    was, will = (", ".join(f"{key}={_listed(said[key])}" for key in differing) for said in (before, now))
    return (was, will) if differing else None


def _listed(value: Any) -> Any:
    return f"[{','.join(map(str, value))}]" if isinstance(value, (list, tuple)) else value


def facts_of(settings: Settings, configurations: int) -> dict[str, Any]:
    """What run.json says of a sweep: command line, composed settings, how many configurations it has, and the commit
    of the working directory."""
    state = git.of_folder(Path.cwd())
    return {
        **settings.asked,
        "configurations": configurations,
        "git": {"commit": state.commit, "dirty": state.dirty} if state else None,
    }


def check_modules(sweep: Sweep) -> None:
    """Raises InvalidValue for a user's own method whose module or function cannot be found; nothing is imported."""
    named = {name: key for grid in sweep.grids for key, name in grid.own_methods()}
    for name, key in named.items():
        check_found(key, name)


def single(sweep: Sweep, settings: Settings) -> tuple[Run, float]:
    """As `here`, with the objective that a searching sweeper asks for; NaN where no row has a value for it."""
    progress = RecordingProgress(len(sweep))
    run = here(sweep, settings, progress)
    rows = progress.rows
    if run.outcome.already_done:
        import pyarrow.parquet

        keys = [spec.run_key for spec in sweep]
        rows = pyarrow.parquet.read_table(run.out / "results.parquet", filters=[("run_key", "in", keys)]).to_pylist()
    return run, settings.objective.of_rows(rows)


def whole(outcomes: Sequence[Outcome], total: int = 0) -> Outcome:
    """One outcome of several; of `total` configurations, those that no chunk got to are missing."""
    total = max(total, sum(o.total for o in outcomes))
    rows: Counter[str] = Counter()
    for outcome in outcomes:
        rows.update(outcome.rows)
    return Outcome(
        total=total,
        already_done=sum(o.already_done for o in outcomes),
        missing=sum(o.missing for o in outcomes) + total - sum(o.total for o in outcomes),
        rows=dict(rows),
        unfinished=sum(o.unfinished for o in outcomes),
        wrong=sum(o.wrong for o in outcomes),
        signal=next((o.signal for o in outcomes if o.signal is not None), None),
    )


def tell(sweep: Sweep, progress: Progress) -> None:
    """Says what will not be run."""
    left_out = sweep.left_out
    if left_out.illegal:
        progress.say(
            f"{units.count(left_out.illegal, 'illegal combination')} left out (on_illegal=error stops at the first); "
            f"the first: {left_out.first}"
        )
    if left_out.repeated:
        progress.say(f"skipped {units.count(left_out.repeated, 'duplicate combination')}")
