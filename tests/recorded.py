"""What runs have kept of their samples."""

from __future__ import annotations

from pathlib import Path

from convbench.commands.recompute import samples_of
from convbench.facts.configuration_key import ConfigurationKey
from convbench.facts.timed_as import CALL
from convbench.timing.samples import Samples


def calls(path: Path) -> dict[ConfigurationKey, list[Samples]]:
    """The samples of bare calls in a samples.parquet by configuration, one Samples for each process."""
    return {key: [part for part in own if part.timed_as == CALL] for key, own in samples_of(path).items()}
