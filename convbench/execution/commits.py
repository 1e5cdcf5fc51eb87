"""Which commits a row belongs to: that of the working directory, and that of the file that holds one's own method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..facts.module_files import file_of
from . import git


class Commits:
    """What git says when a run begins; each method's file is asked about once."""

    def __init__(self) -> None:
        self._here = git.of_folder(Path.cwd())
        self._methods: dict[str, git.State | None] = {}

    def columns(self, method: str) -> dict[str, Any]:
        """`commit`, `dirty`, `method_commit` and `method_dirty` of a method's row; what is not known is left out."""
        if method not in self._methods:
            module, colon, _ = method.partition(":")
            file = file_of(module) if colon else None
            self._methods[method] = git.of_file(Path(file)) if file and Path(file).is_file() else None
        return columns(self._here, self._methods[method])


def columns(here: git.State | None, method: git.State | None) -> dict[str, Any]:
    """The columns of two states, without those of None."""
    out: dict[str, Any] = {}
    if here:
        out |= {"commit": here.commit, "dirty": here.dirty}
    if method:
        out |= {"method_commit": method.commit, "method_dirty": method.dirty}
    return out
