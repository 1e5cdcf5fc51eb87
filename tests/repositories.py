"""Repositories of git made up for a test, with a method of one's own in them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

RIGHT = """
import convbench
from torch.nn.functional import conv2d


@convbench.plain(wrt="input")
def grad_input(grad_output, input, weight, case):
    return conv2d(grad_output, weight, None, case.stride, case.padding, case.dilation, case.groups)
"""
SLOW = RIGHT.replace("    return", "    conv2d(grad_output, weight, None, case.stride, case.padding)\n    return")
WRONG = RIGHT.replace("case.groups)", "case.groups) * 1.5")
IDENTITY = {
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "A"), ("EMAIL", "a@b"))
    },
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder: Path, *words: str) -> str:
    """What git prints; raises CalledProcessError."""
    done = subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True, env={**os.environ, **IDENTITY}
    )
    return done.stdout.strip()


def commit(folder: Path, text: str, file: str = "kernels.py") -> str:
    """Writes `file`, commits everything and returns the commit's name."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", f"change {file}")
    return git(folder, "rev-parse", "HEAD")


def repository(folder: Path) -> Path:
    """An empty repository with the branch main."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder
