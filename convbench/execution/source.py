"""Which code a method is made of, found without importing it, so that an edited kernel is measured again."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path


def code_key(method: str) -> str:
    """8 hexadecimal digits over the source file that holds `method`; "" where there is no such file.

    Of a user's own `package.module:function` that is the module's file. What it imports in turn is not looked at.
    """
    module, colon, _ = method.partition(":")
    origin = _origin(module if colon else f"convbench.methods.{method}")
    try:
        return hashlib.sha256(Path(origin).read_bytes()).hexdigest()[:8] if origin else ""
    except OSError:
        return ""


def _origin(module: str) -> str | None:
    """The file of a module, looked for where the child will look: the working directory, then sys.path."""
    path: Sequence[str] | None = [os.getcwd(), *sys.path]
    parts = module.split(".")
    found: ModuleSpec | None = None
    for n in range(1, len(parts) + 1):
        found = _find(".".join(parts[:n]), path)
        if found is None:
            return None
        path = found.submodule_search_locations
    return found.origin if found else None


def _find(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        found: ModuleSpec | None = find_spec(name, path) if find_spec else None
        if found is not None:
            return found
    return None
