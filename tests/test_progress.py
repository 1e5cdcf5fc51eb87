"""Progress on a terminal, in a log and from part files that other processes write."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from rich.console import Console

from convbench.results.store import Part, encode
from convbench.terminal import progress, screen
from convbench.terminal.following import Follower
from convbench.terminal.progress import Progress, frame
from convbench.terminal.views import Tally
from tests.made_up import row, skipped, spec

SPECS = [spec(kernel=k) for k in range(1, 18)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Ended:
    """The outcome of a sweep, as far as progress looks at it."""

    signal: int | None = None


class Terminal(io.StringIO):
    """Counts how often it is drawn on."""

    writes = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def log(clock: Clock, total: int | None = None) -> tuple[Progress, io.StringIO]:
    file = io.StringIO()
    return Progress(total, Console(file=file, width=120, theme=screen.THEME, highlight=False), clock), file


def bar(total: int | None = None) -> tuple[Progress, Terminal]:
    file = Terminal()
    console = Console(file=file, width=100, force_terminal=True, theme=screen.THEME, _environ={"TERM": "xterm"})
    return Progress(total, console), file


def run(watching: Progress, clock: Clock, seconds: float, of=SPECS[0], **values) -> None:
    watching.start(of)
    clock.now += seconds
    watching.finish(of, [row(of, m, **values) for m in ("autograd", "explicit")])


def test_a_log_gets_the_first_configuration_and_then_one_line_every_few_seconds():
    clock = Clock()
    watching, file = log(clock)
    watching.begin(101, 1)
    for _ in range(100):
        run(watching, clock, 0.25)
    watching.end(Ended())
    lines = file.getvalue().splitlines()
    assert lines[0] == "measuring 101 configurations, 1 of them measured already"
    assert [line.split("]")[0] for line in lines[1:-1]] == [f"[{n:>3}/101" for n in (2, 22, 42, 62, 82)]
    assert lines[2].endswith("conv_transpose2d 1×4→1 17×17 k1 · float32 · cpu · input · 20 s left")
    assert lines[-1].startswith("[101/101] 100 configurations in 25 s · slowest: 0.2 s, conv_transpose2d")


def test_failures_are_told_at_once():
    clock = Clock()
    watching, file = log(clock)
    watching.begin(10, 0)
    run(watching, clock, 0.1)
    run(watching, clock, 0.1, SPECS[4], status="crash", reason="signal 11 (SIGSEGV)")
    run(watching, clock, 0.1, SPECS[5], accuracy="fail")
    lines = file.getvalue().splitlines()
    assert lines[2:] == [
        *[
            f"[ 2/10] {m}: crash (signal 11 (SIGSEGV)) · conv_transpose2d 1×4→1 17×17 k5 · float32 · cpu · input"
            for m in ("autograd", "explicit")
        ],
        *[f"[ 3/10] {m}: wrong gradient · {progress.name_of(SPECS[5])}" for m in ("autograd", "explicit")],
    ]
    run(watching, clock, 0.1, SPECS[6], accuracy="ok", speed="impossible", reason="1 ns a call")
    assert file.getvalue().splitlines()[-1].startswith("[ 4/10] explicit: impossible time (1 ns a call)")
    clock.now += 60
    run(watching, clock, 0.1)
    assert "2 failed, 4 wrong" in file.getvalue().splitlines()[-1]


def test_a_flood_of_failures_is_counted_and_not_listed():
    clock = Clock()
    watching, file = log(clock)
    watching.begin(1000, 0)
    for seed in range(1000):
        run(watching, clock, 0.001, spec(seed=seed), status="error", reason="no")
    watching.end(Ended())
    lines = file.getvalue().splitlines()
    assert len(lines) <= progress.FAILURE_LINES + 5
    assert "2,000 failed" in lines[-1]
    assert sum("counted, not listed" in line for line in lines) == 1


def test_skipped_rows_are_no_failures():
    tally = Tally()
    tally.count(skipped(spec(device="cuda"), "no CUDA"))
    assert tally.failures == ""


def test_parts_of_a_sweep_share_one_total():
    clock = Clock()
    watching, file = log(clock, total=4)
    for _ in range(2):
        watching.begin(2, 1)
        run(watching, clock, 1.0)
        watching.end(Ended())
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("measuring 4 configurations")
    assert sum(line.startswith("measuring") for line in lines) == 1
    assert lines[-1].startswith("[4/4] 2 configurations in 2.0 s")


def test_without_a_total_the_parts_add_up():
    clock = Clock()
    watching, _ = log(clock)
    watching.begin(2, 0)
    watching.begin(3, 0)
    assert watching.tally.total == 5


def test_an_interrupted_sweep_closes_the_view():
    clock = Clock()
    watching, file = log(clock)
    watching.begin(10, 0)
    run(watching, clock, 1.0)
    watching.end(Ended(signal=2))
    assert file.getvalue().splitlines()[-1].startswith("[ 1/10] 1 configuration in 1.0 s")


def test_time_left_is_the_average_pace_since_the_first_configuration():
    """The first takes 2 s of which 20 ms are its own, the others 20 ms: a child starts and imports torch once."""
    clock = Clock()
    watching, _ = log(clock)
    watching.begin(110, 10)
    assert watching.tally.time_left_s(3.0) is None
    run(watching, clock, 2.0, elapsed_s=0.02)
    assert watching.tally.time_left_s(clock.now) == pytest.approx(99 * 0.02)
    for _ in range(24):
        run(watching, clock, 0.02, elapsed_s=0.015)
    assert watching.tally.time_left_s(clock.now) == pytest.approx(75 * 0.02)
    assert watching.tally.slowest_s == pytest.approx(0.02), "the start of the child is nobody's time"


def test_the_bar_says_what_is_done_and_what_came_last():
    rows = [
        row(SPECS[1], "autograd", speedup=1.0),
        row(SPECS[1], "explicit", speedup=1.352),
        row(SPECS[1], "unfold", status="timeout"),
        row(SPECS[1], "aten", accuracy="fail"),
    ]
    tally = Tally(9, done=2, current=SPECS[2], last=rows)
    lines = drawn(tally, 200, doing="explicit: prepare").splitlines()
    assert [line.rstrip() for line in lines[1:]] == [
        f"now      explicit: prepare  {progress.name_of(SPECS[2])}",
        f"last     explicit 1.35×, unfold timeout, aten wrong  {progress.name_of(SPECS[1])}",
    ]


def test_the_bar_is_drawn_for_another_stage_but_not_for_timing(monkeypatch):
    """Preparing may take a minute, as compiling does; what is timed must not be disturbed."""
    monkeypatch.setattr(progress, "LOOK_S", 0.01)
    watching, file = bar(3)
    stage = ["explicit: prepare"]
    watching.watch(lambda: stage[0])
    watching.begin(3, 0)
    watching.start(SPECS[0])
    wait_for(lambda: "explicit: prepare" in file.getvalue())
    stage[0] = "explicit: accuracy"
    wait_for(lambda: "explicit: accuracy" in file.getvalue())
    stage[0] = "explicit: timing"
    time.sleep(0.3)
    assert "timing" not in file.getvalue()
    watching.close()


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_slowest_configuration_is_kept():
    clock = Clock()
    watching, _ = log(clock)
    watching.begin(3, 0)
    for of, seconds in zip(SPECS, (1.0, 7.0, 2.0), strict=False):
        run(watching, clock, seconds, of)
    assert (watching.tally.slowest, watching.tally.slowest_s) == (SPECS[1], 7.0)


def drawn(tally: Tally, width: int, now: float = 30.0, doing: str = "") -> str:
    file = io.StringIO()
    Console(file=file, width=width, theme=screen.THEME).print(frame(tally, now, width, doing))
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_bar_fits_any_terminal(width):
    tally = Tally(100, 10, 30, failed=2, wrong=1, current=SPECS[2], slowest=SPECS[8], slowest_s=12.0)
    lines = drawn(tally, width).splitlines()
    assert max(map(len, lines)) <= width
    said = " ".join(" ".join(lines).split())
    assert "40/100" in said
    assert "1 min 00 s left" in said
    assert "now conv_transpose2d" in said
    assert "slowest 12 s conv" in said
    assert "2 failed, 1 wrong" in said


def test_the_bar_draws_only_what_has_changed():
    watching, file = bar()
    watching.begin(3, 0)
    watching.start(SPECS[0])
    time.sleep(2.5 * progress.REDRAW_S)
    still = file.writes
    assert "k1" in file.getvalue()
    time.sleep(3 * progress.REDRAW_S)
    assert file.writes == still
    watching.close()


def test_a_configuration_that_starts_right_after_another_is_shown_all_the_same():
    watching, file = bar()
    watching.begin(3, 0)
    for of in SPECS[:3]:
        watching.start(of)
        watching.finish(of, [])
    watching.start(SPECS[3])
    time.sleep(2.5 * progress.REDRAW_S)
    assert "17×17 k4" in file.getvalue()
    watching.close()


@pytest.mark.parametrize("view", [bar, lambda: log(Clock())])
def test_a_hundred_thousand_configurations_cost_little(view):
    rows = [row(SPECS[0], m) for m in ("autograd", "explicit", "aten", "unfold")]
    best = float("inf")
    for _ in range(3):
        watching, _file = view()
        watching.begin(20_000, 0)
        begun = time.perf_counter()
        for _ in range(20_000):
            watching.start(SPECS[0])
            watching.finish(SPECS[0], rows)
        best = min(best, (time.perf_counter() - begun) / 20_000)
        watching.close()
    assert best < 50e-6


SCRIPT = """
import sys, time
sys.path.insert(0, {root!r})
from convbench.terminal.progress import Progress
from tests.made_up import row, spec
with Progress() as watching:
    watching.begin(3, 0)
    for kernel in (3, 5, 7):
        of = spec(kernel=kernel)
        watching.start(of)
        time.sleep(0.3)
        watching.finish(of, [row(of, "autograd")])
    watching.warn("the clock was changed", "leave it alone")
    if {fail}:
        raise SystemExit(7)
    watching.end(None)
