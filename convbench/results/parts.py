"""Part files: one per process that writes, which only grow, in an order that no clock decides.

Their names begin with a generation, `g00012-…`: one more than the highest that the folder knows, taken under a lock
when the file is made. A row of a higher generation replaces one of a lower. Files without one were written by older
versions; they come before all others, and their order among themselves is unknown.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..facts.values import InvalidValue
from .files import replacing
from .folder import held, prepare, refused
from .lines import decode
from .origin import generation_of, merged_from

RESERVE = 1 << 18
"""Bytes kept in hand on the disk of `out`: when it is full, they hold the rows that are already measured."""
ROWS, SAMPLES = ".jsonl", ".samples"
"""How the names of part files end."""
FULL = (errno.ENOSPC, errno.EDQUOT)
CLAIM_S = 30.0
"""Nobody holds the lock on generations for longer than it takes to make a file; a process that was stopped may."""


class Part:
    """One process's own part file, made when the first row is to be written."""

    def __init__(self, out: Path, suffix: str) -> None:
        self.path = out / "parts" / f"unborn{suffix}"
        self._out, self._suffix = out, suffix
        self._fd = -1
        self._size = 0
        self._reserve: Any = None

    def append(self, lines: bytes) -> None:
        """Adds whole lines with one write, or nothing.

        Raises InvalidValue where the disk takes no more; if it is full, the lines are kept all the same, in what was
        reserved. Raises it as well where another program has taken the file away or written to it.
        """
        fault = self.secured()
        try:
            self._write(lines)
        except OSError as error:
            if error.errno in FULL:
                with contextlib.suppress(OSError):
                    self.give_way()
                    self._write(lines)
            raise refused(self._out, error) from error
        if fault:
            raise fault

    def open(self) -> None:
        """Makes the file, before the first row is measured and has to go somewhere. Raises InvalidValue."""
        if self._fd >= 0:
            return
        try:
            self._reserve = tempfile.TemporaryFile(dir=self.path.parent, buffering=0)  # noqa: SIM115  it lives as long
            if self._reserve.write(os.urandom(RESERVE)) < RESERVE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._make()
        except OSError as error:
            if self._reserve is not None:
                self._reserve.close()
            raise refused(self._out, error) from error

    def _make(self) -> None:
        host = re.sub(r"[^\w.]+", "_", socket.gethostname())
        with held(self._out / ".generation", CLAIM_S):
            name = f"g{_newest(self._out) + 1:05d}-{host}-{os.getpid()}-{secrets.token_hex(3)}{self._suffix}"
            self.path = self.path.with_name(name)
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._size = 0

    @property
    def end(self) -> int:
        """How long the file is."""
        return self._size

    def give_way(self) -> None:
        """Gives the reserve back to the disk: its bytes, and the place of one file."""
        self._reserve.close()

    def secured(self) -> InvalidValue | None:
        """What has happened to the file behind our back; where it was taken away, its lines stand in a new one now."""
        if self._fd < 0:
            return None
        own = os.fstat(self._fd)
        with contextlib.suppress(OSError):
            there = os.stat(self.path)
            if (there.st_dev, there.st_ino, there.st_size) == (own.st_dev, own.st_ino, self._size):
                return None
            if (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino):
                self._size = there.st_size
                return self._fault("changed", "what it held and holds no more is measured again")
        try:
            self._save()
        except OSError as error:
            raise refused(self._out, error) from error
        return self._fault("taken away", "its rows have been saved, and the others are measured then")

    def _save(self) -> None:
        """Copies the file, which has no name any more, to a new one."""
        before, size = self._fd, os.fstat(self._fd).st_size
        prepare(self._out)
        self._make()
        try:
            offset = 0
            while chunk := os.pread(before, min(1 << 20, size - offset), offset):
                self._write(chunk)
                offset += len(chunk)
        finally:
            os.close(before)

    def _fault(self, what: str, then: str) -> InvalidValue:
        return InvalidValue(
            "out", f"{self.path.parent}: a part file was {what} by another program; run the same command again: {then}"
        )

    def _write(self, lines: bytes) -> None:
        try:
            written = os.write(self._fd, lines)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        if written < len(lines):
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._fd)
            os.close(self._fd)
            self._reserve.close()
            self._fd = -1


def keep_environment(out: Path, environment_id: str, environment: Mapping[str, Any], part: Part | None = None) -> None:
    """Writes parts/environment-ID.json unless it is there; on a full disk the reserve of `part` gives way to it.

    Raises InvalidValue.
    """
    path = out / "parts" / f"environment-{environment_id}.json"
    text = json.dumps(environment, ensure_ascii=False)
    try:
        if not path.exists():
            _write_whole(path, text)
    except OSError as error:
        if part and error.errno in FULL:
            with contextlib.suppress(OSError):
                part.give_way()
                _write_whole(path, text)
        raise refused(out, error) from error


def _write_whole(path: Path, text: str) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def part_files(out: Path, suffix: str = ROWS) -> list[Path]:
    """All files of a kind in the order in which their rows count, the last one last.

    Raises InvalidValue for a name like theirs that is no file.
    """
    return sorted((out / "parts").glob(f"*{suffix}"), key=_place)


def _place(path: Path) -> tuple[int, float, str]:
    """Without a generation the clock of the first line decides which row is shown, and `Index` trusts neither."""
    _check_regular(path)
    generation = generation_of(path)
    if generation:
        return (generation, 0.0, path.name)
    with reading(path) as file:
        line = decode(file.readline())
    return (0, line["written"] if line else 0.0, path.name)


def _check_regular(path: Path) -> None:
    try:
        fault = None if stat.S_ISREG(path.stat().st_mode) else "is no file"
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    if fault:
        raise InvalidValue("out", f"{path} {fault}; move it out of that folder and run the same command again")


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """A part file opened to be read. Raises InvalidValue where it cannot be."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InvalidValue(
            "out", f"{path} cannot be read ({error.strerror}); make it readable and run the same command again"
        ) from error


def _newest(out: Path) -> int:
    """The highest generation of a part file that is there, or was when the tables were made."""
    there = [path for suffix in (ROWS, SAMPLES) for path in (out / "parts").glob(f"*{suffix}")]
    return max(map(generation_of, (*there, *map(Path, merged_from(out)))), default=0)
