"""What a check may use: a process that measures, the program's own rows, the program itself."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..execution.execute import RunOptions, driving, execute
from ..execution.interrupt import StopNow
from ..facts.devices import word_of
from ..facts.record import Record
from ..facts.spec import Spec
from .asking import Asked, Unanswered
from .traits import Traits

__all__ = ["Context", "Ended", "Unanswered"]

ROOT = Path(__file__).parent.parent.parent
"""Of a checkout, where tests, examples and the nightly run lie."""


class Ended(NamedTuple):
    """A command that ran to its end."""

    code: int
    output: str
    errors: str

    @property
    def first_words(self) -> str:
        """Of what it printed, commands that it showed aside, which is where a comparison has its verdict."""
        lines = (line.strip() for line in self.output.splitlines())
        return next((line[:300] for line in lines if line and not line.startswith("$ ")), self.last_words)

    @property
    def last_words(self) -> str:
        lines = [line for line in (self.errors or self.output).splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else "it said nothing"


@dataclass(slots=True, eq=False)
class _Session:
    """The program's rows of one group of configurations, from one child process."""

    group: str
    run: RunOptions
    held: ExitStack


@dataclass(eq=False)
class Context:
    """`device` is what is proved; whatever is written goes below `out`."""

    device: str
    out: Path
    asked: Asked = field(default_factory=Asked)
    _session: _Session | None = None

    def ask(self, function: str, within_s: float = 120.0, **words: Any) -> Any:
        """Figures from a process of its own that measures `device`: what figures.`module:function` returns. Raises
        Unanswered."""
        self._release_session()
        return self.asked.ask(f"{__package__}.figures.{function}", within_s, device=self.device, **words)

    @cached_property
    def traits(self) -> Traits:
        """What the device is and has."""
        return Traits(**self.ask("of_device:traits"))

    def rows(self, group: str, words: Sequence[str]) -> list[Record]:
        """The rows of a command line's configurations, measured as the program measures them. Those of one group share
        a process. Raises InvalidValue, KeyboardInterrupt."""
        from ..sweep.plan import planned

        self.asked.close()
        found = _Rows()
        outcome = execute(list(planned([f"device={self.device}", *words]).sweep), self._options(group), found)
        if outcome.signal is not None:
            raise StopNow(outcome.signal)
        return found.rows

    def row(self, group: str, words: Sequence[str], method: str) -> Record:
        return next(row for row in self.rows(group, words) if row["method"] == method)

    def _options(self, group: str) -> RunOptions:
        if self._session is None or self._session.group != group:
            self._release_session()
            run = RunOptions(self.folder(group))
            held = ExitStack()
            held.enter_context(driving(run))
            self._session = _Session(group, run, held)
        return self._session.run

    def program(self, *words: str, within_s: float = 300.0) -> Ended:
        """`python -m convbench WORDS` in a process of its own. Raises Unanswered."""
        return self.command([sys.executable, "-m", "convbench", *words], within_s)

    def command(self, command: Sequence[str], within_s: float) -> Ended:
        """Another program, with this convbench on its path. Raises Unanswered where it does not end in time."""
        self.release()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        env = {**os.environ, "PYTHONPATH": path}
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=env,
                timeout=within_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unanswered(f"{' '.join(command[1:5])} … did not end within {within_s:.0f} s", is_fault=True) from None
        return Ended(done.returncode, done.stdout, done.stderr)

    @property
    def word(self) -> str:
        """Its type."""
        return word_of(self.device)

    def folder(self, group: str) -> Path:
        """A new one: in one of an earlier start, what was measured would not be measured again."""
        folders = (self.out / "runs" / f"{group}{'' if k == 1 else f'-{k}'}" for k in itertools.count(1))
        return next(folder for folder in folders if not folder.exists())

    def _release_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.held.close()

    def release(self) -> None:
        """Ends the processes that it has started: they would share the device with whatever comes next."""
        self._release_session()
        self.asked.close()


class _Rows:
    """An observer that keeps the rows."""

    def __init__(self) -> None:
        self.rows: list[Record] = []

    def watch(self, doing: object) -> None: ...
    def begin(self, total: int, already_done: int) -> None: ...
    def passing(self, number: int, passes: int, due: int) -> None: ...
    def start(self, spec: Spec) -> None: ...

    def finish(self, spec: Spec, records: Sequence[Record]) -> None:
        self.rows += records

    def warn(self, problem: str, remedy: str) -> None: ...
    def end(self, outcome: Any) -> None: ...
