"""`python -m convbench validate --judge`: can convbench be deceived on this machine? Tries the whole set."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .. import deceptions
from .._version import __version__
from ..facts.exits import Exit
from ..facts.markdown import code, escape
from ..facts.measure import Measure
from ..facts.units import count
from ..facts.values import InvalidValue
from ..terminal.screen import console
from .deception_trials import Trial, tried

HEADS = ("method", "what it does", "its row", "because", "gain", "others")
REASON_LENGTH = 160


def main(measure: Measure, output: str, kept: Path | None = None) -> int:
    """Tries the set and prints what became of each; `output` is terminal, markdown or json. 0, or 4 where a deception
    was neither caught nor is a limit that is known, an honest method was, or somebody else was touched.

    Trials are kept in the file `kept` as they end, and those that are in it are not made again.
    """
    names = (*deceptions.DECEPTIONS, *deceptions.HONEST)
    done = {} if kept is None else read(kept, measure)
    found = _keeping(_watched(tuple(name for name in names if name not in done), measure), kept, measure)
    done |= {trial.name: trial for trial in found}
    trials = [done[name] for name in names if name in done]
    {"terminal": _print, "markdown": _print_markdown, "json": _print_json}[output](trials)
    return Exit.GOOD if all(_settled(trial) for trial in trials) else Exit.UNTRUSTED


def read(file: Path, measure: Measure) -> dict[str, Trial]:
    """The trials by this version and measurement in a file. Raises InvalidValue where that holds anything else."""
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
        same = [line["trial"] for line in lines if line["made"] == _made(measure)]
        trials = [Trial(**{f.name: t[f.name] for f in fields(Trial)} | {"touched": tuple(t["touched"])}) for t in same]
    except (OSError, ValueError, LookupError, TypeError) as error:
        said = f"--keep {file}: that is no file of trials ({error}); name one that this command wrote, or a new one"
        raise InvalidValue("keep", said) from None
    return {trial.name: trial for trial in trials}


def _keeping(trials: Iterable[Trial], file: Path | None, measure: Measure) -> Iterator[Trial]:
    for trial in trials:
        if file is not None:
            with file.open("a", encoding="utf-8") as kept:
                kept.write(json.dumps({"made": _made(measure), "trial": trial.to_dict()}, ensure_ascii=False) + "\n")
        yield trial


def _made(measure: Measure) -> list[str]:
    return [__version__, measure.name]


def _settled(trial: Trial) -> bool:
    return trial.in_order or trial.name in deceptions.LIMITS


def _watched(names: Sequence[str], measure: Measure) -> Iterator[Trial]:
    """A bar on standard error where that is a terminal."""
    screen = console(sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, auto_refresh=False, disable=not screen.is_terminal) as progress:
        task = progress.add_task("", total=len(names))
        for trial in tried(names, measure):
            progress.update(task, description=trial.name, advance=1, refresh=True)
            yield trial


def cells(trial: Trial) -> tuple[str, ...]:
    """One line of the table, in the order of HEADS."""
    row = trial.said if trial.caught or trial.honest else f"{trial.said}, gains nothing"
    if not trial.honest and not trial.caught and not trial.harmless:
        row = f"{trial.said}, NOT CAUGHT"
    reason = trial.reason if len(trial.reason) <= REASON_LENGTH else trial.reason[: REASON_LENGTH - 1] + "…"
    if (limit := deceptions.LIMITS.get(trial.name)) and not trial.in_order:
        reason = f"a limit: {limit}"
    gain = "" if trial.gain is None else f"{trial.gain:.2f}×" if trial.gain < 100 else f"{trial.gain:,.0f}×"
    return trial.name, trial.meaning, row, reason, gain, "; ".join(trial.touched) or "untouched"


def sentence(trials: Sequence[Trial]) -> str:
    """The conclusion in plain words."""
    false = [trial for trial in trials if not trial.honest]
    honest = [trial for trial in trials if trial.honest]
    parts = [f"{sum(trial.caught for trial in false)} caught"]
    if harmless := sum(trial.harmless for trial in false):
        parts.append(f"{harmless} gained nothing")
    if through := [trial.name for trial in false if not trial.caught and not trial.harmless]:
        parts.append(f"{len(through)} got through ({', '.join(through)})")
    believed = sum(not trial.caught for trial in honest)
    touching = [trial.name for trial in trials if trial.touched]
    touched = f"Others were touched by {', '.join(touching)}." if touching else "No other method was touched."
    return (
        f"{count(len(false), 'deception')}: {', '.join(parts)}. {count(len(honest), 'honest method')}: {believed} "
        f"believed. {touched}"
    )


def _print(trials: Sequence[Trial]) -> None:
    screen = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in HEADS:
        table.add_column(head, overflow="fold")
    for trial in trials:
        table.add_row(*cells(trial), style=None if _settled(trial) else "severity.bad")
    screen.print(table)
    good = all(map(_settled, trials))
    screen.print(sentence(trials), style="status.ok" if good else "severity.bad")


def _print_markdown(trials: Sequence[Trial]) -> None:
    print(f"| {' | '.join(HEADS)} |")
    print(f"|{'---|' * len(HEADS)}")
    for trial in trials:
        name, *rest = cells(trial)
        print(f"| {' | '.join((code(name), *map(escape, rest)))} |")
    print(f"\n{sentence(trials)}")


def _print_json(trials: Sequence[Trial]) -> None:
    out = {"trials": [trial.to_dict() for trial in trials], "sentence": sentence(trials)}
    print(json.dumps(out, indent=1, ensure_ascii=False))
