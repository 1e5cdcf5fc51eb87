"""Which code a method is made of, found without importing it, so that an edited kernel is measured again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from ..facts.module_files import file_of, spec_of


def code_key(method: str) -> str:
    """8 hexadecimal digits over the source file that holds `method`; "" where there is no such file.

    Of a user's own `package.module:function` that is the module's file. What it imports in turn is not looked at.
    """
    module, colon, _ = method.partition(":")
    origin = file_of(module if colon else f"convbench.methods.{method}")
    try:
        return hashlib.sha256(Path(origin).read_bytes()).hexdigest()[:8] if origin else ""
    except OSError:
        return ""


def is_found(module: str) -> bool:
    """Whether the child will find a module; nothing is imported here, and what cannot be told counts as found."""
    if module in sys.modules or spec_of(module) is not None:
        return True
    top, dot, _ = module.partition(".")
    return bool(dot) and spec_of(top) is not None and _found_by_import(module)


_ASK = """
import importlib.util, json, sys
sys.path[:] = json.loads(sys.argv[1])
try:
    found = importlib.util.find_spec(sys.argv[2]) is not None
except ModuleNotFoundError as error:
    found = not (sys.argv[2] + ".").startswith(f"{error.name}.")
sys.exit(0 if found else 86)
"""
"""86 where a dotted name does not exist. A package's own code runs: it may extend the path that its modules are on."""


def _found_by_import(module: str) -> bool:
    path = json.dumps([os.getcwd(), *sys.path])
    try:
        asked = subprocess.run([sys.executable, "-c", _ASK, path, module], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return True
    return asked.returncode != 86
