"""The child process: reads requests from a pipe, answers them through another. See worker.py and guests.py.

A `run` is a whole configuration; whatever else is asked for, a MethodServer does for the process that asks.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..facts.spec import Spec
from ..timing.rounds import ArmFailed
from .family import adopt_orphans
from .guests import Guests
from .shared_bytes import SharedBytes
from .stage import CUT_OFF, IDLE, START, Stage

PR_SET_PDEATHSIG = 1  # linux/prctl.h
MOST_ENDANGERED = "1000"  # proc(5), oom_score_adj: let the kernel take this process before anybody else's.
READ_SIZE = 1 << 16


class Pipe:
    """JSON lines from and to the parent. A forked copy of this process may neither answer nor go on."""

    def __init__(self, requests: int, replies: int, stage: Stage) -> None:
        self._requests, self._replies, self._stage = requests, replies, stage
        self.copied = False
        self._pid = os.getpid()
        self._pipe = os.fstat(replies).st_ino
        for fd in (requests, replies, stage.fd):
            os.set_inheritable(fd, False)
        os.register_at_fork(after_in_child=self._disown)

    def _disown(self) -> None:
        self.copied = True
        die_with_parent()
        if os.getppid() != self._pid:
            os._exit(1)
        for fd in (self._requests, self._replies):
            with contextlib.suppress(OSError):
                os.close(fd)

    def stage(self, method: str, phase: str) -> None:
        """Marks what comes now; a method that took the pipe away is still the one that is named."""
        self._check()
        self._stage(method, phase)

    def _check(self) -> None:
        if self.copied:
            os._exit(1)
        try:
            if os.fstat(self._replies).st_ino == self._pipe:
                return
        except OSError:
            pass
        os._exit(CUT_OFF)

    def requests(self) -> Iterator[dict[str, Any]]:
        pending = b""
        while chunk := os.read(self._requests, READ_SIZE):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def reply(self, message: dict[str, Any]) -> None:
        self._check()
        # On a line of its own, whatever a method may have written into the pipe.
        rest = memoryview(b"\n" + json.dumps(message, separators=(",", ":")).encode() + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._replies, rest) :]
        except OSError:
            os._exit(CUT_OFF)


def die_with_parent() -> bool:
    """Asks Linux to kill this process when its parent ends, however it ends; False where that cannot be asked."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)


def _end_with(fd: int) -> NoReturn:
    """Waits for the other end of `fd` to close, then ends this process and what it started."""
    while os.read(fd, 1):
        pass
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def limit_memory(allowance: int) -> None:
    """Lets this process's private memory grow by `allowance` bytes from here; beyond it allocations fail.

    RLIMIT_DATA counts private writable mappings (Linux ≥ 4.7) and so leaves out libraries' code and
    CUDA's reserved addresses, on which RLIMIT_AS founders.
    """
    import resource

    found = re.search(r"VmData:\s*(\d+) kB", Path("/proc/self/status").read_text())
    limit = allowance + (int(found[1]) * 1024 if found else 0)
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]  # the limit of whoever started this process is never exceeded
    limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


class DeviceLost(BaseException):
    """The last method left its device unusable, as an illegal access does: nothing after it can be measured here.

    No Exception, so that nothing on its way takes it for a failure of the method that was to come.
    """


class _Watch:
    """`runner.run`'s stage: marks what runs and asks between methods whether the device still answers."""

    def __init__(self, pipe: Pipe, device: str) -> None:
        self._mark = pipe.stage
        from ..devices import device_of, missing_device

        # One that is not there has nothing to answer: its rows are skipped.
        self._device = device_of(device) if missing_device(device) is None else None
        self._last = ("", "")

    def __call__(self, method: str, phase: str) -> None:
        # Not between samples: errors are read there anyway, and nothing that need not be stands beside timed regions.
        if (method, phase) != self._last and not (phase == self._last[1] == "timing"):
            self.check()
        self._last = (method, phase)
        self._mark(method, phase)

    def check(self) -> None:
        """Raises DeviceLost if the device does not answer; the method that is marked is the one that did it."""
        if self._device is None:
            return
        try:
            self._device.synchronize()
        except RuntimeError as error:
            raise DeviceLost(str(error).splitlines()[0]) from error


