"""Where rows go as soon as they are measured: part files that only grow, and what they already hold.

`DIR/parts/*.jsonl` has one JSON object per line, one line per row, and one file per process that writes.
A line begins with its own CRC-32, so that torn and damaged lines are told from rows; they are skipped and
counted. Rows of a later line replace those of an earlier one with the same unit and method.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import socket
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..facts.case import InvalidValue
from ..facts.record import FAILED, Record
from ..facts.spec import Spec
from .files import replacing

RESERVE = 1 << 18
"""Bytes kept in hand on the disk of `out`: when it is full, they hold the rows that are already measured."""
ROWS, SAMPLES = ".jsonl", ".samples"
"""How the names of part files end."""
FULL = (errno.ENOSPC, errno.EDQUOT)
HEAD = re.compile(
    rb'\{"crc":"([0-9a-f]{8})",("position":(\d+),"written":([0-9.]+),"unit":"([0-9a-f-]+)","code":"([0-9a-f]*)",'
    rb'"method":"([^"]+)","status":"([a-z]+)","accuracy":(null|"[a-z]+").*\}\n)',
)


class Line(NamedTuple):
    """What the head of a line says about its row. `unit` names the configuration with its labels."""

    position: int
    written: float
    unit: str
    code: str
    method: str
    status: str
    wrong: bool


def unit_of(spec: Spec) -> str:
    """What has rows of its own: the run key, and a hash of the labels where a cases file gives some."""
    if not spec.labels:
        return spec.run_key
    text = json.dumps(dict(spec.labels), sort_keys=True)
    return f"{spec.run_key}-{zlib.crc32(text.encode()):08x}"


def encode(position: int, unit: str, code: str, row: Mapping[str, Any]) -> bytes:
    """One line of a part file: the head in fixed order, then the row's other columns."""
    head = {
        "position": position,
        "written": round(time.time(), 3),
        "unit": unit,
        "code": code,
        "method": row["method"],
        "status": row["status"],
        "accuracy": row.get("accuracy"),
    }
    return _signed(head | dict(row))


def encode_samples(spec: Spec, samples: Sequence[Mapping[str, Any]]) -> bytes:
    """One line of a samples file: the raw samples of all processes of a configuration."""
    head = {"written": round(time.time(), 3), "unit": unit_of(spec)}
    return _signed(head | spec.key._asdict() | {"samples": list(samples)})


