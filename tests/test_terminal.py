"""The final table on wide and narrow terminals, in pipes and in old encodings."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len
from rich.console import Console

from convbench.facts.record import COLUMNS, Record
from convbench.results.rows import ARROW, Rows
from convbench.terminal import screen
from convbench.terminal import summary as terminal
from convbench.terminal.cells import speedup_cell
from convbench.terminal.contents import setting_columns
from convbench.terminal.selection import badness, content
from convbench.terminal.summary import Context
from tests.made_up import row, skipped, spec, timed

WIDTHS = (40, 60, 80, 120, 200)
TIMES = {"autograd": 1e-4, "explicit": 8e-5, "aten": 1e-4, "unfold": 2.5e-4}


def text(records: list[Record], width: int = 120, context: Context | None = None) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, theme=screen.THEME, highlight=False, markup=False, emoji=False)
    terminal.summary(Rows.of(records), console, context or Context())
    return file.getvalue()


def kernels_and_devices() -> list[Record]:
    records = []
    for kernel in (3, 5, 9):
        records += timed(spec(kernel=kernel), {m: t * kernel for m, t in TIMES.items()})
        records += skipped(spec(kernel=kernel, device="cuda"), "no CUDA: torch is built without it")
    return records


def mixed() -> list[Record]:
    """Every status and every verdict."""
    records = timed(spec(kernel=3), TIMES, half_width=0.05)
    records += timed(spec(kernel=5, dtype="bfloat16"), TIMES)
    records[4]["accuracy"], records[5]["accuracy"] = "exact", "reduced"
    broken = spec(kernel=7)
    records += [
        row(
            broken, "autograd", **{k: v for k, v in records[0].items() if k in ("time_s", "time_low_s", "time_high_s")}
        ),
        row(broken, "explicit", accuracy="fail", bound_ratio=41.0, reason="9 of 1156 elements are off"),
        row(broken, "aten", status="crash", reason="signal 11 (SIGSEGV)"),
        row(broken, "unfold", status="unsupported", reason="conv_transpose is not covered"),
    ]
    other = spec(kernel=9)
    statuses = zip(other.arms, ("oom", "timeout", "error", "skipped"), strict=True)
    return [*records, *(row(other, method, status=status, reason=f"{status}!") for method, status in statuses)]


def accuracy_only() -> list[Record]:
    return [row(spec(kernel=k, fill=f), m) for k in (3, 5) for f in ("normal", "integer") for m in TIMES]


def layers() -> list[Record]:
    """Layers of a network: nearly everything varies, and the cases file names them."""
    out = []
    for i, (kernel, stride, channels, size) in enumerate(
        [(4, 2, 512, 4), (5, 2, 256, 8), (4, 2, 128, 16), (16, 8, 64, 12)]
    ):
        labels = {"network": "DCGAN", "layer": f"deconv{i}", "source": "https://example.org/a/very/long/address"}
        keys = {
            "kernel": kernel,
            "stride": stride,
            "in_channels": channels,
            "out_channels": channels // 2,
            "size": size,
        }
        for dtype in ("float32", "bfloat16"):
            of = spec(("autograd", "explicit"), labels=labels, dtype=dtype, batch=i + 1, **keys)
            out += timed(of, {"autograd": 1e-3 * (i + 1), "explicit": 9e-4})
    return out


TABLES = {
    "one": lambda: timed(spec(), TIMES),
    "kernels": kernels_and_devices,
    "mixed": mixed,
    "accuracy": accuracy_only,
    "layers": layers,
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("table", TABLES)
def test_no_line_is_wider_than_the_terminal(table, width):
    for line in text(TABLES[table](), width).splitlines():
        assert cell_len(line) <= width, line
        assert line == line.rstrip()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("table", TABLES)
def test_every_width_says_the_same(table, width):
    records = TABLES[table]()
    said = text(records, width)
    flat = " ".join(said.split())
    for r in records:
        if r["method"] != "autograd" and "speedup" in r:
            assert f"{r['speedup']:.2f}× [{r['speedup_low']:.2f}, {r['speedup_high']:.2f}]" in said
            assert r["speed"] in said
        assert r["method"] in said
        assert (r.get("accuracy") or r["status"]) in said
    assert f"{len({r['config_id'] for r in records})} configuration" in flat
    assert f"{len(records)} rows" in flat


def test_one_line_for_each_configuration_where_there_is_room():
    lines = text(kernels_and_devices(), 200).splitlines()
    (first,) = [line for line in lines if re.match(r"3 +cpu", line)]
    numbers = re.findall(r"(\d+ µs) +(?:(\S+× \[\S+ \S+\]) +(\w+))?", first)
    assert numbers == [
        ("300 µs", "", ""),
        ("240 µs", "1.25× [1.24, 1.26]", "faster"),
        ("300 µs", "1.00× [0.99, 1.01]", "inconclusive"),
        ("750 µs", "0.40× [0.40, 0.40]", "slower"),
    ]
    (absent,) = [line for line in lines if re.match(r"3 +cuda", line)]
    assert absent.split() == ["3", "cuda", *["skipped"] * 4]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_columns_are_aligned(width):
    lines = text(kernels_and_devices(), width).splitlines()
    starts = {m.start() for line in lines for m in re.finditer(r"\d\.\d\d× \[", line)}
    methods_in_one_line = 3 if width >= 120 else 1
    assert len(starts) == methods_in_one_line
    assert starts <= {m.start() for line in lines for m in re.finditer("speedup", line)}


def test_what_does_not_vary_is_said_once_above_the_table():
    said = text(kernels_and_devices())
    assert "conv_transpose2d · 1×4→1 · 17×17 · float32 · wrt input · 1 thread\n" in said
    assert said.count("float32") == 1
    assert "accuracy: ok throughout (within the rounding bound of the float64 reference)" in said
    assert "stride" not in said


def test_verdicts_that_vary_have_their_column():
    said = text(mixed(), 200)
    assert "throughout" not in said
    assert "accuracy" in said


def test_layers_are_named_by_the_cases_files_labels():
    said = text(layers(), 160)
    assert re.search(r"^layer +case +dtype", said, re.MULTILINE)
    assert re.search(r"^deconv3 +4×64→32 12×12 k16 s8 +bfloat16", said, re.MULTILINE)
    assert "example.org" not in said.split("needs attention")[0]


def test_how_often_a_layer_occurs_is_no_column():
    records = [r for n in ("1", "4") for r in timed(spec(labels={"layer": f"conv{n}", "count": n}), TIMES)]
    said = text(records, 160)
    assert re.search(r"^layer +", said, re.MULTILINE)
    assert not re.search(r"^count|  count  ", said, re.MULTILINE)


def test_layers_of_one_shape_stay_apart():
    records = [r for name in "ab" for r in timed(spec(labels={"layer": name}), TIMES)]
    said = text(records)
    assert "2 configurations" in said
    assert re.search(r"^a +", said, re.MULTILINE)
    assert re.search(r"^b +", said, re.MULTILINE)


def test_no_two_lines_of_the_table_look_the_same():
    """What tells them apart are other methods, a preset, and labels too long for a column."""
    records = timed(spec(), TIMES) + timed(spec(("autograd", "explicit")), {"autograd": 1e-4, "explicit": 8e-5})
    records += timed(spec(measure__name="quick"), TIMES)
    records += [r for name in "ab" for r in timed(spec(labels={"layer": f"{name:z>30}"}), TIMES)]
    assert re.search(r"^differs in  +", text(records, 160), re.MULTILINE)
    shown, configured = content(Rows.of(records), 40)
    named = {tuple(show(line.any_row) for _, show in setting_columns(shown)) for line in shown.lines}
    assert len(named) == configured == 5


def test_timings_that_did_not_settle_are_marked_and_explained():
    said = " ".join(text(mixed(), 80).split())
    assert "1.25× [1.19, 1.31]*" in said
    assert "missed the requested precision (marked *)" in said
    assert "→ measure=rigorous (under budget_s: a larger one), or a quieter machine" in said


def test_a_method_with_a_long_name_is_one_line_on_80_columns():
    methods = {"autograd": 1e-4, "explicit": 8e-5, "my_kernels:grad_input": 9e-5}
    records = [
        r
        for kernel in (3, 5)
        for stride in (1, 2)
        for r in timed(spec(tuple(methods), kernel=kernel, stride=stride), methods)
    ]
    records[-1] |= {"accuracy": "fail", "speed": None, "time_s": None, "speedup": None}
    records[1] |= {"accuracy": "reduced"}
    said = text([r | ({} if r["method"] == "autograd" else {"call_speedup": 1.5}) for r in records], 80)
    assert re.search(r"^kernel 3 · stride 2$", said, re.MULTILINE)
    lines = [line.split()[0] for line in said.split("needs attention")[0].splitlines() if line.startswith("  ")]
    assert lines == [*methods] * 4
    assert re.search(r"^  explicit +80.0 µs .* faster · reduced", said, re.MULTILINE)
    assert re.search(r"^  my_kernels:grad_input +fail$", said, re.MULTILINE)
    assert max(map(len, said.splitlines())) <= 80


def test_reasons_counts_and_left_out_combinations():
    said = text(mixed(), 200, Context(illegal=3, missing=2))
    assert (
        "4 configurations, 16 rows: 9 ok, 1 wrong, 1 skipped, 1 unsupported, 1 oom, 1 timeout, 1 crash, 1 error" in said
    )
    assert "1 unsupported: conv_transpose is not covered" in said
    assert "3 illegal combinations left out" in said
    assert "2 configurations not measured yet → to continue, run the same command with the same out" in said
    said = text(
        [*mixed(), row(spec(kernel=3), "unfold", status="crash", reason="x")], 200, Context(Path("a b"), missing=2)
    )
    assert "to continue, run the same command with out='a b'" in said
    assert "the same command with retry=failed and out='a b' tries again" in said


def test_configurations_of_another_command_are_told():
    records = [r for names in (("autograd", "explicit"), ("autograd",)) for r in timed(spec(names), TIMES)]
    said = text(records, 200, Context(Path("results/x"), asked=1))
    assert "results/x also holds 1 configuration of another command (other methods or settings)" in said
    for context in (Context(asked=2), Context(asked=3), Context()):
        assert "another command" not in text(records, 200, context)


def test_wrong_rows_are_not_summed_up_as_ok():
    records = timed(spec(), TIMES)
    for wrong in records[-2:]:
        wrong |= {"accuracy": "fail", "reason": "the result is all zeros"}
    assert "1 configuration, 4 rows: 2 ok, 2 wrong" in text(records)


def test_a_gpu_that_is_not_there_is_counted_with_its_reason_and_remedy():
    said = text(kernels_and_devices())
    assert "6 configurations, 24 rows: 12 ok, 12 skipped" in said
    assert "12 skipped: no CUDA: torch is built without it → run where torch sees one, or leave device=cuda out" in said


def test_the_bias_is_spoken_of_when_it_is_swept():
    records = [row(spec(bias=b), m, result_hash="0123456789abcdef") for b in (False, True) for m in TIMES]
    said = text(records)
    assert "4 of 4 pairs of rows that differ in the bias only, the gradient is the same to the last bit" in said


def test_the_notebooks_figures_stand_beside_ours():
    of = spec(fill="notebook")
    records = [
        row(of, m, loss=656.5942, grad_mean=-0.00201465, grad_std=0.6236694, equals_baseline=True) for m in TIMES
    ]
    said = text(records, 80)
    assert re.search(r"cost +656.59412 +656.5942 +1\.2e-07 +agrees", said)
    assert re.search(r"largest difference +0\.0 +0\.0 +agrees", said)
    assert "gradient shape: (1, 4, 17, 17) notebook, (1, 4, 17, 17) here, agrees" in " ".join(text(records, 40).split())


def many(count: int) -> list[Record]:
    """`count` configurations that get slower and slower, three of them with something worse."""
    records = []
    for i in range(count):
        of = spec(("autograd", "explicit"), seed=i)
        records += timed(of, {"autograd": 1e-4, "explicit": 1e-4 * (1 + i)})
    records[1] |= {"accuracy": "fail", "reason": "off"}
    records[3] = row(spec(("autograd", "explicit"), seed=1), "explicit", status="crash", reason="signal 6")
    records[4:6] = skipped(spec(("autograd", "explicit"), seed=2), "no CUDA")
    return records


def test_of_many_configurations_the_worst_come_first():
    count = 300
    said = text(many(count), 120)
    assert f"the {terminal.Context().shown} worst of {count} configurations, worst first" in said
    rows = said.split("─\n")[1].split("\n\n")[0].splitlines()
    seeds = [int(line.split()[0]) for line in rows]
    assert seeds == [0, 1, *range(count - 1, count - 39, -1)]
    assert re.search(r"explicit +297 +298 +1 +1 +1$", said, re.MULTILINE) or "all configurations" in said


def test_the_totals_count_every_configuration():
    said = text(many(300), 120)
    table = said.split("all configurations\n")[1].split("\n\n")[0].splitlines()
    heads, cells = table[0].split(), table[3].split()
    assert dict(zip(heads[1:], cells[1:], strict=True)) == {
        "slower": "297",
        "inconclusive": "1",
        "ok": "297",
        "fail": "1",
        "skipped": "1",
        "crash": "1",
    }


def test_a_table_of_several_lines_each_shows_fewer():
    said = text(many(300), 40)
    assert "12 worst of 300 configurations" in " ".join(said.split())


def test_skipped_rows_are_never_the_worst():
    score = badness(Rows.of(many(10)))
    assert set(score.argsort()[:2]) == {4, 5}
    assert score.argmax() == 1


def written(folder: Path, records: list[Record]) -> Path:
    columns = {n: pa.array([r.get(n) for r in records], ARROW[c.type]) for n, c in COLUMNS.items()}
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / "results.parquet")
    return folder


SHOW = "import sys; from pathlib import Path; from convbench.terminal import summary; summary.show(Path(sys.argv[1]))"


def environment(**extra: str) -> dict[str, str]:
    kept = {
        k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "LC_ALL", "LANG")
    }
    return {**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **extra}


def piped(folder: Path, **extra: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", SHOW, str(folder)], capture_output=True, check=True, env=environment(**extra)
    )
    assert done.stderr == b""
    return done.stdout


def on_a_terminal(folder: Path, columns: int, **extra: str) -> str:
    """What a pseudo terminal of so many columns receives."""
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with subprocess.Popen([sys.executable, "-c", SHOW, str(folder)], stdout=slave, env=environment(**extra)) as process:
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
        assert process.wait() == 0
    os.close(master)
    return received.decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("run"), mixed())


def test_a_pipe_gets_plain_text_of_a_stable_width(folder):
    said = piped(folder)
    assert b"\x1b" not in said
    assert said == piped(folder, TERM="dumb", NO_COLOR="1")
    assert max(map(cell_len, said.decode().splitlines())) <= screen.PIPE_WIDTH
    assert max(map(cell_len, piped(folder, COLUMNS="40").decode().splitlines()[:-2])) <= 40


def test_a_terminal_gets_colours_unless_they_are_not_wanted(folder):
    coloured = on_a_terminal(folder, 100)
    assert re.search("\x1b\\[(1;)?31m(fail|crash)", coloured)
    plain = on_a_terminal(folder, 100, NO_COLOR="1")
    assert not re.search("\x1b\\[([0-9]+;)*(3|4|9|10)[0-7]", plain)
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == re.sub("\x1b\\[[0-9;]*m", "", plain)


def test_the_table_takes_the_terminals_width(folder):
    lines = re.sub("\x1b\\[[0-9;]*m", "", on_a_terminal(folder, 60)).splitlines()
    there = [line for line in lines if not line.startswith(("files:", "to explore"))]
    assert 40 < max(map(cell_len, there)) <= 60


@pytest.mark.parametrize(
    "encoding", ["ascii", *(pytest.param(name, marks=pytest.mark.slow) for name in ("latin-1", "cp1252"))]
)
def test_old_encodings_get_what_they_can_show(folder, encoding):
    said = piped(folder, PYTHONIOENCODING=encoding).decode(encoding)
    utf8 = piped(folder).decode()
    assert [len(line) for line in said.splitlines()] == [len(line) for line in utf8.splitlines()]
    times = "x" if encoding == "ascii" else "×"
    assert f"1.25{times} [1.19, 1.31]*" in said
    assert "?" not in said
    micro = "u" if encoding == "ascii" else "µ"
    assert f"80.0 {micro}s" in said


def test_the_files_and_the_next_command_are_named(folder, monkeypatch):
    file = io.StringIO()
    terminal.show(folder, Console(file=file, width=120, theme=screen.THEME))
    assert f"files: {folder} (results.parquet)" in file.getvalue()
    monkeypatch.chdir(folder.parent)
    terminal.show(folder, Console(file=file, width=120, theme=screen.THEME))
    assert f"python -m convbench report {folder.name}\n" in file.getvalue()


def test_the_environment_is_said_and_too_many_threads_are_warned_of(tmp_path):
    folder = written(tmp_path, timed(spec(), TIMES))
    described = '{"0a": {"torch": "2.13.0", "cpu": "EPYC", "usable_cores": 2, "threads": 8}}'
    (folder / "environment.json").write_text(described)
    file = io.StringIO()
    terminal.show(folder, Console(file=file, width=120, theme=screen.THEME))
    assert "torch 2.13.0 · EPYC · 2 cores\n" in file.getvalue()
    assert "warning: 8 threads shared 2 cores → threads=2 or fewer" in file.getvalue()
    for damaged in ("[]", "{", '{"a": 1}'):
        (folder / "environment.json").write_text(damaged)
        terminal.show(folder, Console(file=io.StringIO(), width=120, theme=screen.THEME))


def test_a_run_without_a_table_or_without_rows_says_so(tmp_path):
    file = io.StringIO()
    terminal.show(tmp_path, Console(file=file, width=300, theme=screen.THEME))
    assert file.getvalue() == f"nothing was measured: there is no {tmp_path / 'results.parquet'}\n"
    file = io.StringIO()
    terminal.show(written(tmp_path / "empty", []), Console(file=file, width=300, theme=screen.THEME))
    assert file.getvalue() == "nothing was measured\n"


def test_the_picture_is_a_drawing_that_needs_no_network(folder, tmp_path):
    terminal.picture(folder, tmp_path / "table.svg", title="python -m convbench -m kernel=3,5")
    svg = (tmp_path / "table.svg").read_text(encoding="utf-8")
    drawn = "".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")
    assert "python -m convbench -m kernel=3,5" in drawn
    assert "1.25× [1.19, 1.31]" in drawn
    assert "@font-face" not in svg
    assert "url(http" not in svg


def test_markup_in_a_reason_is_text():
    records = [row(spec(), "aten", status="error", reason="bad [bold]index[/bold] [0] :boom:")]
    assert "(bad [bold]index[/bold] [0] :boom:)" in text(records)


def enormous(path: Path, configurations: int) -> None:
    """A table of `configurations` × 4 rows in which seven axes vary, written in blocks."""
    template = timed(spec(), TIMES)
    types = pa.schema([(n, ARROW[c.type]) for n, c in COLUMNS.items()])
    with pq.ParquetWriter(path, types) as writer:
        for start in range(0, configurations, 10_000):
            block = []
            for i in range(start, min(start + 10_000, configurations)):
                axes = {"kernel_h": i % 7, "in_h": i // 7 % 32, "batch": i // 224 % 16, "seed": i // 3584 % 30}
                axes |= {"stride_h": i % 3, "dtype": ("float32", "float16")[i % 2], "config_id": f"{i:016x}"}
                slow = 1 + (i * 7919 % 1000) / 100
                axes |= {"run_key": f"{i:016X}", "result_hash": f"{i * 31:016x}", "started_at": f"{i} o'clock"}
                for r in template:
                    values = {**r, **axes, "time_s": r["time_s"] * slow, "grad_mean": i / 7.0, "bound_ratio": 1 / slow}
                    if r["method"] == "unfold" and i % 1000 == 17:
                        values |= {"accuracy": "fail", "reason": f"{i} elements are off"}
                    block.append(values)
            arrays = {n: pa.array([r.get(n) for r in block], types.field(n).type) for n in types.names}
            writer.write_table(pa.table(arrays, schema=types))


@pytest.mark.slow
def test_a_hundred_thousand_configurations_are_shown_in_seconds_and_little_memory(tmp_path):
    enormous(tmp_path / "results.parquet", 100_000)
    measured = SHOW + (
        "; import re, time; peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]"
        "; print(time.process_time(), peak, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, str(tmp_path)], capture_output=True, text=True, check=True, env=environment()
    )
    seconds, kilobytes = map(float, done.stderr.split())
    assert "100,000 configurations, 400,000 rows: 399,900 ok, 100 wrong" in done.stdout
    assert "unfold gave a wrong gradient in 100 of 100,000 configurations" in " ".join(done.stdout.split())
    assert seconds < 20
    assert kilobytes < 250_000


def test_impossible_times_are_no_speedups():
    records = timed(spec(), TIMES)
    records[1] |= {"speed": "impossible", "reason": "1 ns a call is impossible"}
    said = text(records)
    assert "1 configuration, 4 rows: 3 ok, 1 impossible" in said
    assert "impossible: " in said
    records[0]["speed"] = "impossible"
    assert "2 impossible" in text(records)


@pytest.mark.parametrize(
    "values, marked",
    [
        ({}, ""),
        ({"converged": False}, "*"),
        ({"converged": False, "disturbed": True}, "*!"),
        ({"converged": True, "disturbed": False, "mean_differs": True}, "^"),
    ],
)
def test_a_speedup_bears_a_mark_for_each_caveat(values, marked):
    shown = speedup_cell({"method": "explicit", "baseline": "autograd", "speedup": 2.0, **values})
    assert shown.plain == "2.00×" + marked
