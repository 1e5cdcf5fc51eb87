"""A sweep that is running, or was killed before its end: its tables, made from its part files for whoever reads them.

The folder itself is not touched: another process may be writing to it, and the reader may not be allowed to.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

from .folder import OWNER
from .merge import merge
from .origin import MERGED, merged_from
from .parts import part_files
from .run_file import NAME as RUN_FILE

TABLES = ("results.parquet", "samples.parquet", MERGED, RUN_FILE)
"""What making tables anew reads of a folder beside its part files, and what a reader wants to find beside them."""

_made: dict[Path, tuple[tuple[int, ...], Path]] = {}
"""Folder → how long its part files were, and a folder with tables made from them, which this process takes away."""


def read_from(folder: Path) -> Path:
    """Where to read the tables of a run: its own folder or, where part files hold more than its tables do, another.

    Raises InvalidValue where the part files cannot be read.
    """
    sizes = _ahead(folder)
    if not sizes:
        return folder
    if folder in _made and _made[folder][0] == sizes:
        return _made[folder][1]
    place = Path(tempfile.mkdtemp(prefix="convbench-so-far-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    (place / "parts").symlink_to((folder / "parts").resolve(), target_is_directory=True)
    for name in TABLES:
        with suppress(FileNotFoundError):
            shutil.copyfile(folder / name, place / name)
    merge(place)
    _made[folder] = sizes, place
    return place


def own_folder(place: Path) -> Path:
    """The run's own folder, given one that `read_from` has made; any other as it is."""
    return next((folder for folder, (_, made) in _made.items() if made == place), place)


def _ahead(folder: Path) -> tuple[int, ...]:
    """The sizes of the part files where they hold lines that the tables do not; else none."""
    if not (folder / "parts").is_dir():
        return ()
    files = part_files(folder)
    sizes = {file.name: file.stat().st_size for file in files}
    known = merged_from(folder)
    if not known and (folder / "results.parquet").is_file():
        return ()
    return tuple(sizes.values()) if any(size > known.get(name, 0) for name, size in sizes.items()) else ()


def writer(folder: Path) -> str | None:
    """`process 123 on host` while a sweep of this machine writes to `folder`; None where none is known to."""
    try:
        said = (folder / OWNER).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    found = re.fullmatch(r"process (\d+) on (.+)", said)
    if found is None or found[2] != socket.gethostname():
        return None
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return said