def _failure(error: BaseException, stage: Stage) -> dict[str, Any]:
    """What escaped the runner (SystemExit, MemoryError, DeviceLost …), with the method that it came from."""
    mark = stage.read()
    if isinstance(error, ArmFailed):
        from ..endings import failure

        return {**failure(error), "method": mark.method, "phase": mark.phase}
    named = str(error) if isinstance(error, DeviceLost) else f"{type(error).__name__}: {error}".removesuffix(": ")
    status = "oom" if isinstance(error, MemoryError) else "error"
    told = "".join(traceback.format_exception(error))
    return {"status": status, "reason": named, "method": mark.method, "phase": mark.phase, "traceback": told}


class _Server:
    """Answers requests, with each environment told once."""

    def __init__(self, pipe: Pipe, stage: Stage, guests: Guests, results: SharedBytes | None) -> None:
        self._pipe, self._stage = pipe, stage
        self._guests, self._results = guests, results
        self._side: Any = None
        self._told: set[str] = set()

    def serve(self) -> None:
        """Runs what is asked for until the parent closes its end."""
        self._pipe.reply({"id": 0, "ready": os.getpid()})
        for request in self._pipe.requests():
            number, do = request.pop("id"), request.pop("do")
            self._stage.methods(request.get("methods", ()))
            self._stage("", START)
            try:
                answer = self._run(request) if do == "run" else self._assist(do, request)
            except BaseException as error:  # a user's method may raise anything, and the parent must hear of it
                answer = {"failed": _failure(error, self._stage)}
            self._pipe.stage("", IDLE)
            self._pipe.reply({"id": number, **answer})

    def _assist(self, do: str, words: dict[str, Any]) -> dict[str, Any]:
        from ..endings import failure
        from .method_server import MethodServer

        if self._side is None:
            self._side = MethodServer(self._results)
        try:
            answer: dict[str, Any] = getattr(self._side, do)(**words)
        except Exception as error:  # the method's own
            return {"failed": failure(error) | {"traceback": "".join(traceback.format_exception(error))}}
        return answer

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        from ..failures.kept import keep_all
        from ..runner import run

        spec = Spec.from_dict(request["spec"])
        watch = _Watch(self._pipe, spec.device)
        apart = self._guests if request["apart"] else None
        result = run(spec, request["methods"], watch, request["process"], request["ceilings"], apart)
        watch.check()
        if request["failures"] is not None:
            keep_all(Path(request["failures"]), result.records, result.failures, request["process"])
        environment = result.environment or {}
        key = environment.get("environment_id")
        new = {} if key is None or key in self._told else {key: environment}
        self._told.update(new)
        return {
            "records": result.records,
            "samples": [samples.to_dict() for samples in result.samples],
            "environments": new,
            "ceilings": result.ceilings,
            "once_s": result.once_s,
            "spent": result.spent,
        }


def main(arguments: Sequence[str]) -> None:
    requests, replies, stage_fd, lifeline, parent, allowance, *results_fd = (int(a) for a in arguments)
    if not die_with_parent():
        threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)
    faulthandler.enable(all_threads=False)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(MOST_ENDANGERED)
    stage = Stage(stage_fd)
    stage.seal()
    pipe = Pipe(requests, replies, stage)
    results = SharedBytes(results_fd[0]) if results_fd else None
    if results is not None:  # a user's own method: what it starts stays in sight
        adopt_orphans()
    guests = Guests(allowance or None, pipe.stage)
    # Of a million objects that stay, looking for garbage among them again and again takes a quarter of the import, and
    # later collections take the longer for them.
    gc.disable()
    from .. import runner  # torch comes along, before the limit, which is meant for the configurations

    runner.warm_up()
    gc.freeze()
    gc.enable()
    if allowance:
        limit_memory(allowance)
    _Server(pipe, stage, guests, results).serve()
    guests.close()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
