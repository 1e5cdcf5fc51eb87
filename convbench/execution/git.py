"""What git says of a folder or a file: which commit it belongs to, and whether it was changed since."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

LONGEST_S = 60.0
"""A question that takes longer (a status of a large repository on a slow drive) has no answer."""

ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
"""Variables that a hook of git sets, and that would point every question at the repository that the hook ran in."""


@dataclass(frozen=True, slots=True)
class State:
    """The commit that is checked out, and whether there are changes that are in no commit."""

    commit: str
    dirty: bool


def environment() -> dict[str, str]:
    """This process's environment for git: in English, asking nobody, locking nothing that others wait for."""
    kept = {key: value for key, value in os.environ.items() if key not in ELSEWHERE}
    return {**kept, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


def ask(folder: Path, *words: str) -> str | None:
    """What `git WORDS` prints in `folder`, or None: it failed, took too long, or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment(),
            timeout=LONGEST_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").rstrip("\n") if done.returncode == 0 else None


def of_folder(folder: Path) -> State | None:
    """The working tree that `folder` is in; files that git does not know leave it clean. None outside of one."""
    commit = ask(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    changed = ask(folder, "status", "--porcelain", "--untracked-files=no") if commit else None
    return None if not commit or changed is None else State(commit, bool(changed))


def of_file(file: Path) -> State | None:
    """The working tree that `file` is in; it is dirty where it is in no commit as it is. None for an ignored file."""
    file = file.resolve()
    commit = ask(file.parent, "rev-parse", "--verify", "--quiet", "HEAD")
    said = ask(file.parent, "status", "--porcelain", "--ignored", "--", file.name) if commit else None
    return None if not commit or said is None or said.startswith("!!") else State(commit, bool(said))
