"""What clocks, bit rot, other programs and full disks do to part files and tables: nothing lost, nothing old as new."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from convbench.cli import main
from convbench.execution.execute import RunOptions, driving, execute
from convbench.facts.configuration_key import ConfigurationKey
from convbench.facts.measure import Measure
from convbench.facts.record import Record
from convbench.facts.spec import Spec
from convbench.facts.values import InvalidValue
from convbench.results import store
from convbench.results.merge import merge
from convbench.results.origin import damaged_lines

from .processes import Notes, make_spec, use_stub
from .test_store import line_of, table, write

CODES = {"autograd": ""}
ALIKE = ("1247x2996x1845", "1638x2213x1200")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunOptions:
    use_stub(monkeypatch)
    return RunOptions(tmp_path / "out")


def sweep(run: RunOptions, seeds: Sequence[int], **other: object) -> Notes:
    notes = Notes()
    with driving(run):
        execute([make_spec(seed=seed, **other) for seed in seeds], run, notes)
    return notes


def at(clock: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.results.lines.time.time", lambda: clock)


def entries(out: Path, spec: Spec) -> list[store.Entry] | None:
    return store.Index(out).entries(spec, CODES)


def test_a_clock_that_goes_back_brings_no_old_row_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec()
    at(1000.0, monkeypatch)
    write(tmp_path, line_of(spec, accuracy="ok"))
    at(940.0, monkeypatch)
    write(tmp_path, line_of(spec, accuracy="fail"))
    assert table(tmp_path)["accuracy"].tolist() == ["fail"]
    found = entries(tmp_path, spec)
    assert found is not None
    assert found[0].wrong


@pytest.mark.parametrize("where", [12, 40, 60, 90, 200, 400])
def test_one_damaged_byte_in_the_newest_file_brings_no_old_row_back(tmp_path: Path, where: int) -> None:
    """In the first line of the newest file: the other rows stay the newest, the damaged one is measured again."""
    first, second = make_spec(seed=1), make_spec(seed=2)
    write(tmp_path, line_of(first, accuracy="ok"), line_of(second, accuracy="ok"))
    newest = write(tmp_path, line_of(first, accuracy="fail"), line_of(second, accuracy="fail"))
    merge(tmp_path)
    content = bytearray(newest.read_bytes())
    content[where] ^= 4
    newest.write_bytes(content)
    found = entries(tmp_path, second)
    assert found is not None
    assert found[0].wrong
    assert entries(tmp_path, first) is None
    assert table(tmp_path)["accuracy"].tolist() == ["fail", "fail"], "the table knows what the damaged line said"
    write(tmp_path, line_of(first, accuracy="exact"))
    assert table(tmp_path)["accuracy"].tolist() == ["exact", "fail"]


def test_a_block_of_zeros_may_have_replaced_anything_before_it(tmp_path: Path) -> None:
    specs = [make_spec(seed=seed) for seed in range(3)]
    write(tmp_path, line_of(specs[0]), line_of(specs[1]))
    with write(tmp_path).open("ab") as file:
        file.write(bytes(512) + b"\n" + line_of(specs[2]))
    assert [entries(tmp_path, spec) is None for spec in specs] == [True, True, False]


def test_a_line_cut_short_by_a_death_takes_nothing_away(tmp_path: Path) -> None:
    write(tmp_path, line_of(make_spec(seed=1)))
    with write(tmp_path).open("ab") as file:
        file.write(line_of(make_spec(seed=1))[:-40])
    assert entries(tmp_path, make_spec(seed=1)) is not None


def old_file(out: Path, name: str, *lines: bytes) -> None:
    """A part file as versions without generations named them."""
    store.prepare(out)
    (out / "parts" / f"host-{name}.jsonl").write_bytes(b"".join(lines))


def test_folder_of_an_older_version_is_read_and_measured_again_where_its_order_is_unknown(
    run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = Notes()
    at(1000.0, monkeypatch)
    with driving(run):
        execute([make_spec(seed=seed) for seed in range(3)], run, codes)
    (part,) = (run.out / "parts").glob("*.jsonl")
    lines = part.read_bytes().splitlines(keepends=True)
    shutil.rmtree(run.out)
    old_file(run.out, "1-aaaaaa", *lines)
    old_file(run.out, "2-bbbbbb", lines[1])
    assert [spec.seed for spec in sweep(run, range(3)).started] == [1]
    assert sweep(run, range(3)).started == []
    assert table(run.out)["seed"].tolist() == [0, 1, 2]


def test_labels_with_the_same_crc_are_two_configurations(tmp_path: Path) -> None:
    specs = [make_spec(labels={"shape": shape}) for shape in ALIKE]
    texts = [str(spec.columns()["labels"]) for spec in specs]
    assert zlib.crc32(texts[0].encode()) == zlib.crc32(texts[1].encode())
    assert len({spec.key.unit for spec in specs}) == 2
    write(tmp_path, line_of(specs[0]))
    assert entries(tmp_path, specs[0]) is not None
    assert entries(tmp_path, specs[1]) is None


def test_labels_of_an_older_version_are_found_by_their_text(tmp_path: Path) -> None:
    specs = [make_spec(labels={"shape": shape}) for shape in ALIKE]
    row: Record = {**specs[0].columns(), "method": "autograd", "status": "ok"}
    text = json.dumps(dict(specs[0].labels), sort_keys=True)
    old_file(tmp_path, "1-aaaaaa", store.encode(0, f"{specs[0].run_key}-{zlib.crc32(text.encode()):08x}", "", row))
    assert entries(tmp_path, specs[0]) is not None
    assert entries(tmp_path, specs[1]) is None
    write(tmp_path, line_of(specs[0], time_s=2.0))
    assert table(tmp_path)["time_s"].tolist() == [2.0]


def test_unit_follows_from_the_table_s_columns() -> None:
    spec = make_spec(labels={"läyer": "1×1", "a": "b"})
    columns = spec.columns()
    assert spec.key.unit == ConfigurationKey.of(columns).unit != spec.run_key
    assert make_spec().key.unit == make_spec().run_key


class Meddler(Notes):
    """Does something to the part files after `after` configurations."""

    def __init__(self, out: Path, after: int, what: str) -> None:
        super().__init__()
        self.out, self.after, self.what = out, after, what

    def finish(self, spec: Spec, records: Sequence[Record]) -> None:
        super().finish(spec, records)
        if len(self.finished) != self.after:
            return
        (part,) = (self.out / "parts").glob("*.jsonl")
        if self.what == "remove":
            part.unlink()
        elif self.what == "remove the folder":
            shutil.rmtree(self.out)
        elif self.what == "truncate":
            os.truncate(part, 10)
        elif self.what == "replace":
            content = part.read_bytes()
            part.unlink()
            part.write_bytes(content[:100])


@pytest.mark.parametrize("after", [2, 4])
@pytest.mark.parametrize("what", ["remove", "remove the folder"])
def test_rows_of_a_part_file_that_vanishes_are_saved(run: RunOptions, what: str, after: int) -> None:
    notes = Meddler(run.out, after, what)
    with pytest.raises(InvalidValue, match="part file was taken away by another program; run the same"), driving(run):
        execute([make_spec(seed=seed) for seed in range(4)], run, notes)
    # What was in flight when it was noticed is kept as well.
    assert table(run.out)["seed"].tolist() == list(range(min(after + 1, 4)))
    assert [spec.seed for spec in sweep(run, range(4)).started] == list(range(min(after + 1, 4), 4))


@pytest.mark.parametrize("what", ["truncate", "replace"])
def test_a_part_file_that_another_program_writes_to_is_noticed(run: RunOptions, what: str) -> None:
    with pytest.raises(InvalidValue, match="by another program; run the same command again"), driving(run):
        execute([make_spec(seed=seed) for seed in range(4)], run, Meddler(run.out, 2, what))
    assert sweep(run, range(4)).outcomes[0].missing == 0
    assert table(run.out)["seed"].tolist() == [0, 1, 2, 3]


def test_rows_that_were_measured_and_are_in_no_part_file_are_missed(
    run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file of an earlier process goes while this one measures."""
    sweep(run, range(3))
    (earlier,) = (run.out / "parts").glob("*.jsonl")
    for name in ("results.parquet", "merged.json"):
        (run.out / name).unlink()

    class Late(Notes):
        def finish(self, spec: Spec, records: Sequence[Record]) -> None:
            earlier.unlink()

    with pytest.raises(InvalidValue, match="3 rows that had been measured are in no part file any more"), driving(run):
        execute([make_spec(seed=seed) for seed in range(4)], run, Late())


