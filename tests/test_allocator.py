"""allocator=retain in real processes: pages that a call touches are its own again in the next one."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from convbench.facts.values import InvalidValue
from convbench.measurement import allocator
from convbench.runner import run
from convbench.timing import page_faults
from convbench.timing.rounds import unmarked

from .settings import make_spec

CODE = """
import resource, sys, torch
from convbench.facts.spec import Switches
from convbench.measurement.switches import switched

torch.set_num_threads(1)
with switched(Switches(allocator=sys.argv[1])):
    for _ in range(16):
        torch.ones(16 * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16 * 2**20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""64 MiB, beyond every threshold that glibc adapts by itself."""


IN_ROUNDS = """
import sys, torch
from convbench.devices import device_of
from convbench.facts.measure import Measure
from convbench.facts.spec import Switches
from convbench.measurement.switches import switched
from convbench.timing import rounds
from convbench.timing.clocks import Arm
from convbench.timing.speed_columns import columns

torch.set_num_threads(1)
measure = Measure(looks=(20,), min_time_s=0.0, warmup_s=0.0, sample_s=0.001, max_time_s=60.0)
with switched(Switches(allocator=sys.argv[1])):
    arms = [Arm("large", lambda: torch.ones(16 * 2**20)), Arm("other", lambda: torch.ones(4 * 2**20))]
    found = rounds.measure(arms, "other", measure, device_of("cpu").clock(measure), 0, rounds.unmarked)
    print(columns(found, "large", "other", measure)["minor_faults"])
"""
"""A method that returns 64 MiB in turn with one that returns 16, by the calls that a sweep makes."""


@pytest.mark.slow
@pytest.mark.skipif(allocator.missing("retain") is not None, reason="not glibc")
@pytest.mark.parametrize(("code", "calls"), [(CODE, 5), (IN_ROUNDS, 1)])
def test_retained_memory_is_not_touched_anew(code: str, calls: int) -> None:
    faults = {
        which: float(
            subprocess.run([sys.executable, "-c", code, which], capture_output=True, text=True, check=True).stdout
        )
        for which in ("system", "retain")
    }
    # 16,384 pages of 4 KiB each time, or as few as 32 where the kernel maps large ones. The block that is kept may be a
    # few bytes too short for the next one now and then: once in five calls, and in less than half of the rounds.
    assert faults["system"] >= calls * 32
    assert faults["retain"] <= 0.4 * faults["system"]


def test_unknown_words_are_refused() -> None:
    with pytest.raises(InvalidValue, match="allocator='keep' is not known; allowed: system, retain"):
        make_spec(allocator="keep")


def test_a_system_without_it_is_told_and_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    rows = run(make_spec(allocator="retain"), ["autograd"], unmarked).records
    assert rows[0]["status"] == "skipped"
    assert rows[0]["reason"].startswith("allocator=retain needs glibc")


def test_the_first_touch_of_a_page_takes_a_time() -> None:
    found = page_faults.seconds()
    assert found is not None
    assert found >= 0
