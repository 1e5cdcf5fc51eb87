"""The program as a Hydra application: where its files are and what it registers."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import TextWrapper
from typing import Any, NoReturn

from hydra import version
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_hydra, create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from ..facts.case import InvalidValue
from . import sweeper
from .config import Schema, folder
from .program import Program

GROUP = "sweep"


class SweepsSource(FileConfigSource):
    """Shows the folder sweeps/ to Hydra as the config group `sweep`, so that `+sweep=NAME` reads sweeps/NAME.yaml."""

    @staticmethod
    def scheme() -> str:
        return "sweeps"

    def load_config(self, config_path: str) -> ConfigResult:
        return super().load_config(_inside(config_path))

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        return config_path.startswith(f"{GROUP}/") and super().is_config(_inside(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path.strip("/") == GROUP:
            names = [p.stem for p in Path(self.path).glob("*.yaml")]
            return sorted(names) if results_filter in (None, ObjectType.CONFIG) else []
        return [GROUP] if results_filter in (None, ObjectType.GROUP) else []


def _inside(config_path: str) -> str:
    return config_path.removeprefix(f"{GROUP}/")


class SweepsSearchPath(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("convbench", f"sweeps://{folder('sweeps')}")


def register() -> None:
    """Tells Hydra about the schema, the folder of sweeps and the sweeper; for this process only.

    Hydra takes a sweeper from packages named hydra_plugins alone. Entering it under such a name leaves
    every other Hydra application in the same environment as it was.
    """
    store = ConfigStore.instance()
    store.store(name="schema", node=Schema)
    store.store(group="hydra/sweeper", name="convbench", node=sweeper.GridSweeperConf)
    plugins = Plugins.instance()
    plugins.register(SweepsSource)
    plugins.register(SweepsSearchPath)
    plugins.class_name_to_class[sweeper.TARGET] = sweeper.GridSweeper
    _preset_ray(store)


def _preset_ray(store: ConfigStore) -> None:
    """What Ray's launcher needs to join a cluster that runs already, where it is installed.

    It sets the object store's size, which only whoever starts a cluster may do; and Ray would run a dead
    job's whole chunk again, where convbench launches what is lost of it.
    """
    try:
        node = store.load("hydra/launcher/ray.yaml").node
    except ConfigLoadError:
        return
    node.ray.init.object_store_memory = None
    node.ray.remote.max_retries = 0
    store.store(group="hydra/launcher", name="ray", node=node)


def run(arguments: Sequence[str], program: Program) -> None:
    """Composes the configuration and hands it to `program`, or prints what the options ask for.

    Raises SystemExit where Hydra has printed something, and whatever Hydra, OmegaConf or the program raise.
    """
    register()
    version.setbase("1.3")
    parser = _parser()
    # Options and settings in any order: argparse alone takes no further settings after the first group of them.
    args = parser.parse_intermixed_args(list(arguments))
    if args.experimental_rerun:
        raise InvalidValue("options", "--experimental-rerun needs Hydra's own job files, which are not written here")
    # Hydra wants the plus sign, since no sweep is chosen by default; nobody means anything else without it.
    args.overrides = [f"+{word}" if word.startswith(f"{GROUP}=") else word for word in args.overrides]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*is not available", category=UserWarning)
        if args.help or args.hydra_help or args.cfg or args.info or args.shell_completion or args.resolve:
            args.multirun = False  # `-m … --cfg job` asks what the line means.
            with _raising(), _indented_groups():
                _run_hydra(args, parser, program, str(folder("conf")), "config")
        else:
            _compose_and_run(args, program)


def _compose_and_run(args: argparse.Namespace, program: Program) -> None:
    """As hydra.main, less the composition that it throws away: it would take half of the time to the first answer."""
    path = create_config_search_path(os.path.abspath(args.config_path or folder("conf")))
    if args.config_dir is not None:
        place = os.path.abspath(args.config_dir)
        if not os.path.isdir(place):
            raise InvalidValue("--config-dir", f"--config-dir={args.config_dir}: no such folder")
        path.prepend("command-line", f"file://{place}", SearchPathQuery(provider="schema"))
    several = args.multirun or any(word.startswith(("+sweep=", "cases=")) for word in args.overrides)
    hydra = Hydra.create_main_hydra2("convbench", path)
    try:
        go = hydra.multirun if several else hydra.run
        go(
            config_name=args.config_name or "config",
            task_function=program,
            overrides=[*args.overrides, f"hydra.mode={'MULTIRUN' if several else 'RUN'}"],
        )
    finally:
        GlobalHydra.instance().clear()


@contextmanager
def _raising() -> Iterator[None]:
    """Hydra prints its errors itself unless it is told to raise them."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]


@contextmanager
def _indented_groups() -> Iterator[None]:
    """The lists of files in --help, indented and wrapped; Hydra writes each as one line at the margin."""
    plain = Hydra.format_config_groups

    def indented(*arguments: Any, **options: Any) -> str:
        lines = plain(*arguments, **options).splitlines()
        wrapper = TextWrapper(120, "  ", "    ", break_long_words=False, break_on_hyphens=False)
        return "".join(f"{wrapper.fill(line)}\n" for line in lines)

    Hydra.format_config_groups = indented  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.format_config_groups = plain  # type: ignore[method-assign]


def _parser() -> argparse.ArgumentParser:
    """Hydra's own options; a mistake raises instead of printing the usage."""

    def refuse(message: str) -> NoReturn:
        raise InvalidValue("options", f"{message}; `python -m convbench --help` shows how it is called")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser
