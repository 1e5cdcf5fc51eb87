"""Which code a method is made of, found without importing it, so that an edited kernel is measured again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from ..facts.module_files import file_of, spec_of
from ..facts.values import InvalidValue, did_you_mean


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


OPAQUE = re.compile(r"import\s*\(?\s*\*|__getattr__|__dict__|\b(exec|globals|locals|setattr|vars)\s*\(")
"""Source that may give a module names which are not written in it."""
NAMES = re.compile(r"^(?:(?:async )?def|class)\s+(\w+)|^(\w+)\s*=", re.M)


def check_found(key: str, method: str) -> None:
    """Raises InvalidValue where the module of a user's own method, or its function, is not there. Nothing is imported;
    what cannot be told counts as found."""
    module, _, function = method.partition(":")
    if not is_found(module):
        near = did_you_mean(module, (path.stem for path in Path.cwd().glob("*.py")))
        raise InvalidValue(key, f"{key}={method}: no module {module} in the working directory or on sys.path{near}")
    text = _source_of(module)
    if text is not None and not re.search(rf"\b{re.escape(function)}\b", text):
        near = did_you_mean(function, (a or b for a, b in NAMES.findall(text)))
        raise InvalidValue(key, f"{key}={method}: there is no {function} in {module}{near}")


def _source_of(module: str) -> str | None:
    """The text of a module in which all of its names are written; None where that cannot be told."""
    origin = file_of(module)
    if not origin or not origin.endswith(".py"):
        return None
    try:
        text = Path(origin).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return None if OPAQUE.search(text) else text


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
