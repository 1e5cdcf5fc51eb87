"""A commit checked out in a folder of its own for as long as it is needed, and gone afterwards however this ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..execution import git
from ..facts.values import InvalidValue

REMOVER = """
import shutil, signal, subprocess, sys, time
top, folder, tree = sys.argv[1:]
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.buffer.read()
for _ in range(40):
    # Twice --force: a worktree that is just being made is locked.
    command = ["git", "-C", top, "worktree", "remove", "--force", "--force", tree]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode == 0 or b"is not a working tree" in done.stderr:
        break
    time.sleep(0.25)
shutil.rmtree(folder, ignore_errors=True)
"""
"""Sleeps until its standard input closes, which happens when the program ends, be it by SIGKILL; then it cleans up."""


@contextmanager
def checked_out(top: Path, commit: str) -> Iterator[Path]:
    """A worktree of `commit` beside the repository at `top`, in a temporary folder.

    A process of its own removes it, at the end or when this program is killed. Raises InvalidValue where it cannot be
    made.
    """
    with tempfile.TemporaryDirectory(prefix="convbench-gate-", ignore_cleanup_errors=True) as made:
        tree = Path(made).resolve() / "base"
        remover = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", REMOVER, str(top), made, str(tree)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=git.environment(),
            start_new_session=True,
        )
        try:
            _add(top, commit, tree)
            yield tree
        finally:
            assert remover.stdin is not None
            with suppress(OSError):
                remover.stdin.close()
            remover.wait()


def _add(top: Path, commit: str, tree: Path) -> None:
    # A hook of the repository's own (post-checkout) has no business in a copy that is thrown away.
    words = ("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", str(tree), commit)
    try:
        done = subprocess.run(
            ["git", "-C", str(top), *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=git.environment(),
            text=True,
        )
    except OSError as error:
        raise InvalidValue("gate", f"git cannot be run ({error.strerror})") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise InvalidValue(
            "gate", f"the base {commit[:10]} cannot be checked out: {said[-1] if said else 'git failed'}"
        )
