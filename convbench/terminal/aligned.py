"""Aligned columns of styled text under grouped heads: what a table needs to fit a terminal or a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.text import Text

GAP = 2
"""Spaces between the columns of a group."""
GROUP_GAP = 4
"""Spaces between groups."""


@dataclass(frozen=True, slots=True)
class Column:
    """`group` is a head above the heads of neighbouring columns that share it."""

    head: str
    right: bool = False
    group: str = ""


Part = Sequence[Sequence[Text]]
"""The rows of one thing, for instance of a configuration."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """Rows of cells, one per column; the rows of a part stay together."""

    columns: Sequence[Column]
    parts: Sequence[Part]
    headings: Sequence[Text] = ()
    """One above each part, or none."""

    def kept(self) -> Aligned:
        """Without the columns that are empty in every row."""
        used = [i for i in range(len(self.columns)) if any(row[i].plain for part in self.parts for row in part)]
        parts = [[[row[i] for i in used] for row in part] for part in self.parts]
        return replace(self, columns=[self.columns[i] for i in used], parts=parts)

    def widths(self) -> list[int]:
        """Columns as wide as their widest cell; the last of a group grows where the group's head is wider."""
        out = [
            max([len(column.head), *(row[i].cell_len for part in self.parts for row in part)])
            for i, column in enumerate(self.columns)
        ]
        for group, at in self._groups():
            spare = len(group) - sum(out[i] for i in at) - GAP * (len(at) - 1)
            out[at[-1]] += max(0, spare)
        return out

    def _groups(self) -> list[tuple[str, list[int]]]:
        """Neighbouring columns by the head above them."""
        by_group = groupby(range(len(self.columns)), key=lambda i: self.columns[i].group)
        return [(group, list(at)) for group, at in by_group]

    def _gap(self, i: int) -> int:
        if i == 0:
            return 0
        return GROUP_GAP if self.columns[i].group != self.columns[i - 1].group else GAP

    @property
    def width(self) -> int:
        table = sum(self.widths()) + sum(map(self._gap, range(len(self.columns))))
        return max([table, *(heading.cell_len for heading in self.headings)])

    def lines(self) -> list[Text]:
        """The heads, a rule, and the rows; a blank line between parts of more than one row or with headings."""
        widths = self.widths()
        out = [self._over(widths)] if any(c.group for c in self.columns) else []
        out.append(self._line([Text(c.head, style="heading") for c in self.columns], widths))
        out.append(Text("─" * self.width, style="rule", no_wrap=True))
        spaced = any(len(part) > 1 for part in self.parts) or bool(self.headings)
        for number, part in enumerate(self.parts):
            if spaced and number:
                out.append(Text(""))
            out.extend(self.headings[number : number + 1])
            out.extend(self._line(row, widths) for row in part)
        return out

    def _line(self, cells: Sequence[Text], widths: Sequence[int]) -> Text:
        line = Text(no_wrap=True)
        for i, (cell, column, width) in enumerate(zip(cells, self.columns, widths, strict=True)):
            fill = " " * (width - cell.cell_len)
            line.append(" " * self._gap(i))
            line.append_text(Text(fill) + cell if column.right else cell + fill)
        line.rstrip()
        return line

    def _over(self, widths: Sequence[int]) -> Text:
        line = Text(no_wrap=True)
        for group, at in self._groups():
            line.append(" " * self._gap(at[0]))
            line.append(group.ljust(sum(widths[i] for i in at) + GAP * (len(at) - 1)), style="heading")
        line.rstrip()
        return line
