"""Reading the table column by column: the same from dictionaries and from a file, and what is said of rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.facts.settings import SETTINGS
from convbench.results import naming
from convbench.results.rows import ARROW, Rows, partners
from tests.made_up import row, spec

RECORDS = [
    {"method": "a", "time_s": 1.0, "samples": 3, "converged": True},
    {"method": "b", "time_s": None, "samples": None, "converged": None},
    {"method": None, "time_s": 2.5, "samples": 5, "converged": False},
    {"method": "a", "time_s": float("inf"), "samples": 2**60, "converged": None},
]


@pytest.fixture(params=["records", "file"])
def rows(request, tmp_path):
    if request.param == "records":
        return Rows.of(RECORDS)
    types = {"method": ARROW[str], "time_s": ARROW[float], "samples": ARROW[int], "converged": ARROW[bool]}
    table = pa.table({name: pa.array([r[name] for r in RECORDS], kind) for name, kind in types.items()})
    pq.write_table(table, tmp_path / "results.parquet", row_group_size=3)
    return Rows.read(tmp_path / "results.parquet")


def test_numbers_are_nan_where_unknown(rows):
    np.testing.assert_array_equal(rows.numbers("time_s"), [1.0, np.nan, 2.5, np.inf])
    np.testing.assert_array_equal(rows.numbers("samples"), [3, np.nan, 5, 2.0**60])
    np.testing.assert_array_equal(rows.numbers("speedup"), [np.nan] * 4)


def test_codes_stand_for_values(rows):
    codes, values = rows.codes("method")
    assert [values[i] for i in codes] == ["a", "b", None, "a"]
    assert rows.values("method") == ["a", "b"]
    assert rows.values("op") == []


def test_masks(rows):
    assert rows.equal("method", "a").tolist() == [True, False, False, True]
    assert rows.equal("converged", False).tolist() == [False, False, True, False]
    assert rows.known("converged").tolist() == [True, False, True, False]
    assert not rows.known("op").any()


def test_taken_rows_leave_unknown_values_out_and_keep_integers(rows):
    for _ in range(2):  # the second time from what is kept
        assert rows.take([3, 1]) == [{"method": "a", "time_s": float("inf"), "samples": 2**60}, {"method": "b"}]
        rows.codes("method")
    assert type(rows.take([0])[0]["samples"]) is int


def test_a_view_is_the_row_as_taken(rows):
    names = ("method", "time_s", "samples", "converged", "op")
    for view, taken in zip(rows.views(names), rows.take(range(rows.count), names), strict=True):
        assert dict(view) == taken
        assert len(view) == len(taken)
        assert view.get("op", "none") == "none"
        assert ("time_s" in view) == ("time_s" in taken)


def test_an_added_column_is_like_any_other(rows):
    rows.add("kernel", np.array([1, 0, 1, 2]), [3, None, 5])
    assert rows.values("kernel") == [3, 5]
    assert rows.known("kernel").tolist() == [False, True, False, True]
    np.testing.assert_array_equal(rows.numbers("kernel"), [np.nan, 3, np.nan, 5])
    assert rows.cells("kernel", [0, 1]) == [None, 3]
    assert rows.take([3], ("method", "kernel")) == [{"method": "a", "kernel": 5}]


def test_columns_agree():
    rows = Rows.of([{"method": "a", "baseline": "a"}, {"method": "b", "baseline": "a"}, {"method": "c"}, {}])
    assert rows.agree("method", "baseline").tolist() == [True, False, False, False]


def test_many_distinct_values_survive():
    rows = Rows.of([{"config_id": f"{i:05}", "seed": i} for i in range(40_000)])
    assert rows.value("config_id", 39_999) == "39999"
    assert len(np.unique(rows.groups(("config_id", "seed")))) == 40_000


@given(st.lists(st.tuples(*[st.sampled_from([None, 1, 2])] * 3), max_size=30))
def test_groups_are_rows_that_agree(values):
    rows = Rows.of([dict(zip(("batch", "seed", "order"), v, strict=True)) for v in values])
    groups = rows.groups(("batch", "seed", "order"))
    assert all((groups[i] == groups[j]) == (values[i] == values[j]) for i in range(len(values)) for j in range(i))


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["x", "y", "z", None])), unique=True, max_size=12))
def test_partners_differ_in_one_column_only(values):
    rows = Rows.of([{"seed": seed, "dtype": dtype} for seed, dtype in values])
    others, theirs = partners(rows, "dtype", "x", ("seed",))
    found = {(int(i), int(j)) for i, j in zip(others, theirs, strict=True)}
    assert found == {
        (i, j)
        for i, (seed, dtype) in enumerate(values)
        for j, (other, reference) in enumerate(values)
        if dtype not in ("x", None) and reference == "x" and seed == other
    }


def test_reading_needs_no_pandas(tmp_path: Path):
    pq.write_table(pa.table({"time_s": [1.0, None], "method": ["a", None]}), tmp_path / "t.parquet")
    code = (
        "import sys; from convbench.results.rows import Rows; from pathlib import Path\n"
        f"rows = Rows.read(Path({str(tmp_path / 't.parquet')!r})); rows.numbers('time_s'); rows.take([1, 0])\n"
        "rows.groups(('method',)); print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, "conv_transpose2d 1×4→1 17×17 k9 · float32 · cpu · input"),
        (
            {"kernel": [3, 5], "stride": 2, "dtype": "float16"},
            "conv_transpose2d 1×4→1 17×17 k3×5 s2 · float16 · cpu · input",
        ),
        ({"op": "conv1d", "size": 8, "bias": True}, "conv1d 1×4→1 8 k3 bias · float32 · cpu · input"),
        (
            {"kernel": [3, 5], "stride": 2, "output_padding": [1, 0]},
            "conv_transpose2d 1×4→1 17×17 k3×5 s2 op1×0 · float32 · cpu · input",
        ),
        (
            {"op": "conv1d", "out_channels": 4, "groups": 4, "bias": True, "padding": 4, "dilation": 2, "threads": 2},
            "conv1d 1×4→4 17 k3 p4 d2 g4 bias · float32 · cpu · input · 2 threads",
        ),
        ({"memory_format": "channels_last", "fill": "integer"}, None),
    ],
)
def test_names_of_configurations(keys, name):
    if keys.get("op") == "conv1d":
        keys = {**keys, "kernel": 3}
    expected = name or "conv_transpose2d 1×4→1 17×17 k9 · float32 · cpu · channels_last · input · integer data"
    assert naming.configuration_name(row(spec(**keys), "explicit")) == expected
    assert naming.configuration_name(spec(**keys).columns()) == expected


def test_a_name_begins_with_the_layer_and_leaves_out_what_does_not_name_it():
    labels = {
        "count": "2",
        "layer": "deconv1",
        "network": "dcgan-generator",
        "source": "arXiv:1511.06434",
        "suite": "dcgan",
        "why": "a remark that is longer than 24 characters",
    }
    said = naming.configuration_name(spec(labels=labels).columns())
    assert said == "deconv1 · dcgan-generator · conv_transpose2d 1×4→1 17×17 k9 · float32 · cpu · input"


def test_names_say_the_switches_that_differ():
    names = [naming.configuration_name(spec(tf32=tf32, seed=3).columns()) for tf32 in (True, False)]
    assert names[0] == names[1] + " · TF32 on"
    assert "seed 3" in names[1]


def test_configurations_that_would_share_a_name_are_told_apart():
    one = spec().columns()
    plain = naming.configuration_name(one)
    rows = [one, {**one, "method": "aten"}, spec(seed=1).columns()]
    assert list(naming.distinct_names(rows).values()) == [plain, f"{plain} · seed 1"]
    for changed, tails in (
        ({"config_id": "0123456789abcdef"}, [one["config_id"][:8], "01234567"]),
        ({"measure": "quick", "run_key": "0123456789abcdef"}, ["measure=default", "measure=quick"]),
        ({"run_key": "0123456789abcdef"}, [one["run_key"][:8], "01234567"]),
        ({"labels": '{"source": "b"}'}, ["source=a", "source=b"]),
        (
            {"config_id": one["config_id"][:8] + "01234567"},
            [f"{c} · {one['run_key']}" for c in (one["config_id"], one["config_id"][:8] + "01234567")],
        ),
    ):
        first = {**one, "labels": '{"source": "a"}', "measure": "default"}
        names = naming.distinct_names([first, {**first, **changed}])
        assert list(names.values()) == [f"{plain} · {tail}" for tail in tails]


def test_what_varies_and_what_is_shared():
    records = [row(spec(kernel=k, threads=2), m) for k in (3, 5) for m in ("autograd", "explicit")]
    records.append({**row(spec(kernel=3, threads=2), "aten"), "cache": "hot"})
    rows = Rows.of(records)
    assert naming.varying(rows) == ["kernel"]
    shared = [s for s in SETTINGS if s != "kernel"]
    said = naming.phrases(records[0], shared)
    assert said == ["conv_transpose2d", "1×4→1", "17×17", "float32", "cpu", "wrt input", "2 threads"]


def test_sizes_with_other_axes_vary():
    rows = Rows.of([row(spec(op="conv1d", kernel=9), "aten"), row(spec(op="conv2d"), "aten")])
    assert {"op", "size", "kernel"} <= set(naming.varying(rows))


def test_examples_say_what_varies_even_where_it_is_usual():
    said = naming.example_name(row(spec(labels={"layer": "conv1"}), "aten"), ["stride", "kernel", "dtype"])
    assert said == "conv1 · stride 1 · kernel 9 · float32"


@pytest.mark.parametrize("labels", ["[1]", "{", "", None])
def test_damaged_labels_are_no_labels(labels):
    assert naming.labels_of({"labels": labels}) == {}
