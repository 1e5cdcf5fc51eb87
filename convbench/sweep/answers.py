"""What a command line is answered with when nothing is to be run: --help, --cfg, and what Hydra tells about itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from string import Template
from textwrap import TextWrapper
from typing import Any

from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict

from ..facts.values import InvalidValue, did_you_mean
from .axes import Given, first_composed, saved_axes
from .composing import composing
from .config import flat, folder
from .messages import explained
from .options import Line
from .saved import listing

WIDTH = 80


def answer(line: Line, commands: Sequence[str]) -> None:
    """Prints what the options ask for. Raises InvalidValue, and SystemExit where Hydra has printed something."""
    with explained():
        if line.help:
            print(_help(line, commands), end="")
        elif line.saved:
            print("\n".join(listing(line)))
        elif line.cfg:
            print(_cfg(line, line.cfg), end="")
        else:
            # Imported where Hydra is asked: what runs a sweep comes with it.
            from . import completing, foreign

            found, ask = completing.offered(line, commands)
            print("\n".join(found), end="\n" if found else "")
            if ask:
                foreign.by_hydra(line, lambda cfg: 0.0, line.of_hydra)


def _help(line: Line, commands: Sequence[str]) -> str:
    with composing(line) as composer:
        groups = "".join(_indented(f"{name}: {', '.join(files)}") for name, files in _groups(composer.loader))
        usual = {key: _as_written(value) for key, value in flat(composer.composed([])).items() if "." not in key}
    page = OmegaConf.load(folder("conf") / "hydra/help/convbench.yaml")
    template = Template(str(OmegaConf.select(page, "template")))
    return (
        template.substitute(
            usual, APP_CONFIG_GROUPS=groups, COMMANDS=_indented(", ".join(commands), "    ").strip()
        ).rstrip()
        + "\n"
    )


def _as_written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _groups(loader: Any, parent: str = "") -> Iterator[tuple[str, Sequence[str]]]:
    """Groups of files other than Hydra's own, and the names in each."""
    for name in loader.list_groups(parent):
        group = f"{parent}/{name}" if parent else name
        if group == "hydra":
            continue
        files = loader.get_group_options(group, ObjectType.CONFIG)
        if files:
            yield group, files
        yield from _groups(loader, group)


def _indented(text: str, first: str = "  ") -> str:
    wrapper = TextWrapper(WIDTH, first, "    ", break_long_words=False, break_on_hyphens=False)
    return wrapper.fill(text) + "\n"


def _cfg(line: Line, what: str) -> str:
    """The composed settings as YAML: of the first choice of files, with what is swept under `axes`."""
    with composing(line) as composer:
        given = Given.all_of(composer, line.words)
        cfg = _shown(first_composed(composer, given), given)
        with flag_override(cfg, "struct", False), flag_override(cfg.hydra, "struct", False):
            del cfg.hydra["help"], cfg.hydra["hydra_help"]
        if what != "all":
            cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if (key == "hydra") == (what == "hydra")])
        part: Any = cfg if line.package in (None, "_global_") else _part(cfg, str(line.package))
        if not OmegaConf.is_config(part):
            return f"{part}\n"
        if line.resolve:
            OmegaConf.resolve(part)
        head = f"# @package {line.package}\n" if line.package else ""
        return head + OmegaConf.to_yaml(part)


def _shown(cfg: DictConfig, given: Sequence[Given]) -> DictConfig:
    """A copy that names every axis, the command line's as well."""
    words = saved_axes(cfg, {g.key for g in given})
    words += [f"{g.key}={g.line.partition('=')[2]}" for g in given if g.swept]
    shown = cfg.copy()
    with open_dict(shown):
        shown.axes = {key: values for key, _, values in (word.partition("=") for word in words)}
    return shown


def _part(cfg: DictConfig, package: str) -> Any:
    found = OmegaConf.select(cfg, package)
    if found is None and OmegaConf.select(cfg, package, default=0) == 0:
        parent = OmegaConf.select(cfg, package.rpartition(".")[0]) if "." in package else cfg
        names = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
        raise InvalidValue(
            "--package", f"--package {package}: the configuration has no such part{did_you_mean(package, names)}"
        )
    return found
