"""Hydra's sweeper: the whole grid is composed and checked first, and only then run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from .axes import Composer, grids
from .config import Settings
from .grid import Sweep, choose

TARGET = "hydra_plugins.convbench.GridSweeper"
"""The name under which the sweeper is registered; Hydra takes no plugin that is named otherwise."""


@dataclass
class GridSweeperConf:
    """`params`: axes by key, each as it would stand on the command line; the command line's own come first."""

    _target_: str = TARGET
    params: dict[str, str] = field(default_factory=dict)


class Campaign(Protocol):
    """What runs a sweep; Hydra knows it as the task function."""

    def sweep(self, sweep: Sweep, settings: Settings, context: HydraContext, master: DictConfig) -> None: ...


class GridSweeper(Sweeper):
    """Composes once per choice of configuration files, instead of once per configuration."""

    def __init__(self, params: Any = None) -> None:
        super().__init__()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._context = hydra_context
        self._master = config
        self._campaign = cast(Campaign, task_function)

    def sweep(self, arguments: Sequence[str]) -> None:
        found, settings = grids(Composer(self._context.config_loader, self._master), arguments)
        self._campaign.sweep(choose(found, settings), settings, self._context, self._master)
