"""How long a plan takes: what its settings ask for at least, and what configurations like its own took before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ..facts import units
from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..results.finished import read_run
from ..results.run_file import LATEST

LATEST_RUN = Path("results") / LATEST


def least_s(spec: Spec) -> float:
    """The seconds of timing that a configuration cannot do without: warm-up of every method and the fewest samples.

    What is not in it: preparation, the reference, the judgement, and calls that are longer than a sample.
    """
    measure, arms = spec.measure, len(spec.arms)
    if not measure.enabled:
        return 0.0
    gpu = spec.device != "cpu"
    warm_up_s, sample_s = (measure.gpu_warmup_s, measure.gpu_sample_s) if gpu else (measure.warmup_s, measure.sample_s)
    sampling_s = max(measure.min_time_s, measure.looks[0] * arms * sample_s)
    return measure.processes * ways(spec) * (arms * warm_up_s + min(sampling_s, measure.max_time_s))


def most_s(spec: Spec) -> float:
    """The seconds of timing after which a configuration ends, however its times scatter."""
    measure = spec.measure
    if not measure.enabled:
        return 0.0
    # What is timed in a second way has half of the time, where the first took all of it.
    longest_s = measure.max_time_s * (1 + ways(spec)) / 2 + ways(spec) * len(spec.arms) * measure.warmup_s
    return max(least_s(spec), measure.processes * longest_s)


def ways(spec: Spec) -> int:
    """In how many ways a configuration is timed: its calls, and the same in a training step."""
    return 2 if spec.measure.backward and spec.in_backward else 1


@dataclass(frozen=True, slots=True)
class Earlier:
    """What configurations measured like those of a plan took: their number, their median time and where they are."""

    folder: Path
    number: int
    each_s: float


def earlier(folder: Path, specs: Sequence[Spec]) -> Earlier | None:
    """Of a run's configurations those that were measured in the same way by the same methods; None where none were."""
    try:
        rows = read_run(folder)
    except InvalidValue:
        return None
    wanted = {(spec.measure.name, spec.device, frozenset(spec.arms)) for spec in specs}
    found: dict[int, tuple[str, str, set[str], float]] = {}
    where = ("measure", "device", "method", "elapsed_s")
    for number, row in zip(rows.configuration.tolist(), rows.take(range(rows.count), where), strict=True):
        own = (str(row.get("measure")), str(row.get("device")), set[str](), row.get("elapsed_s", 0.0))
        found.setdefault(number, own)[2].add(row["method"])
    took = [s for measure, device, arms, s in found.values() if s and (measure, device, frozenset(arms)) in wanted]
    return Earlier(folder, len(took), median(took)) if took else None


def lines(specs: Sequence[Spec], out: Path | None, budget_s: float | None) -> Iterator[str]:
    """The estimate of what is left to measure, in one or two sentences."""
    if not specs:
        return
    least, most = sum(map(least_s, specs)), sum(map(most_s, specs))
    if budget_s is not None:
        yield f"time: budget_s={budget_s:g} shares {units.duration(budget_s)} among them"
    elif least:
        scatter = f", up to {units.duration(most)} where times scatter" if most > 1.5 * least else ""
        yield f"time: at least {units.duration(least)} of timing alone{scatter}; preparing and judging come on top"
    else:
        yield "time: nothing is timed; how long preparing and judging take depends on the sizes"
    for folder in dict.fromkeys([*([out] if out is not None else []), LATEST_RUN]):
        like = earlier(folder, specs) if folder.is_dir() else None
        if like is not None and budget_s is None:
            each, whole = units.time(like.each_s), units.duration(like.each_s * len(specs))
            many = units.count(like.number, "configuration")
            yield f"      {each} each in {folder} (median of {many} measured like these): about {whole} in all"
            return