def test_a_table_never_loses_the_rows_of_part_files_that_were_deleted(run: RunOptions) -> None:
    sweep(run, range(10))
    before = table(run.out)
    shutil.rmtree(run.out / "parts")
    assert [spec.seed for spec in sweep(run, range(4)).started] == [0, 1, 2, 3]
    after = table(run.out).sort_values("seed", ignore_index=True)
    assert after["seed"].tolist() == list(range(10))
    assert list(after) == list(before)
    assert after["started_at"].tolist()[4:] == before["started_at"].tolist()[4:]
    assert len(pd.read_csv(run.out / "results.csv")) == 10


def test_the_same_for_a_table_without_a_note_of_its_part_files(run: RunOptions) -> None:
    sweep(run, range(3))
    shutil.rmtree(run.out / "parts")
    (run.out / "merged.json").unlink()
    sweep(run, [7])
    assert sorted(table(run.out)["seed"]) == [0, 1, 2, 7]


def test_a_row_whose_file_vanished_is_not_replaced_by_the_one_before_it(tmp_path: Path) -> None:
    spec = make_spec()
    write(tmp_path, line_of(spec, accuracy="ok"))
    newest = write(tmp_path, line_of(spec, accuracy="fail"))
    merge(tmp_path)
    newest.unlink()
    assert table(tmp_path)["accuracy"].tolist() == ["fail"]
    assert entries(tmp_path, spec) is None, "it is measured again"
    write(tmp_path, line_of(spec, accuracy="exact"))
    assert table(tmp_path)["accuracy"].tolist() == ["exact"]


