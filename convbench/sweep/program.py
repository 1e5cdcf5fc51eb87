"""What Hydra calls: one configuration by itself, or a whole sweep that the sweeper has checked."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from ..facts.case import IllegalCase, InvalidValue
from .axes import grid_of
from .config import Settings, flat
from .grid import Sweep, choose
from .messages import sentence

if TYPE_CHECKING:
    from ..terminal.progress import Progress
    from .drive import Run

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""Runs its jobs one after another in the driving process, which needs no jobs for that."""


class Program:
    """`runs` are the runs that have ended. `measuring` is true once something is being run: what is raised
    from then on is no mistake in the command line. `illegal` combinations were asked for one by one and left
    out; `refused` holds what else cannot be run and why."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.illegal: list[IllegalCase] = []
        self.refused: list[str] = []
        self.measuring = False

    def __call__(self, cfg: DictConfig) -> float:
        """One configuration of a single run or of a searching sweeper; returns the objective.

        Without a value for it: NaN, and the worst value there is for a sweeper that would stop at NaN.
        Hydra prints what a job raises, so that mistakes are kept in `refused` instead.
        """
        if cfg.get("plan"):
            return self._share(Path(cfg.plan))
        hydra: Any = HydraConfig.get()
        sweeping = hydra.mode == RunMode.MULTIRUN
        worst = -math.inf if hydra.sweeper.get("direction") == "maximize" else math.inf
        try:
            objective = self._one(cfg, hydra, sweeping)
        except Exception as error:
            if isinstance(error, IllegalCase) and sweeping:
                self.illegal.append(error)
                return worst
            if self.measuring and not isinstance(error, InvalidValue):
                raise
            self.refused.append(sentence(error))
            return math.nan
        return worst if sweeping and math.isnan(objective) else objective

    def _one(self, cfg: DictConfig, hydra: Any, sweeping: bool) -> float:
        values = flat(cfg)
        settings = Settings.of(values)
        if not sweeping and hydra.sweeper.get("params"):
            raise InvalidValue("hydra.sweeper.params", "the configuration names axes to sweep over; add -m to do that")
        if settings.out is None and sweeping:
            # All jobs of another sweeper write to one folder.
            settings = replace(settings, out=Path(hydra.sweep.dir).absolute())
        return self.single(choose([grid_of(cfg, values, hydra)], settings), settings)

    def single(self, sweep: Sweep, settings: Settings) -> float:
        """Runs a checked configuration (or the lines of a cases file) and returns the objective."""
        # Loaded only where something is run: --help and --cfg answer at once.
        from . import drive

        self.measuring = True
        run, objective = drive.single(sweep, settings)
        self.runs.append(run)
        return objective

    def _share(self, plan: Path) -> float:
        """One job of a launcher; its rows and what went wrong are for the driver to see."""
        from . import share

        self.measuring = True
        share.perform(plan)
        return math.nan

    def sweep(self, sweep: Sweep, settings: Settings, context: HydraContext, master: DictConfig) -> None:
        """Runs a checked sweep, here or with the launcher that the configuration names."""
        from ..terminal.progress import Progress
        from . import drive

        progress = Progress(len(sweep))
        if master.hydra.launcher._target_ == BASIC_LAUNCHER:
            self.measuring = True
            self.runs.append(drive.here(sweep, settings, progress))
        else:
            self.runs.append(self._launch(sweep, settings, (context, master), progress))

    def _launch(
        self, sweep: Sweep, settings: Settings, hydra: tuple[HydraContext, DictConfig], progress: Progress
    ) -> Run:
        from . import drive, launched

        if settings.budget_s is not None:
            raise InvalidValue(
                "budget_s",
                f"budget_s={settings.budget_s:g} is divided by one program that sees all intervals; it cannot be used "
                "with a launcher: leave out budget_s or hydra/launcher",
            )
        context, master = hydra
        out = settings.out or drive.fresh_folder(Path("results").absolute())
        folder = launched.quoted(out / "jobs")
        master.hydra.sweep.dir = str(out / "jobs")
        master.hydra.overrides.hydra.append(f"hydra.sweep.dir={folder}")
        if "submitit" in master.hydra.launcher._target_:
            import submitit  # sets its logger up

            # Without Slurm's accounting it says every few seconds that it does not know how jobs are; share.Watch does.
            logging.getLogger(submitit.__name__).setLevel(logging.ERROR)
        jobs = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=self, config=master)
        launched.warn_of_company(sweep, master.hydra.launcher, progress)
        self.measuring = True
        return launched.spread(sweep, replace(settings, out=out), jobs, progress)
