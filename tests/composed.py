"""What a command line stands for, for tests that run nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from convbench.facts.case import InvalidValue
from convbench.sweep.config import RUN_KEYS, Settings, folder
from convbench.sweep.grid import Sweep
from convbench.sweep.hydra_app import run
from convbench.sweep.messages import sentence
from convbench.sweep.program import Program


def run_settings(**changes: Any) -> Settings:
    """The shipped settings of a sweep as a whole, some of them changed."""
    written = OmegaConf.load(folder("conf") / "config.yaml")
    return Settings.of({key: written[key] for key in RUN_KEYS} | changes)


class Collector(Program):
    """Runs nothing and keeps what would have been run, by a single run or by a sweep."""

    def __init__(self) -> None:
        super().__init__()
        self.sweeps: list[Sweep] = []

    def single(self, sweep: Sweep, *_: Any) -> float:
        self.sweeps.append(sweep)
        return math.nan

    def sweep(self, sweep: Sweep, *_: Any) -> None:
        self.sweeps.append(sweep)


def configurations(arguments: Sequence[str]) -> Sweep:
    """What the program would run. Raises InvalidValue with the sentence that the command line would print."""
    collector = Collector()
    try:
        run(arguments, collector)
    except Exception as error:
        raise InvalidValue("command line", sentence(error)) from error
    if not collector.sweeps:
        raise InvalidValue("command line", [*collector.refused, *map(str, collector.illegal)][0])
    return collector.sweeps[0]
