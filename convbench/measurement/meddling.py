"""The changes that a method's code leaves in its process, in words, and those on which a verdict may rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from . import identities, state
from .state import Change

STAGES = {
    "import": "its module",
    "preparation": "its preparation",
    "calls": "its calls",
    "code": "its code",
    "timing": "a method that was timed in this process",
}
"""When a method may change its process → who did it, in a sentence."""

HARMLESS = (
    "environment variables",
    "working directory",
    "signal handlers",
    "garbage collector",
    "garbage collector's thresholds",
    "garbage collector's callbacks",
)
"""What libraries set when they are first used, and what decides nothing of a result or of a time by itself."""

UNSAID = ("running Python threads",)
"""Threads that wait disturb nobody; those that work show in the CPU seconds."""


def sorted_out(changes: Sequence[Change], stage: str) -> dict[str, list[str]]:
    """Of a method's changes in one of its stages those that are `grave`, as a verdict may rest on them, and those that
    are only `noted`.

    What is put back before the first call had no effect on it: in the stage `import` nothing is grave but the
    replacing of functions of convbench's and of Python's, in `preparation` that of any function. In `calls` everything
    is that is not harmless. `code` is all that a method of this process did until it was judged; `timing` what one of
    several did when they were timed in turns, which is nobody's failure.
    """
    out: dict[str, list[str]] = {"grave": [], "noted": []}
    for change in changes:
        grave = {
            "import": change.function and not change.what.startswith(("torch.", "the code of torch.")),
            "preparation": change.function,
            "code": change.function,
            "timing": False,
            "calls": change.function or change.what not in HARMLESS,
        }[stage]
        if change.what not in UNSAID:
            out["grave" if grave else "noted"].append(str(change))
    return out


def grave(changes: Mapping[str, Sequence[str]], stage: str) -> str | None:
    """Why a method has failed for what it changed; None where it has not."""
    if not changes.get("grave"):
        return None
    return f"{STAGES[stage]} changed {' and '.join(changes['grave'])}; a method must leave the process as it was"


def noted(changes: Mapping[str, Sequence[str]], stage: str) -> str | None:
    """What was put back before it could matter; None for nothing."""
    return (
        f"{STAGES[stage]} changed {' and '.join(changes['noted'])}; it was put back" if changes.get("noted") else None
    )


class Watch:
    """The state of this process, in which methods run one after the other, as it was before the first of them.

    Functions are looked at where one of the methods runs here for the first time: those that ship do the same every
    time, and a sweep of small configurations has no time to spare.
    """

    def __init__(self, methods: Iterable[str]) -> None:
        new = set(methods) - _LOOKED_AT
        _LOOKED_AT.update(new)
        if new:
            _functions().take_as_they_are()
        self._before = state.capture(_functions()) if new else state.without_functions()

    def said(self, stage: str) -> dict[str, Any]:
        """What a row says of changes since, which are undone: `reason`, and `accuracy` where a verdict may rest on
        them; {} for none."""
        changes = sorted_out(state.restore(self._before), stage)
        if reason := grave(changes, stage):
            return {"accuracy": "fail", "reason": reason}
        reason = noted(changes, stage)
        return {"reason": reason} if reason else {}


_LOOKED_AT: set[str] = set()


@cache
def _functions() -> identities.Identities:
    return identities.capture()
