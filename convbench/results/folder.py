"""A run's folder: made, locked against other sweeps, and what is said where it takes no more."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..facts.values import InvalidValue
from .schema import check_same

LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system answers that has no locks."""
OWNER = ".owner"
"""Beside the lock, which other processes cannot read on every system: who holds it."""


def prepare(out: Path) -> None:
    """Makes the folders. Raises InvalidValue where that cannot be done or nothing can be written there."""
    try:
        str(out).encode()
    except UnicodeEncodeError:
        raise InvalidValue(
            "out", f"out={str(out)!a} is not UTF-8, which tables need; give a folder with another name"
        ) from None
    try:
        (out / "parts").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out / "parts"):
            pass
    except OSError as error:
        raise refused(out, error) from error


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keeps other sweeps from writing to `out`. Raises InvalidValue, naming the one that does; and for a table of
    another schema version."""
    prepare(out)
    with contextlib.ExitStack() as stack:
        try:
            mine = stack.enter_context(held(out / ".lock", 0))
        except OSError as error:
            raise refused(out, error) from error
        if not mine:
            raise InvalidValue(
                "out", f"out={out} is being written by {_owner(out)}; wait for it to end, or give another folder"
            )
        check_same(out)
        with contextlib.suppress(OSError):
            (out / OWNER).write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield


@contextmanager
def held(path: Path, patience_s: float) -> Iterator[bool]:
    """A lock on a file; false where somebody else has it for longer than `patience_s`.

    True where the file system has no locks: two sweeps still write different part files.
    """
    # Costs 0.1 s, and most commands never lock anything.
    import filelock

    lock = filelock.FileLock(path)
    mine = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It tells of falling back to a lock by name.
        try:
            lock.acquire(timeout=patience_s)
        except filelock.Timeout:
            mine = False
        except NotImplementedError:
            pass
        except OSError as error:
            if error.errno not in LOCKLESS:
                raise
    try:
        yield mine
    finally:
        lock.release()


def _owner(out: Path) -> str:
    try:
        return (out / OWNER).read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"


def refused(out: Path, error: OSError) -> InvalidValue:
    """What a person can do about a folder that takes no more."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InvalidValue(
            "out",
            f"out={out}: the disk is full; all rows measured so far are kept: free some space "
            "and run the same command again",
        )
    return InvalidValue("out", f"out={out} cannot be written ({error.strerror}); give a folder that can, with out=DIR")
