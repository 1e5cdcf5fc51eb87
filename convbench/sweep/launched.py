"""Sweeps that a launcher spreads over processes or a cluster: one job per chunk of configurations.

Jobs write part files of their own; the driver watches them, launches again what was lost with a job, and
merges. A job is lost for reasons of its own (killed, out of time, a machine that went away): whatever a
method can do to a process is survived inside the job.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hydra.core.utils import JobStatus

from ..execution.execute import RunOptions, Session, driving, review
from ..facts import units
from ..facts.case import InvalidValue
from ..results import store
from ..terminal.following import Follower
from ..terminal.progress import Progress
from . import share
from .config import Settings
from .drive import Run, run_options, tell
from .grid import Sweep
from .messages import one_line
from .share import Watch

ATTEMPTS = 3
"""How often a configuration is launched before it is given up."""
LOOK_S = 0.5
"""Time between two looks at whether the sweep was interrupted, or whether jobs are still at work."""
GRACE_S = 15.0
"""How long a launcher may take to notice that its last job has ended."""


class Jobs(Protocol):
    """Hydra's launcher, as far as it is needed here."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]: ...


def spread(sweep: Sweep, settings: Settings, jobs: Jobs, progress: Progress) -> Run:
    """Runs a sweep with a launcher. Raises InvalidValue where it cannot launch anything."""
    assert settings.out is not None
    run = run_options(settings, settings.out)
    with progress, driving(run) as session:
        tell(sweep, progress)
        todo = [place for place, spec in enumerate(sweep) if not session.settled(spec)]
        earlier = len(sweep) - len(todo)
        progress.begin(len(sweep), earlier)
        with Follower(run.out, progress):
            _Rounds(sweep, settings.chunk, run, session, jobs, progress).until_done(todo)
        outcome = review(sweep, run)
        outcome.signal = session.interrupt.signal
        outcome.already_done, outcome.measured = earlier, outcome.total - outcome.missing - earlier
    return Run(outcome, run.out, settings.strict, sweep.left_out.illegal)


@dataclass
class _Rounds:
    """Launches what is to be done, and then again what was lost, in smaller chunks."""

    sweep: Sweep
    chunk: int
    run: RunOptions
    session: Session
    jobs: Jobs
    progress: Progress
    launched: int = 0

    def until_done(self, todo: list[int]) -> None:
        plan = self.run.out / "plan"
        plan.mkdir(exist_ok=True)
        for attempt in range(ATTEMPTS if todo else 0):
            shares = self._write(plan, todo, max(1, self.chunk // 2**attempt))
            watches = [Watch(path) for path in shares]
            failure = self._launch(shares, watches)
            # A launcher gives up with the first dead job; what the others measure must not be measured twice.
            while sum(watch.working() for watch in watches):
                time.sleep(LOOK_S)
            begun = any(watch.begun or not watch.path.exists() for watch in watches)
            call_off(shares)
            todo = self._lost(todo)
            if not todo or self.session.interrupt.signal is not None:
                break
            if failure and not begun:
                raise InvalidValue("hydra/launcher", f"the launcher cannot start jobs: {failure}")
            self._report(len(todo), failure, last=attempt + 1 == ATTEMPTS)
        shutil.rmtree(plan, ignore_errors=True)

    def _write(self, plan: Path, todo: Sequence[int], chunk: int) -> list[Path]:
        shares: list[Path] = []
        for start in range(0, len(todo), chunk):
            shares.append(plan / f"{self.launched + len(shares):05d}.jsonl")
            share.write(shares[-1], self.sweep, todo[start : start + chunk], self.run)
        return shares

    def _launch(self, shares: Sequence[Path], watches: Sequence[Watch]) -> str:
        """Launches and waits; returns what went wrong, in a sentence, or nothing.

        The launcher waits in a thread: it hears no signal, and some wait for a dead job for ever.
        """
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(self._call(shares)), name="launcher", daemon=True)
        thread.start()
        busy = time.monotonic()
        while thread.is_alive():
            thread.join(LOOK_S)
            if self.session.interrupt.signal is not None:
                call_off(shares)
            if any(watch.working() or watch.waiting() for watch in watches):
                busy = time.monotonic()
            elif time.monotonic() - busy > GRACE_S:
                return "the launcher still waits for jobs that have ended"
        return said[0]

    def _call(self, shares: Sequence[Path]) -> str:
        first, self.launched = self.launched, self.launched + len(shares)
        try:
            returned = self.jobs.launch([[f"plan={quoted(path)}"] for path in shares], first)
        # A launcher passes on whatever its library raises for a job that died or a scheduler that is not there.
        except Exception as error:
            return _short(f"{type(error).__name__}: {error}")
        failed = [job._return_value for job in returned if job.status != JobStatus.COMPLETED]
        return _short(str(failed[0])) if failed else ""

    def _lost(self, todo: Sequence[int]) -> list[int]:
        self.session.index = store.Index(self.run.out)
        return [place for place in todo if self.session.entries(self.sweep[place]) is None]

    def _report(self, lost: int, failure: str, last: bool) -> None:
        what = f"{units.count(lost, 'configuration')} lost with their jobs{f' ({failure})' if failure else ''}"
        remedy = "the same command with the same out tries them again" if last else "they are launched again"
        self.progress.warn(what, remedy)


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= 160 else f"{text[:160]}…"


def warn_of_company(sweep: Sweep, launcher: Mapping[str, Any], progress: Progress) -> None:
    """Warns of times taken while other jobs run on the same machine, where the launcher may put them there."""
    if not sweep[0].measure.enabled:
        return
    kind = launcher["_target_"].rsplit(".", 1)[-1]
    if kind in ("JoblibLauncher", "LocalLauncher"):
        progress.warn(
            "jobs that are timed at the same time on one machine disturb each other",
            "launch accuracy sweeps (measure=none), and time without a launcher",
        )
    else:
        progress.warn(
            "timings are only meaningful if no other job runs on the same machine",
            "give each job a machine of its own (docs/clusters.md), or use measure=none",
        )


def call_off(shares: Sequence[Path]) -> None:
    for path in shares:
        path.unlink(missing_ok=True)


def quoted(path: Path) -> str:
    """A path as Hydra's grammar reads it: a backslash is one unless a quote follows it."""
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", str(path)) + "'"
