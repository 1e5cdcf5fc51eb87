"""What rows of one configuration have in common: the key by which files, tables, findings and pages tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class ConfigurationKey(NamedTuple):
    """A configuration within a run; its fields are columns of the table.

    Two layers of one shape differ in `labels` alone, two ways to measure the same thing in `run_key` alone. Across
    runs, which may have been measured differently, compare has a key of its own (comparison/result.py).
    """

    config_id: str | None
    run_key: str | None
    labels: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> ConfigurationKey:
        """The key of a row of the table or of samples.parquet."""
        return cls(row.get("config_id"), row.get("run_key"), row.get("labels"))


KEY_COLUMNS = ConfigurationKey._fields
