"""The two processes of a duet as their parent sees them, and a clock that takes its samples from them in turn."""

from __future__ import annotations

import contextlib
import json
import os
import select
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from ..execution.process import LAST_WORDS, START_S, Process, late
from ..facts.case import InvalidValue
from ..facts.spec import Spec
from ..timing.clocks import Arm, HostTimes, Reading, Take

LOAD = """
import importlib.util, sys
home = sys.argv[1]
spec = importlib.util.spec_from_file_location("convbench", home + "/__init__.py", submodule_search_locations=[home])
package = sys.modules["convbench"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
"""
"""Loads this very convbench by its path: the other environment needs torch and numpy, and no convbench of its own,
and nothing of this environment's packages comes along."""

BOOT = f"""{LOAD}
from convbench.duet.child import main
main()
"""

NAMES = ("a", "b")


class Place(NamedTuple):
    """Where a side runs: its interpreter, the folder and the environment variables that its imports go by (None: those
    of this process). A user's own methods come from the folder."""

    python: str
    folder: str | None = None
    env: Mapping[str, str] | None = None


class Failed(Exception):
    """A request that a side could not answer. `side` is a or b, `status` a row's status, the message its reason."""

    def __init__(self, side: str, status: str, reason: str) -> None:
        super().__init__(reason)
        self.side, self.status = side, status


class Gone(Failed):
    """The side has died or was late."""


class Raised(Failed):
    """What the request raised on the other side, which lives on."""


class SideProcess:
    """One process, in a session of its own."""

    def __init__(self, name: str, place: Place) -> None:
        self.name, self.python = name, place.python
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        home = Path(__file__).resolve().parent.parent
        command = [place.python, "-c", BOOT, str(home), str(requests), str(replies)]
        self._process = Process(command, (requests, replies), self._said, place.env, place.folder)
        os.close(requests)
        os.close(replies)
        self._pending = b""

    def hello(self) -> dict[str, Any]:
        """What the environment is; raises InvalidValue where it cannot measure."""
        try:
            return self.ask("hello", START_S)
        except Gone as gone:
            raise InvalidValue(
                f"--{self.name}", f"--{self.name} {self.python} cannot measure ({gone}); it needs torch and numpy"
            ) from None

    def ask(self, do: str, within_s: float, **words: Any) -> dict[str, Any]:
        """The answer to one request. Raises Raised, and Gone when the process dies or takes too long."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._requests, json.dumps({"do": do, **words}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._line(time.monotonic() + within_s, within_s))
        if "raised" in answer:
            raise Raised(self.name, **answer["raised"])
        return answer

    def _line(self, until: float, within_s: float) -> bytes:
        while b"\n" not in self._pending:
            if not select.select([self._replies], [], [], max(until - time.monotonic(), 0))[0]:
                self.close()
                raise Gone(self.name, *late(within_s))
            chunk = os.read(self._replies, 1 << 16)
            if not chunk:
                raise Gone(self.name, *self._process.died(self._last_words))
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _last_words(self) -> str:
        self._said.seek(max(0, os.fstat(self._said.fileno()).st_size - LAST_WORDS))
        return self._said.read().decode(errors="replace")

    def close(self) -> None:
        """Ends the process and whatever it started."""
        self._process.close()
        for fd in (self._requests, self._replies):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._requests = self._replies = -1
        self._said.close()


class Pair:
    """Both sides, started anew where one of them has died."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._sides: dict[str, SideProcess] = {}

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hello(self) -> dict[str, dict[str, Any]]:
        return {name: side.hello() for name, side in self.sides().items()}

    @property
    def running(self) -> bool:
        return bool(self._sides)

    def sides(self) -> dict[str, SideProcess]:
        if not self._sides:
            self._sides = {name: SideProcess(name, place) for name, place in zip(NAMES, self._places, strict=True)}
        return self._sides

    def ask(self, name: str, do: str, within_s: float, **words: Any) -> dict[str, Any]:
        """One side's answer. Raises Raised and, with both sides ended, Gone."""
        try:
            return self.sides()[name].ask(do, within_s, **words)
        except Gone:
            self.close()
            raise

    def each(self, do: str, within_s: float, **words: Any) -> dict[str, dict[str, Any]]:
        """The answers of both sides, one after the other; raises as `ask` does."""
        return {name: self.ask(name, do, within_s, **words) for name in NAMES}

    def close(self) -> None:
        for side in self._sides.values():
            side.close()
        self._sides = {}


class TurnClock:
    """A clock whose samples are taken by the sides: an arm's call is `sampler(side)`, run there and not here."""

    batch_rounds = 1

    def __init__(self, spec: Spec, offered: dict[str, dict[str, Any]]) -> None:
        self.sample_s = max(float(one["sample_s"]) for one in offered.values())
        self.warmup_s = max(float(one["warmup_s"]) for one in offered.values())
        self.max_calls = min(int(one["max_calls"]) for one in offered.values())
        self._spec = spec
        self._readings: list[Reading] = []

    def now(self) -> float:
        return time.perf_counter()

    def context(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def ready(self, arms: Sequence[Arm]) -> Sequence[Arm]:
        return arms

    def submit(self, call: Callable[..., Any], calls: int, take: Take | None = None) -> None:
        self._readings.append(Reading(**call(calls)))

    def drain(self) -> list[Reading]:
        readings, self._readings = self._readings, []
        return readings

    def host_times(self, call: Callable[..., Any], calls: int) -> HostTimes | None:
        return None

    def conditions(self) -> dict[str, Any]:
        return {"cache": self._spec.measure.cache, "cuda_graph": self._spec.measure.cuda_graph}
