"""Hydra's own settings (`hydra.sweep.dir`, `hydra/launcher` …): each is obeyed, or refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ..facts.values import InvalidValue
from ..results.files import named
from .axes import Given, saved_axes
from .composing import OWN_SWEEPER, Composer
from .config import Settings, no_setting
from .launched import Launcher
from .options import Line

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""What Hydra's default launcher is called in a configuration: one job after another in the driving process, which
needs no jobs for that."""
FOLDERS = {
    "sweep": ("results/${now:%Y-%m-%d_%H-%M-%S-%f}", "multirun/${now:%Y-%m-%d}/${now:%H-%M-%S}"),
    "run": (".", "outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}"),
}
"""Part of Hydra's settings → its `dir` where nobody has written one: conf/config.yaml's and Hydra's own."""
OBEYED = ("launcher", "sweeper", "searchpath", "mode", "run.dir", "sweep.dir")
FOR_JOBS = ("job", "callbacks", "env", "job_logging", "hydra_logging", "verbose")
"""Settings under `hydra` that a launcher's jobs obey."""


def is_foreign(cfg: DictConfig) -> bool:
    """Whether another sweeper than convbench's own is chosen. Raises InvalidValue where there is none."""
    target = OmegaConf.select(cfg, "hydra.sweeper._target_")
    if target is None:
        raise InvalidValue("hydra/sweeper", "~hydra/sweeper leaves nothing that could sweep; leave it out")
    return bool(target != OWN_SWEEPER)


def sweeping(line: Line, cfg: DictConfig, given: Sequence[Given]) -> bool:
    """Whether the line stands for a sweep. Raises InvalidValue for values to sweep over in a single run."""
    mode = cfg.hydra.mode
    if mode == RunMode.RUN and line.sweeping:
        raise InvalidValue("hydra.mode", "hydra.mode=RUN is a single run, and the rest of the line a sweep; drop one")
    if line.sweeping or mode == RunMode.MULTIRUN:
        return True
    for g in given:
        if g.key.startswith("axes."):
            raise no_setting(g.key)
        if g.swept:
            listed = g.override.is_choice_sweep() and not g.group
            how = "write one list as key=[a,b]" if listed else "give one of them"
            raise InvalidValue(g.key, f"{g.line} holds several values; add -m to sweep over them, or {how}")
    if saved_axes(cfg):
        raise InvalidValue("axes", "the configuration names axes to sweep over; add -m to do that")
    return False


def check(cfg: DictConfig, given: Sequence[Given], sweeping: bool) -> None:
    """Raises InvalidValue for what would otherwise be ignored."""
    launched = launches(cfg)
    for g in given:
        if g.key == "share":
            raise InvalidValue("share", "share= is how a launcher's job is told what to run; nobody else writes it")
        area, _, name = g.key.replace("hydra/", "hydra.").partition(".")
        if area != "hydra":
            continue
        if g.swept:
            raise InvalidValue(g.key, f"{g.line}: Sweeping over Hydra's configuration is not supported")
        obeyed = OBEYED + (FOR_JOBS if launched else ())
        if name and not any(name == word or name.startswith(f"{word}.") for word in obeyed):
            raise InvalidValue(g.key, f"{g.line} has no meaning here; {_instead(name)}")
        if g.key == ("hydra.run.dir" if sweeping else "hydra.sweep.dir"):
            other = "a single run, and this is a sweep" if sweeping else "a sweep, and this is a single run"
            raise InvalidValue(g.key, f"{g.line} is the folder of {other}; write out=DIR, which holds for both")
        if g.key == "hydra/launcher" and launched and not sweeping:
            raise InvalidValue(g.key, f"{g.line} spreads a sweep over jobs, and this is a single run; add -m")
    if not launched and cfg.hydra.verbose:
        raise InvalidValue("hydra.verbose", f"hydra.verbose={cfg.hydra.verbose} has no meaning here; {_instead('')}")


def _instead(name: str) -> str:
    if name.endswith("subdir"):
        return "all configurations of a sweep share one folder; give it with out=DIR"
    if name.startswith(FOR_JOBS):
        return "nothing is logged, and only a launcher's jobs are jobs of Hydra's; leave it out"
    return f"of Hydra's settings, {', '.join(f'hydra.{word}' for word in OBEYED)} are obeyed"


def with_folder(settings: Settings, cfg: DictConfig, sweeping: bool) -> Settings:
    """The settings with the folder that `hydra.sweep.dir` (`hydra.run.dir` for a single run) names, if any."""
    part = "sweep" if sweeping else "run"
    written: Any = OmegaConf.to_container(cfg.hydra[part], resolve=False)
    if written.get("dir") in (*FOLDERS[part], None):
        return settings
    folder = str(cfg.hydra[part].dir)
    if settings.out is not None:
        raise InvalidValue("out", f"out={settings.out} and hydra.{part}.dir={folder} both name the folder; keep out")
    return replace(settings, out=named(folder).absolute())


def launches(cfg: DictConfig) -> bool:
    """Whether a launcher of another kind than Hydra's basic one is chosen."""
    return bool(OmegaConf.select(cfg, "hydra.launcher._target_") != BASIC_LAUNCHER)


def launcher(composer: Composer, cfg: DictConfig) -> Launcher | None:
    return Launcher(composer.loader, cfg) if launches(cfg) else None
