"""allocator=retain in real processes: pages that a call touches are its own again in the next one."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from convbench.facts.case import InvalidValue
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


@pytest.mark.slow
@pytest.mark.skipif(allocator.missing("retain") is not None, reason="not glibc")
def test_retained_memory_is_not_touched_anew() -> None:
    faults = {
        which: int(
            subprocess.run([sys.executable, "-c", CODE, which], capture_output=True, text=True, check=True).stdout
        )
        for which in ("system", "retain")
    }
    # 16,384 pages of 4 KiB each time, or as few as 32 where the kernel maps large ones. The block that is kept may be a
    # few bytes too short for the next one once.
    assert faults["system"] >= 5 * 32
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
