"""Standard streams that are closed, broken or full, a terminal that goes away, and what a traceback's exit code is."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TextIO, cast

import pandas as pd
import pytest
from rich.text import Text

from convbench import cli
from convbench.commands.export import as_csv
from convbench.facts.markdown import escape
from convbench.facts.plain import as_written, printable, shown_as_text
from convbench.results.files import replacing
from convbench.results.merge import merge
from convbench.results.table import load, pieces
from convbench.terminal import screen
from convbench.terminal.progress import Progress
from convbench.terminal.streams import Unbroken

from .processes import ROOT, make_spec
from .test_store import line_of, write

COMMAND = [sys.executable, "-m", "convbench"]


def environment(**more: str) -> dict[str, str]:
    """Children of the program run the stand-in for the runner."""
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'tests' / 'stub'}{os.pathsep}{ROOT}", **more}


class Broken(io.StringIO):
    """A pipe whose reader has gone, or a disk that is full."""

    def __init__(self, number: int = errno.EPIPE) -> None:
        super().__init__()
        self._number = number

    def write(self, text: str) -> int:
        raise OSError(self._number, os.strerror(self._number))

    def flush(self) -> None:
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_a_reader_that_goes_ends_nothing(number: int) -> None:
    stream = Unbroken(Broken(number))
    assert stream.write("abc") == 3
    stream.flush()
    screen.console(cast(TextIO, Broken(number))).print(Text("x" * 100_000))


def test_a_full_disk_behind_standard_output_is_told_and_behind_standard_error_passed_over() -> None:
    with pytest.raises(OSError, match="No space left"):
        Unbroken(Broken(errno.ENOSPC)).write("a")
    Unbroken(Broken(errno.ENOSPC), whatever=True).write("a")
    Unbroken(None).write("a")


def test_progress_never_ends_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def changed(self, *_: object) -> None:
            raise SystemExit(1)

    progress = Progress(2)
    progress._view = cast(object, Failing())  # type: ignore[assignment]
    progress.begin(2, 0)
    progress.start(make_spec())
    progress.finish(make_spec(), [])
    progress.say("and goes on")
    progress.close()
    assert progress.tally.done == 1


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupt_that_ends_the_reader_as_well_leaves_a_table(tmp_path: Path, number: int) -> None:
    """`convbench … 2>&1 | tee log`, and Ctrl-C: tee is gone before the program says anything."""
    reading, writing = os.pipe()
    words = ["-m", "seed=range(0,5000)", "methods=[autograd]", "measure=none", f"out={tmp_path / 'out'}"]
    sweep = subprocess.Popen([*COMMAND, *words], stdout=writing, stderr=writing, env=environment(), cwd=tmp_path)
    os.close(writing)
    end = time.monotonic() + 120
    while not any(part.stat().st_size for part in (tmp_path / "out" / "parts").glob("*.jsonl")):
        assert sweep.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    os.close(reading)
    sweep.send_signal(number)
    assert sweep.wait(60) == 128 + number
    assert len(pd.read_parquet(tmp_path / "out" / "results.parquet")) > 0


def test_output_that_nobody_reads_changes_no_exit_code(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run, line_of(make_spec(), accuracy="ok"))
    merge(run)
    for words, code in ((["compare", str(run), str(run)], 0), (["methods"], 0), (["--version"], 0)):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([*COMMAND, *words], stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, text=True)
        os.close(writing)
        assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_change_no_exit_code(closing: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closing}', "bash", *COMMAND, "methods"],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["methods"]])
def test_a_full_disk_behind_standard_output_is_one_sentence(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, env=environment(), text=True)
    assert done.returncode == 2
    assert done.stderr == ("convbench: the system refuses what is needed: No space left on device; free some space\n")


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def dispatch(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_dispatch", dispatch)


def test_a_traceback_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, ZeroDivisionError("a fault of our own"))
    assert cli.main([]) == 5
    assert "ZeroDivisionError: a fault of our own" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error, said",
    [
        (OSError(errno.EMFILE, "Too many open files"), r"Too many open files; allow more of them \(ulimit -n\)"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/dev/null"), "'/dev/null': No such file"),
        (
            ImportError("libx.so: cannot open shared object file: Too many open files"),
            "a library cannot be loaded: lib",
        ),
    ],
)
def test_what_the_system_refuses_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    raising(monkeypatch, error)
    assert cli.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("convbench: ")
    assert re.search(said, line)


@pytest.mark.parametrize("columns", ["²", "0", "9" * 12, "wide"])
def test_a_width_that_is_none_is_not_used(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only as long as it is looked at: `pytest -v` would draw a line as wide.
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", columns)
        patch.setenv("LINES", columns)
        width = screen.console(io.StringIO()).width
    assert width == screen.PIPE_WIDTH


def test_no_escape_sequence_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b]0;title\x07\x1b[2J\x9bb\u202ec\r"
    out = io.StringIO()
    console = screen.console(out)
    console.print(Text(evil))
    console.print(evil)
    progress = Progress(1, console)
    progress.start(make_spec(labels={"layer": evil}))
    progress.finish(make_spec(labels={"layer": evil}), [{"status": "error", "method": "m", "reason": evil}])
    progress.close()
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r"} & set(out.getvalue())
    assert r"a\x1b]0;title\x1b[2J\x9bb\u202ec" in out.getvalue()
    assert cli.main([f"kernel\x1b[2J={evil}"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_colours_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    screen.console(out).print(Text("wrong", style="severity.bad"))
    assert "\x1b[1;31mwrong" in out.getvalue()


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@a", "\tx", "'=1", "''=1", "plain", "", "'quoted'", "1-2"])
def test_formulas_become_text_and_back(cell: str) -> None:
    assert not shown_as_text(cell).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert as_written(shown_as_text(cell)) == cell
    assert printable("\n\täöü×–") == "\n\täöü×–"


def test_markdown_makes_links_of_nothing(tmp_path: Path) -> None:
    said = escape("see https://evil.example/?q or www.evil.example \x1b[2J #1 @team")
    assert said == r"see https&#58;//evil.example/?q or &#119;ww.evil.example \\x1b\[2J \#1 \@team"


def test_files_for_people_hold_no_formulas_and_are_read_as_they_were(tmp_path: Path) -> None:
    reasons = ["=HYPERLINK(1)", "-2+3", "'=1", "'quoted'", "@SUM(A1)", "plain"]
    lines = [line_of(make_spec(), f"m{i}", reason=reason, grad_mean=-1.5) for i, reason in enumerate(reasons)]
    write(tmp_path, *lines)
    merge(tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        cells = [row["reason"] for row in csv.DictReader(file)]
    assert cells == ["'=HYPERLINK(1)", "'-2+3", "''=1", "'quoted'", "'@SUM(A1)", "plain"]
    assert load(tmp_path / "results.csv")["reason"].tolist() == load(tmp_path)["reason"].tolist() == reasons
    assert load(tmp_path / "results.csv")["grad_mean"].tolist() == [-1.5] * 6
    assert "".join(as_csv(tmp_path)).count(",-1.5,") == 6
    assert [row["reason"] for row in csv.DictReader("".join(as_csv(tmp_path)).splitlines())] == cells


def test_a_table_is_exported_a_piece_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, *(line_of(make_spec(seed=seed), position=seed, time_s=1e-5 / 3) for seed in range(20)))
    merge(tmp_path)
    whole = load(tmp_path)
    monkeypatch.setattr("convbench.results.table.PIECE", 7)
    for path in (tmp_path, tmp_path / "results.csv"):
        assert [len(piece) for piece in pieces(path)] == [7, 7, 6]
        pd.testing.assert_frame_equal(pd.concat(pieces(path), ignore_index=True), whole)
        assert "".join(as_csv(path)) == whole.to_csv(index=False)


def test_links_are_followed_and_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as unfinished:
        unfinished.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(pipe.read_text()))
    reader.start()
    with replacing(pipe) as unfinished:
        unfinished.write_text("through")
    reader.join()
    assert said == ["through"]
    assert pipe.is_fifo()


def test_standard_output_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    program = "from pathlib import Path; from convbench.results.files import replacing\n" + (
        "with replacing(Path('/dev/stdout')) as file: file.write_text('page')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "page"
    assert os.path.islink("/dev/stdout")
