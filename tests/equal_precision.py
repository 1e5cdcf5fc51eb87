"""What does the same precision cost with other tools? `pip install pyperf`, then `python -m tests.equal_precision`.

One ratio, of autograd's bare call to the explicit one on the notebook's case at kernel 9, is measured again and again
by convbench, torch's Timer, pyperf and (where it is installed) hyperfine, turn by turn on the same machine, each as its
documentation has it. Every measurement begins in a new process. How far the measurements of one tool scatter says what
a user's next one will find; with n of them the mean is known to ±1.96·s/√n, so a tool needs (1.96·s/1%)² of them for
±1%, and that many times its seconds. Writes the table of docs/timing.md (`--page ""`: prints it alone).
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import pyarrow.parquet as pq

from .pages import replace_section

PAGE = Path(__file__).parent.parent / "docs" / "timing.md"
SETUP = """
import torch
from torch.nn.functional import conv2d, conv_transpose2d
torch.set_num_threads(1)
x, w = torch.randn(1, 4, 17, 17, requires_grad=True), torch.randn(4, 1, 9, 9)
y = conv_transpose2d(x, w)
g = torch.randn_like(y)
"""
AUTOGRAD, EXPLICIT = "torch.autograd.grad(y, x, g, retain_graph=True)", "conv2d(g, w)"
WHOLE = "5_000"
"""Calls in one of hyperfine's commands, which it times as a whole: half a second beside the start of torch."""


class Once(NamedTuple):
    """One measurement: the log of the ratio, and the seconds inside timed regions where the tool says them."""

    log_ratio: float
    timed_s: float | None


def run(*words: str, cwd: Path | None = None) -> str:
    return subprocess.run(
        words, cwd=cwd, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
    ).stdout


def convbench(folder: Path) -> Once:
    """As it is by default, but for the figures that the others do not give."""
    settings = ["measure.backward=false", "measure.memory=false", "measure.kernels=false"]
    run(
        *(sys.executable, "-m", "convbench", "kernel=9", "device=cpu", "methods=[autograd,explicit]"),
        *(*settings, f"out={folder / 'out'}"),
    )
    rows = {row["method"]: row for row in pq.read_table(folder / "out" / "results.parquet").to_pylist()}
    return Once(math.log(rows["explicit"]["speedup"]), sum(row["measured_s"] or 0.0 for row in rows.values()))


def timer(folder: Path) -> Once:
    code = f"""{SETUP}
from torch.utils.benchmark import Timer
for statement in ({AUTOGRAD!r}, {EXPLICIT!r}):
    found = Timer(statement, globals=globals()).blocked_autorange(min_run_time=1)
    print(found.median, sum(found.raw_times))
"""
    (first, spent), (second, more) = (map(float, line.split()) for line in run(sys.executable, "-c", code).splitlines())
    return Once(math.log(first / second), spent + more)


def pyperf(folder: Path) -> Once:
    """With --fast, half of its usual 20 processes."""
    means, timed = [], 0.0
    for name, statement in (("autograd", AUTOGRAD), ("explicit", EXPLICIT)):
        out = folder / f"{name}.json"
        run(sys.executable, "-m", "pyperf", "timeit", "--fast", "-q", "-s", SETUP, statement, "-o", str(out))
        runs = json.loads(out.read_text())["benchmarks"][0]["runs"]
        values = [value for one in runs for value in one.get("values", ())]
        means.append(fmean(values))
        loops = json.loads(out.read_text())["metadata"]["loops"]
        timed += sum(values) * loops
    return Once(math.log(means[0] / means[1]), timed)


def hyperfine(folder: Path) -> Once:
    """Whole commands: a third one that calls nothing is subtracted."""
    for name, statement in (("autograd", AUTOGRAD), ("explicit", EXPLICIT), ("nothing", "pass")):
        (folder / f"{name}.py").write_text(f"{SETUP}\nfor _ in range({WHOLE}): {statement}\n")
    commands = [f"{sys.executable} {folder / name}.py" for name in ("autograd", "explicit", "nothing")]
    run("hyperfine", "--warmup", "1", "--export-json", str(folder / "h.json"), *commands)
    found = json.loads((folder / "h.json").read_text())["results"]
    autograd, explicit, nothing = (result["mean"] for result in found)
    return Once(math.log((autograd - nothing) / (explicit - nothing)), None)


TOOLS: dict[str, Callable[[Path], Once]] = {
    "convbench, `measure=default`, calls alone": convbench,
    "torch.utils.benchmark.Timer, a second for each": timer,
    "pyperf timeit --fast": pyperf,
    "hyperfine": hyperfine,
}


def line(name: str, found: list[tuple[Once, float]]) -> str:
    logs, seconds = [once.log_ratio for once, _ in found], fmean(s for _, s in found)
    timed = [once.timed_s for once, _ in found if once.timed_s is not None]
    share = f"{fmean(timed) / seconds:.0%}" if timed else ""
    needed = seconds * (1.96 * stdev(logs) / 0.01) ** 2
    return (
        f"| {name} | {len(found)} | {math.exp(fmean(logs)):.3f}× | {stdev(logs):.2%} | {seconds:.1f} s | {share} "
        f"| {needed:.0f} s |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=8, help="measurements with each tool, at least 2")
    parser.add_argument("--page", default=str(PAGE), help="file whose table is replaced; empty: print it alone")
    args = parser.parse_args()
    found: dict[str, list[tuple[Once, float]]] = {name: [] for name in TOOLS}
    for _ in range(args.repeats):
        for name, tool in TOOLS.items():
            if tool is hyperfine and not shutil.which("hyperfine"):
                continue
            with tempfile.TemporaryDirectory() as folder:
                begun = time.monotonic()
                once = tool(Path(folder))
                found[name].append((once, time.monotonic() - begun))
    head = [
        "| tool | measurements | ratio | scatter | seconds for one | inside timed regions | seconds for ±1% |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    told = "\n".join(head + [line(name, once) for name, once in found.items() if once])
    print(told)
    if args.page:
        replace_section(Path(args.page), "equal precision", f"\n{told}\n\n")


if __name__ == "__main__":
    main()
