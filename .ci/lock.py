#!/usr/bin/env python3
"""Writes lock.txt, every package of every extra for Python 3.10 to 3.14 with its hashes, and constraints.txt from it.

`make lock` runs it. Versions stay as they are unless pyproject.toml forbids them; `--upgrade` and `--upgrade-package
NAME` are handed on to uv. `--check` writes nothing and fails where constraints.txt says something else than lock.txt.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "lock.txt"
CONSTRAINTS = ROOT / "constraints.txt"
HEADING = """\
# The exact versions of lock.txt without their hashes, for `pip install --constraint`. Written by `make lock`.
# pyproject.toml holds the ranges that convbench allows; nothing here binds a user's own installation.
"""


def exported(lock: str) -> str:
    """constraints.txt for a lock."""
    lines = lock.replace("\\\n", "").splitlines()
    return HEADING + "".join(f"{line.partition('--hash')[0].strip()}\n" for line in lines if line[:1].isalnum())


def main(words: Sequence[str]) -> None:
    if "--check" not in words:
        compile_lock = ["pip", "compile", "--universal", "--python-version=3.10", "--all-extras"]
        show = ["--generate-hashes", "--no-annotate", "--custom-compile-command=make lock", "--quiet"]
        uv = [str(Path(sys.executable).with_name("uv")), *compile_lock]
        subprocess.run([*uv, *show, *words, f"--output-file={LOCK}", "pyproject.toml"], cwd=ROOT, check=True)
        CONSTRAINTS.write_text(exported(LOCK.read_text(encoding="utf-8")), encoding="utf-8")
    elif CONSTRAINTS.read_text(encoding="utf-8") != exported(LOCK.read_text(encoding="utf-8")):
        sys.exit("constraints.txt is not what lock.txt says; run `make lock`")


if __name__ == "__main__":
    main(sys.argv[1:])
