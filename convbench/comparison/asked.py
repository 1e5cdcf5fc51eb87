"""What the run.json of two runs says that their tables do not: how carefully each was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..results.run_file import settings_of
from ..sweep.presets import COMPARED, Preset
from .measure_again import AS_IT_WAS


@dataclass(frozen=True, slots=True)
class Asked:
    """The settings of BASE and of NEW; empty where nothing was written down."""

    base: Mapping[str, Any]
    new: Mapping[str, Any]

    @classmethod
    def of(cls, base: Path, new: Path) -> Asked:
        return cls(settings_of(base), settings_of(new))

    @property
    def notes(self) -> list[str]:
        """A sentence where the runs were not measured alike; none where that is not known."""
        if not self.base or not self.new:
            return []
        was, now = _said(self.base), _said(self.new)
        differing = [key for key in was if key in now and was[key] != now[key]]
        if not differing:
            return []
        each = (", ".join(f"{key}={said[key]}" for key in differing) for said in (was, now))
        return ["the runs were not measured alike: BASE with {}, NEW with {}".format(*each)]


def _said(settings: Mapping[str, Any]) -> dict[str, Any]:
    known = {"measure.name", *(f"measure.{key}" for key in COMPARED)} <= settings.keys()
    measure = {"measure": Preset.of(str(settings["measure.name"]), ()).told(settings)} if known else {}
    return {**measure, **{key: settings.get(key) for key in AS_IT_WAS}}
