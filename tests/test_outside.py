"""What another process can see of a clock: made-up samples, so that the truth is known."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from convbench.timing.clocks import Reading
from convbench.timing.outside import Taken, contradiction

EMPTY_S = 1e-4
CALL_S = 1.6e-3


def samples(
    loop_s: float = CALL_S, single_s: float = CALL_S, *,
    clock: float = 1.0, calls: int = 7, fewer: int | None = None, rounds: int = 30,
) -> list[Taken]:  # fmt: skip
    """A measurement of calls of `loop_s`, a `single_s` call on new values now and then. The method's clock reads
    `clock` times what went by, and of `calls` it made only `fewer` without telling."""
    rng = random.Random(1)
    out = []
    for number in range(rounds):
        noise = 1 + abs(rng.gauss(0, 0.02))
        if number % 6 == rng.randrange(6):
            went_by = single_s * noise
            reading = Reading(went_by * clock, went_by * clock)
            out.append(Taken(1, reading, went_by + loop_s + EMPTY_S * noise, anew=True, warm=True))
        went_by = (calls if fewer is None else fewer) * loop_s * noise
        reading = Reading(went_by * clock / calls, went_by * clock)
        out.append(Taken(calls, reading, went_by + EMPTY_S * noise))
    return out


@pytest.mark.parametrize("call_s", [3e-6, 1e-4, CALL_S, 0.5])
def test_honest_samples_contradict_nothing(call_s: float) -> None:
    calls = max(1, round(0.01 / call_s))
    assert contradiction(samples(call_s, call_s * 1.5, calls=calls), EMPTY_S, 4000) is None


def test_of_a_large_result_the_copy_takes_time() -> None:
    made = [replace(one, outer_s=one.outer_s + 0.2) for one in samples()]
    assert contradiction(made, EMPTY_S, 10**8) is None
    assert contradiction(made, EMPTY_S, 4) is not None


def test_clock_that_reads_a_tenth_is_told_with_both_figures() -> None:
    reason = contradiction(samples(clock=0.1), EMPTY_S, 4000)
    assert reason is not None
    assert "its clock cannot be right: 7 calls took 1.1" in reason
    assert "11." in reason


@pytest.mark.parametrize("calls", [3, 7, 600])
def test_calls_that_are_left_out_of_a_loop_show(calls: int) -> None:
    """One of a loop's calls is made and the time divided by all: nothing is wrong with the clock."""
    reason = contradiction(samples(calls=calls, fewer=1), EMPTY_S, 4000)
    assert reason is not None
    assert reason.startswith("a call on new values took 1.6")
    assert f"one in a loop of {calls}" in reason


def test_a_memory_of_earlier_results_shows() -> None:
    assert contradiction(samples(loop_s=3e-5, calls=330), EMPTY_S, 4000) is not None


def test_slow_single_calls_prove_nothing_while_some_are_fast() -> None:
    """Nearly three of four were interrupted by another process."""
    made = samples(rounds=120)
    singles = [n for n, one in enumerate(made) if one.anew]
    assert len(singles) > 8
    for n in singles[: len(singles) - 1 - (len(singles) - 1) // 4]:
        slow = Reading(0.1, 0.1)
        made[n] = Taken(1, slow, 0.11, anew=True, warm=True)
    assert contradiction(made, EMPTY_S, 4000) is None


def test_nothing_taken_contradicts_nothing() -> None:
    assert contradiction([], EMPTY_S, 4) is None
