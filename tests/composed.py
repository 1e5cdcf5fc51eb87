"""What a command line stands for, for tests that run nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from convbench.sweep import options
from convbench.sweep.config import RUN_KEYS, Settings, folder
from convbench.sweep.grid import Sweep
from convbench.sweep.plan import Plan, composed


def run_settings(**changes: Any) -> Settings:
    """The shipped settings of a sweep as a whole, some of them changed."""
    written = OmegaConf.load(folder("conf") / "config.yaml")
    return Settings.of({key: written[key] for key in RUN_KEYS} | changes)


def plan(arguments: Sequence[str]) -> Plan:
    """What the program would run. Raises InvalidValue with the sentence that the command line would print."""
    found = composed(options.read(arguments))
    assert isinstance(found, Plan)
    return found


def configurations(arguments: Sequence[str]) -> Sweep:
    return plan(arguments).sweep
