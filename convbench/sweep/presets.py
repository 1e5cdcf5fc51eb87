"""Measurement presets: the files of conf/measure/, and what the table calls one that was changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ..facts.measure import Measure
from ..facts.values import InvalidValue, did_you_mean
from .config import folder

COMPARED = tuple(f.name for f in fields(Measure) if f.name not in ("name", "cache", "cuda_graph", "time"))
"""What a changed preset's name says; the other two have columns of their own."""

Values = Mapping[str, Any]


@cache
def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted((folder("conf") / "measure").glob("*.yaml"))}


def preset(name: str) -> Measure:
    """The measurement of conf/measure/NAME.yaml. Raises InvalidValue where there is no such file."""
    if name not in _shipped():
        hint = did_you_mean(name, _shipped()) or f"; allowed: {', '.join(_shipped())}"
        raise InvalidValue("measure", f"no measurement named {name!r}{hint}")
    return Measure(**{key: _plain(value) for key, value in _read(name, ()).items()})


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset as its file has it, by which its changes are told. `name` is what the table calls it."""

    name: str
    values: Values

    @classmethod
    def of(cls, choice: str, folders: Sequence[Path]) -> Preset:
        """The one that `measure=CHOICE` chooses among the files that ship and those of the user's own `folders`.

        One of the user's own is called by its own `name`, and by its file's where it has none or that of another.
        """
        own = {} if choice in _shipped() else _read(choice, folders)
        name = str(own.get("name", choice))
        values = {**{f.name: f.default for f in fields(Measure)}, **(own or _read(choice, folders))}
        return cls(choice if name in _shipped() else name, values)

    def told(self, values: Values) -> str:
        """What the column `measure` says of flat settings: the preset's name and what differs from it.

        `default half_width=0.02`. A name that somebody gave with measure.name= stands alone. `values` may hold what
        was told of other values.
        """
        given = str(values["measure.name"])
        if given.partition(" ")[0] not in (self.name, *_shipped()):
            return given
        now = {key: _plain(values[f"measure.{key}"]) for key in COMPARED}
        changed = [f"{key}={_written(value)}" for key, value in now.items() if value != _plain(self.values[key])]
        return " ".join([self.name, *changed])


def _read(name: str, folders: Sequence[Path]) -> dict[str, Any]:
    """The settings in NAME.yaml and in the presets that its list of defaults names; nothing where there is no file."""
    files = [path / "measure" / f"{name}.yaml" for path in folders]
    file = _shipped().get(name) or next((file for file in files if file.is_file()), None)
    loaded: Any = OmegaConf.to_container(OmegaConf.load(file)) if file else {}
    below: dict[str, Any] = {}
    for entry in loaded.pop("defaults", ()):
        if isinstance(entry, str) and entry != "_self_":
            below |= _read(entry, folders)
    return {**below, **loaded}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
