"""Where output goes: consoles for standard output and error that suit terminals, pipes and old encodings."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.theme import Theme

from ..facts.plain import printable
from .streams import Unbroken

SIZES, SIZE = ("COLUMNS", "LINES"), re.compile("[1-9][0-9]{0,3}")
"""Variables that tell a terminal's size, and what is one; anything else would end rich, or fill the memory."""
PIPE_WIDTH = 120
"""Columns where the output is no terminal: a log should not change with the window somebody ran it in."""

SUBSTITUTES = str.maketrans(
    {
        "×": "x",
        "µ": "u",
        "·": "-",
        "→": ">",
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "~",
        "±": "~",
        "≤": "<",
        "≥": ">",
        "÷": "/",
        "─": "-",
        "━": "-",
        "╸": "-",
        "╺": "-",
        "│": "|",
        "▲": "^",
        "▼": "v",
    }
)
"""One character for one, so that columns stay aligned."""

THEME = Theme(
    {
        "accuracy.exact": "green",
        "accuracy.ok": "green",
        "accuracy.reduced": "yellow",
        "accuracy.fail": "bold red",
        "speed.faster": "bold green",
        "speed.slower": "red",
        "speed.equivalent": "cyan",
        "speed.inconclusive": "yellow",
        "speed.impossible": "bold red",
        "status.ok": "green",
        "status.skipped": "bright_black",
        "status.unsupported": "bright_black",
        "status.oom": "bold red",
        "status.timeout": "bold red",
        "status.crash": "bold red",
        "status.error": "bold red",
        "severity.bad": "bold red",
        "severity.warning": "bold yellow",
        "severity.note": "bold cyan",
        "quiet": "bright_black",
        "heading": "bold",
        "rule": "bright_black",
    }
)


class Encodable(io.TextIOBase):
    """Writes to `stream` and replaces what its encoding cannot carry, instead of raising."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding or "ascii"

    def write(self, text: str) -> int:
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            text = "".join(map(self._representable, text))
        return self._stream.write(text)

    def _representable(self, character: str) -> str:
        for candidate in (character, character.translate(SUBSTITUTES)):
            try:
                candidate.encode(self.encoding)
            except UnicodeEncodeError:
                continue
            return candidate
        return "?"

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


def console(stream: TextIO | None = None) -> Console:
    """A console on `stream` (default: standard output): as wide as the terminal, or PIPE_WIDTH (COLUMNS wins) in a
    pipe, where nothing but text is written. NO_COLOR and FORCE_COLOR are heeded."""
    stream = sys.stdout if stream is None else stream
    if not isinstance(stream, Unbroken):
        stream = cast(TextIO, Unbroken(stream))
    if (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8":
        stream = cast(TextIO, Encodable(stream))
    environ = {name: value for name, value in os.environ.items() if name not in SIZES or SIZE.fullmatch(value)}
    width = None if stream.isatty() or "COLUMNS" in environ else PIPE_WIDTH
    return Harmless(
        file=stream, width=width, theme=THEME, highlight=False, emoji=False, markup=False, _environ=environ
    )  # fmt: skip


class Harmless(Console):
    """Spells out the control characters of whatever is printed; rich's own are no text and pass."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text)
            yield segment if text is segment.text else Segment(text, segment.style)
