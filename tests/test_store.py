"""Part files and the tables made from them: torn and damaged lines, order, types, full and read-only disks."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convbench.facts.record import COLUMNS, SAMPLE_COLUMNS, Record, record
from convbench.facts.spec import Spec
from convbench.facts.values import InvalidValue
from convbench.results import store
from convbench.results.files import UNFINISHED
from convbench.results.merge import merge
from convbench.results.origin import damaged_lines
from convbench.timing.samples import Samples

from .processes import ROOT, make_spec

PANDAS_TYPES = {int: "Int64", float: "Float64", bool: "boolean", str: "string"}


def row_of(spec: Spec, method: str, **values: Any) -> Record:
    return record({**spec.columns(), "method": method, "status": "ok", **values})


def write(out: Path, *lines: bytes) -> Path:
    """A part file of its own for these lines."""
    store.prepare(out)
    part = store.Part(out, store.ROWS)
    part.open()
    for line in lines:
        part.append(line)
    part.close()
    return part.path


def line_of(spec: Spec, method: str = "autograd", position: int = 0, code: str = "", **values: Any) -> bytes:
    return store.encode(position, spec.key.unit, code, row_of(spec, method, **values))


def table(out: Path) -> pd.DataFrame:
    merge(out)
    return pd.read_parquet(out / "results.parquet")


VALUES: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(),
    bool: st.booleans(),
    str: st.text(),
}
ROWS = st.fixed_dictionaries(
    {"status": st.sampled_from(["ok", "crash"])},
    optional={
        name: VALUES[column.type]
        for name, column in COLUMNS.items()
        if name not in ("status", "accuracy", "method", "run_key")
    },
)


@settings(max_examples=60)
@given(row=ROWS)
def test_any_row_comes_back_from_the_table_as_it_was(tmp_path_factory: pytest.TempPathFactory, row: Record) -> None:
    out = tmp_path_factory.mktemp("out")
    row = {"method": "autograd", **row}
    write(out, store.encode(0, "ab", "", row))
    merge(out)
    (back,) = pyarrow.parquet.read_table(out / "results.parquet").to_pylist()
    assert list(back) == list(COLUMNS)
    for name, value in back.items():
        expected = row.get(name)
        if isinstance(expected, str):
            # Half of a surrogate pair cannot be written in any file.
            expected = expected.encode(errors="replace").decode()
        assert value == expected or (expected is not None and math.isnan(expected) and math.isnan(value))


@given(cut=st.integers(0, 2000))
def test_a_torn_line_is_no_row(cut: int) -> None:
    line = line_of(make_spec())
    assert store.decode_head(line) is not None
    assert store.decode_head(line[: cut % len(line)]) is None


@given(where=st.integers(0, 2000), bits=st.integers(1, 255))
def test_a_damaged_line_is_no_row(where: int, bits: int) -> None:
    """Also where it is still valid JSON, with another number in it."""
    line = bytearray(line_of(make_spec(), time_s=1.25))
    line[where % len(line)] ^= bits
    assert store.decode_head(bytes(line)) is None
    assert store.decode(bytes(line)) is None


def test_rows_between_torn_and_damaged_lines_survive(tmp_path: Path) -> None:
    lines = [line_of(make_spec(seed=seed), position=seed) for seed in range(6)]
    torn, damaged = lines[1][:200], lines[3].replace(b'"seed":3', b'"seed":7')
    (write(tmp_path, lines[0])).write_bytes(lines[0] + torn + b"\n" + lines[2] + damaged + b"\0\0\0\n" + lines[4])
    with write(tmp_path, lines[5]).open("ab") as file:
        file.write(lines[1][:-1])
    (tmp_path / "parts" / "empty.jsonl").touch()
    merge(tmp_path)
    assert damaged_lines(tmp_path) == 4
    assert pd.read_parquet(tmp_path / "results.parquet")["seed"].tolist() == [0, 2, 4, 5]


def test_table_types_hold_for_whoever_reads_it_with_pandas(tmp_path: Path) -> None:
    write(tmp_path, line_of(make_spec(), time_s=1.5, converged=True), line_of(make_spec(), "explicit"))
    found = table(tmp_path)
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == {
        name: PANDAS_TYPES[column.type] for name, column in COLUMNS.items()
    }
    assert found["in_h"].tolist() == [4, 4]
    assert found["in_d"].isna().all()
    assert found["time_s"].isna().tolist() == [False, True]
    fields = pyarrow.parquet.read_schema(tmp_path / "results.parquet")
    assert fields.field("time_s").metadata[b"unit"] == b"s"


def test_csv_says_the_same(tmp_path: Path) -> None:
    reason = 'a "quoted", reason\nwith ünicode'
    rows = [{"time_s": 1e-5 / 3, "reason": reason}, {"converged": False, "max_abs_err": math.inf}]
    write(tmp_path, *(line_of(make_spec(), f"m{i}", **values) for i, values in enumerate(rows)))
    expected = table(tmp_path)
    # As docs/analysis.md says: pandas before 3.0 rounds the last digit otherwise; later ones warn of it.
    exact: dict[str, Any] = {"float_precision": "round_trip"} if int(pd.__version__.split(".")[0]) < 3 else {}
    text = pd.read_csv(tmp_path / "results.csv", **exact)
    assert list(text) == list(COLUMNS)
    assert text["time_s"][0] == expected["time_s"][0] == 1e-5 / 3
    assert text["reason"][0] == expected["reason"][0] == reason
    assert text["max_abs_err"][1] == math.inf
    assert not text["converged"][1]
    assert pd.isna(text["kernel_d"][0])


def test_one_cell_beyond_its_type_costs_that_cell(tmp_path: Path) -> None:
    write(tmp_path, line_of(make_spec(), flops=2**70, bytes=7), line_of(make_spec(), "explicit", flops=5))
    found = table(tmp_path)
    assert found["flops"].fillna(-1).tolist() == [-1, 5]
    assert found["bytes"][0] == 7


def test_no_rows_make_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    store.prepare(tmp_path)
    merge(tmp_path)
    assert list(pd.read_parquet(tmp_path / "results.parquet")) == list(COLUMNS)


def test_table_is_in_the_sweep_s_order_whoever_measured_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.results.merge.BLOCK", 7)
    order = list(range(40))
    random.Random(0).shuffle(order)
    for start in range(0, 40, 8):
        lines = [line_of(make_spec(seed=s), m, s) for s in order[start : start + 8] for m in ("zebra", "aten")]
        write(tmp_path, *lines)
    found = table(tmp_path)
    assert found["seed"].tolist() == [seed for seed in range(40) for _ in range(2)]
    assert found["method"].tolist() == ["zebra", "aten"] * 40, "the arms' order, not the alphabet's"


def test_later_rows_replace_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("convbench.results.lines.time.time", lambda: float(next(clock)))
    spec = make_spec("explicit")
    first = line_of(spec, time_s=1.0) + line_of(spec, "explicit", time_s=1.0)
    second = line_of(spec, time_s=2.0)
    # The file with the later rows comes first in the alphabet.
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "b.jsonl").write_bytes(first)
    (tmp_path / "parts" / "a.jsonl").write_bytes(second)
    assert table(tmp_path)["time_s"].tolist() == [2.0, 1.0]


def test_labels_make_rows_of_their_own(tmp_path: Path) -> None:
    """Two layers of one network with the same shape are two rows of its table."""
    specs = [make_spec(labels={"layer": name}) for name in ("conv1", "conv2")]
    assert specs[0].run_key == specs[1].run_key
    write(tmp_path, *(line_of(spec, position=i) for i, spec in enumerate(specs)))
    assert [json.loads(text)["layer"] for text in table(tmp_path)["labels"]] == ["conv1", "conv2"]


def test_index_knows_what_is_settled(tmp_path: Path) -> None:
    spec = make_spec("explicit")
    codes = {"autograd": "1", "explicit": "2"}
    write(tmp_path, line_of(spec, code="1"))
    assert store.Index(tmp_path).entries(spec, codes) is None, "a method is missing"
    write(tmp_path, line_of(spec, "explicit", code="2", accuracy="fail"))
    entries = store.Index(tmp_path).entries(spec, codes)
    assert entries is not None
    assert [entry.wrong for entry in entries] == [False, True]
    assert store.settled(entries, "none")
    assert store.settled(entries, "failed")
    assert store.Index(tmp_path).entries(spec, codes | {"explicit": "3"}) is None, "its code has changed"


@pytest.mark.parametrize(
    "status, none, failed",
    [("ok", True, True), ("unsupported", True, True), ("skipped", False, False), ("crash", True, False)],
)
def test_what_is_measured_again(status: str, none: bool, failed: bool) -> None:
    entries = [store.Entry("autograd", "", "ok", False), store.Entry("explicit", "", status, False)]
    assert store.settled(entries, "none") is none
    assert store.settled(entries, "failed") is failed
    assert not store.settled(None, "none")


def test_one_write_per_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_to = os.write
    writes: list[int] = []

    def count(fd: int, data: bytes) -> int:
        writes.append(len(data))
        return write_to(fd, data)

    store.prepare(tmp_path)
    part = store.Part(tmp_path, store.ROWS)
    part.open()
    monkeypatch.setattr("convbench.results.parts.os.write", count)
    four_rows = line_of(make_spec()) * 4
    part.append(four_rows)
    part.close()
    assert writes == [len(four_rows)]


def test_samples_come_back(tmp_path: Path) -> None:
    store.prepare(tmp_path)
    part = store.Part(tmp_path, store.SAMPLES)
    part.open()
    spec = make_spec("explicit")

    def samples(factor: float) -> list[Samples]:
        times = [[factor * (r + 1), factor / (r + 1)] for r in range(3)]
        order = [[0, 1], [1, 0], [0, 1]]
        return [Samples(("autograd", "explicit"), 0, 0.03, 0.01, times, [[4, 5]] * 3, order, p) for p in range(2)]

    for factor in (1.0, 2.0):
        part.append(store.encode_samples(spec, [s.to_dict() for s in samples(factor)]))
    part.close()
    merge(tmp_path)
    rows = pd.read_parquet(tmp_path / "samples.parquet").to_dict("records")
    written = samples(1.0)[0].to_rows(spec.key)
    assert [*rows[0]] == [column.name for column in SAMPLE_COLUMNS] == [*written[0]]
    assert {row["config_id"] for row in rows} == {spec.config_id}
    assert Samples.from_rows(rows) == samples(2.0), "the later measurement of the same configuration"


def test_environments_are_gathered(tmp_path: Path) -> None:
    store.prepare(tmp_path)
    for key in ("b", "a", "b"):
        store.keep_environment(tmp_path, key, {"environment_id": key, "cpu": "ü"})
    (tmp_path / "parts" / "environment-c.json").write_text("{torn")
    merge(tmp_path)
    assert json.loads((tmp_path / "environment.json").read_text(encoding="utf-8")) == {
        key: {"environment_id": key, "cpu": "ü"} for key in ("a", "b")
    }


def test_second_process_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    program = "import sys, time; from pathlib import Path; from convbench.results import store\n" + (
        "with store.locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    )
    first = subprocess.Popen([sys.executable, "-c", program, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert first.stdout
    with first, first.stdout as stdout:
        assert stdout.readline() == "locked\n"
        with (
            pytest.raises(InvalidValue, match=rf"is being written by process {first.pid} on .*; wait for it") as caught,
            store.locked(tmp_path),
        ):
            pass
        assert caught.value.key == "out"
        first.send_signal(signal.SIGKILL)
    with store.locked(tmp_path):
        assert f"process {os.getpid()}" in (tmp_path / ".owner").read_text()


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InvalidValue, match=r"cannot be written .*; give a folder that can"):
        store.prepare(tmp_path / "out")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a disk needs privileges that this user has not")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_read_only_disk_is_refused(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(InvalidValue, match=r"cannot be written \(Read-only file system\)"):
        store.prepare(small_disk)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)


def fill(disk: Path) -> None:
    """Leaves no byte on a disk."""
    with (disk / "ballast").open("ab", buffering=0) as file:
        for size in (1 << 16, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    assert os.statvfs(disk).f_bavail == 0


def test_full_disk_keeps_the_rows_in_flight(small_disk: Path) -> None:
    store.prepare(small_disk)
    part = store.Part(small_disk, store.ROWS)
    part.open()
    lines = [line_of(make_spec(seed=seed), position=seed, reason="x" * 5000) for seed in range(4)]
    part.append(lines[0] + lines[1])
    fill(small_disk)
    with pytest.raises(InvalidValue, match="the disk is full; all rows measured so far are kept: free some space"):
        part.append(lines[2] + lines[3])
    fill(small_disk)
    with pytest.raises(InvalidValue, match="the disk is full"):
        merge(small_disk)
    assert not list(small_disk.glob(f"*{UNFINISHED}"))
    part.close()
    (small_disk / "ballast").unlink()
    assert table(small_disk)["seed"].tolist() == [0, 1, 2, 3]


def test_disk_that_is_full_from_the_start_is_refused_before_anything_runs(small_disk: Path) -> None:
    store.prepare(small_disk)
    fill(small_disk)
    with pytest.raises(InvalidValue, match="the disk is full"):
        store.Part(small_disk, store.ROWS).open()


def test_half_a_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk does that fills up within a line."""
    store.prepare(tmp_path)
    part = store.Part(tmp_path, store.ROWS)
    part.open()
    line = line_of(make_spec())
    part.append(line)
    write_to = os.write
    with monkeypatch.context() as patch:
        patch.setattr("convbench.results.parts.os.write", lambda fd, data: write_to(fd, data[:100]))
        with pytest.raises(InvalidValue, match="the disk is full"):
            part.append(line_of(make_spec(seed=1)))
    assert part.path.read_bytes() == line
    part.close()


