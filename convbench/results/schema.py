"""The version of what a row means (`SCHEMA_VERSION`) in the metadata of the Parquet tables: written and asked here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .._version import __version__
from ..facts.spec import SCHEMA_VERSION
from ..facts.values import InvalidValue

if TYPE_CHECKING:
    import pyarrow.parquet

KEY = b"convbench_schema"
FIRST = 1
"""What a table without the key has: one written before there was a key, or by another program."""


def stamp() -> dict[bytes, bytes]:
    """The metadata of a table that is written now."""
    return {KEY: str(SCHEMA_VERSION).encode()}


def opened(file: Path) -> pyarrow.parquet.ParquetFile:
    """A table of this version or an older one, with the checksums of its pages; raises InvalidValue for a later one."""
    parquet, written = _opened(file)
    if written > SCHEMA_VERSION:
        parquet.close()
        raise InvalidValue(
            "DIR",
            f"{file} has schema version {written}, and convbench {__version__} reads versions up to {SCHEMA_VERSION}; "
            "read it with the convbench that wrote it (column convbench_version) or with a later one",
        )
    return parquet


def versions(files: Iterable[Path]) -> set[int]:
    """Of several tables; a CSV file has no metadata, and its version is not known."""
    return {_opened(file)[1] for file in files if file.suffix == ".parquet"}


def check_same(out: Path) -> None:
    """Raises InvalidValue where a folder's table has another version than what is about to be written there.

    A table that cannot be read is left to the merge, which writes it anew.
    """
    try:
        found = versions([out / "results.parquet"])
    except Exception:  # a damaged file makes its readers raise anything
        return
    if found != {SCHEMA_VERSION}:
        raise InvalidValue(
            "out",
            f"out={out} holds a table of schema version {found.pop()}, and convbench {__version__} writes "
            f"{SCHEMA_VERSION}; go on in another folder, or with the convbench that wrote it",
        )


def _opened(file: Path) -> tuple[pyarrow.parquet.ParquetFile, int]:
    import pyarrow.parquet

    parquet = pyarrow.parquet.ParquetFile(file, page_checksum_verification=True)
    return parquet, int((parquet.schema_arrow.metadata or {}).get(KEY, FIRST))
