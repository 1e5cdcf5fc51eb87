"""The schema version of a run's tables: written, and what every command does about another one."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest

import convbench
from convbench import cli
from convbench.facts.record import COLUMNS
from convbench.facts.spec import SCHEMA_VERSION
from convbench.results import schema, store
from convbench.results.merge import merge
from tests.processes import make_spec
from tests.simulated import row, timed_row
from tests.test_recompute import lines, measured, write
from tests.test_table import write as write_table

LATER = SCHEMA_VERSION + 1


def make_run(out: Path) -> Path:
    """A run of one configuration with its raw samples, as a sweep writes it."""
    rows, samples = lines(0, make_spec("explicit"), measured(0))
    write(out, store.ROWS, *rows)
    write(out, store.SAMPLES, samples)
    merge(out)
    return out


def rewrite(file: Path, version: int | None) -> None:
    """The same table with another schema version in its metadata, or without any."""
    table = pyarrow.parquet.read_table(file)
    kept = {key: value for key, value in (table.schema.metadata or {}).items() if key != b"convbench_schema"}
    new = {} if version is None else {b"convbench_schema": str(version).encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata({**kept, **new}), file, write_page_checksum=True)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_run(tmp_path / "run")


@pytest.mark.parametrize("name", ["results.parquet", "samples.parquet"])
def test_both_tables_say_their_version(run: Path, name: str) -> None:
    assert pyarrow.parquet.read_schema(run / name).metadata[b"convbench_schema"] == str(SCHEMA_VERSION).encode()


def test_recomputing_keeps_the_version(run: Path) -> None:
    assert cli.main(["recompute", str(run)]) == 0
    assert schema.versions([run / "results.parquet"]) == {SCHEMA_VERSION}


@pytest.mark.parametrize(
    "command",
    [
        "report run",
        "compare run run",
        "export run --format csv",
        "export run --format markdown",
        "recompute run",
        "show run",
        "cases=run measure=none out=new",
        "measure=none out=run",
    ],
)
def test_a_later_table_is_one_sentence(run: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(run / "results.parquet", LATER)
    before = (run / "results.parquet").read_bytes()
    assert cli.main(command.split()) == 2
    said = capsys.readouterr().err
    assert f"schema version {LATER}" in said
    assert f"{SCHEMA_VERSION}; " in said
    assert len(said.splitlines()) == 1
    assert (run / "results.parquet").read_bytes() == before


def test_later_samples_are_one_sentence(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(run / "samples.parquet", LATER)
    for command in ("recompute run", "export run --format pytest-benchmark"):
        assert cli.main(command.split()) == 2
        said = capsys.readouterr().err
        assert f"samples.parquet has schema version {LATER}" in said


def test_load_refuses_a_later_table(run: Path) -> None:
    rewrite(run / "results.parquet", LATER)
    with pytest.raises(ValueError, match=f"results.parquet has schema version {LATER}, and convbench .* reads"):
        convbench.load(run)


@pytest.mark.parametrize("version", [None, SCHEMA_VERSION])
def test_an_older_table_is_read_and_what_it_lacks_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int | None
) -> None:
    folder = write_table(tmp_path / "old", [row(0, "explicit")])
    rewrite(folder / "results.parquet", version)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", LATER)
    table = convbench.load(folder)
    assert list(table.columns) == list(COLUMNS)
    assert table["method"].tolist() == ["explicit"]
    assert table["cpus"].isna().all()


def test_compare_says_that_the_versions_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schema, "SCHEMA_VERSION", LATER)
    monkeypatch.chdir(tmp_path)
    rows = [timed_row(i, m, (1.0, 0.99, 1.01)) for i in range(3) for m in ("autograd", "explicit")]
    for name in ("base", "new"):
        write_table(tmp_path / name, rows)
    rewrite(tmp_path / "new" / "results.parquet", LATER)
    assert cli.main(["compare", "base", "new"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"the tables of BASE have schema version 1, those of NEW {LATER}" in said
    assert cli.main(["compare", "new", "new"]) == 0
    assert "schema version" not in capsys.readouterr().out


def test_a_folder_with_an_older_table_takes_no_new_rows(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schema, "SCHEMA_VERSION", LATER)
    assert cli.main(["measure=none", "out=run"]) == 2
    assert f"holds a table of schema version {SCHEMA_VERSION}" in capsys.readouterr().err


def test_a_damaged_table_is_written_anew(run: Path) -> None:
    (run / "results.parquet").write_bytes(b"PAR1 and nothing else")
    schema.check_same(run)
