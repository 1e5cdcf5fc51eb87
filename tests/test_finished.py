"""Finished runs read a column at a time: the same rows as the DataFrame has, whatever files they are in."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import convbench
from convbench.facts.record import COLUMNS
from convbench.facts.values import InvalidValue
from convbench.results.finished import read_run
from convbench.results.table import records
from tests.test_table import ROWS, write


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_rows_are_those_of_the_data_frame(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "run", ROWS, kind)
    rows = read_run(tmp_path / "run")
    assert rows.take(range(rows.count)) == records(convbench.load(tmp_path / "run"))


def test_shards_of_both_kinds_are_one_run(tmp_path: Path) -> None:
    """In the order of their names; a column that one of them lacks is unknown there."""
    write(tmp_path / "run" / "1", ROWS[:1])
    write(tmp_path / "run" / "2", ROWS[1:], "csv")
    older = pq.read_table(tmp_path / "run" / "1" / "results.parquet").drop_columns(["tf32"])
    pq.write_table(older, tmp_path / "run" / "1" / "results.parquet")
    rows = read_run(tmp_path / "run")
    expected = [{k: v for k, v in ROWS[0].items() if k != "tf32"}, *ROWS[1:]]
    assert rows.take(range(rows.count)) == [{k: r[k] for k in COLUMNS if r.get(k) is not None} for r in expected]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"method": ["a"], "status": ["ok"]}, "is not a table of convbench: it has no column config_id"),
        (
            {"config_id": ["c"], "method": ["a"], "status": ["ok"], "time_s": ["soon"]},
            "column time_s holds something that is not of type float",
        ),
    ],
)
def test_what_is_no_table_is_said_in_one_sentence(tmp_path: Path, columns: dict[str, list[str]], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "results.parquet")
    with pytest.raises(InvalidValue, match=message):
        read_run(tmp_path).numbers("time_s")


def test_a_file_that_is_none_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "results.parquet").write_bytes(b"PAR")
    (tmp_path / "parts").mkdir()
    with pytest.raises(InvalidValue, match="cannot be read as a table"):
        read_run(tmp_path)
    with pytest.raises(InvalidValue, match="holds no results"):
        read_run(tmp_path / "parts")
