"""convbench's version: of a checkout as git tells it, of a release or a build as it was written down then.

A commit after the tag v0.1.0 is 0.1.1.dev5+g1a2b3c4, and one before any tag 0.1.1.dev123+g1a2b3c4. This file is run by
the build as well, so it imports nothing of convbench.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

FIRST = "0.1.1"
"""What is being worked on where there is no tag: 0.1.0 stood in the code and had none."""

ARCHIVED = "$Format:%(describe:tags=true,match=v[0-9]*) %h$"
"""`git archive` writes the nearest tag and the commit here; elsewhere it stays as it is."""

BUILT = Path(__file__).with_name("_built.py")
"""The build writes it into wheels and sdists, and an editable installation beside this file, where git goes first."""


def read() -> str:
    top = Path(__file__).resolve().parent.parent
    if (top / ".git").exists() and (found := of_checkout(top)):
        return found
    if BUILT.exists() and (written := re.search(r"'(.+)'", BUILT.read_text(encoding="utf-8"))):
        return written[1]
    return of_archive(ARCHIVED)


def of_checkout(top: Path) -> str:
    """The version of the commit that is checked out; "" where git cannot say."""
    described = _git(top, "describe", "--tags", "--long", "--match", "v[0-9]*")
    if described:
        return of_description(described)
    commit, count = _git(top, "rev-parse", "--short", "HEAD"), _git(top, "rev-list", "--count", "HEAD")
    return f"{FIRST}.dev{count}+g{commit}" if commit and count else ""


def of_description(described: str) -> str:
    """v0.1.0-0-g1a2b3c4 → 0.1.0, v0.1.0-5-g1a2b3c4 → 0.1.1.dev5+g1a2b3c4, v1.0rc1-5-g… → 1.0rc2.dev5+g…"""
    found = re.fullmatch(r"v(.*?)(\d+)-(\d+)-(g[0-9a-f]+)", described)
    if found is None:
        return ""
    before, last, ahead, commit = found.groups()
    return f"{before}{last}" if ahead == "0" else f"{before}{int(last) + 1}.dev{ahead}+{commit}"


def of_archive(text: str) -> str:
    """What `git archive` wrote: a tag alone for its commit, else the tag, the distance and the commit."""
    if text.startswith("$"):
        return f"{FIRST}.dev0+unknown"
    tag, _, commit = text.rpartition(" ")
    if not tag:
        return f"{FIRST}.dev0+g{commit}"
    return of_description(tag if re.search(r"-\d+-g[0-9a-f]+$", tag) else f"{tag}-0-g{commit}")


def _git(top: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", f"--git-dir={top / '.git'}", *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


__version__ = read()
