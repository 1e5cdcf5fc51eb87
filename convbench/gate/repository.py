"""The repository that the working directory is in, and the commit that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..execution import git
from ..facts.units import count
from ..facts.values import InvalidValue, did_you_mean

SHOWN = 8
"""Names of branches in one message."""


class NoBase(Exception):
    """There is nothing to compare with, and nobody is at fault: a first run, or a clone without the history."""


@dataclass(frozen=True, slots=True)
class Repository:
    """`top` is its working tree, `prefix` the working directory's path in it (`.` at the top). `head` is the commit
    that is checked out, None before the first one; `changed` counts the files that differ from it."""

    top: Path
    prefix: Path
    head: str | None
    changed: int

    @classmethod
    def here(cls) -> Repository:
        """Raises InvalidValue where the working directory is in none."""
        folder = Path.cwd()
        top = git.ask(folder, "rev-parse", "--show-toplevel")
        if not top:
            raise InvalidValue(
                "gate", f"gate compares two commits, and {folder} is in no working tree of git; run it in a clone"
            )
        # What convbench itself leaves behind where git is not told to ignore it is no change of the code.
        changes = git.ask(folder, "status", "--porcelain", "--", ":/", ":(exclude)results") or ""
        head = git.ask(folder, "rev-parse", "--verify", "--quiet", "HEAD")
        prefix = folder.resolve().relative_to(Path(top).resolve())
        return cls(Path(top), prefix, head, len(changes.splitlines()))

    @property
    def new(self) -> str:
        """What the working directory is, in words."""
        changed = f" with {count(self.changed, 'file')} changed since" if self.changed else ""
        return f"HEAD {self.head[:10] if self.head else ''}{changed}"

    def merge_base(self, ref: str) -> str:
        """The commit that HEAD and `ref` have in common.

        Raises NoBase, and InvalidValue for a name that is a mistake.
        """
        if not ref.strip("0"):
            raise NoBase("There is no base: --base is empty, as it is for the first push of a branch.")
        if self.head is None:
            raise NoBase("There is no base: this repository has no commit yet.")
        commit = None if ref.startswith("-") else self._ask("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        if not commit:
            raise self._unknown(ref)
        common = self._ask("merge-base", commit, "HEAD")
        if common:
            return common.splitlines()[0]
        shallow = " in this shallow clone; fetch more of the history (actions/checkout: fetch-depth: 0)"
        raise NoBase(f"There is no base: {ref} and HEAD have no commit in common{shallow if self._shallow else ''}.")

    def _unknown(self, ref: str) -> Exception:
        """What to say of a name that is no commit: a mistake in a whole clone that has others to name."""
        if self._shallow:
            return NoBase(
                f"There is no base: {ref} is not in this shallow clone; fetch the history (actions/checkout: "
                "fetch-depth: 0)."
            )
        names = (
            self._ask("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes", "refs/tags") or ""
        ).split()
        close = did_you_mean(ref, names)
        first = self._ask("rev-list", "--count", "--max-count=2", "HEAD") == "1"
        if not close and (first or not self._ask("remote")):
            return NoBase(f"There is no base: this repository has no commit named {ref}.")
        known = close or f"; there are {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
        return InvalidValue("--base", f"--base {ref} names no commit of this repository{known}")

    @property
    def _shallow(self) -> bool:
        return self._ask("rev-parse", "--is-shallow-repository") == "true"

    def _ask(self, *words: str) -> str | None:
        return git.ask(self.top, *words)

    def ignores(self, file: Path) -> bool:
        """Whether git ignores a file of the working tree, as it does builds and virtual environments."""
        return bool(git.ask(file.parent, "check-ignore", "--", str(file)))
