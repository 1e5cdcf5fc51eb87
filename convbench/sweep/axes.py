"""From Hydra's words to grids: a composition per choice of configuration files, and axes of checked values."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import DictConfig, OmegaConf, open_dict

from ..facts.values import IllegalCase, InvalidValue
from ..results.files import named
from . import cases
from .composing import Composer
from .config import RUN_KEYS, SPEC_KEYS, TYPES, Settings, flat, folder, no_setting, setting, spec_of
from .grid import Grid, Values
from .presets import Preset

METHOD_KEYS = ("methods", "baseline")
PROBED = 1000
"""Values of an axis that are checked on their own, so that the message is about them and not about a combination.
What is beyond is checked with the combinations, which all are before anything runs."""


MOST_VALUES = 1_000_000
"""Values of one axis."""


@dataclass(frozen=True)
class Given:
    """One override. Where it is `swept`, `values` are what it sweeps over; `group` says that it chooses files."""

    override: Override
    group: bool

    @classmethod
    def all_of(cls, composer: Composer, words: Sequence[str]) -> list[Given]:
        overrides = composer.parsed(words)
        return [cls(override, composer.is_group(override.key_or_group, words)) for override in overrides]

    @property
    def key(self) -> str:
        return self.override.key_or_group

    @property
    def line(self) -> str:
        """As it was written."""
        return self.override.input_line or self.key

    @property
    def swept(self) -> bool:
        return self.override.is_sweep_override()

    @cached_property
    def values(self) -> Sequence[Any]:
        """Raises InvalidValue where there is nothing to enumerate."""
        if not self.swept:
            return ()
        if not self.override.is_discrete_sweep():
            raise InvalidValue(
                self.key,
                f"{self.line} has no list of values; write {_range_of(self.override)}, "
                "or search with hydra/sweeper=optuna",
            )
        values = [_unquoted(v) for v in itertools.islice(self.override.sweep_iterator(), MOST_VALUES + 1)]
        if len(values) > MOST_VALUES:
            raise InvalidValue(self.key, f"{self.line} has more than {MOST_VALUES:,} values; sweep fewer at once")
        if not values:
            raise InvalidValue(self.key, f"{self.line} has no values: nothing matches, or the range is empty")
        return values

    @property
    def lines(self) -> list[str]:
        """The override for each choice of a configuration file."""
        return [f"{self.override.get_key_element()}={value}" for value in self.values] if self.swept else [self.line]


def _unquoted(value: Any) -> Any:
    if isinstance(value, list):
        return [_unquoted(v) for v in value]
    if isinstance(value, dict):
        return {_unquoted(k): _unquoted(v) for k, v in value.items()}
    return value.text if isinstance(value, QuotedString) else value


def _range_of(override: Override) -> str:
    """How the whole numbers of an interval are written, as an example where the interval has others."""
    interval = override.value()
    start, end = getattr(interval, "start", None), getattr(interval, "end", None)
    if isinstance(start, (int, float)) and isinstance(end, (int, float)) and start == int(start) and end == int(end):
        # An interval has both its ends, a range all but the last.
        return f"{override.key_or_group}=range({int(start)},{int(end) + 1})"
    return "a range or a list"


def _choices(given: Iterable[Given]) -> Iterator[list[str]]:
    """Words for one composition each: all single values, and the product of the groups' choices."""
    given = [g for g in given if g.group or not g.swept]
    return map(list, itertools.product(*(g.lines for g in given)))


def first_composed(composer: Composer, given: Sequence[Given]) -> DictConfig:
    """The configuration of the first choice of files, without what is swept."""
    return composer.composed(next(_choices(given)))


def _compositions(composer: Composer, given: Sequence[Given]) -> Iterator[tuple[DictConfig, list[Given]]]:
    """One configuration for each choice of files, with the axes that its files name."""
    for words in _choices(given):
        cfg = composer.composed(words)
        named = Given.all_of(composer, saved_axes(cfg, {g.key for g in given}))
        axes = [g for g in named if g.swept and not g.group]
        for more in _choices(named):
            yield (composer.composed([*words, *more]) if more else cfg), axes


