"""Where output goes: consoles for standard output and error that suit terminals, pipes and old encodings."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO, cast

from rich.console import Console
from rich.theme import Theme

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
    if (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8":
        stream = cast(TextIO, Encodable(stream))
    width = None if stream.isatty() or os.environ.get("COLUMNS", "").isdigit() else PIPE_WIDTH
    return Console(file=stream, width=width, theme=THEME, highlight=False, emoji=False, markup=False)
