"""What the tab key offers where Hydra's completion knows nothing: subcommands, and the words that a setting takes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..facts.devices import places
from ..facts.fills import FILLS
from ..facts.wrt import ALL, WRT
from ..methods import METHODS
from .config import CLOSED, TYPES, folder
from .options import Line


def offered(line: Line, commands: Sequence[str]) -> tuple[list[str], bool]:
    """The words that fit, and whether Hydra is to be asked as well (for keys, files to choose and their settings)."""
    typed = os.environ.get("COMP_LINE")
    if typed is None or not any(word.startswith("query=") for word in line.words):
        return [], True
    words = typed.split()
    last = "" if typed.endswith(" ") else words[-1]
    earlier = words[1:] if typed.endswith(" ") else words[1:-1]
    if earlier and earlier[0] in commands:
        return [], False  # the shell offers files, which is what a subcommand takes
    key, equals, value = last.partition("=")
    if not equals:
        return [command for command in commands if not earlier and command.startswith(last)], True
    known = _values(key)
    if not known:
        return [], True
    # Of several values, the one behind the last comma is being written.
    before, separator, rest = value.rpartition(",")
    opening = "[" if not separator and rest.startswith("[") else ""
    start = f"{key}={before}{separator}{opening}"
    return [f"{start}{word}" for word in known if word.startswith(rest.removeprefix(opening))], False


def _values(key: str) -> list[str]:
    if key in CLOSED:
        return [str(member.name) for member in CLOSED[key]]
    if key in ("methods", "baseline"):
        return list(METHODS)
    if key == "wrt":
        return [*WRT, ALL]
    if key == "fill":
        return list(FILLS)
    if key == "sweep":
        return sorted(path.stem for path in folder("sweeps").glob("*.yaml"))
    if key == "device":
        return list(places())
    if key == "deterministic":
        return ["true", "false", "check"]
    return ["true", "false"] if TYPES.get(key) is bool else []
