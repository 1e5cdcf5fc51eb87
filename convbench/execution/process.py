"""A process that may die: started in a session of its own, ended by force, and what its end is called in a row."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from ..facts.record import OUT_OF_MEMORY
from . import family
from .stage import CUT_OFF
from .strays import Brood

START_S = 300.0
"""A process that has not imported torch by then never will (a cold network drive takes a minute)."""
OWN_WORK_S = 600.0
"""The least that problem and reference may take, which belong to no method: reference.max_flops bounds
their work, this only ends a hang."""
LAST_WORDS = 1 << 14
"""Bytes of what a process printed last that are looked at."""
EXIT_S = 0.1
"""A process closes its pipes a moment before it is seen to be dead; one that lives on longer has closed them itself."""
ERROR = re.compile(r"terminate called|what\(\):|assert|error|fatal|fail", re.IGNORECASE)
FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


class Place(NamedTuple):
    """Where a process runs: its interpreter, the folder and the environment variables that its imports go by (None:
    those of this process). A user's own methods come from the folder."""

    python: str
    folder: str | None = None
    env: Mapping[str, str] | None = None


class Ending(NamedTuple):
    """A row's status and its reason."""

    status: str
    reason: str


class Process:
    """A process in a session of its own; what it prints goes to `said`. `env` and `folder` are this one's if None."""

    def __init__(
        self,
        command: Sequence[str],
        passed: Sequence[int],
        said: int | IO[bytes],
        env: Mapping[str, str] | None = None,
        folder: str | None = None,
    ) -> None:
        self._oom_kills = _oom_kills()
        self._brood = Brood()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=passed,
            start_new_session=True,
            env={**(os.environ if env is None else env), **self._brood.variable},
            cwd=folder,
        )
        self.pidfd = _pidfd(self._process.pid)
        self._halted: list[int] = []
        self._ended = False

    @property
    def cpu_s(self) -> float | None:
        """CPU seconds of it and of whatever it started and that still lives; None where the system does not tell."""
        return family.cpu_seconds(self._halted or family.family_of(self._process.pid))

    @property
    def waited_s(self) -> float:
        """Seconds that its first thread waited for a core; 0 where the system does not tell."""
        return family.waited_seconds(self._process.pid)

    def halt(self) -> None:
        """Stops it with all that it started, threads and processes: nothing of it runs until `resume`."""
        while (found := family.family_of(self._process.pid)) != self._halted:
            # One may have started another since they were listed.
            family.send(found, signal.SIGSTOP)
            self._halted = found

    def resume(self) -> None:
        """Lets it go on; nothing where it was not halted."""
        family.send(self._halted, signal.SIGCONT)
        self._halted = []

    def died(self, last_words: Callable[[], str]) -> Ending:
        """What ended a process that has closed its pipes: its exit status, its last words, the system's counters."""
        exited = self._has_exited()
        self.kill()
        code = self._process.returncode
        if code == -signal.SIGKILL and _oom_kills() > self._oom_kills:
            return Ending("oom", "the system ran out of memory and killed the process (SIGKILL)")
        if not exited or code == CUT_OFF:
            return Ending("crash", "the process closed its connection to convbench")
        words = last_words()
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"the process exited with status {code}"
        return Ending("oom" if OUT_OF_MEMORY.search(words) else "crash", how + _fault(words))

    def _has_exited(self) -> bool:
        if self.pidfd < 0:
            time.sleep(EXIT_S)
            return self._process.poll() is not None
        gone = select.poll()
        gone.register(self.pidfd, select.POLLIN)
        return bool(gone.poll(EXIT_S * 1000))

    def kill(self) -> None:
        """Ends the process and everything that it started, wherever that has moved to."""
        if self._process.returncode is None:
            started = family.family_of(self._process.pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            family.send(started, signal.SIGKILL)
            self._process.wait()
        if not self._ended:
            self._brood.end()
            self._ended = True

    def close(self) -> None:
        """Ends the process and gives back what belonged to it; it must not be used afterwards."""
        self.kill()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def late(allowed_s: float) -> Ending:
    """Of a process that was given up."""
    return Ending("timeout", f"timed out after {allowed_s:g} s (timeout_s)")


def _pidfd(pid: int) -> int:
    """A descriptor that is readable when the process has ended; −1 where the system has none (its pipe tells then)."""
    try:
        return os.pidfd_open(pid) if sys.platform == "linux" else -1
    except OSError:
        return -1


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _fault(words: str) -> str:
    """Where faulthandler saw it happen, and the last line that tells of an error before."""
    said, _, trace = words.partition("Fatal Python error")
    frames = FRAME.findall(trace)
    libraries = tuple(sysconfig.get_paths().values())
    file, line, function = next((f for f in frames if not f[0].startswith(libraries)), (frames or [("", "", "")])[0])
    place = f" in {function}, {Path(file).name}:{line}" if file else ""
    errors = [text.strip() for text in said.splitlines() if ERROR.search(text)]
    last = "".join(c for c in errors[-1] if c.isprintable())[:200] if errors else ""
    return f"{place}: {last}" if last else place


def _oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not say."""
    try:
        found = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
