"""Two runs that were measured in different environments: what differs, and what cannot be judged then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..results.files import environments
from ..results.table import table_files

Environment = Mapping[str, Any]

ALWAYS = ("torch", "device")
"""Said of both whether they differ in it or not."""

WORDS = {
    "torch": "torch",
    "python": "Python",
    "device": "device",
    "gpu": "",
    "driver": "driver",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "cpu": "CPU",
    "cores": "cores",
    "usable_cores": "usable cores",
    "threads": "threads",
    "variables": "",
}
"""What tells environments apart, in the order in which it is said; any other key that differs follows by its name."""

UNSAID = ("environment_id", "affinity", "executable", "memory_bytes", "system", "torch_config", "convbench", "numpy")


@dataclass(frozen=True, slots=True)
class Environments:
    """The environments of BASE and of NEW, by their ids. They differ where one has one that the other lacks."""

    base: Mapping[str, Environment] = field(default_factory=dict)
    new: Mapping[str, Environment] = field(default_factory=dict)

    @classmethod
    def of(cls, base: Path, new: Path) -> Environments:
        return cls(*(_found(path) for path in (base, new)))

    @property
    def differ(self) -> bool:
        return bool(self.base and self.new) and set(self.base) != set(self.new)

    @property
    def notes(self) -> list[str]:
        """A sentence for each run and one on what that means; none where the environments are the same."""
        if not self.differ:
            return []
        every = [*self.base.values(), *self.new.values()]
        keys = _telling(every)
        lines = [
            f"{name} was measured with {' and with '.join(_described(one, keys) for one in run.values())}"
            for name, run in (("BASE", self.base), ("NEW", self.new))
        ]
        return [
            *lines,
            "the environments differ, so that times are not comparable and the baseline's own speed was not judged; "
            "`python -m convbench duet --a PYTHON --b PYTHON` measures two environments of one machine in pairs",
        ]


def _found(path: Path) -> dict[str, Environment]:
    """Those of a run, or of all its shards."""
    return {key: one for table in table_files(path) for key, one in environments(table.parent).items()}


def _telling(every: Sequence[Environment]) -> list[str]:
    """The keys in which the environments differ, and those that are always said."""
    keys = dict.fromkeys([*WORDS, *(key for one in every for key in one)])
    return [k for k in keys if k not in UNSAID and (k in ALWAYS or any(one.get(k) != every[0].get(k) for one in every))]


def _described(environment: Environment, keys: Sequence[str]) -> str:
    said = [f"{WORDS.get(key, key)} {environment[key]}".strip() for key in keys if environment.get(key) is not None]
    return " · ".join(said) or "an environment of which nothing is known"
