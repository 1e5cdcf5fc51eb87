"""The configurations that a command line stands for, without running them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..facts.case import InvalidValue
from .config import folder

if TYPE_CHECKING:
    from .config import Settings
    from .grid import Sweep

LISTS = (".csv", ".parquet")


def planned(arguments: Sequence[str]) -> tuple[Sweep, Settings]:
    """What `python -m convbench ARGUMENTS` would run, and the sweep's own settings; raises InvalidValue."""
    from .hydra_app import run
    from .messages import sentence
    from .program import Program

    class Listing(Program):
        """Keeps the sweep that it is to run."""

        found: tuple[Sweep, Settings] | None = None

        def sweep(self, sweep: Sweep, settings: Settings, *_: object) -> None:
            self.found = (sweep, settings)

        def __call__(self, cfg: object) -> float:
            raise InvalidValue("hydra/sweeper", "another hydra/sweeper chooses while it runs; leave it out here")

    listing = Listing()
    try:
        run(["-m", *arguments], listing)
    except Exception as error:
        raise InvalidValue("sweep", sentence(error)) from error
    if listing.found is None:
        raise InvalidValue("sweep", f"{' '.join(arguments)} names no configurations")
    return listing.found


def saved(name: str) -> tuple[Path, list[str]]:
    """The file behind a saved sweep's name, a sweep's .yaml or a list of cases, and the words that run it.

    Raises InvalidValue where there is no such file.
    """
    path = Path(name).expanduser()
    if path.suffix in LISTS or path.is_dir():
        if not path.exists():
            raise InvalidValue(
                "cases", f"{path} does not exist; give a saved sweep's name, its .yaml, or a .csv of cases"
            )
        return path.resolve(), [f"cases={path.resolve()}"]
    if os.sep not in name and path.suffix != ".yaml":
        return folder("sweeps") / f"{name}.yaml", [f"+sweep={name}"]
    if not path.is_file():
        raise InvalidValue("sweep", f"{path} does not exist; give a saved sweep's name, its .yaml, or a .csv of cases")
    path = path.resolve()
    if path.parent == folder("sweeps").resolve():
        return path, [f"+sweep={path.stem}"]
    if path.parent.name != "sweep":
        raise InvalidValue("sweep", f"{path} must lie in a folder named sweep, where Hydra looks for saved sweeps")
    return path, [f"--config-dir={path.parent.parent}", f"+sweep={path.stem}"]
