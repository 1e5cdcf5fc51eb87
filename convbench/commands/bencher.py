"""Bencher Metric Format, which `bencher run --adapter json` reads: benchmark → measure → value with its interval.

https://bencher.dev/docs/reference/bencher-metric-format/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..facts.record import Record

NANOSECONDS = 1e9
"""Bencher's own measure `latency` is in nanoseconds."""

MEASURES: Mapping[str, tuple[float, str, str, str]] = {
    "latency": (NANOSECONDS, "time_low_s", "time_s", "time_high_s"),
    "speedup": (1.0, "speedup_low", "speedup", "speedup_high"),
}
"""A measure's slug, the factor from the table's unit to its own, and the columns of lower end, value and upper end."""

Metric = dict[str, float]


def metrics(named: Iterable[tuple[str, Record]]) -> dict[str, dict[str, Metric]]:
    """The measures of every row that has any, by the row's name; what is not known is left out, never written as 0.

    A baseline has no speedup over itself.
    """
    out: dict[str, dict[str, Metric]] = {}
    for name, row in named:
        found = {
            slug: metric
            for slug, columns in MEASURES.items()
            if (slug != "speedup" or row["method"] != row.get("baseline")) and (metric := _metric(row, *columns))
        }
        if found:
            out[name] = found
    return out


def _metric(row: Record, factor: float, low: str, middle: str, high: str) -> Metric:
    ends = {"value": middle, "lower_value": low, "upper_value": high}
    return {key: row[column] * factor for key, column in ends.items() if column in row} if middle in row else {}
