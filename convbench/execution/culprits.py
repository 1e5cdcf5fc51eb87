"""Whose fault a crash is. A method that damages its process's memory may finish, and the next one dies of it.

A method is named when it dies in a fresh process with nothing else in it, or when another, which lives there by itself,
dies every time that it runs after it. Nobody is named for what only a process did that had run other configurations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..facts.record import FAILED
from ..timing.rounds import PHASES

TRIES = 3
"""So often a method must live by itself, and die after another, before the other is named: one that dies in half of its
own runs would look like that in 1 of 64."""
ELSEWHERE = "a process that had run other configurations before died here"
"""What the row of a method says that lives by itself, and where a process died that had run others."""
FIRST = ("prepare", "accuracy")
"""Phases in which the first method of a process is the only one that has run there."""

Answer = Mapping[str, Any]
Failure = Mapping[str, Any]
"""A row's status and its reason; the index of the method that was executing, −1 for none; its phase."""
Trial = Callable[[Sequence[str]], Answer]
"""Runs these methods, and no others, in a fresh process; `failed` in its answer is a Failure."""


@dataclass(slots=True)
class Findings:
    """By method: what it died of, the answer of its own process, and what its row has to tell although it is well.

    Whatever is in neither `died` nor `lived` has to be run again.
    """

    died: dict[str, Failure] = field(default_factory=dict)
    lived: dict[str, Answer] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def find(methods: Sequence[str], first: str, failure: Failure, fresh: bool, trial: Trial) -> Findings:
    """Who is to blame for the failure of a process that ran `methods`, `first` before the others.

    `fresh` tells that it had run nothing before. What is no crash is taken at its word.
    """
    marked = methods[failure["method"]] if failure["method"] >= 0 else None
    if failure["status"] != "crash":
        if marked is None and failure["phase"] in PHASES and len(methods) > 1:
            return _one_of(methods, failure, trial)
        return Findings(dict.fromkeys(methods if marked is None else [marked], failure))
    if marked is None:
        return _each(methods, trial) if fresh else Findings()
    if fresh and (len(methods) == 1 or (marked == first and failure["phase"] in FIRST)):
        return Findings({marked: failure})
    own = trial([marked])
    if again := own.get("failed"):
        return Findings({marked: again})
    reason = failure["reason"]
    if not fresh:
        return Findings(notes={marked: f"{ELSEWHERE}: {reason}"})
    for suspect in methods:
        if suspect != marked and (died := _brings_down(suspect, marked, trial)):
            return Findings(died)
    return Findings(lived={marked: own}, notes={marked: f"died beside the others, not by itself: {reason}"})


def _one_of(methods: Sequence[str], failure: Failure, trial: Trial) -> Findings:
    """Who hangs or fails by itself, where that came to light in a wait for all of them; where nobody does, all have
    failed together."""
    found = _each(methods, trial)
    failed = {m: own for m, own in found.lived.items() if any(row["status"] in FAILED for row in own["records"])}
    if found.died or failed:
        return Findings(found.died, failed)
    return Findings(dict.fromkeys(methods, failure))


def _each(methods: Sequence[str], trial: Trial) -> Findings:
    """Every method by itself, where a process died while none was executing."""
    found = Findings()
    for method in methods:
        own = trial([method])
        if failure := own.get("failed"):
            found.died[method] = failure
        else:
            found.lived[method] = own
    return found


def _brings_down(suspect: str, other: str, trial: Trial) -> dict[str, Failure]:
    """Which of the two died of what: the suspect, of its own or because `other` dies after it every time and lives by
    itself every time; `other`, where it dies by itself after all; neither, where they live together once."""
    failure: Failure | None = None
    for _ in range(TRIES):
        failure = trial([suspect, other]).get("failed")
        if failure is None:
            return {}
        if failure["method"] == 0:
            return {suspect: failure}
        if own := trial([other]).get("failed"):
            return {other: own}
    assert failure is not None
    reason = f"{other}, which lives by itself, died in {TRIES} of {TRIES} runs after this method: {failure['reason']}"
    return {suspect: {**failure, "status": "crash", "reason": reason}}
