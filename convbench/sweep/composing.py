"""Hydra, as far as it composes: what is registered with it, where its files are, and words made into configurations.

Public API of Hydra 1.3 and 1.4 only: `initialize_config_dir` and `compose`, the plugin interfaces, the registry of
plugins, the store of schemas and the parser of overrides.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from ..facts.values import InvalidValue
from .config import Schema, folder
from .options import GROUP, Line

OF_1_3 = hydra.__version__.startswith("1.3.")
VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if OF_1_3 else {}
"""Hydra 1.3 warns where it is not told, 1.4 where it is."""
_AGAIN: dict[str, Any] = {} if OF_1_3 else {"replace": True}
"""What is stored may be there already: another command line may have been composed in this process."""
OWN_SWEEPER = "convbench"
"""The target of `hydra/sweeper: convbench`: this program's own product of axes, which Hydra never instantiates."""


class SweepsSource(ConfigSource):
    """Shows the folder sweeps/ to Hydra as the config group `sweep`, so that `+sweep=NAME` reads sweeps/NAME.yaml."""

    @staticmethod
    def scheme() -> str:
        return "sweeps"

    def load_config(self, config_path: str) -> ConfigResult:
        file = self._file(config_path)
        if not file.is_file():
            raise ConfigLoadError(f"no such file: {file}")
        # What ships belongs to the program's own settings, as the first line of each file says.
        return ConfigResult(self.provider, self.full_path(), OmegaConf.load(file), {"package": "_global_"})

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        return config_path.startswith(f"{GROUP}/") and self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path.strip("/") == GROUP:
            names = [p.stem for p in Path(self.path).glob("*.yaml")]
            return sorted(names) if results_filter in (None, ObjectType.CONFIG) else []
        return [GROUP] if results_filter in (None, ObjectType.GROUP) else []

    def _file(self, config_path: str) -> Path:
        return Path(self.path) / f"{config_path.removeprefix(f'{GROUP}/').removesuffix('.yaml')}.yaml"


class ConvbenchSearchPath(SearchPathPlugin):
    """Adds the saved sweeps that ship and, while a command line with --config-dir is composed, the user's folder."""

    users: ClassVar[str | None] = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("convbench", f"sweeps://{folder('sweeps')}")
        if self.users is not None:
            search_path.append("command-line", f"file://{self.users}")


def register() -> None:
    """Tells Hydra about the schema, the folder of sweeps and the name of the own sweeper; for this process only."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Schema, **_AGAIN)
    store.store(group="hydra/sweeper", name="convbench", node={"_target_": OWN_SWEEPER, "params": {}}, **_AGAIN)
    with warnings.catch_warnings():
        # Ray's launcher 1.2.2 registers a resolver by the function that OmegaConf 2.4 deprecates; users can do nothing.
        warnings.filterwarnings("ignore", r"register_new_resolver\(\) is deprecated", UserWarning)
        plugins = Plugins.instance()
    plugins.register(SweepsSource)
    plugins.register(ConvbenchSearchPath)
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
    store.store(group="hydra/launcher", name="ray", node=node, **_AGAIN)


class Composer:
    """Composes configurations from words, each once. Valid inside `composing` only."""

    def __init__(self, config_name: str) -> None:
        self.config_name = config_name
        self.loader: ConfigLoader = GlobalHydra.instance().config_loader()
        self._known: dict[tuple[str, ...], DictConfig] = {}

    def parsed(self, words: Sequence[str]) -> list[Override]:
        return OverridesParser.create(config_loader=self.loader).parse_overrides(list(words))

    def composed(self, words: Sequence[str]) -> DictConfig:
        """One configuration, with what belongs to Hydra itself under `hydra`."""
        key = tuple(words)
        if key not in self._known:
            self._known[key] = hydra.compose(self.config_name, list(words), return_hydra_config=True)
        return self._known[key]

    def is_group(self, key: str, words: Sequence[str]) -> bool:
        """Whether `key` chooses among files; `words` may add folders to search."""
        added = [word for word in words if "hydra.searchpath" in word]
        return bool(
            self.loader.get_group_options(key, ObjectType.CONFIG, config_name=self.config_name, overrides=added)
        )


@contextmanager
def composing(line: Line) -> Iterator[Composer]:
    """Hydra, set up for one command line. Raises InvalidValue where its folder of files is not there."""
    register()
    place = os.path.abspath(line.config_dir) if line.config_dir is not None else None
    if place is not None and not os.path.isdir(place):
        raise InvalidValue("--config-dir", f"--config-dir={line.config_dir}: no such folder")
    main = os.path.abspath(line.config_path or folder("conf"))
    ConvbenchSearchPath.users = place
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*is not available", category=UserWarning)
            with hydra.initialize_config_dir(main, job_name="convbench", **VERSION_BASE):
                yield Composer(line.config_name)
    finally:
        ConvbenchSearchPath.users = None
