"""What ends the process inside torch, and nothing else does: otherwise property tests would leave out too much."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from convbench.measurement import convolution, problem

from .settings import make_spec
from .survival import may_kill, survived, touches_only_padding

ONLY_PADDING = "conv1d(torch.ones(1, 1, 1).half(), torch.ones(1, 1, 1).half(), stride=2, padding=1, dilation=2)"


def child(*arguments: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("settings", "dead"),
    [
        ({"size": 1, "kernel": 1, "stride": 2, "padding": 1, "dilation": 2}, True),
        ({"size": 2, "kernel": 1, "stride": 2, "padding": 1}, False),
        ({"size": [1, 5], "kernel": [2, 3], "padding": [1, 1], "dilation": [2, 1]}, True),
        ({"size": [3, 5], "kernel": [2, 3], "padding": [1, 1], "dilation": [2, 1]}, False),
        ({"size": 8, "kernel": 3, "padding": 1}, False),
        ({"size": 8, "kernel": 1, "padding": 4}, False),
    ],
)
def test_only_padding_is_found_by_looking_at_every_tap(settings: dict[str, object], dead: bool) -> None:
    spec = make_spec(op="conv2d", dtype="float16", **settings)
    assert touches_only_padding(spec.case) is dead
    assert may_kill(spec) is dead
    assert not may_kill(make_spec(op="conv2d", dtype="float32", **settings))
    assert not may_kill(make_spec(op="conv2d", dtype="float16", onednn=False, **settings))


@pytest.mark.slow
def test_a_convolution_of_nothing_but_padding_dies_or_is_zero() -> None:
    """On CPUs without AVX-512's float16 oneDNN has other kernels, and the answer is right."""
    done = child(
        "-c", f"import torch\nfrom torch.nn.functional import conv1d\nprint(float({ONLY_PADDING}.abs().max()))"
    )
    assert done.returncode < 0 or (done.returncode, done.stdout) == (0, "0.0\n"), done.stderr
    made = problem.make(make_spec(op="conv1d", dtype="float16", size=1, kernel=1, stride=2, padding=1, dilation=2))
    with survived(made.spec):
        assert not convolution.forward(made.input, made.weight, None, made.case).any()


@pytest.mark.slow
def test_every_other_convolution_survives() -> None:
    done = child("-X", "faulthandler", "-m", "tests.survival")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 300
