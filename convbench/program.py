"""What Hydra calls: one configuration by itself, or a whole sweep that the sweeper has checked."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from .axes import grid_of
from .case import InvalidValue
from .config import Settings, flat
from .grid import Sweep, choose
from .messages import sentence

if TYPE_CHECKING:
    from .drive import Run


class Program:
    """`runs` are the runs that have ended. `measuring` is true once something is being run: what is raised
    from then on is no mistake in the command line. `refused` holds what cannot be run and why."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.refused: list[str] = []
        self.measuring = False

    def __call__(self, cfg: DictConfig) -> float:
        """One configuration; returns the objective, NaN where it has none.

        Hydra prints what a job raises, so that mistakes are kept in `refused` instead.
        """
        try:
            return self._one(cfg)
        except Exception as error:
            if self.measuring and not isinstance(error, InvalidValue):
                raise
            self.refused.append(sentence(error))
            return math.nan

    def _one(self, cfg: DictConfig) -> float:
        hydra: Any = HydraConfig.get()
        values = flat(cfg)
        settings = Settings.of(values)
        if settings.out is None and hydra.mode == RunMode.MULTIRUN:
            # All jobs of another sweeper write to one folder.
            settings = replace(settings, out=Path(hydra.sweep.dir).absolute())
        sweep = choose([grid_of(cfg, values, hydra)], settings)
        # Loaded only where something is run: --help and --cfg answer at once.
        from . import drive

        self.measuring = True
        run, objective = drive.single(sweep, settings)
        self.runs.append(run)
        return objective

    def sweep(self, sweep: Sweep, settings: Settings, context: HydraContext, master: DictConfig) -> None:
        """Runs a checked sweep, here or with the launcher that the configuration names."""
        from . import drive
        from .progress import Progress

        self.measuring = True
        self.runs.append(drive.here(sweep, settings, Progress(len(sweep))))