def test_samples_stay_with_their_rows(run: RunOptions) -> None:
    sweep(run, range(2), measure=Measure(processes=1))
    shutil.rmtree(run.out / "parts")
    sweep(run, [2], measure=Measure(processes=1))
    samples = pd.read_parquet(run.out / "samples.parquet")
    assert set(samples["run_key"]) == set(table(run.out)["run_key"])


@pytest.fixture
def no_space(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A disk on which no further file can be made once the first configuration is measured."""
    tried: list[Path] = []

    def refuse(path: Path, text: str) -> None:
        tried.append(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("convbench.results.parts._write_whole", refuse)
    return tried


def test_rows_come_before_their_environment_on_a_full_disk(run: RunOptions, no_space: list[Path]) -> None:
    with pytest.raises(InvalidValue, match="the disk is full; all rows measured so far are kept"):
        sweep(run, range(3))
    assert len(no_space) == 2, "once more when the reserve has given way"
    assert table(run.out)["seed"].tolist() == [0]


def test_the_reserve_gives_way_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.prepare(tmp_path)
    part = store.Part(tmp_path, store.ROWS)
    part.open()
    real = store.Part.give_way
    full = [True]

    def give_way(part: store.Part) -> None:
        real(part)
        full.clear()

    from convbench.results import parts

    write_whole = parts._write_whole

    def write_if_there_is_room(path: Path, text: str) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_whole(path, text)

    monkeypatch.setattr(store.Part, "give_way", give_way)
    monkeypatch.setattr(parts, "_write_whole", write_if_there_is_room)
    with pytest.raises(InvalidValue, match="the disk is full"):
        store.keep_environment(tmp_path, "a", {"cpu": "x"}, part)
    part.close()
    assert json.loads((tmp_path / "parts" / "environment-a.json").read_text()) == {"cpu": "x"}


@pytest.mark.parametrize("kind", ["folder", "dangling link", "fifo"])
def test_what_is_no_part_file_is_named_before_anything_runs(run: RunOptions, kind: str) -> None:
    sweep(run, range(1))
    path = run.out / "parts" / "a.jsonl"
    {"folder": path.mkdir, "dangling link": lambda: path.symlink_to("nowhere"), "fifo": lambda: os.mkfifo(path)}[kind]()
    with pytest.raises(InvalidValue, match=r"parts/a\.jsonl (is no file|cannot be read \(.*\)); move it out"):
        sweep(run, range(2))
    assert len(pd.read_parquet(run.out / "results.parquet")) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_unreadable_part_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, line_of(make_spec())).chmod(0)
    with pytest.raises(InvalidValue, match=r"cannot be read \(Permission denied\); make it readable"):
        store.Index(tmp_path)


def test_damaged_lines_are_counted_beside_the_table(tmp_path: Path) -> None:
    assert damaged_lines(tmp_path) == 0
    path = write(tmp_path, line_of(make_spec(seed=1)), line_of(make_spec(seed=2)))
    merge(tmp_path)
    assert damaged_lines(tmp_path) == 0
    path.write_bytes(path.read_bytes().replace(b'"seed":1', b'"seed":3'))
    merge(tmp_path)
    assert damaged_lines(tmp_path) == 1
    (tmp_path / "merged.json").write_text("[")
    assert damaged_lines(tmp_path) == 0


def test_a_folder_whose_name_is_no_utf8_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"out='.*\\udcff' is not UTF-8, which tables need"):
        store.prepare(tmp_path / os.fsdecode(b"\xff"))


@pytest.mark.parametrize("name", ["samples.parquet", "results.parquet"])
@pytest.mark.parametrize(
    "words",
    [
        ["recompute"],
        ["show"],
        pytest.param(["export", "--format", "pytest-benchmark"], marks=pytest.mark.slow),
        pytest.param(["export", "--format", "csv"], marks=pytest.mark.slow),
    ],
)
def test_a_damaged_table_is_one_sentence_for_every_command(
    run: RunOptions, name: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One byte in the middle of the data, another in the file's own description, and a file that is cut off."""
    sweep(run, range(2), measure=Measure(processes=1))
    path = run.out / name
    whole = path.read_bytes()
    told = words[-1] not in ("csv", "show") or name == "results.parquet"
    calm = ran(run.out, words, capsys)
    for place in (*range(20, len(whole) - 8, max(1, len(whole) // 12)), None):
        content = bytearray(whole[: -20 if place is None else None])
        if place is not None:
            content[place] ^= 255
        path.write_bytes(content)
        code, out, err = ran(run.out, words, capsys)
        # A byte that nobody reads, in the name of the program that wrote the file for instance, changes nothing.
        assert (code, err.count("\n")) == (2, 1) or ((code, out, err) == calm and place is not None) or not told, err


def ran(out: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """A command's exit code, output and error, on the tables as they are."""
    tables = {path: path.read_bytes() for path in (out / "results.parquet", out / "results.csv")}
    code = main([words[0], str(out), *words[1:]])
    for path, content in tables.items():
        path.write_bytes(content)
    captured = capsys.readouterr()
    return code, captured.out, captured.err