def saved_axes(cfg: DictConfig, known: Iterable[str] = ()) -> list[str]:
    """The axes that a configuration's files name, as words; not those that are `known` from the command line.

    They stand under `axes`, and in files of before under `hydra.sweeper.params`. Raises InvalidValue.
    """
    words: dict[str, str] = {}
    for place in ("hydra.sweeper.params", "axes"):
        found = OmegaConf.select(cfg, place)
        raw: Any = OmegaConf.to_container(found, resolve=False) if found else {}
        for key, value in raw.items():
            words[str(key)] = _as_word(place, str(key), value)
    return [word for key, word in words.items() if key not in known]


def _as_word(place: str, key: str, value: Any) -> str:
    if isinstance(value, (list, dict)):
        written = f"{place}.{key}: {value}"
        raise InvalidValue(key, f"{written} could be several values or one; write {key}: 3,5 or {key}: '[3,5]'")
    return f"{key}={str(value).lower() if isinstance(value, bool) else value}"


def grids(composer: Composer, given: Sequence[Given]) -> tuple[list[Grid], Settings]:
    """The grids of a sweep, one for each choice of configuration files, and the settings of the whole.

    `given` are the command line's words; the axes that the composed configuration names come before those
    of the command line, unless it has them too. Raises InvalidValue, or what Hydra raises.
    """
    found: list[Grid] = []
    settings: list[Settings] = []
    for cfg, axes in _compositions(composer, given):
        values = flat(cfg)
        settings.append(replace(Settings.of(values), cases=None))
        found.append(grid_of(cfg, values, cfg.hydra, [*axes, *(g for g in given if not g.group)]))
    for key in (f.name for f in fields(Settings) if f.compare):
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
        if not g.swept:
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
        chosen = [base[key] for key in METHOD_KEYS] + [value for key in METHOD_KEYS for value in axes.get(key, ())]
        table.check_trusted({name for value in chosen for name in ([value] if isinstance(value, str) else value or ())})
    derived = _written_in_terms_of_others(own, axes)
    preset = _preset(str(base["measure.name"]), hydra)
    base["measure.name"] = preset.told(base)
    return Grid(base, axes, table, _Derive(own, derived) if derived else None, preset)


def _preset(name: str, hydra: DictConfig) -> Preset:
    """The preset that was chosen as a file; the one that is named where the configuration chooses none."""
    choice = OmegaConf.select(hydra, "runtime.choices.measure") or name
    return Preset.of(str(choice), [Path(source.path) for source in hydra.runtime.config_sources])


def _typed(cfg: DictConfig, key: str, value: Any) -> Any:
    """The value as the schema reads it (`1` for a truth value is true). Raises OmegaConf's error where it cannot."""
    if _is_interpolation(value) or TYPES.get(key) in (Any, type(value)):
        return value
    scratch = copy.deepcopy(cfg)
    OmegaConf.update(scratch, key, value)
    return setting(scratch, key)


def _check_alone(base: Values, key: str, value: Any) -> None:
    """Raises InvalidValue for a value that is wrong whatever it is combined with."""
    if not _is_interpolation(value):
        # A value that is illegal with the base may be legal together with another axis.
        with contextlib.suppress(IllegalCase):
            spec_of({**base, key: value})


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
            return {key: setting(self._cfg, key) for key in self._keys}
        finally:
            for key in touched:
                OmegaConf.update(self._cfg, key, _at(self._written, key))


def find_cases(name: str, hydra: DictConfig) -> Path:
    """A cases file: as written, else beside the saved sweeps of the user's configuration folders or of convbench.

    Raises InvalidValue naming the files that there are.
    """
    path = named(name)
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
