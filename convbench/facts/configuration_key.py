"""What rows of one configuration have in common: the key by which files, tables, findings and pages tell them apart."""

from __future__ import annotations

import hashlib
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

    @property
    def unit(self) -> str:
        """Its name in part files: the run key, which tells the rest, and a hash of the labels where there are some."""
        digest = hashlib.sha256((self.labels or "").encode(errors="surrogatepass")).hexdigest()[:16]
        return f"{self.run_key or ''}-{digest}" if self.labels else self.run_key or ""


KEY_COLUMNS = ConfigurationKey._fields
