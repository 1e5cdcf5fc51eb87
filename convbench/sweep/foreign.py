"""Other sweepers of Hydra's (basic, optuna): they choose configurations one by one and are told how each went."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ..facts.values import IllegalCase, InvalidValue
from . import running
from .axes import grid_of
from .composing import VERSION_BASE, register
from .config import Settings, flat, folder
from .grid import Sweep, choose
from .messages import explained, sentence
from .options import Line
from .running import Run

RECORD = "multirun.yaml"
"""What Hydra's own sweeper leaves in its folder: the settings of Hydra, which say nothing about the run."""


class _Searched:
    """What the configurations that the sweeper chose have come to.

    Hydra prints what a task raises, so that mistakes are kept in `refused` instead. `failure` is what was raised
    while measuring: no mistake of the person's.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.illegal: list[IllegalCase] = []
        self.refused: list[str] = []
        self.failure: BaseException | None = None
        self.folder: Path | None = None

    def __call__(self, cfg: DictConfig) -> float:
        """One configuration; returns the objective, and without one the worst value that there is.

        A sweeper may stop at NaN, which therefore stands for a mistake only.
        """
        settings: Any = HydraConfig.get()
        worst = -math.inf if settings.sweeper.get("direction") == "maximize" else math.inf
        try:
            objective = self._measured(*self._checked(cfg, settings))
        except IllegalCase as error:
            self.illegal.append(error)
            return worst
        except Exception as error:
            if error is self.failure:
                raise
            self.refused.append(sentence(error))
            return math.nan
        return worst if math.isnan(objective) else objective

    def _checked(self, cfg: DictConfig, hydras: Any) -> tuple[Sweep, Settings]:
        values = flat(cfg)
        settings = Settings.of(values)
        self.folder = Path(hydras.sweep.dir).absolute()
        # All jobs of another sweeper write to one folder.
        settings = settings if settings.out is not None else replace(settings, out=self.folder)
        return choose([grid_of(cfg, values, hydras)], settings), settings

    def _measured(self, sweep: Sweep, settings: Settings) -> float:
        try:
            run, objective = running.single(sweep, settings)
        except InvalidValue:
            raise
        except BaseException as error:
            self.failure = error
            raise
        self.runs.append(run)
        return objective

    def ended(self) -> Run:
        """All of them as one run. Raises InvalidValue where nothing was run."""
        refused = [*self.refused, *map(str, self.illegal)]
        if not self.runs:
            raise InvalidValue("hydra/sweeper", refused[0] if refused else "the sweeper chose no configuration")
        last = self.runs[-1]
        return replace(
            last,
            outcome=running.whole([run.outcome for run in self.runs]),
            illegal=last.illegal + len(self.illegal),
            refused=tuple(self.refused),
        )


def search(line: Line) -> Run:
    """Runs a command line with the sweeper that it names. Raises InvalidValue."""
    searched = _Searched()
    try:
        with explained():
            by_hydra(line, searched, ["--multirun"])
    except InvalidValue:
        if searched.failure is not None:
            raise searched.failure from None
        if not searched.refused:
            raise
    finally:
        if searched.folder is not None:
            (searched.folder / RECORD).unlink(missing_ok=True)
    return searched.ended()


def by_hydra(line: Line, task: Callable[[DictConfig], float], asked: Sequence[str]) -> None:
    """Hands a command line to Hydra itself, with `asked` in front of it. Raises what Hydra raises, and SystemExit."""
    register()
    options = [f"--config-dir={line.config_dir}"] if line.config_dir is not None else []
    place = os.path.abspath(line.config_path or folder("conf"))

    def convbench(cfg: DictConfig) -> float:
        return task(cfg)

    program = hydra.main(config_path=place, config_name=line.config_name, **VERSION_BASE)(convbench)
    # Hydra reads them from there, and names its completion after the first.
    with _instead(["convbench", *asked, *options, *line.words]):
        program()


@contextmanager
def _instead(argv: list[str]) -> Iterator[None]:
    """Another command line; and Hydra raises its errors, which it prints otherwise."""
    before, sys.argv = sys.argv, argv
    full = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = before
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full
