"""A process of its own that measures: it is asked for figures, and ended where it does not answer in time."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

START_S = 60.0
"""On top of the first question's time: importing torch, and setting a device up."""


class Unanswered(Exception):
    """There are no figures; `is_fault` where the device or convbench is to blame, and not the question."""

    def __init__(self, said: str, *, is_fault: bool) -> None:
        super().__init__(said)
        self.is_fault = is_fault


class Cannot(Exception):
    """Raised by what measures where it cannot: another library is missing, or refuses. Nothing is known then."""


class Asked:
    """The process; started when it is first asked, and anew after it was lost."""

    def __init__(self) -> None:
        self._process: Any = None
        self._connection: Connection | None = None

    def ask(self, function: str, within_s: float, **words: Any) -> Any:
        """What `module:function` returns there. Raises Unanswered."""
        if self._process is None:
            within_s += START_S
            self._start()
        assert self._connection is not None
        try:
            self._connection.send((function, words))
            if not self._connection.poll(within_s):
                self.close()
                raise Unanswered(f"no answer within {within_s:.0f} s", is_fault=True)
            kind, said = self._connection.recv()
        except (EOFError, OSError):
            code = self._ended()
            raise Unanswered(f"the process that measures died ({code})", is_fault=True) from None
        if kind == "figures":
            return said
        # What raised may have left the device unusable for this process.
        self.close()
        raise Unanswered(said, is_fault=kind == "raised")

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        # A daemon ends with this process; where this one is killed, its end of the pipe closes.
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _ended(self) -> str:
        self._process.join(5.0)
        code = self._process.exitcode
        self.close()
        return "it closed its connection" if code is None else f"exit code {code}"

    def close(self) -> None:
        """Ends it, whatever it is at."""
        if self._process is None:
            return
        assert self._connection is not None
        self._process.kill()
        self._process.join(30.0)
        self._connection.close()
        self._process = self._connection = None


def serve(connection: Connection) -> None:
    """The process's side: answers until there is nobody left to ask."""
    # Ctrl-C is for the program, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(silence, stream.fileno())
    while True:
        try:
            function, words = connection.recv()
        except (EOFError, OSError):
            return
        module, _, name = function.partition(":")
        try:
            answer = ("figures", getattr(importlib.import_module(module), name)(**words))
        except Cannot as error:
            answer = ("cannot", str(error))
        except Exception as error:
            answer = ("raised", " ".join(f"{type(error).__name__}: {error}".split())[:400])
        with suppress(OSError):
            connection.send(answer)
