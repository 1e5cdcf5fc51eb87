"""One row: which columns there are, in which order, and what is refused at birth."""

from __future__ import annotations

from typing import Any

import pytest

from convbench.facts.record import COLUMNS, FAILED, IMPOSSIBLE, STATUSES, VERDICTS, record
from convbench.facts.statistics import speed_verdict

# The columns that other programs rely on, in their order; more may stand between them.
CASE = (
    "op batch in_channels out_channels in_d in_h in_w kernel_d kernel_h kernel_w stride_d stride_h stride_w "
    "pad_d pad_h pad_w dil_d dil_h dil_w groups output_padding_d output_padding_h output_padding_w bias"
)
SETTING = "dtype device memory_format wrt fill seed threads method baseline config_id"
OUTCOME = "status reason"
ACCURACY = (
    "accuracy max_abs_err rel_l2_err max_ulp_err bound_ratio equals_baseline checked_fraction loss grad_mean grad_std"
)
SPEED = "time_s time_low_s time_high_s samples speedup speedup_low speedup_high speed converged flops tflops bytes gbps"
MEMORY = "saved_bytes peak_bytes"
PROVENANCE = "environment_id convbench_version started_at"


def test_the_columns_that_were_promised_are_there_in_order() -> None:
    names = list(COLUMNS)
    promised = " ".join((CASE, SETTING, OUTCOME, ACCURACY, SPEED, MEMORY, PROVENANCE)).split()
    assert [name for name in names if name in promised] == promised


def test_every_column_says_what_it_is() -> None:
    for name, column in COLUMNS.items():
        assert column.name == name
        assert column.type in (int, float, bool, str)
        assert column.meaning
        # Units are in the names of times and sizes.
        assert name.endswith("_s") == (column.unit == "s")
        assert not name.endswith("_bytes") or column.unit == "B"


def test_integer_columns_are_those_of_the_case() -> None:
    assert {COLUMNS[name].type for name in CASE.split()} == {int, str}
    assert [name for name in CASE.split() if COLUMNS[name].type is str] == ["op"]


def test_statuses_and_verdicts() -> None:
    assert set(STATUSES) == {"ok", "skipped", "unsupported", "oom", "timeout", "crash", "error"}
    assert set(FAILED) == set(STATUSES) - {"ok", "skipped", "unsupported"}
    assert VERDICTS == ("exact", "ok", "reduced", "fail")
    found = {speed_verdict(*interval, 0.03) for interval in ((1.1, 1.2), (0.8, 0.9), (0.99, 1.01), (0.9, 1.1))}
    assert {*found, IMPOSSIBLE} == set(COLUMNS["speed"].meaning.split(" | "))


def test_unknown_is_left_out_and_numbers_are_floats_where_the_column_is() -> None:
    row = record({"status": "ok", "time_s": 2, "speedup": None, "bias": 1, "converged": False})
    assert row == {"status": "ok", "time_s": 2.0, "bias": 1, "converged": False}
    assert type(row["time_s"]) is float
    assert type(row["bias"]) is int


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"status": "ok", "tiem_s": 1.0}, "no column named 'tiem_s'"),
        ({"status": "ok", "batch": 1.0}, "column batch holds int, got 1.0"),
        ({"status": "ok", "bias": True}, "column bias holds int, got True"),
        ({"status": "ok", "converged": 1}, "column converged holds bool, got 1"),
        ({"status": "ok", "time_s": True}, "column time_s holds float, got True"),
        ({"status": "ok", "op": 3}, "column op holds str, got 3"),
        ({"status": "fine"}, "status='fine' must be one of"),
        ({"op": "conv2d"}, "status=None must be one of"),
    ],
)
def test_what_is_no_row_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        record(values)
