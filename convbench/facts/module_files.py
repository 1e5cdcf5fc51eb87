"""Where a module is, found without importing it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec


def file_of(module: str) -> str | None:
    """The file of a module, found without importing it; None where it has none or cannot be found so."""
    found = spec_of(module)
    return found.origin if found else None


def spec_of(module: str) -> ModuleSpec | None:
    """Where a module is, looked for where the child will look: the working directory, then sys.path."""
    path: Sequence[str] | None = [os.getcwd(), *sys.path]
    parts = module.split(".")
    found: ModuleSpec | None = None
    for n in range(1, len(parts) + 1):
        found = _find(".".join(parts[:n]), path)
        if found is None:
            return None
        path = found.submodule_search_locations
    return found


def _find(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        found: ModuleSpec | None = find_spec(name, path) if find_spec else None
        if found is not None:
            return found
    return None