def test_what_a_killed_merge_left_is_removed_by_the_next(tmp_path: Path) -> None:
    write(tmp_path, line_of(make_spec()))
    (tmp_path / f".results.parquet.1{UNFINISHED}").write_bytes(b"PAR1")
    merge(tmp_path)
    assert not list(tmp_path.glob(f".*{UNFINISHED}"))
    assert len(table(tmp_path)) == 1


def test_table_is_never_seen_half_written(tmp_path: Path) -> None:
    write(tmp_path, *(line_of(make_spec(seed=seed), position=seed) for seed in range(50)))
    merge(tmp_path)
    ended = threading.Event()

    def merge_often() -> None:
        while not ended.is_set():
            merge(tmp_path)

    thread = threading.Thread(target=merge_often)
    thread.start()
    try:
        for _ in range(20):
            assert len(pd.read_parquet(tmp_path / "results.parquet", columns=["seed"])) == 50
    finally:
        ended.set()
        thread.join()


def test_an_impossible_time_is_counted_with_the_wrong_rows(tmp_path: Path) -> None:
    spec = make_spec("explicit")
    line = line_of(spec, "explicit", speed="impossible", margin=0.03, reason='"speed":"impossible"')
    said = line_of(spec, reason='it said ,"speed":"impossible",')
    write(tmp_path, said, line)
    entries = store.Index(tmp_path).entries(spec, {"autograd": "", "explicit": ""})
    assert entries is not None
    assert [entry.wrong for entry in entries] == [False, True]
    index = store.Index(tmp_path / "other")
    index.add("unit", [row_of(spec, "explicit", speed="impossible")], {"explicit": "1"})
    assert index._units["unit"][0].wrong
