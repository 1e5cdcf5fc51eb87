"""What the results of a proof say together: an exit code and a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..facts.exits import Exit
from ..facts.units import count
from .checks import FAIL, INAPPLICABLE, NOT_RUN, PASS, UNKNOWN, Result

NAMED = 6
"""Checks that a sentence names at most."""


def exit_code(results: Sequence[Result]) -> Exit:
    """1 where a check failed; 4 where something could not be told or was not run, or nothing applied; else 0."""
    seen = Counter(result.verdict for result in results)
    if seen[FAIL]:
        return Exit.WRONG
    return Exit.UNTRUSTED if seen[UNKNOWN] or seen[NOT_RUN] or not seen[PASS] else Exit.GOOD


def sentence(results: Sequence[Result], device: str) -> str:
    """The conclusion in plain words."""
    seen = Counter(result.verdict for result in results)
    said = f"{count(seen[PASS], 'check')} passed"
    if seen[INAPPLICABLE]:
        said += f", {seen[INAPPLICABLE]} {'does' if seen[INAPPLICABLE] == 1 else 'do'} not apply"
    if seen[UNKNOWN]:
        said += f", {seen[UNKNOWN]} could not be told ({_named(results, UNKNOWN)})"
    if seen[NOT_RUN]:
        said += f", {seen[NOT_RUN]} not run"
    if seen[FAIL]:
        failed = f"{count(seen[FAIL], 'check')} failed ({_named(results, FAIL)})"
        return (
            f"convbench is not proved on {device}: {failed}; {said}; retry=failed makes those again that did not pass."
        )
    if exit_code(results) == Exit.GOOD:
        return f"convbench is proved on {device}: {said}."
    remedy = "the same command goes on from here" if seen[NOT_RUN] else "retry=failed tries them again"
    return f"convbench is not proved on {device} yet: nothing failed, {said}; {remedy}."


def _named(results: Sequence[Result], verdict: str) -> str:
    names = [result.name for result in results if result.verdict == verdict]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
