"""Raw paired times of one configuration."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..facts.configuration_key import ConfigurationKey
from ..facts.statistics import (
    Interval,
    median_interval,
    orders_centre,
    spread_half_width,
)
from ..facts.timed_as import CALL
from .conditions import together
from .sample import KEPT, Sample, sample_from


@dataclass(frozen=True, slots=True)
class Samples:
    """Times of all arms of one configuration in one process.

    `times[r][a]` is in seconds per call and `calls[r][a]` the calls in that sample; `order[r]` lists the arms'
    indices as they ran in round r. `means`, `cpu` and `switches` are as in Sample, None where nobody knows, and empty
    where nobody knows anything. `counters` and `per_arm` hold what was observed beside the times (warm-up, wall time,
    enqueue times, throttling): it is reported but never enters a time or a ratio. `timed_as`: what the calls were, in
    the words of facts/timed_as.py.
    """

    arms: tuple[str, ...]
    seed: int
    margin: float
    half_width: float
    times: list[list[float]] = field(default_factory=list)
    calls: list[list[int]] = field(default_factory=list)
    order: list[list[int]] = field(default_factory=list)
    process: int = 0
    counters: dict[str, Any] = field(default_factory=dict)
    per_arm: dict[str, dict[str, Any]] = field(default_factory=dict)
    means: list[list[float | None]] = field(default_factory=list)
    cpu: list[list[float | None]] = field(default_factory=list)
    switches: list[list[int | None]] = field(default_factory=list)
    timed_as: str = CALL

    def add(self, row: Sequence[Sample], order: list[int]) -> None:
        """One more round, a sample of every arm."""
        for name, values in zip(KEPT, zip(*row, strict=True), strict=True):
            getattr(self, name).append(list(values))
        self.order.append(order)

    @property
    def rounds(self) -> int:
        return len(self.times)

    @property
    def measured_s(self) -> float:
        """Seconds inside timed regions, all arms together; 0 in samples that were read from rows."""
        return math.fsum(self.per_arm.get(arm, {}).get("measured_s", 0.0) for arm in self.arms)

    def of(self, method: str) -> list[float]:
        """Seconds per call of one arm, a value per round."""
        a = self.arms.index(method)
        return [row[a] for row in self.times]

    def log_ratios(self, method: str, baseline: str) -> list[float]:
        """log(t_baseline / t_method), a value per round: above 0 where the method was the faster one."""
        m, b = self.arms.index(method), self.arms.index(baseline)
        # A difference of logarithms changes its sign exactly when the two arms are exchanged; log(b / m) does not.
        return [math.log(row[b]) - math.log(row[m]) for row in self.times]

    def ran_first(self, method: str, baseline: str) -> list[bool]:
        """Whether the method ran before the baseline, a value per round."""
        m, b = self.arms.index(method), self.arms.index(baseline)
        return [row.index(m) < row.index(b) for row in self.order]

    def centre(self, method: str, baseline: str) -> float:
        """The log ratio that these pairs show, without what their order does; statistics.orders_centre."""
        return orders_centre(self.log_ratios(method, baseline), self.ran_first(method, baseline))

    def spread(self, method: str, baseline: str) -> float | None:
        """Half-width (log scale, about a share of 1) that decides when to stop; statistics.spread_half_width."""
        return spread_half_width(self.log_ratios(method, baseline), self.ran_first(method, baseline))

    def widest(self, baseline: str) -> float | None:
        """The largest half-width (as a share) of what is to be known; None where something has no interval yet.

        Of every method's ratio to the baseline, or, where there is nothing to pair (the baseline alone, or a
        baseline that failed), of every arm's own time.
        """
        others = [arm for arm in self.arms if arm != baseline]
        if not others or baseline not in self.arms:
            widths = [relative(median_interval(self.of(arm))) for arm in self.arms]
        else:
            widths = [self.spread(arm, baseline) for arm in others]
        known = [width for width in widths if width is not None]
        return max(known) if len(known) == len(widths) else None

    def narrow(self, baseline: str) -> bool:
        """Whether everything is known to the requested precision."""
        return is_narrow(self.widest(baseline), self.half_width)

    def without(self, arms: Collection[str]) -> Samples | None:
        """The same samples without some of the arms; None where that leaves none."""
        kept = tuple(arm for arm in self.arms if arm not in arms)
        if len(kept) == len(self.arms):
            return self
        source = [self.arms.index(arm) for arm in kept]
        to = {i: n for n, i in enumerate(source)}
        return (
            None
            if not kept
            else replace(
                self,
                arms=kept,
                **self._columns(source),
                order=[[to[a] for a in row if a in to] for row in self.order],
                per_arm={arm: of for arm, of in self.per_arm.items() if arm in kept},
            )
        )

    def _columns(self, source: Sequence[int]) -> dict[str, Any]:
        """The values of these arms, by the names of KEPT."""
        return {name: [[row[i] for i in source] for row in getattr(self, name)] for name in KEPT}

    def _kept(self, name: str) -> list[list[Any]]:
        """A field of KEPT with a row for every round: what was read from an older file may have none."""
        return getattr(self, name) or [[None] * len(self.arms) for _ in self.times]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` is the inverse."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"arms": list(self.arms)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Samples:
        return cls(**{**data, "arms": tuple(data["arms"])})

    def to_rows(self, key: ConfigurationKey) -> list[dict[str, Any]]:
        """One row per sample in the order taken, with record.SAMPLE_COLUMNS."""
        named = key._asdict()
        kept = {column: self._kept(field) for field, column in KEPT.items()}
        constant = {"seed": self.seed, "margin": self.margin, "half_width": self.half_width}
        return [
            {
                **named,
                "process": self.process,
                "timed_as": self.timed_as,
                "round": r,
                "position": position,
                "method": self.arms[a],
                **{column: rows[r][a] for column, rows in kept.items()},
                **constant,
            }
            for r, order in enumerate(self.order)
            for position, a in enumerate(order)
        ]

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> list[Samples]:
        """The Samples of one configuration, one per way of timing and process, from its rows of samples.parquet in any
        order.

        What was observed beside the times is not in the rows and comes back empty. Rows that do not say what was timed
        are of calls: they are from before anything else was.
        """
        parts: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
        for row in rows:
            parts.setdefault((row.get("timed_as") or CALL, int(row["process"])), []).append(row)
        return [replace(_from_rows(parts[part]), timed_as=part[0], process=part[1]) for part in sorted(parts)]

    @staticmethod
    def merge(parts: Sequence[Samples]) -> Samples:
        """Several passes over one configuration in one Samples: all rounds, one after the other.

        Raises ValueError where the passes timed different arms (a mistake of the caller).
        """
        first = parts[0]
        if any(set(part.arms) != set(first.arms) for part in parts):
            raise ValueError(f"passes with different arms cannot be merged: {[part.arms for part in parts]}")
        aligned = [_aligned(part, first.arms) for part in parts]
        return replace(
            first,
            **{name: [row for part in aligned for row in part._kept(name)] for name in KEPT},  # type: ignore[arg-type]
            order=[row for part in aligned for row in part.order],
            counters=together([part.counters for part in parts]),
            per_arm={arm: together([part.per_arm.get(arm, {}) for part in parts]) for arm in first.arms},
        )


def half_width(interval: Interval) -> float | None:
    """Of an interval that is known."""
    return None if interval.low is None or interval.high is None else (interval.high - interval.low) / 2


def relative(interval: Interval) -> float | None:
    """Its half-width, as a share of what is in its middle."""
    half = half_width(interval)
    return None if half is None else half / interval.estimate


def is_narrow(half_width: float | None, wanted: float) -> bool:
    """Whether it is known, and no more than wanted."""
    return half_width is not None and half_width <= wanted


def _aligned(part: Samples, arms: tuple[str, ...]) -> Samples:
    """The same samples with the arms' columns in the given order."""
    if part.arms == arms:
        return part
    to, source = {name: i for i, name in enumerate(arms)}, [part.arms.index(name) for name in arms]
    return replace(
        part, arms=arms, **part._columns(source), order=[[to[part.arms[i]] for i in row] for row in part.order]
    )


def _from_rows(rows: list[Mapping[str, Any]]) -> Samples:
    rows = sorted(rows, key=lambda row: (row["round"], row["position"]))
    arms = tuple(sorted({str(row["method"]) for row in rows}))
    index = {name: i for i, name in enumerate(arms)}
    rounds: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        rounds.setdefault(int(row["round"]), []).append(row)
    first = rows[0]
    out = Samples(arms, int(first["seed"]), float(first["margin"]), float(first["half_width"]))
    for taken in rounds.values():
        by_arm = {index[str(row["method"])]: row for row in taken}
        out.add([sample_from(by_arm[a]) for a in range(len(arms))], [index[str(row["method"])] for row in taken])
    for grid in (out.means, out.cpu, out.switches):
        if all(value is None for row in grid for value in row):
            grid.clear()
    return out
