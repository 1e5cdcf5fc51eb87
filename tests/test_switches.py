"""torch's global switches: set for a configuration, and what they were before afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields

import pytest
import torch

from convbench.facts.spec import Switches
from convbench.measurement.switches import switched

ALL = Switches(threads=2, tf32=True, cudnn_benchmark=True, deterministic=True, onednn=False)
"""All but the allocator, which cannot be put back and has a test with processes of its own (test_allocator.py)."""
NONE = Switches(threads=1, tf32=False, cudnn_benchmark=False, deterministic=False, onednn=True)


def found() -> Switches:
    """Read with torch's own functions, not with the module under test."""
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32
    return Switches(
        threads=torch.get_num_threads(),
        tf32=torch.backends.cudnn.allow_tf32,
        cudnn_benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        onednn=bool(torch.backends.mkldnn.enabled),
    )


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    with switched(NONE):
        yield


def test_every_switch_is_set_and_restored() -> None:
    assert all(getattr(ALL, f.name) != getattr(NONE, f.name) for f in fields(Switches) if f.name != "allocator")
    with switched(ALL):
        assert found() == ALL
        with switched(NONE):
            assert found() == NONE
        assert found() == ALL
    assert found() == NONE


@pytest.mark.slow
def test_both_kinds_of_tf32_are_set_and_restored_each_by_itself() -> None:
    """In a fresh process, where torch leaves it on in cuDNN and off in matrix products."""
    code = """
import torch
from convbench.facts.spec import Switches
from convbench.measurement.switches import switched

def show():
    print(torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)

show()
for tf32 in (True, False, True):
    with switched(Switches(tf32=tf32)):
        show()
    show()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    own = "True False"
    assert done.stdout.splitlines() == [own, "True True", own, "False False", own, "True True", own]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_restored_after_exceptions(error: type[BaseException]) -> None:
    with pytest.raises(error), switched(ALL):
        raise error
    assert found() == NONE


def test_what_the_code_inside_changed_is_undone() -> None:
    with switched(ALL):
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(False)
        torch.backends.mkldnn.enabled = True  # type: ignore[assignment]
    assert found() == NONE


def test_what_the_code_inside_changed_is_undone_when_nothing_was_to_change() -> None:
    with switched(NONE):
        torch.use_deterministic_algorithms(True)
    assert found() == NONE


NEWER = """
import torch
from convbench.facts.spec import Switches
from convbench.measurement.switches import switched

def show():
    words = [torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul]
    print(*(part.fp32_precision for part in words))

{setting}
show()
for tf32 in (True, False):
    with switched(Switches(tf32=tf32)):
        show()
        print(torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    show()
"""


@pytest.mark.parametrize(
    "setting,own",
    [
        (
            "torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = 'tf32'",
            "tf32 tf32 tf32",
        ),
        pytest.param("torch.backends.fp32_precision = 'tf32'", "tf32 tf32 tf32", marks=pytest.mark.slow),
        pytest.param("torch.backends.cudnn.conv.fp32_precision = 'ieee'", "ieee tf32 none", marks=pytest.mark.slow),
    ],
)
def test_torchs_newer_words_for_tf32_are_read_set_and_restored(setting: str, own: str) -> None:
    """After one of them torch refuses to tell the older flags."""
    code = NEWER.format(setting=setting)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    on, off = ("tf32 tf32 tf32", "True True"), ("ieee ieee ieee", "False False")
    assert done.stdout.splitlines() == [own, *on, own, *off, own]


def test_what_torch_empty_returns_is_not_filled_for_determinism() -> None:
    """A fill of 4 MiB takes hundreds of times as long as the allocation, and is no part of an algorithm."""
    with switched(ALL):
        assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
