"""Which configurations of a large table a terminal shows: the worst, and what all of them have in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..facts.record import FAILED, IMPOSSIBLE
from ..facts.timed_as import BACKWARD, CALL, WALL_TIME, led
from ..findings import lead, tally
from ..results.naming import varying
from ..results.rows import Codes, Rows
from .contents import Content, Line, label_names

TIER = {"fail": 400.0, "impossible": 300.0, "failed": 200.0, "slower": 100.0, "absent": -100.0}
"""A wrong gradient is worse than an impossible time, that than a missing row, that than a slow one; skipped rows come
last."""


def badness(rows: Rows) -> npt.NDArray[np.float64]:
    """How much each row deserves a look: its tier plus a number below 50 for how slow, or else how inexact, it is."""
    speedup = lead.numbers(rows, "speedup")
    with np.errstate(divide="ignore", invalid="ignore"):
        slow = -np.log(np.where(rows.agree("method", "baseline"), np.nan, speedup))
        inexact = np.log(rows.numbers("bound_ratio"))
    within = slow if np.isfinite(slow).any() else inexact
    score: npt.NDArray[np.float64] = np.clip(np.nan_to_num(within, nan=-40.0), -49.0, 49.0)
    score[rows.equal("accuracy", "fail")] += TIER["fail"]
    score[rows.equal("speed", IMPOSSIBLE)] += TIER["impossible"]
    score[rows.equal("status", *FAILED)] += TIER["failed"]
    score[lead.equal(rows, "speed", "slower")] += TIER["slower"]
    score[rows.equal("status", "skipped", "unsupported")] += TIER["absent"]
    return score


def worst(rows: Rows, group: Codes, limit: int) -> npt.NDArray[np.int64]:
    """The numbers of at most `limit` configurations, the worst first; all of them in the table's order if they fit."""
    count = int(group.max(initial=-1)) + 1
    if count <= limit:
        return np.arange(count)
    score = np.full(count, -np.inf)
    np.maximum.at(score, group, badness(rows))
    return np.argsort(-score, kind="stable")[:limit]


def content(rows: Rows, limit: int) -> tuple[Content, int]:
    """What the table shows, and of how many configurations."""
    group = rows.configuration
    chosen = worst(rows, group, limit)
    where = np.flatnonzero(np.isin(group, chosen))
    place = {int(g): i for i, g in enumerate(chosen)}
    lines, trained = [Line({}) for _ in chosen], lead.in_training(rows)
    for index, row in zip(where, rows.take(where.tolist()), strict=True):
        way = BACKWARD if trained[index] else CALL
        lines[place[int(group[index])]].rows[str(row.get("method"))] = led(row, way)
    baselines = rows.values("baseline")
    baseline = baselines[0] if len(baselines) == 1 else None
    methods = sorted(map(str, rows.values("method")), key=lambda m: m != baseline)
    verdicts = rows.values("accuracy")
    shared = bool(np.all(rows.known("accuracy") | ~rows.equal("status", "ok")))
    shown = Content(
        lines=lines,
        methods=methods,
        baseline=baseline,
        settings=[s for s in varying(rows) if s != "measure"],
        timed=bool(rows.values("time_s")) if rows.count < 1000 else bool(np.isfinite(rows.numbers("time_s")).any()),
        accuracy=verdicts[0] if len(verdicts) == 1 and shared else None,
        labels=label_names(lines),
        in_training=bool(trained[where].any()),
        wall=bool((rows.known("wall_speedup") & ~rows.equal("time", WALL_TIME))[where].any()),
    )
    return shown, tally.configurations(rows)
