"""The two sides of a duet as they were asked for, and as they say they are."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ..execution.process import Place
from ..facts.values import InvalidValue
from ..results.files import named
from .pair import NAMES

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Greeting = Mapping[str, Any]


def place(name: str, python: str, variables: Sequence[str]) -> Place:
    """Where side `name` runs: the interpreter of `--NAME`, with the variables of `--NAME-env`. Raises InvalidValue."""
    found = interpreter(f"--{name}", python)
    return Place(found, env={**os.environ, **assigned(f"--{name}-env", variables)} if variables else None)


def interpreter(option: str, word: str) -> str:
    """The path of an interpreter: `word` itself, a command, or the folder of an environment. Raises InvalidValue."""
    path = named(word)
    found = shutil.which(str(path / "bin" / "python")) if path.is_dir() else shutil.which(str(path))
    if found is None:
        raise InvalidValue(option, f"{option} {word} is not a Python interpreter; give one, or an environment's folder")
    # Not resolved: an environment is known by the link it is called through.
    return os.path.abspath(found)


def assigned(option: str, words: Sequence[str]) -> dict[str, str]:
    """The environment variables that words like OMP_NUM_THREADS=1 set. Raises InvalidValue."""
    out = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not VARIABLE.fullmatch(key):
            raise InvalidValue(
                option, f"{option} {word} sets no environment variable; give NAME=VALUE, as in ONEDNN_MAX_CPU_ISA=AVX2"
            )
        out[key] = value
    return out


def said(name: str, greeting: Greeting, variables: Sequence[str] = ()) -> str:
    """`a: torch 2.13.0 (built for CUDA 12.6) · Python 3.11 · ONEDNN_MAX_CPU_ISA=AVX2`."""
    built = f" (built for {greeting['built_for']})" if greeting.get("built_for") else ""
    return " · ".join([f"{name}: torch {greeting['torch']}{built}", f"Python {greeting['python']}", *variables])


def different_builds(greetings: Mapping[str, Greeting]) -> str | None:
    """A sentence where one torch was built for the CPU and the other for a GPU, or for another kind of GPU."""
    built = [str(greetings[name].get("built_for") or "") for name in NAMES]
    kinds = [one.partition(" ")[0] for one in built]
    if not all(kinds) or kinds[0] == kinds[1]:
        return None
    each = " and ".join(f"{name} for {one}" for name, one in zip(NAMES, built, strict=True))
    return (
        f"the two builds of torch differ in kind ({each}): calls of one of them may take some 20 µs more whatever they "
        "compute, which says nothing of the versions; compare builds of one kind"
    )
