"""The commands that stand in Markdown: the lines `$ …` of its console blocks, and what their tests need to know.

A comment on the line above a block says what is done with it; nobody sees it who reads the page:

    <!-- test: skip because it needs Slurm -->      it is not run, for this reason
    <!-- test: needs optuna -->                     it is run where Python has this module
    <!-- test: add limit=1 measure=none -->         these words are added to what measures, so that it takes seconds
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))

BLOCK = re.compile(r"((?:^<!-- test: .*? -->\n)*)^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- test: (skip because|needs|add) (.+?) -->")

READING = ("report", "compare", "show", "export", "history", "methods", "recompute", "trace")
"""Subcommands that measure nothing."""

TEN = "measure.looks=[10] measure.max_time_s=1"
SHORT = f"measure.processes=1 {TEN}"
"""Is added where a block says nothing: a machine with other work on it never comes to the precision asked for, and
measure=rigorous would try for six minutes. tests/test_passes.py and tests/test_api.py are about further processes.
Everything else is as it stands there."""

FEW = {"validate": "budget_s=10", "hunt": "limit=3", "duet": TEN, "gate": TEN}
"""The like for subcommands that have no pairs of their own, or processes by another word."""


@dataclass(frozen=True)
class Block:
    """One console block. `skip` is a reason, `needs` a module; empty where the page says nothing of it."""

    page: Path
    commands: tuple[str, ...]
    skip: str = ""
    needs: str = ""
    add: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}: {self.commands[0]}"

    def as_run(self) -> list[str]:
        """Its commands with the words that shorten them."""
        return [f"{command} {self._words(command)}".rstrip() for command in self.commands]

    def _words(self, command: str) -> str:
        words = command.split()
        if words[0] == "pytest":
            return self.add
        if "convbench" not in words:
            return ""
        first = (words[words.index("convbench") + 1 :] or [""])[0]
        if first in READING:
            return ""
        return self.add or FEW.get(first, SHORT)


def blocks(page: Path) -> list[Block]:
    """All console blocks of a page with commands in them; raises ValueError for a comment that says nothing known."""
    found = []
    for marks, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        said = dict(MARK.findall(marks))
        if len(said) != marks.count("\n"):
            raise ValueError(f"{page.name}: {marks.strip()} is no mark of a block, or one says the same twice")
        commands = tuple(
            line.partition(" #")[0].strip()
            for line in re.findall(r"^\$ (.*)$", body.replace("\\\n", " "), re.MULTILINE)
        )
        if commands:
            found.append(
                Block(page, commands, said.get("skip because", ""), said.get("needs", ""), said.get("add", ""))
            )
    return found


def python(page: Path) -> str:
    """The Python of a page, one block after the other."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
