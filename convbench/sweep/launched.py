"""Sweeps that a launcher spreads over processes or a cluster: one job per chunk of configurations.

Jobs write part files of their own; the driver watches them, launches again what was lost with a job, and
merges. A job is lost for reasons of its own (killed, out of time, a machine that went away): whatever a
method can do to a process is survived inside the job.

A launcher is made with a HydraContext, which holds Hydra's callbacks: their class is the one thing of
`hydra._internal` that convbench imports, since Hydra offers no other way to it.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig

from ..execution.execute import RunOptions, Session, driving, review
from ..execution.pauses import Pauses
from ..facts import units
from ..facts.values import InvalidValue
from ..results import run_file, store
from ..terminal.following import Follower
from ..terminal.progress import Progress
from . import job
from .composing import register
from .config import Settings
from .grid import Sweep
from .job import Watch
from .messages import explained, one_line
from .running import Run, facts_of, fresh_folder, run_options, tell

ATTEMPTS = 3
"""How often a configuration is launched before it is given up."""
LOOK_S = 0.5
"""Time between two looks at whether the sweep was interrupted, or whether jobs are still at work."""
GRACE_S = 15.0
"""How long a launcher may take to notice that its last job has ended."""


class Jobs(Protocol):
    """Hydra's launcher, as far as it is needed here."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]: ...


@dataclass(frozen=True)
class Launcher:
    """A launcher that a command line names; `config` is the composed configuration that it belongs to."""

    loader: ConfigLoader
    config: DictConfig

    @property
    def kind(self) -> str:
        """The name of its class."""
        return str(self.config.hydra.launcher._target_).rpartition(".")[2]

    def jobs(self, folder: Path) -> Jobs:
        """The launcher itself, whose jobs use `folder` for what they leave. Raises InvalidValue."""
        register()
        config = self.config.copy()
        config.hydra.sweep.dir = str(folder)
        # A job is composed of these words. Hydra 1.4 wants it to have the launcher that the driver has, whichever
        # word or file it came with.
        config.hydra.overrides.hydra.extend([*config.hydra.overrides.task, f"hydra.sweep.dir={quoted(folder)}"])
        if "submitit" in config.hydra.launcher._target_:
            import submitit  # sets its logger up

            # Without Slurm's accounting it says every few seconds that it does not know how jobs are; job.Watch does.
            logging.getLogger(submitit.__name__).setLevel(logging.ERROR)
        with explained():
            context = HydraContext(config_loader=self.loader, callbacks=Callbacks(config))
            jobs: Jobs = Plugins.instance().instantiate_launcher(
                hydra_context=context, task_function=job.job, config=config
            )
        return jobs


def launch(sweep: Sweep, settings: Settings, launcher: Launcher) -> Run:
    """Runs a sweep with a launcher. Raises InvalidValue where it cannot launch anything."""
    if settings.budget_s is not None:
        raise InvalidValue(
            "budget_s",
            f"budget_s={settings.budget_s:g} is divided by one program that sees all intervals; it cannot be used "
            "with a launcher: leave out budget_s or hydra/launcher",
        )
    settings = replace(settings, out=settings.out or fresh_folder(Path("results").absolute()))
    assert settings.out is not None
    jobs = launcher.jobs(settings.out / "jobs")
    progress = Progress(len(sweep))
    warn_of_company(sweep, launcher.kind, progress)
    return spread(sweep, settings, jobs, progress)


