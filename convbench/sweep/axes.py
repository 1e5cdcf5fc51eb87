"""From Hydra's words to grids: a composition per choice of configuration files, and axes of checked values."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from ..facts.case import IllegalCase, InvalidValue
from . import cases
from .config import RUN_KEYS, SPEC_KEYS, Schema, Settings, flat, folder, no_setting, spec_of
from .grid import Grid, Values

_TYPES = get_type_hints(Schema)
PROBED = 1000
"""Values of an axis that are checked on their own, so that the message is about them and not about a combination.
What is beyond is checked with the combinations, which all are before anything runs."""


MOST_VALUES = 1_000_000
"""Values of one axis."""


@dataclass(frozen=True)
class Composer:
    """Composes configurations of one sweep: `master` is the command line's own."""

    loader: ConfigLoader
    master: DictConfig

    def parsed(self, words: Sequence[str]) -> list[Given]:
        parser = OverridesParser.create(config_loader=self.loader)
        return [
            Given.of(override, self._is_group(override.key_or_group))
            for override in parser.parse_overrides(list(words))
        ]

    def _is_group(self, key: str) -> bool:
        hydra = self.master.hydra
        return bool(
            self.loader.get_group_options(
                key, ObjectType.CONFIG, config_name=hydra.job.config_name, overrides=list(hydra.overrides.hydra)
            )
        )

    def compositions(self, given: Sequence[Given]) -> Iterator[tuple[DictConfig, list[Given]]]:
        """One configuration for each choice of files, with the axes that its files name."""
        known = {g.key for g in given}
        for lines in _choices(given):
            # The master is composed already, and without what is swept.
            cfg = self._composed(lines) if any(g.group and g.values for g in given) else self.master
            params = {str(k): v for k, v in (cfg.hydra.sweeper.get("params") or {}).items() if k not in known}
            named = self.parsed([_as_word(key, value) for key, value in params.items()])
            axes = [g for g in named if g.values and not g.group]
            for more in _choices(named):
                yield (self._composed([*lines, *more]) if more else cfg), axes

    def _composed(self, lines: list[str]) -> DictConfig:
        return self.loader.load_sweep_config(self.master, lines)


@dataclass(frozen=True)
class Given:
    """One override; `values` are what it sweeps over, empty where it sets one value."""

    line: str
    key: str
    group: bool
    values: Sequence[Any] = ()

    @classmethod
    def of(cls, override: Override, group: bool) -> Given:
        """Raises InvalidValue where there is nothing to enumerate."""
        key = override.key_or_group
        line = override.input_line or key
        if not override.is_sweep_override():
            return cls(line, key, group)
        if not override.is_discrete_sweep():
            raise InvalidValue(
                key, f"{line} has no list of values; write a range or a list, or search with hydra/sweeper=optuna"
            )
        # Converting takes the quotes off.
        values = [Override._convert_value(v) for v in itertools.islice(override.sweep_iterator(), MOST_VALUES + 1)]
        if len(values) > MOST_VALUES:
            raise InvalidValue(key, f"{line} has more than {MOST_VALUES:,} values; sweep fewer at once")
        if not values:
            raise InvalidValue(key, f"{line} has no values: nothing matches, or the range is empty")
        return cls(f"{override.get_key_element()}=", key, group, values)

    @property
    def lines(self) -> list[str]:
        """The override for each choice of a configuration file."""
        return [f"{self.line}{value}" for value in self.values] or [self.line]


def _as_word(key: str, value: Any) -> str:
    if OmegaConf.is_config(value):
        raise InvalidValue(
            key,
            f"hydra.sweeper.params.{key}: {value} could be several values or one; write {key}: 3,5 or {key}: '[3,5]'",
        )
    return f"{key}={value}"


def _choices(given: Iterable[Given]) -> Iterator[list[str]]:
    """Overrides for one composition each: all single values, and the product of the groups' choices."""
    given = [g for g in given if g.group or not g.values]
    return map(list, itertools.product(*(g.lines for g in given)))


def grids(composer: Composer, arguments: Sequence[str]) -> tuple[list[Grid], Settings]:
    """The grids of a sweep, one for each choice of configuration files, and the settings of the whole.

    `arguments` are the command line's overrides; `hydra.sweeper.params` of the composed configuration
    adds axes that the command line does not have. Raises InvalidValue, or what Hydra raises.
    """
    given = composer.parsed(arguments)
    found: list[Grid] = []
    settings: list[Settings] = []
    for cfg, axes in composer.compositions(given):
        values = flat(cfg)
        settings.append(replace(Settings.of(values), cases=None))
        found.append(grid_of(cfg, values, cfg.hydra, [*axes, *(g for g in given if not g.group)]))
    for key in RUN_KEYS:
        if any(getattr(s, key) != getattr(settings[0], key) for s in settings):
            raise InvalidValue(key, f"{key} differs between the chosen files; say which one holds with {key}=…")
    return found, settings[0]


