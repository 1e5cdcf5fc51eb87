"""A Python environment that has torch and numpy, what these two require, and nothing else that is installed here."""

from __future__ import annotations

import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement


def bare_environment(folder: Path) -> Path:
    """A virtual environment that borrows those packages from this one, each by a link of its own."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for one in required(["torch", "numpy"], {}).values():
        for name in top_level(one):
            if not (site / name).is_symlink():
                (site / name).symlink_to(Path(str(one.locate_file(name))))
    return folder


def required(names: list[str], found: dict[str, Distribution]) -> dict[str, Distribution]:
    """The installed distributions of these names, and what they require, by name."""
    for name in names:
        try:
            if name not in found:
                found[name] = distribution(name)
                required(list(requirements(found[name])), found)
        except PackageNotFoundError:
            continue  # of another platform than this one, or left out on purpose
    return found


def requirements(one: Distribution) -> Iterator[str]:
    for text in one.requires or ():
        asked = Requirement(text)
        if asked.marker is None or asked.marker.evaluate({"extra": ""}):
            yield asked.name


def top_level(one: Distribution) -> set[str]:
    """Names of the modules and folders that a distribution puts into site-packages."""
    assert one.files is not None, f"{one.name} does not say which files are its own"
    names = {file.parts[0] for file in one.files if not file.is_absolute()}
    return {name for name in names if name not in ("..", "__pycache__") and not name.endswith(".pth")}
