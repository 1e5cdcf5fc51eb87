"""Which device a job of its own takes on a machine that it shares with other jobs."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from ..devices import device_of
from ..devices.device import Sharing
from ..facts.spec import Spec

WAIT_S = 0.5
"""Time between two looks for a free device."""


@contextmanager
def own_device(specs: Iterable[Spec], locks: Path | None = None) -> Iterator[None]:
    """Lets this process and its children see one device that no other such job uses, and waits for one if need be.

    Shared are those that the environment names (CUDA_VISIBLE_DEVICES=0,1,2,3; UUIDs and MIG slices as well), or all of
    the machine where it names none. Does nothing where no device that is handed out is asked for without a number,
    where a scheduler has chosen one already, or where there is none.
    """
    sharing = _sharing(specs)
    chosen = _variable(sharing) if sharing is not None else None
    names = _names(sharing, chosen) if sharing is not None else []
    if sharing is None or not names or (chosen is not None and len(names) < 2):
        yield
        return
    variable = chosen or sharing.variables[0]
    before = os.environ.get(variable)
    name, lock = _first_free(names, sharing, locks or Path(tempfile.gettempdir()))
    os.environ[variable] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before
        lock.release()


def _sharing(specs: Iterable[Spec]) -> Sharing | None:
    devices = {spec.device for spec in specs if ":" not in spec.device}
    return next((sharing for name in sorted(devices) if (sharing := device_of(name).sharing) is not None), None)


def _variable(sharing: Sharing) -> str | None:
    """The variable by which somebody has chosen devices already."""
    return next((name for name in sharing.variables if name in os.environ), None)


def _names(sharing: Sharing, variable: str | None) -> list[str]:
    """The devices to be shared. As CUDA reads such a list, it ends where a name is none, such as -1."""
    if variable is None:
        return sharing.listed()
    names = []
    for name in os.environ[variable].split(","):
        if not re.fullmatch(r"\d+|[A-Za-z][\w./-]*", name.strip()):
            break
        names.append(name.strip())
    return names


def _first_free(names: Sequence[str], sharing: Sharing, locks: Path) -> tuple[str, BaseFileLock]:
    """(name, its lock) of a device, one that no stranger computes on if there is one; the lock goes with the process,
    however it ends."""
    strangers = {name: sharing.taken(name) for name in names}
    while True:
        for name in sorted(names, key=lambda name: bool(strangers[name])):
            kind = sharing.variables[0].partition("_")[0].lower()
            file = f"convbench-{kind}-{getpass.getuser()}-{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock"
            lock = FileLock(locks / file, mode=0o600)
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                if strangers[name]:
                    said = ", ".join(strangers[name])
                    print(f"convbench: other processes compute on device {name}: {said}", file=sys.stderr)
                return name, lock
        time.sleep(WAIT_S)
