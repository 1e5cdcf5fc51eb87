"""A job's share of a launched sweep: a file that says what to run, and a sign of life beside it.

The file holds the settings and, for each configuration, what differs from them. It is there until the job
has done its work; taking it away calls the job off, whether it is waiting or running.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..execution.execute import RunOptions, execute
from ..execution.gpus import own_device
from ..execution.outcome import Outcome
from ..execution.pauses import Pauses
from ..facts.record import Record
from ..facts.spec import Spec
from ..results.files import replacing
from .config import spec_of
from .grid import Sweep, locate

BEAT_S = 2.0
"""A job shows this often that it is alive, and looks whether it is still wanted."""
SILENCE_S = 30.0
"""A job on another machine that has not shown itself for so long is taken for dead; file systems lag by seconds."""


def write(path: Path, sweep: Sweep, places: Sequence[int], run: RunOptions) -> None:
    """Writes the share of the configurations at `places` of the sweep."""
    first, _ = locate(sweep.grids, sweep.positions[places[0]])
    options = {"isolation": run.isolation, "memory_limit": run.memory_limit, "retry": run.retry}
    lines = [json.dumps({"out": str(run.out), "options": options, "settings": dict(first.base)})]
    for place in places:
        position = sweep.positions[place]
        grid, index = locate(sweep.grids, position)
        values = {**grid.base, **grid.varying(index)}
        differing = {key: value for key, value in values.items() if first.base.get(key) != value}
        lines.append(json.dumps({"position": position, **differing}))
    with replacing(path) as unfinished:
        unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")


def job(cfg: Any) -> float:
    """A job of a launcher, as Hydra calls it; its rows and what went wrong are for the driver to see."""
    perform(Path(cfg.share))
    return math.nan


def perform(path: Path) -> Outcome:
    """Runs a share in this process; returns an empty outcome where it has been called off."""
    try:
        head, *rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        return Outcome()
    positions = [row.pop("position") for row in rows]
    specs = [spec_of({**head["settings"], **row}) for row in rows]
    run = RunOptions(Path(head["out"]), **head["options"])
    with _alive(path), own_device(specs):
        outcome = execute(specs, run, _Silent(), positions)
    if outcome.signal is None:
        path.unlink(missing_ok=True)
    return outcome


class _Silent:
    """Nobody watches a job; its rows are read from its part file."""

    def watch(self, doing: object) -> None: ...
    def begin(self, total: int, already_done: int) -> None: ...
    def passing(self, number: int, passes: int, due: int) -> None: ...
    def start(self, spec: Spec) -> None: ...
    def finish(self, spec: Spec, records: Sequence[Record]) -> None: ...
    def warn(self, problem: str, remedy: str) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


@contextmanager
def _alive(path: Path) -> Iterator[None]:
    """Shows that this process works on a share, and interrupts it when the share is taken away."""
    done = threading.Event()
    sign = path.with_suffix(".alive")

    def beat() -> None:
        number = 0
        while not done.is_set():
            number += 1
            sign.write_text(f"{socket.gethostname()} {os.getpid()} {number}\n", encoding="utf-8")
            if not path.exists():
                os.kill(os.getpid(), signal.SIGINT)
                return
            done.wait(BEAT_S)

    thread = threading.Thread(target=beat, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        sign.unlink(missing_ok=True)


@dataclass
class Watch:
    """Tells what has become of the job behind a share. `begun` is true once it has shown itself.

    `pauses` are those of the process that asks: the job may have been paused with it, so that its silence counts from
    the end of the last one.
    """

    path: Path
    pauses: Pauses = field(default_factory=Pauses)
    begun: bool = False
    _sign: str = field(default="", init=False)
    _seen: float = field(default=0.0, init=False)

    def waiting(self) -> bool:
        """Nobody has begun the share, and it is not called off."""
        return not self.begun and not self.working() and self.path.exists()

    def working(self) -> bool:
        """The job's beat goes on; a job whose process on this machine is gone needs to be silent for a moment only."""
        try:
            sign = self.path.with_suffix(".alive").read_text(encoding="utf-8")
            host, pid, _ = sign.split()
        except (OSError, ValueError):
            return False
        self.begun = True
        if sign != self._sign:
            self._sign, self._seen = sign, time.monotonic()
        gone = host == socket.gethostname() and not _runs(int(pid))
        return self.pauses.passed_s(self._seen) < (3 * BEAT_S if gone else SILENCE_S)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
