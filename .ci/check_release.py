#!/usr/bin/env python3
"""Says what a release still lacks: `.ci/check_release.py [TAG]`. TAG is GITHUB_REF_NAME where it is not given.

Exit code 1, and a sentence for each thing that is missing; 0 where nothing is. Needs Python 3.11 for tomllib.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parent.parent


def missing(top: Path, tag: str) -> Iterator[str]:
    """What stands in the way of releasing the tree at `top` as `tag`."""
    project = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))
    address = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
    if not re.fullmatch(r"https://[\w.-]+/[\w./-]+", address):
        yield (
            f"repository={address!r} under [tool.hatch.metadata.hooks.custom] in pyproject.toml is no address; write "
            "https://… of the repository there: the package index shows the README's links and pictures from it"
        )
    version = tag.removeprefix("v")
    if not re.fullmatch(r"v\d+\.\d+\.\d+(rc\d+)?", tag):
        yield f"the tag {tag!r} is no version; it must be like v0.1.0 or v0.1.0rc1"
        return
    headings = re.findall(r"^## \[(.*?)\](.*)$", (top / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = version.partition("rc")[0]
    if [name for name, _ in headings[:2]] != ["Unreleased", released]:
        yield f"the first headings of CHANGELOG.md must be [Unreleased] and [{released}], and are {headings[:2]}"
    elif not re.fullmatch(r" - \d{4}-\d\d-\d\d", headings[1][1]):
        yield f"the heading of {released} in CHANGELOG.md has no date; write ## [{released}] - YYYY-MM-DD"


def main(words: list[str]) -> int:
    tag = words[0] if words else os.environ.get("GITHUB_REF_NAME", "")
    found = list(missing(ROOT, tag))
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
