"""`+sweep=` without a name: the saved sweeps that there are, a line for each."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

from omegaconf import OmegaConf

from ..facts import units
from .config import folder
from .options import Line

WIDTH = 80
PACKAGE = "# @package"


def listing(line: Line) -> Iterator[str]:
    """Name and first sentence of every saved sweep that ships or stands in the folder of --config-dir."""
    own = [Path(line.config_dir) / "sweep"] if line.config_dir is not None else []
    files = {file.stem: file for place in (folder("sweeps"), *own) for file in sorted(place.glob("*.yaml"))}
    widest = max(map(len, files), default=0)
    yield "saved sweeps (python -m convbench +sweep=NAME):"
    for name, file in files.items():
        yield f"  {name:<{widest}}  {shorten(_said(file), WIDTH - widest - 4, placeholder=' …')}"


def _said(file: Path) -> str:
    """What the comment at the head of a file says up to its first colon or full stop, and how long its list is."""
    text = file.read_text(encoding="utf-8")
    head = re.match(r"(?:#.*\n)*", text)
    lines = [line.lstrip("# ") for line in (head[0] if head else "").splitlines() if not line.startswith(PACKAGE)]
    sentence = re.split(r"[:.](?:\s|$)", " ".join(lines))[0].strip('"')
    cases = OmegaConf.select(OmegaConf.create(text), "cases")
    if not cases or not (file.parent / str(cases)).is_file():
        return sentence
    with (file.parent / str(cases)).open(encoding="utf-8", newline="") as lines_of_csv:
        return f"{sentence} ({units.count(sum(1 for _ in csv.DictReader(lines_of_csv)), 'layer')})"
