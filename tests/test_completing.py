"""The tab key: what is offered for a line that is being typed, and bash itself asking for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convbench import cli
from convbench.methods import METHODS

ROOT = Path(__file__).parent.parent

TYPED = [
    ("convbench rep", {"report"}),
    ("convbench dtype=", {"dtype=float64", "dtype=float32", "dtype=bfloat16", "dtype=float16"}),
    ("convbench kernel=3 dtype=float32,bf", {"dtype=float32,bfloat16"}),
    ("convbench methods=[autograd,ex", {"methods=[autograd,explicit"}),
    ("convbench baseline=", {f"baseline={name}" for name in METHODS}),
    ("convbench strict=", {"strict=true", "strict=false"}),
    ("convbench wrt=w", {"wrt=weight"}),
    ("convbench device=", {"device=cpu", "device=cuda", "device=xpu", "device=mps"}),
    ("convbench sweep=dc", {"sweep=dcgan"}),
    ("convbench +sweep=dc", {"+sweep=dcgan"}),
    ("convbench measure=q", {"measure=quick"}),
    ("convbench dty", {"dtype="}),
    ("convbench measure.mar", {"measure.margin="}),
    ("convbench report res", set()),
]


@pytest.mark.parametrize(("typed", "expected"), TYPED)
def test_what_fits_is_offered(
    typed: str, expected: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_LINE", typed)
    assert cli.main(["-sc", "query=bash"]) == 0
    assert set(capsys.readouterr().out.split()) == expected


def test_the_first_word_may_be_a_subcommand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_LINE", "convbench ")
    assert cli.main(["-sc", "query=bash"]) == 0
    assert {*cli.COMMANDS, "kernel=", "dtype="} <= set(capsys.readouterr().out.split())


def test_bash_completes(tmp_path: Path) -> None:
    """As the documentation says: bash evaluates what is printed, and its own completion then calls the command."""
    command = tmp_path / "convbench"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m convbench "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    script = (
        'eval "$(convbench -sc install=bash)"; COMP_LINE="convbench memory_format=ch"; COMP_CWORD=1\n'
        'COMP_POINT=${#COMP_LINE}; hydra_bash_completion 2>/dev/null; echo "${COMPREPLY[@]}"; complete -p convbench'
    )
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[0] == "memory_format=channels_last", done.stderr
    assert "-F hydra_bash_completion convbench" in done.stdout
