"""Standard output and error as they may be found: closed, broken, or read by nobody any more."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)
"""What writing answers where the reader of a pipe or the terminal has gone."""


class Unbroken:
    """A stream that outlives its reader: what is written once that has gone, or where there is none, goes nowhere.

    `whatever`: what else may be wrong (a full disk) is passed over too; else it is raised.
    """

    def __init__(self, stream: TextIO | None, whatever: bool = False) -> None:
        self._stream = stream
        self._whatever = whatever

    def write(self, text: str) -> int:
        try:
            return len(text) if self._stream is None else self._stream.write(text)
        except (OSError, ValueError) as error:
            self._given_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            if self._stream is not None:
                self._stream.flush()
        except (OSError, ValueError) as error:
            self._given_up(error)

    def _given_up(self, error: Exception) -> None:
        closed = isinstance(error, ValueError) and getattr(self._stream, "closed", False)
        if not (closed or self._whatever or (isinstance(error, OSError) and error.errno in GONE)):
            raise error
        nowhere(self._stream)
        self._stream = None

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        if self._stream is None:
            raise AttributeError(name)
        return getattr(self._stream, name)


def nowhere(stream: TextIO | None) -> None:
    """Turns what `stream` writes to into a hole, so that the interpreter can flush what is left in it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        hole = os.open(os.devnull, os.O_WRONLY)
        os.dup2(hole, cast(TextIO, stream).fileno())
        os.close(hole)


@contextmanager
def unbroken() -> Iterator[None]:
    """sys.stdout and sys.stderr as Unbroken, with characters that cannot be written spelt out.

    Descriptors 0 to 2 that are closed are taken first: a file of ours in their place would be written to by whatever
    prints.
    """
    with contextlib.suppress(OSError):
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(fd)
    before = sys.stdout, sys.stderr
    for stream in before:
        # Names of files may hold bytes that are no UTF-8.
        with contextlib.suppress(AttributeError, ValueError):
            if stream.errors == "strict":
                cast(Any, stream).reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = cast(TextIO, Unbroken(sys.stdout)), cast(TextIO, Unbroken(sys.stderr, whatever=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
