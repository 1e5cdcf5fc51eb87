"""What thousands of configurations cost, beside plain Hydra in the same run.

`CONVBENCH_CONFIGURATIONS=10000 pytest -m slow -s tests/slow/test_scale.py` prints the table of docs/robustness.md.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from convbench.results import store
from tests.processes import ROOT, make_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CONFIGURATIONS = int(os.environ.get("CONVBENCH_CONFIGURATIONS", "5000"))
"""Of the largest sweep; `make campaigns` runs 100,000."""

TINY = ["op=conv2d", "size=4", "kernel=3", "in_channels=1", "out_channels=1", "methods=[autograd,explicit]"]


@dataclass(frozen=True)
class Cost:
    """`cpu_s` is the program's with its children; `first_s` is from its start to the first row.

    Memory is the program's own: the most until the last row is written, and the most of all. After the last row it
    loads pandas and merges.
    """

    wall_s: float
    cpu_s: float
    running_mb: float
    peak_mb: float
    first_s: float


def watch(command: Sequence[str], parts: Path) -> Cost:
    """Runs a program to its end. Raises AssertionError where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    begun, begun_at = time.monotonic(), time.time()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, resident = 0.0, list[tuple[float, float]]()
    while True:
        peak = max(peak, megabytes(process.pid, "VmHWM"))
        resident.append((time.time(), megabytes(process.pid, "VmRSS")))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.05)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    wall_s = time.monotonic() - begun
    written = list(times_written(parts)) or [begun_at]
    running = max((memory for seen, memory in resident if seen <= max(written)), default=0.0)
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, running, peak, min(written) - begun_at)


def megabytes(pid: int, name: str) -> float:
    """A figure from /proc/PID/status; 0 when the process has ended."""
    with contextlib.suppress(OSError):
        if found := re.search(rf"{name}:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text()):
            return int(found[1]) / 1024
    return 0.0


def times_written(parts: Path) -> Iterator[float]:
    """When each row was written, in seconds since 1970."""
    for path in parts.glob("*.jsonl"):
        with path.open("rb") as file:
            for line in file:
                if row := store.decode(line):
                    yield row["written"]


def sweep(count: int, out: Path) -> Cost:
    words = ["-m", f"seed=range(0,{count})", *TINY, "measure=none", f"out={out}"]
    return watch([sys.executable, "-m", "convbench", *words], out / "parts")


def own_work_s(out: Path) -> float:
    """Seconds that one configuration spent on its tensors, its reference and its methods."""
    return float(pd.read_parquet(out / "results.parquet", columns=["elapsed_s"])["elapsed_s"].mean())


def plain_hydra(count: int, folder: Path) -> Cost:
    """Hydra's own sweeper and launcher over trivial jobs, with five small config groups."""
    conf = folder / "conf"
    groups = ["a", "b", "c", "d", "e"]
    for group in groups:
        (conf / group).mkdir(parents=True)
        (conf / group / "one.yaml").write_text("x: 1\ny: 2\n")
    (conf / "config.yaml").write_text(
        "defaults:\n" + "".join(f"  - {g}: one\n" for g in groups) + "  - _self_\nseed: 0\n"
    )
    (folder / "app.py").write_text(
        "import hydra\n"
        "@hydra.main(version_base=None, config_path='conf', config_name='config')\n"
        "def main(config): pass\n"
        "main()\n"
    )
    words = ["-m", f"seed=range(0,{count})", f"hydra.sweep.dir={folder / 'out'}"]
    return watch([sys.executable, str(folder / "app.py"), *words], folder)


def test_overhead_beside_plain_hydra(tmp_path: Path) -> None:
    fewer, jobs = CONFIGURATIONS // 10, 50
    small = sweep(fewer, tmp_path / "small")
    large = sweep(CONFIGURATIONS, tmp_path / "large")
    hydra = [plain_hydra(count, tmp_path / f"hydra{count}") for count in (10, 10 + jobs)]
    # What a run costs once is left out on both sides.
    more = CONFIGURATIONS - fewer
    per = (large.wall_s - small.wall_s) / more, (large.cpu_s - small.cpu_s) / more
    per_job = (hydra[1].wall_s - hydra[0].wall_s) / jobs, (hydra[1].cpu_s - hydra[0].cpu_s) / jobs
    overhead_s = per[0] - own_work_s(tmp_path / "large")
    print(f"\n| | convbench, {CONFIGURATIONS:,} | plain Hydra, {jobs} trivial jobs | ratio |\n|---|---|---|---|")
    for name, own, plain in (
        ("wall time per configuration", per[0], per_job[0]),
        ("CPU time per configuration", per[1], per_job[1]),
        ("wall time beyond its own work", overhead_s, per_job[0]),
    ):
        print(f"| {name} | {own * 1e3:.2f} ms | {plain * 1e3:.0f} ms | {plain / own:.0f} |")
    print(f"| start to first row | {large.first_s:.1f} s | | |")
    running = f"{small.running_mb:.0f} / {large.running_mb:.0f} MB"
    print(f"| its memory while it measures, {fewer:,} / {CONFIGURATIONS:,} | {running} | | |")
    print(f"| its memory at most (it merges at the end) | {small.peak_mb:.0f} / {large.peak_mb:.0f} MB | | |")
    # Times are printed and not asserted: what else the machine does decides them. Memory is the program's own.
    assert large.running_mb <= 1.1 * small.running_mb
    assert large.peak_mb <= (250 if CONFIGURATIONS <= 10_000 else 400)
    assert len(pd.read_parquet(tmp_path / "large" / "results.parquet", columns=["seed"])) == 2 * CONFIGURATIONS


def test_merge_of_many_rows(tmp_path: Path) -> None:
    number = max(20_000, CONFIGURATIONS)
    store.prepare(tmp_path)
    part = store.Part(tmp_path, store.ROWS)
    part.open()
    columns = {**make_spec().columns(), "status": "ok", "accuracy": "ok", "time_s": 1e-5 / 3, "speedup": 1.25}
    for n in range(number):
        names = {"seed": n, "config_id": f"{n:016x}", "run_key": f"{n:016x}"}
        part.append(b"".join(store.encode(n, f"{n:016x}", "", {**columns, **names, "method": m}) for m in "abcd"))
    part.close()
    program = (
        "import sys; from pathlib import Path; from convbench.results.merge import merge; merge(Path(sys.argv[1]))"
    )
    cost = watch([sys.executable, "-c", program, str(tmp_path)], tmp_path / "parts")
    print(f"\nmerge of {number:,} × 4 rows: {cost.wall_s:.1f} s, {cost.peak_mb:.0f} MB")
    seeds = pd.read_parquet(tmp_path / "results.parquet", columns=["seed"])["seed"]
    assert (seeds == [n for n in range(number) for _ in range(4)]).all()
    assert cost.peak_mb <= 250