def spread(sweep: Sweep, settings: Settings, jobs: Jobs, progress: Progress) -> Run:
    """Runs a sweep with a launcher. Raises InvalidValue where it cannot launch anything."""
    assert settings.out is not None
    run = run_options(settings, settings.out)
    with progress, driving(run) as session, run_file.noted(run.out, facts_of(settings, len(sweep))):
        tell(sweep, progress)
        todo = [place for place, spec in enumerate(sweep) if not session.settled(spec)]
        earlier = len(sweep) - len(todo)
        progress.begin(len(sweep), earlier)
        with Follower(run.out, progress):
            _Rounds(sweep, settings.chunk, run, session, jobs, progress).until_done(todo)
        outcome = review(sweep, run)
        outcome.signal = session.interrupt.signal
        outcome.already_done = earlier
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
        folder = self.run.out / "shares"
        folder.mkdir(exist_ok=True)
        for attempt in range(ATTEMPTS if todo else 0):
            shares = self._write(folder, todo, max(1, self.chunk // 2**attempt))
            pauses = Pauses()
            watches = [Watch(path, pauses) for path in shares]
            failure = self._launch(shares, watches, pauses)
            # A launcher gives up with the first dead job; what the others measure must not be measured twice.
            while sum(watch.working() for watch in watches):
                time.sleep(LOOK_S)
                pauses.waited(LOOK_S)
            begun = any(watch.begun or not watch.path.exists() for watch in watches)
            call_off(shares)
            todo = self._lost(todo)
            if not todo or self.session.interrupt.signal is not None:
                break
            if failure and not begun:
                raise InvalidValue("hydra/launcher", f"the launcher cannot start jobs: {failure}")
            self._report(len(todo), failure, last=attempt + 1 == ATTEMPTS)
        shutil.rmtree(folder, ignore_errors=True)

    def _write(self, folder: Path, todo: Sequence[int], chunk: int) -> list[Path]:
        shares: list[Path] = []
        for start in range(0, len(todo), chunk):
            shares.append(folder / f"{self.launched + len(shares):05d}.jsonl")
            job.write(shares[-1], self.sweep, todo[start : start + chunk], self.run)
        return shares

    def _launch(self, shares: Sequence[Path], watches: Sequence[Watch], pauses: Pauses) -> str:
        """Launches and waits; returns what went wrong, in a sentence, or nothing.

        The launcher waits in a thread: it hears no signal, and some wait for a dead job for ever.
        """
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(self._call(shares)), name="launcher", daemon=True)
        thread.start()
        busy = time.monotonic()
        while thread.is_alive():
            thread.join(LOOK_S)
            pauses.waited(LOOK_S)
            if self.session.interrupt.signal is not None:
                call_off(shares)
            if any(watch.working() or watch.waiting() for watch in watches):
                busy = time.monotonic()
            elif pauses.passed_s(busy) > GRACE_S:
                return "the launcher still waits for jobs that have ended"
        return said[0]

    def _call(self, shares: Sequence[Path]) -> str:
        first, self.launched = self.launched, self.launched + len(shares)
        try:
            returned = self.jobs.launch([[f"share={quoted(path)}"] for path in shares], first)
        # A launcher passes on whatever its library raises for a job that died or a scheduler that is not there.
        except Exception as error:
            return _short(f"{type(error).__name__}: {error}")
        return next((_short(_failure(job)) for job in returned if job.status != JobStatus.COMPLETED), "")

    def _lost(self, todo: Sequence[int]) -> list[int]:
        self.session.index = store.Index(self.run.out)
        return [place for place in todo if self.session.entries(self.sweep[place]) is None]

    def _report(self, lost: int, failure: str, last: bool) -> None:
        what = f"{units.count(lost, 'configuration')} lost with their jobs{f' ({failure})' if failure else ''}"
        remedy = "the same command with the same out tries them again" if last else "they are launched again"
        self.progress.warn(what, remedy)


def _failure(job: Any) -> str:
    """What a job that did not end well raised; asking for its value raises it."""
    try:
        return str(job.return_value)
    except Exception as error:
        return str(error)


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= 160 else f"{text[:160]}…"


def warn_of_company(sweep: Sweep, kind: str, progress: Progress) -> None:
    """Warns of times taken while other jobs run on the same machine, where the launcher may put them there."""
    if not sweep[0].measure.enabled:
        return
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
