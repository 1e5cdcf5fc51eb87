"""One command after another, each in a fork of a process that has imported everything, with what must never happen."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from convbench.cli import COMMANDS, main
from tests.processes import ROOT, alive

LIMIT_S = 120.0
"""On a machine that does other things as well; most commands take a second."""
OWN = "CONVBENCH_CAMPAIGN"
"""In the environment of whatever a campaign starts."""
LAZY = (
    *("convbench.sweep.plan", "convbench.sweep.running", "convbench.terminal.summary", "convbench.execution.execute"),
    *("convbench.report.page", "convbench.results.merge", "pandas", "pyarrow.parquet", "pyarrow.csv", "pyarrow.json"),
    *("pyarrow.compute", "filelock", "pytest_benchmark.stats", "scipy.special"),
)
CODES = (0, 1, 2, 3, 4)
"""5 is a fault of the program itself, and a signal is nobody's here."""


class Told(NamedTuple):
    """What a command said, and how it ended; `code` is None where it did not."""

    code: int | None
    out: str
    err: str


def prepared() -> None:
    """Children of the program run the stand-in for the runner; run this before the first command."""
    os.environ.update(
        {"PYTHONPATH": f"{ROOT / 'tests' / 'stub'}{os.pathsep}{ROOT}", "COLUMNS": "120", OWN: str(os.getpid())}
    )
    sys.path[:0] = [str(ROOT / "tests" / "stub")]
    # Every fork has them then.
    for module in (*COMMANDS.values(), *LAZY):
        with contextlib.suppress(ImportError, AttributeError):
            importlib.import_module(module)


def told(words: Sequence[str], folder: Path) -> Told:
    """Runs one command in `folder`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _become(words, folder, out.fileno(), err.fileno())
        code = _waited(pid)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Told(code, *texts)


def _become(words: Sequence[str], folder: Path, out: int, err: int) -> None:
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        for fd, place in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(fd, place)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        code = main(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _waited(pid: int) -> int | None:
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def fault(found: Told) -> str:
    """What must not happen and did; nothing where all is well."""
    if found.code is None:
        return f"no end within {LIMIT_S:g} s"
    if "Traceback" in found.err or found.code not in CODES:
        return f"exit code {found.code}: {found.err.strip().splitlines()[-1:]}"
    last = found.err.strip().splitlines()[-1:]
    if found.code == 2 and not (last and last[0].startswith("convbench: ")):
        return f"exit code 2 and no sentence: {last}"
    if "\x1b" in found.out + found.err:
        return "an escape sequence"
    return ""


def strays(before: set[int]) -> set[int]:
    """Processes of the program that are still there."""
    return {pid for pid in _ours() - before if alive(pid)}


def _ours() -> set[int]:
    found, own = set(), f"{OWN}={os.getpid()}".encode()
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and own in (path / "environ").read_bytes().split(b"\0"):
                found.add(int(path.name))
    return found - {os.getpid()}


class Report:
    """Counts tries by exit code, and by kind where there are kinds, and keeps what went wrong."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.codes: Counter[int | None] = Counter()
        self.kinds: dict[str, Counter[int | None]] = {}
        self.faults: list[str] = []
        self._begun = time.monotonic()
        self._before = _ours()

    def add(self, found: Told, what: str, further: str = "", kind: str = "") -> None:
        self.codes[found.code] += 1
        if kind:
            self.kinds.setdefault(kind, Counter())[found.code] += 1
        wrong = fault(found) or further
        if wrong:
            self.faults.append(f"{what}\n    {wrong}")
            print(f"FAULT {self.faults[-1]}", flush=True)

    def end(self) -> int:
        """Prints the figures; 1 where anything went wrong."""
        left = strays(self._before)
        self._print_kinds()
        codes = ", ".join(f"{count} with {code}" for code, count in sorted(self.codes.items(), key=str))
        print(
            f"{self.name}: {self.codes.total()} tries in {time.monotonic() - self._begun:.0f} s, exit codes {codes}; "
            f"{len(self.faults)} faults, {len(left)} processes left behind"
        )
        return int(bool(self.faults or left))

    def _print_kinds(self) -> None:
        if not self.kinds:
            return
        codes = sorted(self.codes, key=str)
        print("\n| | tries | " + " | ".join(f"exit code {code}" for code in codes) + " |")
        print("|---" + "|--:" * (1 + len(codes)) + "|")
        for kind, found in sorted(self.kinds.items()):
            print(f"| {kind} | {found.total()} | " + " | ".join(str(found[code]) for code in codes) + " |")
        print()


def campaign(about: str, count: int, tries: Callable[[random.Random, int, Path, Report], None]) -> int:
    """A campaign as a command: `tries` makes --count of them in a folder of its own and adds each to the report."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    prepared()
    report = Report(about.partition(":")[2].strip().partition(".")[0])
    with tempfile.TemporaryDirectory() as place:
        tries(random.Random(options.seed), options.count, Path(place), report)
    return report.end()


def measured(words: Sequence[str], out: Path) -> None:
    """Measures what the tries are made on."""
    made = told([*words, f"out={out}"], out.parent)
    assert made.code == 0, made.err