def grid_of(cfg: DictConfig, values: Values, hydra: DictConfig, given: Sequence[Given] = ()) -> Grid:
    """The grid of one composition: `values` are its settings, `given` holds the axes.

    Raises InvalidValue for a value that is wrong on its own, whatever it is combined with.
    """
    _check_searchpath(hydra)
    base = {key: value for key, value in values.items() if key in SPEC_KEYS}
    own = copy.deepcopy(cfg)
    with open_dict(own):
        own.pop("hydra", None)
    axes: dict[str, list[Any]] = {}
    for g in given:
        if not g.values:
            continue
        if g.key in RUN_KEYS:
            raise InvalidValue(g.key, f"{g.key} belongs to the sweep as a whole and takes one value")
        if g.key not in SPEC_KEYS:
            raise no_setting(g.key)
        axes[g.key] = [_typed(own, g.key, value) for value in g.values]
        for value in axes[g.key][:PROBED]:
            _check_alone(base, g.key, value)
    table = None
    if values["cases"]:
        table = cases.read(find_cases(str(values["cases"]), hydra), {*axes, *(g.key for g in given)})
    derived = _written_in_terms_of_others(own, axes)
    return Grid(base, axes, table, _Derive(own, derived) if derived else None)


def _typed(cfg: DictConfig, key: str, value: Any) -> Any:
    """The value as the schema reads it (`1` for a truth value is true). Raises OmegaConf's error where it cannot."""
    if _is_interpolation(value) or _TYPES.get(key) in (Any, type(value)):
        return value
    scratch = copy.deepcopy(cfg)
    OmegaConf.update(scratch, key, value)
    return _plain(OmegaConf.select(scratch, key))


def _check_alone(base: Values, key: str, value: Any) -> None:
    """Raises InvalidValue for a value that is wrong whatever it is combined with."""
    if not _is_interpolation(value):
        # A value that is illegal with the base may be legal together with another axis.
        with contextlib.suppress(IllegalCase):
            spec_of({**base, key: value})


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _is_interpolation(value: Any) -> bool:
    return "${" in str(value) if isinstance(value, (str, list, dict)) else False


def _written_in_terms_of_others(cfg: DictConfig, axes: Mapping[str, Sequence[Any]]) -> list[str]:
    """Settings of a configuration that hold an interpolation, in the files or among an axis's values."""
    raw = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(raw, dict)
    in_files = {key for key in SPEC_KEYS - axes.keys() if _is_interpolation(_at(raw, key))}
    return sorted(in_files.union(key for key, values in axes.items() if any(map(_is_interpolation, values))))


def _at(raw: Any, key: str) -> Any:
    for part in key.split("."):
        raw = raw[part]
    return raw


class _Derive:
    """Resolves settings that are written in terms of others, for each configuration anew."""

    def __init__(self, cfg: DictConfig, keys: Sequence[str]) -> None:
        self._cfg = cfg
        self._keys = keys
        self._written = OmegaConf.to_container(cfg, resolve=False)

    def __call__(self, varying: Values) -> dict[str, Any]:
        touched = [key for key in varying if key in SPEC_KEYS]
        for key in touched:
            OmegaConf.update(self._cfg, key, varying[key])
        try:
            return {key: _plain(OmegaConf.select(self._cfg, key)) for key in self._keys}
        finally:
            for key in touched:
                OmegaConf.update(self._cfg, key, _at(self._written, key))


def find_cases(name: str, hydra: DictConfig) -> Path:
    """A cases file: as written, else beside the saved sweeps of the user's configuration folders or of convbench.

    Raises InvalidValue naming the files that there are.
    """
    path = Path(name).expanduser()
    folders = [Path(s.path) for s in hydra.runtime.config_sources if s.schema == "file"]
    places = [Path.cwd(), *(p for f in folders for p in (f, f / "sweep")), folder("sweeps")]
    for place in [Path(), *places]:
        if (place / path).exists():
            return place / path
    there = sorted(p.name for p in folder("sweeps").glob("*.csv"))
    raise InvalidValue(
        "cases", f"cases={name}: no such file here, and none of that name ships (there are: {', '.join(there)})"
    )


def _check_searchpath(hydra: DictConfig) -> None:
    """A relative folder would mean another one in each directory, and its files would silently not be there."""
    for place in hydra.searchpath:
        scheme, _, path = place.rpartition("://")
        if scheme in ("", "file") and not Path(path).is_absolute():
            raise InvalidValue(
                "hydra.searchpath", f"hydra.searchpath: {place} is relative; write the whole path, or use --config-dir"
            )
