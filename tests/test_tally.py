"""Counts over a table, against counting row by row; the terminal and the page show these and no others."""

from __future__ import annotations

from collections import Counter

import numpy as np

from convbench.facts.record import Record
from convbench.findings import tally
from convbench.results.rows import Rows
from tests import report_rows


def outcome(row: Record) -> str:
    return "wrong" if row.get("accuracy") == "fail" else row["status"]


def test_rows_are_counted_as_one_by_one() -> None:
    records = report_rows.table(**report_rows.GRID)
    records[7].update(status="timeout", accuracy="fail")
    rows = Rows.of(records)
    for method in (None, *report_rows.METHODS):
        mine = [row for row in records if method in (None, row["method"])]
        among = np.array([method in (None, row["method"]) for row in records])
        rivals = [row for row in mine if row["method"] != row["baseline"]]
        assert tally.outcomes(rows, among) == Counter(map(outcome, mine))
        assert tally.accuracies(rows, among) == Counter(row["accuracy"] for row in mine if "accuracy" in row)
        assert tally.speeds(rows, among) == Counter(row["speed"] for row in rivals if "speed" in row)
        assert tally.counts(rows, "status", (), among) == Counter(row["status"] for row in mine)
    assert next(iter(tally.outcomes(rows, among))) == "ok"
    assert tally.configurations(rows) == len({(row["config_id"], row["run_key"]) for row in records})


def test_a_table_without_rows_counts_nothing() -> None:
    rows = Rows.of([])
    among = np.ones(0, bool)
    assert tally.outcomes(rows, among) == tally.speeds(rows, among) == tally.accuracies(rows, among) == {}
    assert tally.configurations(rows) == 0
