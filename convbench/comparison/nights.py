"""Runs of the same sweep one after another: read from their folders, put in order, and told cell by cell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..facts.record import Record
from ..facts.units import count
from ..facts.values import InvalidValue
from ..results.files import environments
from ..results.finished import read_run
from ..results.table import table_files
from .environments import WORDS
from .result import CellKey, Finding, Judgement, Policy
from .trend import Trend, drifted, trend_of

READ = (
    *("config_id", "method", "baseline", "status", "accuracy", "environment_id", "time_s", "speedup", "samples"),
    "kernels",
)
TOLD = ("started_at", "convbench_version")


@dataclass(frozen=True, slots=True)
class Night:
    """One run. `at`: when its first row was measured; `name`: that day, with the time where a day has several runs;
    `versions`: what its environment is, in words."""

    path: Path
    at: str
    name: str
    cells: Mapping[CellKey, Record]
    versions: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Night:
        """Raises InvalidValue."""
        table = read_run(path)
        rows = cast(list[Record], table.views(READ))
        cells = {CellKey.of(row): row for row in rows if row.get("config_id") and row.get("method")}
        said = {name: table.values(name) for name in TOLD}
        versions = {"convbench": ", ".join(map(str, sorted(said["convbench_version"])))}
        for file in table_files(path):
            for one in environments(file.parent).values():
                versions |= {key: str(value) for key, value in one.items() if key in WORDS and value is not None}
        at = min(said["started_at"], default="")
        return cls(path, at, at[:10] or path.name, cells, versions)


def folders(paths: Iterable[Path]) -> list[Path]:
    """The runs at `paths`: each is one, or holds one in every folder. Raises InvalidValue for a path without any."""
    found: list[Path] = []
    for path in paths:
        own = [path] if _is_run(path) else sorted(f for f in _inside(path) if not f.is_symlink() and _is_run(f))
        if not own:
            raise InvalidValue(
                "DIR",
                f"{path} {'holds no run' if path.exists() else 'does not exist'}; give the folders of nightly sweeps, "
                "or one that holds them",
            )
        found += own
    return found


def _inside(path: Path) -> list[Path]:
    return [folder for folder in path.iterdir() if folder.is_dir()] if path.is_dir() else []


def _is_run(path: Path) -> bool:
    try:
        return bool(table_files(path))
    except InvalidValue:  # several runs, which are not the shards of one
        return False


def read(paths: Iterable[Path]) -> list[Night]:
    """The nights at `paths`, the oldest first. Raises InvalidValue."""
    nights = sorted((Night.read(path) for path in folders(paths)), key=lambda night: (night.at, str(night.path)))
    often = Counter(night.name for night in nights)
    return [replace(n, name=n.at[:16].replace("T", " ")) if n.at and often[n.name] > 1 else n for n in nights]


def slowness(row: Mapping[str, Any]) -> float | None:
    """How slow a cell is against its baseline, as a log ratio (above 0: slower); None where nothing was compared."""
    speedup = row.get("speedup")
    right = row.get("status") == "ok" and row.get("accuracy") != "fail" and row["method"] != row.get("baseline")
    return -math.log(speedup) if right and speedup and 0 < speedup < math.inf else None


def add_drifts(judgement: Judgement, nights: Sequence[Night], policy: Policy) -> None:
    """Adds a failure for every cell of NEW that is slower than the best level of its earlier nights.

    Only nights in the environment of NEW's row count. Cells that fail already are left alone.
    """
    failed = {finding.key for finding in judgement.failures}
    seen = {key: _earlier(key, row, nights) for key, row in judgement.rows.items() if key not in failed}
    trends: dict[CellKey, Trend] = {}
    for key, values in seen.items():
        now = slowness(judgement.rows[key])
        if now is not None and values:
            trends[key] = trend_of([*(value for _, value in values), now])
    for key, q in drifted(trends, math.log1p(policy.margin)).items():
        names = [night.name for night, _ in seen[key]][-len_of(trends[key]) + 1 :]
        text = sentence(trends[key], [*names, "NEW"])
        judgement.failures.append(Finding("drifted", key, judgement.rows[key], text, q=q))
    seen_before = f"{count(len(trends), 'cell')} of NEW with nights in its environment"
    judgement.notes.append(f"history: {count(len(nights), 'earlier night')}; {seen_before}")


def len_of(trend: Trend) -> int:
    """The nights that a trend looked at."""
    return trend.levels[-1].end


def _earlier(key: CellKey, row: Record, nights: Sequence[Night]) -> list[tuple[Night, float]]:
    found = []
    for night in nights:
        old = night.cells.get(key)
        if old is not None and old.get("environment_id") == row.get("environment_id"):
            value = slowness(old)
            if value is not None:
                found.append((night, value))
    return found


def sentence(trend: Trend, names: Sequence[str]) -> str:
    """`1.09× slower than its best level, that of 2026-01-05 to 2026-01-17 (95%: 1.06 to 1.12); lately 1.0% a night`."""
    best = trend.best
    assert best is not None
    ratio, low, high = (math.exp(v) for v in (trend.log, *trend.interval))
    nights = f"{names[best.start]} to {names[best.end - 1]}"
    return (
        f"{ratio:.2f}× slower than its best level, that of {nights} (95%: {low:.2f} to {high:.2f}); "
        f"lately {math.expm1(trend.slope):+.1%} a night"
    )