def _signed(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    # A file name in a label may hold bytes that are no UTF-8.
    body = text.encode(errors="replace")[1:] + b"\n"
    return b'{"crc":"%08x",' % zlib.crc32(body) + body


def decode(line: bytes) -> dict[str, Any] | None:
    """What a line of any kind holds; None where it is torn, damaged or something else."""
    body = line[len('{"crc":"01234567",') :]
    if not line.startswith(b'{"crc":"%08x",' % zlib.crc32(body)):
        return None
    values: dict[str, Any] = json.loads(b"{" + body)
    return values


def decode_head(line: bytes) -> Line | None:
    """The head of a row's line; None where the line is torn, damaged or something else."""
    found = HEAD.fullmatch(line)
    if found is None or zlib.crc32(found[2]) != int(found[1], 16):
        return None
    return Line(
        int(found[3]),
        float(found[4]),
        found[5].decode(),
        found[6].decode(),
        found[7].decode(),
        found[8].decode(),
        found[9] == b'"fail"',
    )


class Part:
    """One process's own part file, opened when the first row is written."""

    def __init__(self, out: Path, suffix: str) -> None:
        host = re.sub(r"[^\w.]+", "_", socket.gethostname())
        self.path = out / "parts" / f"{host}-{os.getpid()}-{secrets.token_hex(3)}{suffix}"
        self._out = out
        self._fd = -1
        self._reserve: Any = None

    def append(self, lines: bytes) -> None:
        """Adds whole lines with one write, or nothing.

        Raises InvalidValue where the disk takes no more; if it is full, the lines are kept all the same,
        in what was reserved.
        """
        try:
            self._write(lines)
        except OSError as error:
            if error.errno in FULL:
                with contextlib.suppress(OSError):
                    self._reserve.truncate(0)
                    self._write(lines)
            raise refused(self._out, error) from error

    def open(self) -> None:
        """Makes the file, before the first row is measured and has to go somewhere. Raises InvalidValue."""
        if self._fd >= 0:
            return
        try:
            self._reserve = tempfile.TemporaryFile(dir=self.path.parent, buffering=0)  # noqa: SIM115  it lives as long
            if self._reserve.write(os.urandom(RESERVE)) < RESERVE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if self._reserve is not None:
                self._reserve.close()
            raise refused(self._out, error) from error

    def _write(self, lines: bytes) -> None:
        before = os.fstat(self._fd).st_size
        try:
            if os.write(self._fd, lines) == len(lines):
                return
        except OSError:
            os.ftruncate(self._fd, before)
            raise
        os.ftruncate(self._fd, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._fd)
            os.close(self._fd)
            self._reserve.close()
            self._fd = -1


def keep_environment(out: Path, environment_id: str, environment: Mapping[str, Any]) -> None:
    """Writes parts/environment-ID.json unless it is there. Raises InvalidValue."""
    path = out / "parts" / f"environment-{environment_id}.json"
    try:
        if not path.exists():
            with replacing(path) as unfinished:
                unfinished.write_text(json.dumps(environment, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise refused(out, error) from error


def prepare(out: Path) -> None:
    """Makes the folders. Raises InvalidValue where that cannot be done or nothing can be written there."""
    try:
        (out / "parts").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out / "parts"):
            pass
    except OSError as error:
        raise refused(out, error) from error


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keeps other sweeps from writing to `out`. Raises InvalidValue, naming the one that does."""
    prepare(out)
    try:
        fd = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise refused(out, error) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, 200).decode(errors="replace").strip() or "another process"
            raise InvalidValue(
                "out", f"out={out} is being written by {owner}; wait for it to end, or give another folder"
            ) from None
        except OSError:
            pass  # A file system without locks: two sweeps still write different part files.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def part_files(out: Path, suffix: str = ROWS) -> list[Path]:
    """All files of a kind, the one with the oldest first line first."""

    def begun(path: Path) -> tuple[float, str]:
        with path.open("rb") as file:
            line = decode(file.readline())
        return (line["written"] if line else 0.0, path.name)

    return sorted((out / "parts").glob(f"*{suffix}"), key=begun)


class Entry(NamedTuple):
    """What is known of one method of one unit."""

    method: str
    code: str
    status: str
    wrong: bool


class Index:
    """What the part files of a folder hold: for every unit its methods and their statuses, some 200 bytes each."""

    def __init__(self, out: Path) -> None:
        self._units: dict[str, tuple[Entry, ...]] = {}
        self._shared: dict[Any, Any] = {}
        self.unreadable = 0
        for path in part_files(out):
            with path.open("rb") as file:
                for raw in file:
                    if line := decode_head(raw):
                        self._add(line.unit, [Entry(line.method, line.code, line.status, line.wrong)])
                    else:
                        self.unreadable += 1

    def add(self, unit: str, rows: Iterable[Record], codes: Mapping[str, str]) -> None:
        """Takes note of rows that were appended; they replace those of the same methods."""
        self._add(
            unit, [Entry(r["method"], codes[r["method"]], r["status"], r.get("accuracy") == "fail") for r in rows]
        )

    def _add(self, unit: str, entries: Iterable[Entry]) -> None:
        known = {entry.method: entry for entry in self._units.get(unit, ())}
        known.update((entry.method, entry) for entry in entries)
        value = tuple(self._shared.setdefault(entry, entry) for entry in known.values())
        self._units[unit] = self._shared.setdefault(value, value)

    def entries(self, spec: Spec, codes: Mapping[str, str]) -> list[Entry] | None:
        """The rows of all arms of a configuration, measured with the code of today; None if one is missing."""
        known = {entry.method: entry for entry in self._units.get(unit_of(spec), ())}
        found = [known.get(arm) for arm in spec.arms]
        complete = [e for e in found if e is not None and e.code == codes[e.method]]
        return complete if len(complete) == len(found) else None


def settled(entries: Sequence[Entry] | None, retry: str) -> bool:
    """Whether nothing needs measuring. `skipped` always does: the device may be there now, and asking costs nothing."""
    again = ("skipped", *FAILED) if retry == "failed" else ("skipped",)
    return entries is not None and not any(entry.status in again for entry in entries)


def refused(out: Path, error: OSError) -> InvalidValue:
    """What a person can do about a folder that takes no more."""
    if error.errno in FULL:
        return InvalidValue(
            "out",
            f"out={out}: the disk is full; all rows measured so far are kept: free some space "
            "and run the same command again",
        )
    return InvalidValue("out", f"out={out} cannot be written ({error.strerror}); give a folder that can, with out=DIR")
