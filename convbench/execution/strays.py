"""What a process has started and left behind, found where Linux lists its processes, and ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from pathlib import Path

VARIABLE = "CONVBENCH_PROCESS"
"""In the environment of a process and, unless it takes it out, of everything that it starts: which process that is."""
ROUNDS = 5
"""What forks while it is being ended is found in the next look; no honest program does so for longer."""


class Brood:
    """Everything that comes from one process, whatever session or process group it moves to, its parents dead or alive.

    It is known by a variable in its environment. What starts with an environment of its own is not found, nor is
    anything where there is no /proc.
    """

    def __init__(self) -> None:
        self._mark = secrets.token_hex(8)

    @property
    def variable(self) -> dict[str, str]:
        # A process of a process belongs to both.
        return {VARIABLE: ",".join(filter(None, (os.environ.get(VARIABLE), self._mark)))}

    def end(self) -> None:
        """Kills all of it."""
        for _ in range(ROUNDS):
            found = self._found()
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                return

    def _found(self) -> list[int]:
        name, mark = f"{VARIABLE}=".encode(), self._mark.encode()
        found = []
        for pid in _processes():
            # Of a zombie there is nothing to be read.
            with contextlib.suppress(OSError):
                said = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if pid != os.getpid() and any(entry.startswith(name) and mark in entry for entry in said):
                    found.append(pid)
        return found


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
