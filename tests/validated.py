"""What `validate` says of an idle machine, of one that is busy in bursts, and of one with 15 busy processes.

`python -m tests.validated [DIR] [--seconds 300] [--busy 15] [--times 5]` runs the program's own command: idle, with
`--load`, and so many times for a minute each beside processes that never rest, where it must not say yes. Writes the
tables of docs/timing.md (`--page ""`: prints them alone). What is in DIR already is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from .pages import replace_section
from .unequal_calls import load

PAGE = Path(__file__).parent.parent / "docs" / "timing.md"

Said = dict[str, Any]
"""The JSON of one validation, with its `exit`."""


def validated(path: Path, seconds: float, words: Sequence[str] = (), busy: int = 0) -> Said:
    """What `validate` said, from `path` where it is there."""
    if not path.is_file():
        command = [sys.executable, "-m", "convbench", "validate", "--json", f"budget_s={seconds:g}", *words]
        with load(busy) if busy else nullcontext():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        path.write_text(json.dumps({**json.loads(done.stdout), "exit": done.returncode}, indent=1))
    found: Said = json.loads(path.read_text())
    return found


def beside_the_timer(run: Said, figure: str) -> str:
    """A figure of the scatter, of pairs and of torch's Timer."""
    own, timer = run["scatter"]
    return " / ".join(f"{one[figure]:.2g}" for one in (own, timer))


def table(runs: dict[str, Said]) -> str:
    """One column for each validation, one line for each figure and proof."""
    lines = {
        "trials": [str(run["tries"]) for run in runs.values()],
        "identical code, \\|log ratio\\|, median: in pairs / torch's Timer": [
            beside_the_timer(run, "median") for run in runs.values()
        ],
        "90th percentile: in pairs / torch's Timer": [beside_the_timer(run, "p90") for run in runs.values()],
        "largest: in pairs / torch's Timer": [beside_the_timer(run, "largest") for run in runs.values()],
        "seconds for two methods: in pairs / torch's Timer": [beside_the_timer(run, "pair_s") for run in runs.values()],
        "share of a measurement inside timed regions": [f"{run['timed_share']:.0%}" for run in runs.values()],
    }
    for name in dict.fromkeys(proof["name"] for run in runs.values() for proof in run["proofs"]):
        lines[name] = [observed(run, name) for run in runs.values()]
    lines["exit code"] = [str(run["exit"]) for run in runs.values()]
    head = [f"| | {' | '.join(runs)} |", f"|---|{'---|' * len(runs)}"]
    return "\n".join([*head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in lines.items())])


def observed(run: Said, name: str) -> str:
    for proof in run["proofs"]:
        if proof["name"] == name:
            return f"{proof['observed']}{' (fails)' if proof['holds'] is False else ''}"
    return ""


def refusals(runs: Sequence[Said]) -> str:
    """One line for each validation: what failed in it and what it said."""
    head = ["| trials | proofs that failed | what it said | exit code |", "|--:|---|---|--:|"]
    return "\n".join([*head, *(_refusal(run) for run in runs)])


def _refusal(run: Said) -> str:
    failed = "; ".join(f"{proof['name']}: {proof['observed']}" for proof in run["proofs"] if proof["holds"] is False)
    return f"| {run['tries']} | {failed} | {run['sentence']} | {run['exit']} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.validated", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where what it said is kept")
    parser.add_argument("--seconds", type=float, default=300.0, help="budget_s of the first two")
    parser.add_argument("--busy", type=int, default=15, help="processes that never rest, for the third")
    parser.add_argument("--times", type=int, default=5, help="how often that, a minute each")
    parser.add_argument("--page", default=str(PAGE), help="file whose tables are replaced; empty: print them alone")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="validated-"))
    folder.mkdir(parents=True, exist_ok=True)
    runs = {
        "idle": validated(folder / "idle.json", args.seconds),
        "`--load`": validated(folder / "bursts.json", args.seconds, ["--load"]),
    }
    beside = [validated(folder / f"busy-{turn}.json", 60.0, busy=args.busy) for turn in range(args.times)]
    environment = runs["idle"]["environment"]
    said = "\n\n".join(f"{name}: “{run['sentence']}”" for name, run in runs.items())
    foot = (
        f"Measured on {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"torch {environment['torch']}, one thread, {args.seconds:g} s each."
    )
    first = f"{table(runs)}\n\n{said}\n\n{foot}"
    second = refusals(beside)
    print(first, second, sep="\n\n")
    if args.page:
        replace_section(Path(args.page), "validate", f"\n{first}\n\n")
        replace_section(Path(args.page), "validate on a busy machine", f"\n{second}\n\n")


if __name__ == "__main__":
    main()
