"""What a check is and what became of it, and the file that keeps both. Pure: no torch, no process, no clock."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..facts.values import InvalidValue

if TYPE_CHECKING:
    from .context import Context

STAGES = ("primitives", "timers", "program")

PASS, FAIL, UNKNOWN, INAPPLICABLE, NOT_RUN = "pass", "fail", "could not tell", "does not apply", "not run"
VERDICTS = (FAIL, UNKNOWN, NOT_RUN, PASS, INAPPLICABLE)
"""The gravest first."""


class Seen(NamedTuple):
    """What a check has observed, in words; `reason` says why where the verdict is not `pass`; `figures` are numbers by
    name, in seconds and bytes, for whoever reads the file."""

    verdict: str
    observed: str = ""
    reason: str = ""
    figures: Mapping[str, Any] = {}


def judged(good: bool, observed: str, reason: str = "", **figures: Any) -> Seen:
    """`pass` or `fail`; a reason is for the latter alone."""
    return Seen(PASS, observed, "", figures) if good else Seen(FAIL, observed, reason, figures)


def inapplicable(reason: str) -> Seen:
    return Seen(INAPPLICABLE, "", reason)


def unknown(reason: str, observed: str = "", **figures: Any) -> Seen:
    return Seen(UNKNOWN, observed, reason, figures)


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the device. `run` answers it; `about_s` is how long that takes, as far as one can say."""

    name: str
    stage: str
    expected: str
    tolerance: str
    run: Callable[[Context], Seen]
    about_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a check. `made` says by which convbench and where: results of another are not taken for ours."""

    name: str
    stage: str
    expected: str
    tolerance: str
    verdict: str
    observed: str = ""
    reason: str = ""
    seconds: float | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    made: Sequence[str] = ()

    @classmethod
    def of(cls, check: Check, seen: Seen, seconds: float | None = None, made: Sequence[str] = ()) -> Result:
        figures = {name: _finite(value) for name, value in seen.figures.items()}
        return cls(
            check.name, check.stage, check.expected, check.tolerance, seen.verdict, seen.observed, seen.reason,
            None if seconds is None else round(seconds, 3), figures, tuple(made),
        )  # fmt: skip

    def line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """JSON has no infinity: unknown is null."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(file: Path) -> list[Result]:
    """The results in a file, in the order in which they were made; a line that was cut off is left out.

    Raises InvalidValue where the file holds anything else.
    """
    if not file.exists():
        return []
    found = []
    try:
        *whole, _ = file.read_text(encoding="utf-8").split("\n")
        for line in whole:
            values = json.loads(line)
            found.append(Result(**{f.name: values[f.name] for f in fields(Result)} | {"made": tuple(values["made"])}))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidValue(
            "out", f"{file} is no file of checks ({error}); give another folder with out=DIR, or remove the file"
        ) from None
    return found


def made_by(results: Sequence[Result], made: Sequence[str]) -> dict[str, Result]:
    """By check, the last of each that was made by `made`."""
    return {result.name: result for result in results if tuple(result.made) == tuple(made)}


def told_by_others(results: Sequence[Result], made: Sequence[str]) -> set[str]:
    """Names of the checks that another version, or this one in another environment, has told and not found to fail."""
    others = {result.name: result for result in results if tuple(result.made) != tuple(made)}
    return {name for name, result in others.items() if result.verdict in (PASS, INAPPLICABLE)}


def append(file: Path, result: Result) -> None:
    """Adds a line; one that was cut off before, when the program was killed, is ended first."""
    with file.open("a+b") as kept:
        end = kept.seek(0, 2)
        if end:
            kept.seek(end - 1)
            if kept.read(1) != b"\n":
                _drop_last(file)
        kept.write(result.line().encode())


def _drop_last(file: Path) -> None:
    held = file.read_bytes()
    with file.open("r+b") as kept:
        kept.truncate(held.rfind(b"\n") + 1)
