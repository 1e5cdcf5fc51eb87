"""merged.json: which part files the tables of a folder were made from, so that it is noticed when one of them goes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import replacing

MERGED = "merged.json"
GENERATION = re.compile(r"g(\d+)-")


def generation_of(path: Path) -> int:
    """Of a part file, by its name; 0 where that has none."""
    found = GENERATION.match(path.name)
    return int(found[1]) if found else 0


def write_origin(out: Path, sizes: Mapping[str, int], damaged: int, carried: int) -> None:
    """Notes the part files that the tables hold, with their sizes in bytes, those that were there once included; how
    many of their lines were torn or damaged; and how many rows the table has that no part file holds."""
    before = merged_from(out)
    parts = {name: max(before.get(name, 0), sizes.get(name, 0)) for name in sorted({*before, *sizes})}
    noted = {"parts": parts, "damaged_lines": damaged, "carried_rows": carried}
    with replacing(out / MERGED) as file:
        file.write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")


def merged_from(out: Path) -> dict[str, int]:
    """Part files that the tables were made from, with their sizes in bytes; empty where that is not known."""
    found = _noted(out).get("parts")
    return {k: v for k, v in found.items() if isinstance(v, int)} if isinstance(found, dict) else {}


def damaged_lines(out: Path) -> int:
    """Lines of part files that were torn or damaged when the tables of `out` were made; 0 where that is not known."""
    return _number(out, "damaged_lines")


def carried_rows(out: Path) -> int:
    """Rows of the table that no part file holds; 0 where that is not known."""
    return _number(out, "carried_rows")


def lost_generation(out: Path) -> int:
    """The highest generation of a part file that the tables were made from and that is gone or shorter now; else −1.

    Its rows may have replaced any row of that generation or a lower one, so that those are no longer to be trusted.
    """
    parts = out / "parts"
    lost = [name for name, size in merged_from(out).items() if _size(parts / name) < size]
    return max((generation_of(Path(name)) for name in lost), default=-1)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _number(out: Path, key: str) -> int:
    found = _noted(out).get(key)
    return found if isinstance(found, int) else 0


def _noted(out: Path) -> dict[str, Any]:
    try:
        found = json.loads((out / MERGED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
