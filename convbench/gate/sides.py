"""The two sides of a pull request: where each of them finds the user's own methods, and whether it really does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..execution.boot import LOAD
from ..execution.process import START_S, Place
from ..facts.module_files import file_of
from ..facts.values import InvalidValue
from .repository import Repository

PROBE = f"""{LOAD}
import json, os
from convbench.methods.own import load
faults = {{}}
for name in sys.argv[3:]:
    try:
        load(name)
    except Exception as error:
        faults[name] = str(error)
skipped = tuple(os.path.realpath(p) + os.sep for p in (home, sys.prefix, sys.base_prefix))
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
files = sorted({{os.path.realpath(f) for f in files if isinstance(f, str)}})
with open(sys.argv[2], "w") as out:
    json.dump({{"faults": faults, "files": [f for f in files if not f.startswith(skipped)]}}, out)
"""
"""Loads methods as a side does, and writes down what could not be loaded and which files came along."""


@dataclass(frozen=True, slots=True)
class Base:
    """Side a: where it runs, and the methods that it does not have, each with the sentence that says why."""

    place: Place
    absent: Mapping[str, str] = field(default_factory=dict)


def own_methods(arms: Iterable[str], repository: Repository) -> dict[str, Path]:
    """Those of `arms` whose code is in the repository, with the file of each.

    Raises InvalidValue for one that git does not keep, as a built extension: the base has none.
    """
    found = {}
    for method in arms:
        module, colon, _ = method.partition(":")
        origin = file_of(module) if colon else None
        file = Path(origin).resolve() if origin else None
        if file is None or not _inside(file, repository.top) or _inside(file, Path(sys.prefix)):
            continue
        if repository.ignores(file):
            raise InvalidValue(
                "methods",
                f"{method} comes from {file}, which git ignores, so that the base has no such file; measure what is "
                "built with `python -m convbench duet` and an environment for each side",
            )
        found[method] = file
    return found


def _inside(file: Path, folder: Path) -> bool:
    return file.is_relative_to(folder.resolve())


def base_side(repository: Repository, tree: Path, methods: Mapping[str, Path], python: str) -> Base:
    """Side a, in the worktree `tree` at the place that the working directory has in the repository.

    Raises InvalidValue where it would import code of the working directory, as from an editable installation.
    """
    folder = tree / repository.prefix
    folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(map(str, _import_path(repository, tree, methods)))
    # torch keeps what it compiles by the extension's name: both sides would build each other's anew.
    env = {**os.environ, "PYTHONPATH": path, "TORCH_EXTENSIONS_DIR": str(tree.parent / "torch_extensions")}
    place = Place(python, str(folder), env)
    faults, files = _probe(place, methods, tree.parent / "probe.json")
    for file in files:
        if _inside(file, repository.top) and not _inside(file, tree) and not repository.ignores(file):
            raise InvalidValue(
                "gate",
                f"the base would run {file} of the working directory as well (an editable installation?), so that "
                "nothing would be compared; uninstall it and give its folder in PYTHONPATH",
            )
    return Base(
        place, {m: f"{m} is not in the base, so there is nothing to compare it with: {faults[m]}." for m in faults}
    )


def _import_path(repository: Repository, tree: Path, methods: Mapping[str, Path]) -> list[Path]:
    """PYTHONPATH of side a: what is imported from the working tree here comes from the same place in `tree` there."""
    roots = [file.parents[m.partition(":")[0].count(".") + (file.stem == "__init__")] for m, file in methods.items()]
    given = [Path(entry or ".") for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    top = repository.top.resolve()
    out = []
    for entry in (*roots, *given, *map(Path, sys.path)):
        here = entry.resolve()
        there = tree / here.relative_to(top) if here.is_relative_to(top) else None
        if there is None and entry in given:
            out.append(here)
        elif there is not None and there.is_dir():
            out.append(there)
    return list(dict.fromkeys(out))


def _probe(place: Place, methods: Mapping[str, Path], answer: Path) -> tuple[dict[str, str], list[Path]]:
    """What side a cannot load and why, and the files that it loads; all of it is unloadable where importing ends it."""
    home = str(Path(__file__).resolve().parent.parent)
    command = [place.python, "-c", PROBE, home, str(answer), *methods]
    try:
        done = subprocess.run(
            command,
            cwd=place.folder,
            env=place.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=START_S,
        )
        found = json.loads(answer.read_text(encoding="utf-8"))
    except subprocess.TimeoutExpired:
        return dict.fromkeys(methods, f"importing it there takes more than {START_S:g} s"), []
    except (OSError, ValueError):
        words = done.stderr.strip().splitlines()
        said = words[-1] if words else f"exit status {done.returncode}"
        return dict.fromkeys(methods, f"importing it there ends the process ({said})"), []
    return found["faults"], [Path(file) for file in found["files"]]
