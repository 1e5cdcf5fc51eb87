"""`python -m tests.fault_campaigns.damaged_files [--count 500] [--seed 0]`: one file of a run damaged, each command.

Each must end with a documented exit code and no traceback; what a command says of a damaged table is what it says of
the whole one, or nothing; and a sweep that goes on in the folder leaves a table with every row.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tests.fault_campaigns.forked import Report, Told, campaign, measured, told

SWEEP = ["-m", "seed=0,1,2", "methods=[autograd,explicit]"]
COMMANDS: dict[str, list[str]] = {
    "report": ["report", "RUN", "--out", "page.html"],
    "compare": ["compare", "WHOLE", "RUN"],
    "compare with it": ["compare", "RUN", "WHOLE", "--format", "json"],
    "export csv": ["export", "RUN", "--format", "csv"],
    "export markdown": ["export", "RUN", "--format", "markdown"],
    "export gha": ["export", "RUN", "--format", "gha"],
    "export pytest-benchmark": ["export", "RUN", "--format", "pytest-benchmark"],
    "recompute": ["recompute", "RUN"],
    "show": ["show", "RUN"],
    "history": ["history", "WHOLE", "RUN"],
    "nightly": ["nightly", "gate", "--out", "RUN", "--baselines", "/nowhere/at/all", "--no-keep"],
    "cases": ["cases=RUN", "measure=none", "out=again"],
    "sweep": [*SWEEP, "out=RUN"],
}
READ_NO_RUN = ("validate", "methods", "duet", "gate", "trace", "hunt")
"""Subcommands that read no folder of an earlier run; hunt resumes one as a sweep does."""


def flip(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def zero(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes(min(512, len(data) - place)) + data[place + 512 :]


DAMAGE: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "one bit": flip,
    "zeros": zero,
    "cut off": lambda rng, data: data[: rng.randrange(len(data))],
    "empty": lambda rng, data: b"",
    "something else": lambda rng, data: rng.randbytes(len(data)),
    "more at its end": lambda rng, data: data + rng.randbytes(50) + b"\n",
}


def differs(name: str, words: str, found: Told, calm: Told) -> str:
    """A wrong answer that looks like a right one."""
    if words.startswith("export") and found.code == 0 and name.endswith(".parquet") and found.out != calm.out:
        return "the answer differs from that of the whole run"
    return ""


def complete(run: Path, found: Told) -> str:
    """Whether a sweep that went on has left every row in the table."""
    if found.code != 0:
        return ""
    table = pd.read_parquet(run / "results.parquet")
    rows = sorted(zip(table["seed"], table["method"], strict=True))
    expected = [(seed, method) for seed in range(3) for method in ("autograd", "explicit")]
    return "" if rows == expected else f"the table has the rows {rows}"


def tried(name: str, run: Path, whole: Path) -> Told:
    """What a command says of a run; nothing of it is left behind."""
    found = told([w.replace("RUN", str(run)).replace("WHOLE", str(whole)) for w in COMMANDS[name]], run.parent)
    shutil.rmtree(run.parent / "again", ignore_errors=True)
    return found


def tries(rng: random.Random, count: int, place: Path, report: Report) -> None:
    whole, run = place / "whole", place / "run"
    measured(SWEEP, whole)
    files = sorted(f.relative_to(whole) for f in whole.rglob("*") if f.is_file() and f.stat().st_size)
    calm = {}
    for name in COMMANDS:
        shutil.copytree(whole, run)
        calm[name] = tried(name, run, whole)
        shutil.rmtree(run)
    for number in range(count):
        name, file = list(COMMANDS)[number % len(COMMANDS)], rng.choice(files)
        kind = rng.choice(list(DAMAGE))
        shutil.copytree(whole, run)
        (run / file).write_bytes(DAMAGE[kind](rng, (run / file).read_bytes()))
        found = tried(name, run, whole)
        further = differs(file.name, name, found, calm[name]) or (complete(run, found) if name == "sweep" else "")
        report.add(found, f"{number}: {name}; {file}: {kind}", further, kind)
        shutil.rmtree(run)


if __name__ == "__main__":
    raise SystemExit(campaign(str(__doc__), 500, tries))
