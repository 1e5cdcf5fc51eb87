"""One child process as its parent sees it: started, asked, watched while it works, ended."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..facts.spec import Spec
from ..timing.rounds import PHASES
from . import boot
from .interrupt import Interrupt, Interrupted
from .pauses import LOOKS, Pauses
from .process import LAST_WORDS, OWN_WORK_S, START_S, Ending, Place, Process, late
from .shared_bytes import SharedBytes
from .stage import GUEST, IDLE, START, Mark, Stage

LONGEST_WAIT_S = 3600.0
"""poll() takes its time as a C int of milliseconds."""
LONGEST_ANSWER = 1 << 28
"""Bytes without an end of line that are waited for. Raw samples, the bulk of an answer, are some 20 bytes per method
and round: kilobytes, or megabytes under budget_s. A method that writes there must not fill the memory."""

STDERR = 2


class Request(NamedTuple):
    """These methods of the configuration, in the repetition `process` of it; ceilings that need not be measured.

    `apart`: the user's own methods run in processes of their own. `failures`: the folder that failures are kept in.
    """

    spec: Spec
    methods: Sequence[str]
    process: int
    ceilings: Mapping[str, float]
    apart: bool = True
    failures: str | None = None


class Death(Exception):
    """A child that is no more. `status` is a row's; `method` the index of what it was executing, −1 for no method;
    `words` the last that it printed."""

    def __init__(self, status: str, reason: str, mark: Mark, words: str) -> None:
        super().__init__(reason)
        self.status, self.reason, self.method, self.phase = status, reason, mark.method, mark.phase
        self.words = words


class _Deadlines(NamedTuple):
    """Seconds that a step of a method may take, and one of convbench's own. A wait for what several methods have queued
    is a step of a method.

    What a method does in a process of its own, the child that asked for it waits for; it has the deadline there.
    """

    method_s: float
    own_s: float

    def of(self, mark: Mark) -> float:
        if mark.phase.startswith(GUEST):
            return self.own_s
        return self.method_s if mark.method >= 0 or mark.phase in PHASES else self.own_s


class Child:
    """A process in a session of its own that answers requests, one at a time (see child_main.py).

    `results`: memory that it may write results into. Without an `interrupt` nothing but its answers, its end and its
    deadlines is waited for. It runs in this environment, or in that of a `place`.
    """

    def __init__(
        self,
        memory_limit: int | None,
        interrupt: Interrupt | None = None,
        results: SharedBytes | None = None,
        place: Place | None = None,
    ) -> None:
        self._interrupt, self._results, self._place = interrupt, results, place
        self._stage = Stage()
        self._stage("", IDLE)
        self._tail, self._output = bytearray(), bytearray()
        self._echoes = False
        self._pending = b""
        self._methods: Sequence[str] = ()
        self._asked = 0
        self._spawn(memory_limit)
        self._poll = select.poll()
        for fd in (self._replies, self._words, *([interrupt.fd] if interrupt else [])):
            self._poll.register(fd, select.POLLIN)
        if self._process.pidfd >= 0:
            self._poll.register(self._process.pidfd, select.POLLIN)

    def _spawn(self, memory_limit: int | None) -> None:
        to_child, self._requests = os.pipe()
        self._replies, from_child = os.pipe()
        lifeline, self._lifeline = os.pipe()
        self._words, words = os.pipe()
        results = () if self._results is None else (self._results.fd,)
        passed = (to_child, from_child, self._stage.fd, lifeline)
        numbers = (*passed, os.getpid(), memory_limit or 0, *results)
        command = [*boot.command(self._place), *map(str, numbers)]
        folder = None if self._place is None else self._place.folder
        self._process = Process(command, (*passed, *results), words, boot.environment(self._place), folder)
        for fd in (to_child, from_child, lifeline, words):
            os.close(fd)
        os.set_blocking(self._words, False)

    def ready(self) -> None:
        """Waits until torch is imported there. Raises Death when that fails, and Interrupted."""
        if self._asked == 0:
            self._stage("", IDLE)
            self._receive(_Deadlines(START_S, START_S), lambda: None)
            self._asked = 1

    def run(self, request: Request, late: Callable[[], None]) -> dict[str, Any]:
        """The child's answer: records, samples and environments, or what escaped from its runner.

        Calls `late` once if one step takes more than half of its time. Raises Death (the child is gone
        then) and Interrupted (it still works; end it).
        """
        timeout_s = request.spec.timeout_s
        self._methods = request.methods
        words = {**request._asdict(), "spec": request.spec.to_dict()}
        return self._ask("run", words, _Deadlines(timeout_s, OWN_WORK_S + timeout_s), late)

    def ask(self, do: str, within_s: float, **words: Any) -> dict[str, Any]:
        """The answer of the child's MethodServer to `do`, or what escaped from it. Raises Death and Interrupted."""
        return self._ask(do, words, _Deadlines(within_s, within_s), lambda: None)

    def _ask(
        self, do: str, words: Mapping[str, Any], deadlines: _Deadlines, late: Callable[[], None]
    ) -> dict[str, Any]:
        self._tail.clear()
        self._asked += 1
        if "spec" in words:
            self._echoes = bool(words["spec"]["measure"]["profile"])
        self._stage("", IDLE)
        self._send({"id": self._asked, "do": do, **words})
        # Where it was halted it goes on now and not before: it wakes once, and finds the request.
        self._process.resume()
        return self._receive(deadlines, late)

    def doing(self) -> str:
        """`explicit: prepare`, or what is done for all methods; another thread may ask, also after the end."""
        try:
            mark = self._stage.read()
        except ValueError:  # the page has been closed
            return ""
        phase = mark.phase.removeprefix(GUEST)
        if phase in (IDLE, START):
            return "starting" if self._asked <= 1 else ""
        named = 0 <= mark.method < len(self._methods)
        return f"{self._methods[mark.method]}: {phase}" if named else phase

    @property
    def fresh(self) -> bool:
        """Whether it has been asked for nothing yet."""
        return self._asked <= 1

    @property
    def cpu_s(self) -> float | None:
        """CPU seconds of the process and all that it started; None where the system does not tell."""
        return self._process.cpu_s

    @property
    def waited_s(self) -> float:
        """Seconds for which the process was ready to run and had no core."""
        return self._process.waited_s

    def halt(self) -> None:
        """Stops the process and all that it started until it is asked for something again."""
        self._process.halt()

    def _send(self, request: dict[str, Any]) -> None:
        rest = memoryview(json.dumps(request, separators=(",", ":")).encode() + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._requests, rest) :]
        except BrokenPipeError:
            raise self._died() from None

    def _receive(self, deadlines: _Deadlines, late: Callable[[], None]) -> dict[str, Any]:
        """The child's next answer, asleep until something happens. Raises Death and Interrupted."""
        wait_s = 0.0
        told = False
        pauses = Pauses()
        while True:
            self._take(wait_s)
            pauses.waited(wait_s)
            if (answer := self._next_answer()) is not None:
                return answer
            if (patience := self._interrupt.patience() if self._interrupt else math.inf) <= 0:
                raise Interrupted
            mark = self._stage.read()
            passed = pauses.passed_s(mark.started)
            allowed = deadlines.of(mark)
            if passed >= allowed:
                self._check_late(mark, allowed)
            if passed >= allowed / 2 and not told:
                told = True
                late()
            # What begins right after this look must not be late for longer than it may last.
            left = allowed - passed if told else allowed / 2 - passed
            wait_s = min(patience, left, deadlines.method_s / 2, allowed / LOOKS)

    def _check_late(self, mark: Mark, allowed: float) -> None:
        # A mark may have been read between its two halves; a child that has moved on is not late.
        time.sleep(0.005)
        if self._stage.read() == mark:
            raise self._end(late(allowed))

    def _next_answer(self) -> dict[str, Any] | None:
        """What the child answers to what it was asked last; lines that a method wrote into the pipe are passed over."""
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            try:
                answer: dict[str, Any] = json.loads(line)
                if answer.pop("id") == self._asked:
                    return answer
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        if len(self._pending) > LONGEST_ANSWER:
            flood = "the process fills its connection to convbench with something unreadable"
            raise self._end(Ending("crash", flood))
        return None

    def _take(self, wait_s: float) -> None:
        """Sleeps until the child or a signal has something to say, `wait_s` at most, and takes it in."""
        happened = {fd for fd, _ in self._poll.poll(math.ceil(min(max(wait_s, 0), LONGEST_WAIT_S) * 1000))}
        if self._interrupt and self._interrupt.fd in happened:
            self._interrupt.heard()
        if self._words in happened:
            self._listen()
        if self._replies in happened:
            chunk = os.read(self._replies, 1 << 20)
            if not chunk:
                raise self._died()
            self._pending += chunk
        elif self._process.pidfd in happened:
            raise self._died()

    def _listen(self) -> None:
        """Keeps the end of what the child prints, so that no method can block or fill a disk by printing."""
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self._words, 1 << 16)
            if not chunk:
                self._poll.unregister(self._words)
            if self._echoes:  # what libraries log of a marked call is what it was marked for
                os.write(STDERR, chunk)
            for kept in (self._tail, self._output):
                kept += chunk
                del kept[:-LAST_WORDS]

    def _died(self) -> Death:
        mark = self._stage.read()
        return Death(*self._process.died(self._last_words), mark, self.output)

    def _last_words(self) -> str:
        """What was printed since the last request: its end says what a process died of."""
        with contextlib.suppress(KeyError):  # its end was heard before
            self._listen()
        return self._tail.decode(errors="replace")

    @property
    def output(self) -> str:
        """The last that was printed, since it was to be forgotten."""
        self._last_words()
        return self._output.decode(errors="replace")

    def forget_output(self) -> None:
        self._output.clear()

    def _end(self, ending: Ending) -> Death:
        mark = self._stage.read()
        self._process.kill()
        return Death(*ending, mark, self.output)

    def close(self) -> None:
        """Ends the child and gives back what belonged to it; it must not be used afterwards."""
        if self._echoes:
            self._last_words()
        self._process.close()
        for fd in (self._requests, self._replies, self._lifeline, self._words):
            os.close(fd)
        self._stage.close()