print("the table")
"""


def in_a_terminal(script: str, **extra: str) -> tuple[str, bytes, int]:
    """What standard error receives as a pseudo terminal, what standard output receives as a pipe, and the exit code."""
    master, slave = pty.openpty()
    variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    variables |= {"TERM": "xterm", "LC_ALL": "C.UTF-8", **extra}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=slave, env=variables
    ) as process:
        os.close(slave)
        received = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            received += piece
        assert process.stdout is not None
        out = process.stdout.read()
        code = process.wait()
    os.close(master)
    return received.decode(), out, code


ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.mark.parametrize("fail", [pytest.param(False, marks=pytest.mark.slow), True])
def test_on_a_terminal_the_bar_goes_to_standard_error_and_leaves_no_trace(fail):
    shown, out, code = in_a_terminal(SCRIPT.format(root=ROOT, fail=fail))
    assert "k5 · float32 · cpu · input" in shown
    assert "2/3" in shown
    assert "warning: the clock was changed; leave it alone" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor must come back"
    assert shown.rstrip().endswith("\x1b[2K"), "the bar must be erased"
    assert (out, code) == ((b"", 7) if fail else (b"the table\n", 0))


def test_a_dumb_terminal_gets_lines():
    shown, _, _ = in_a_terminal(SCRIPT.format(root=ROOT, fail=False), TERM="dumb")
    assert "\x1b" not in shown
    assert "measuring 3 configurations" in shown


def test_forced_colours_put_no_bar_into_a_log():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(root=ROOT, fail=False)],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert not re.search("\x1b\\[\\?25|\x1b\\[2K|\r", done.stderr)
    assert "[3/3] 3 configurations" in done.stderr
    assert done.stdout == "the table\n"


def test_an_old_encoding_gets_what_it_can_show():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(root=ROOT, fail=False)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert b"conv_transpose2d 1x4>1 17x17 k3 - float32 - cpu - input" in done.stderr


def written(part: Part, of, *methods: str, **values) -> None:
    part.open()
    rows = [row(of, m, **values) for m in methods]
    part.append(b"".join(encode(0, of.key.unit, "", r) for r in rows))


def test_part_files_of_other_processes_are_followed(tmp_path):
    (tmp_path / "parts").mkdir()
    before = Part(tmp_path, ".jsonl")
    written(before, SPECS[0], "autograd", "explicit")
    clock = Clock()
    watching, file = log(clock, total=5)
    watching.begin(5, 1)
    follower = Follower(tmp_path, watching)
    parts = [before, Part(tmp_path, ".jsonl"), Part(tmp_path, ".jsonl")]
    written(parts[0], SPECS[1], "autograd", "explicit", elapsed_s=2.0)
    written(parts[1], SPECS[2], "autograd", elapsed_s=9.0)
    follower.look()
    assert (watching.tally.done, watching.tally.failed, watching.tally.slowest_s) == (2, 0, 9.0)
    written(parts[1], SPECS[2], "explicit", status="crash", reason="signal 9", elapsed_s=1.0)
    written(parts[2], SPECS[3], "autograd", accuracy="fail")
    follower.look()
    follower.look()
    tally = watching.tally
    assert (tally.done, tally.failed, tally.wrong) == (3, 1, 1)
    assert "explicit: crash (signal 9) · conv_transpose2d 1×4→1 17×17 k3 · float32 · cpu · input" in file.getvalue()
    for part in parts:
        part.close()


def test_half_a_line_waits_for_its_other_half(tmp_path):
    (tmp_path / "parts").mkdir()
    watching, _ = log(Clock(), total=2)
    watching.begin(2, 0)
    with Follower(tmp_path, watching, every_s=0.01):
        line = encode(0, SPECS[0].key.unit, "", row(SPECS[0], "autograd"))
        path = tmp_path / "parts" / "a.jsonl"
        path.write_bytes(line[:40])
        time.sleep(0.1)
        assert watching.tally.done == 0
        with path.open("ab") as file:
            file.write(line[40:] + b"not a row\n")
        deadline = time.monotonic() + 10
        while watching.tally.done == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert watching.tally.done == 1
