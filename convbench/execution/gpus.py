"""Which GPU a job of its own takes on a machine that it shares with other jobs."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from ..facts.spec import Spec

WAIT_S = 0.5
"""Time between two looks for a free GPU."""


def count() -> int:
    """GPUs that nvidia-smi lists; 0 where there is none, or no nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


@contextmanager
def own_gpu(specs: Iterable[Spec], number: int | None = None, locks: Path | None = None) -> Iterator[None]:
    """Lets this process and its children see one GPU that no other such job uses, and waits for one if need be.

    Does nothing where nothing runs on `cuda`, where a scheduler has chosen already (CUDA_VISIBLE_DEVICES is
    set), or where there is no GPU. `number` GPUs are shared (default: as many as the machine has).
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ or not any(spec.device == "cuda" for spec in specs):
        yield
        return
    number = count() if number is None else number
    if not number:
        yield
        return
    index, lock = _first_free(number, locks or Path(tempfile.gettempdir()))
    os.environ["CUDA_VISIBLE_DEVICES"] = str(index)
    try:
        yield
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
        lock.release()


def _first_free(number: int, locks: Path) -> tuple[int, BaseFileLock]:
    """(index, its lock) of a GPU; the lock goes with the process, however it ends."""
    while True:
        for index in range(number):
            lock = FileLock(locks / f"convbench-gpu-{getpass.getuser()}-{index}.lock", mode=0o600)
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                return index, lock
        time.sleep(WAIT_S)
