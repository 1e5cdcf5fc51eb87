"""What another process can see of a clock: made-up samples, so that the truth is known."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from convbench.timing.clocks import Reading
from convbench.timing.outside import AGAIN, Doubt, Taken, contradiction, doubt

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


def again(loop_s: float, single_s: float, disturbed: int = 0, calls: int = 7) -> list[Taken]:
    """A second look, in which others took `disturbed` of the single calls' time to a tenth of a second."""
    out = []
    for number in range(AGAIN):
        one, hit = Reading(single_s, single_s), number < disturbed
        slow = one._replace(seconds=0.1, spent_s=0.1) if hit else one
        out.append(Taken(1, slow, slow.spent_s + loop_s + EMPTY_S, anew=True, warm=True, disturbed=hit))
        out.append(Taken(calls, Reading(loop_s, calls * loop_s), calls * loop_s + EMPTY_S))
    return out


SUSPECT = samples(loop_s=3e-5, single_s=2e-4, calls=330)
"""Of a method that does less in a loop, or of a right one on a busy machine."""


@pytest.mark.parametrize(("second", "proved", "said"), [
    (again(3e-5, 2e-4), True, "a call on new values took 200 µs and one in a loop of 7 30.4 µs"),
    (again(3e-5, 2e-4, disturbed=8), True, "a call on new values took 200 µs"),
    (again(3e-5, 5e-5, disturbed=9), False, "other processes had its core during 9 of 12 single calls"),
    (again(1e-4, 2e-4), False, "a call in a loop of 330 took 30"),
])  # fmt: skip
def test_a_contradiction_is_proved_by_calls_that_nobody_disturbed(second: list[Taken], proved: bool, said: str) -> None:
    found = doubt(SUSPECT, second, EMPTY_S, 4000)
    assert found is not None
    assert found.proved is proved
    assert said in found.reason


@pytest.mark.parametrize("disturbed", [0, 8])
def test_nothing_is_left_of_what_others_made_look_like_a_deception(disturbed: int) -> None:
    assert contradiction(SUSPECT, EMPTY_S, 4000) is not None
    assert doubt(SUSPECT, again(3e-5, 9e-5, disturbed), EMPTY_S, 4000) is None


def test_on_a_busy_machine_right_methods_are_never_accused() -> None:
    """Others lengthen three of five single calls, by 0.1 ms on average, and the system does not tell; the first look is
    fooled many times."""
    rng = random.Random(5)
    fooled, accused = 0, 0
    for _ in range(2000):

        def single() -> float:
            return 8e-5 + (rng.expovariate(1 / 1e-4) if rng.random() < 0.6 else 0.0)

        first = [Taken(1, Reading(s, s), s + 1e-3, anew=True, warm=True) for s in (single() for _ in range(4))]
        first.append(Taken(330, Reading(3e-5, 1e-2), 1.01e-2))
        if contradiction(first, EMPTY_S, 4000) is None:
            continue
        fooled += 1
        second = [replace(one, reading=Reading(s := single(), s)) if one.anew else one for one in again(3e-5, 0.0)]
        found = doubt(first, second, EMPTY_S, 4000)
        accused += isinstance(found, Doubt) and found.proved
    assert fooled > 50
    assert accused == 0


def test_nothing_taken_contradicts_nothing() -> None:
    assert contradiction([], EMPTY_S, 4) is None
