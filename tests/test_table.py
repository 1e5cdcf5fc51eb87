"""The table as a DataFrame: types, files, shards, and what is no table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import convbench
from convbench.facts.record import COLUMNS, Record
from convbench.facts.values import InvalidValue
from convbench.results.table import records
from tests.simulated import row, timed_row

WANTED = {int: "Int64", float: "Float64", bool: "boolean", str: "string"}
ROWS = [
    {**timed_row(0, "explicit", (2.0, 1.9, 2.1)), "equals_baseline": False, "flops": 2**60 + 1, "tf32": True},
    row(1, "autograd", status="oom", accuracy=None, reason='a "quoted", word\nand a line', op="conv1d", in_h=None),
    row(2, "explicit", labels='{"layer": "<b>é</b>"}', max_abs_err=1e-300),
]


def _dtype(name: str) -> Any:
    return WANTED[COLUMNS[name].type]


def write(folder: Path, rows: list[Record], kind: str = "parquet") -> Path:
    """A finished run as another program would write it: plain pandas types, only the columns that are known."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [name for name in COLUMNS if any(name in r for r in rows)]
    frame = pd.DataFrame({name: pd.Series([r.get(name) for r in rows], dtype=_dtype(name)) for name in columns})
    if kind == "csv":
        frame.to_csv(folder / "results.csv", index=False)
    else:
        frame.to_parquet(folder / "results.parquet")
    return folder


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_types_and_values_survive(tmp_path: Path, kind: str) -> None:
    table = convbench.load(write(tmp_path / "run", ROWS, kind))
    assert list(table.columns) == [*COLUMNS, "layer"]
    assert {name: str(table.dtypes[name]) for name in COLUMNS} == {n: WANTED[c.type] for n, c in COLUMNS.items()}
    assert records(table) == ROWS
    assert table["in_h"].isna().tolist() == [False, True, False]
    assert table["flops"][0] == 2**60 + 1


def test_labels_are_columns(tmp_path: Path) -> None:
    rows = [
        row(0, "explicit", labels='{"layer": "conv1", "dtype": "as in the paper"}'),
        row(1, "explicit", labels='{"layer": "conv2", "stage": 3}'),
        row(2, "explicit"),
        row(3, "explicit", labels="{damaged"),
    ]
    table = convbench.load(write(tmp_path / "run", rows))
    assert list(table.columns) == [*COLUMNS, "layer", "label.dtype", "stage"]
    assert table["layer"].fillna("–").tolist() == ["conv1", "conv2", "–", "–"]
    assert table["label.dtype"].fillna("–").tolist() == ["as in the paper", "–", "–", "–"]
    assert table["stage"].fillna("–").tolist() == ["–", "3", "–", "–"]
    assert str(table["layer"].dtype) == "string"


def test_file_instead_of_folder(tmp_path: Path) -> None:
    write(tmp_path / "run", ROWS, "csv")
    assert len(convbench.load(str(tmp_path / "run" / "results.csv"))) == 3


def test_parquet_wins_over_csv(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    write(tmp_path, ROWS[:1], "csv")
    assert len(convbench.load(tmp_path)) == 3


def test_shards_are_put_together_in_order(tmp_path: Path) -> None:
    write(tmp_path / "shard-2", ROWS[1:])
    write(tmp_path / "shard-1", ROWS[:1], "csv")
    (tmp_path / "logs").mkdir()
    table = convbench.load(tmp_path)
    assert records(table) == ROWS
    assert table.index.tolist() == [0, 1, 2]


def test_columns_of_a_later_version_stay(tmp_path: Path) -> None:
    pd.DataFrame({"config_id": ["a"], "method": ["m"], "status": ["ok"], "joules": [1.5]}).to_parquet(
        tmp_path / "results.parquet"
    )
    table = convbench.load(tmp_path)
    assert list(table.columns) == [*COLUMNS, "joules"]
    assert table["speedup"].isna().all()
    assert records(table) == [{"config_id": "a", "method": "m", "status": "ok"}]


def test_empty_table(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(",".join(COLUMNS) + "\n")
    table = convbench.load(tmp_path)
    assert len(table) == 0
    assert str(table["batch"].dtype) == "Int64"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; give the folder that a sweep wrote"),
        ({}, "holds no results.parquet; give the folder that a sweep wrote"),
        ({"results.parquet": "no parquet"}, "cannot be read as a table"),
        ({"results.csv": "a,b\n1,2\n"}, "is not a table of convbench: it has no column config_id"),
        (
            {"results.csv": "config_id,method,status,batch\na,b,ok,many\n"},
            "column batch holds something that is not of type int",
        ),
        ({"results.csv": ""}, "cannot be read as a table"),
    ],
)
def test_what_is_no_table_is_said_in_one_sentence(tmp_path: Path, content: dict[str, str] | None, message: str) -> None:
    folder = tmp_path / "run"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises(InvalidValue, match=message) as caught:
        convbench.load(folder)
    assert "\n" not in str(caught.value)


def test_importing_convbench_is_free_of_everything_heavy() -> None:
    code = (
        "import sys, convbench\n"
        "heavy = {'torch', 'pandas', 'numpy', 'hydra', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'load' in dir(convbench) and convbench.__version__\n"
        "assert callable(convbench.load) and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        convbench.lode  # noqa: B018
