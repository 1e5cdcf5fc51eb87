"""A duet's passes: every method of every configuration once with each fresh pair of processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..execution.interrupt import Interrupt, Interrupted, StopNow
from ..execution.process import OWN_WORK_S, Place
from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..results import store
from ..results.merge import merge
from ..timing import rounds as timing
from ..timing.clocks import Arm
from ..timing.samples import Samples
from ..timing.turns import Turns
from .duel import Duel
from .pair import NAMES, Corner, Failed, Gone, Pair, Raised
from .rows import rows_of


def fight(places: Sequence[Place], duels: Sequence[Duel], out: Path, processes: int) -> int | None:
    """Measures all duels in `processes` fresh pairs of processes and writes the table of `out`.

    Returns the signal that interrupted it, if one did; what was measured before is kept. Raises InvalidValue where
    `out` holds a run or cannot be written.
    """
    with store.locked(out), Interrupt() as interrupt:
        _check_empty(out)
        try:
            for process in range(processes):
                with Pair(places, interrupt) as pair:
                    _pass(pair, duels, (out, process, processes), interrupt)
        except (StopNow, Interrupted):
            pass
        finally:
            _tell("")
            write(out, duels)
    return interrupt.signal


def _check_empty(out: Path) -> None:
    """Raises InvalidValue where `out` holds a run: a duet does not resume."""
    if store.part_files(out):
        raise InvalidValue("out", f"out={out} holds a run already, and a duet does not resume; give another folder")


def _pass(pair: Pair, duels: Sequence[Duel], where: tuple[Path, int, int], interrupt: Interrupt) -> None:
    """All duels once, with one pair of processes; what one of them cannot survive ends its own duel only."""
    out, process, processes = where
    configured: Spec | None = None
    for number, duel in enumerate(duels, 1):
        if interrupt.signal is not None:
            return
        _tell(f"pair of processes {process + 1}/{processes}: {number}/{len(duels)} {duel.method}", number == 1)
        if process == 0 and not duel.rows:
            together = [d for d in duels if d.configuration is duel.configuration]
            for name in NAMES:
                _judge(pair, name, together, out)
        if not duel.timeable:
            continue
        with _surviving(duel):
            if configured is not duel.configuration or not pair.running:
                configured = None
                pair.each("configure", OWN_WORK_S, spec=duel.configuration.to_dict(), cores=cores_for(duel.spec))
                configured = duel.configuration
            duel.parts.append(_measure(pair, duel, process))


def _tell(text: str, milestone: bool = False) -> None:
    """Replaces the line on a terminal; elsewhere only milestones are told, a line each."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif milestone:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _surviving(duel: Duel) -> Iterator[None]:
    """Turns what a method does to its process into the status of its rows."""
    try:
        yield
    except timing.ArmFailed as failed:
        error, side = failed.error, failed.name.rpartition("@")[2] or None
        status, side = (error.status, error.side) if isinstance(error, Failed) else ("error", side)
        duel.fail(status, str(error), side)
    except Failed as failed:
        duel.fail(failed.status, str(failed), failed.side)


def _judge(pair: Pair, name: str, duels: Sequence[Duel], out: Path) -> None:
    """Status and accuracy of all methods of one configuration on one side; a death costs what died."""
    left = list(duels)
    while left:
        try:
            answer = pair.judge(name, left[0].configuration, [duel.method for duel in left])
        except Failed as failed:
            ended = [left[failed.method]] if isinstance(failed, Gone) and failed.method >= 0 else left
            for duel in ended:
                duel.fail(failed.status, str(failed), name)
            left = [duel for duel in left if duel not in ended]
            continue
        for duel, row in zip(left, answer["records"], strict=True):
            duel.rows[name] = row
        for key, environment in answer["environments"].items():
            store.keep_environment(out, key, environment)
        return


def _measure(pair: Pair, duel: Duel, process: int) -> Samples:
    spec = duel.spec
    pair.each("prepare", spec.timeout_s, method=duel.method)
    arms = [Arm(duel.arm(name), Corner(pair, name, spec.timeout_s)) for name in NAMES]
    found = timing.measure(arms, duel.arm("a"), spec.measure, Turns(spec.measure), spec.seed, timing.unmarked, process)
    if process == 0 and spec.measure.kernels:
        for name in NAMES:
            # What a side does not tell is unknown; whether it still works, the next pair of processes shows.
            with suppress(Raised):
                duel.rows[name].update(pair.ask(name, "kernels", spec.timeout_s))
    return found


def cores_for(spec: Spec) -> list[int]:
    """The cores that both sides are bound to, so that neither has the better one; none where they are free."""
    if not hasattr(os, "sched_getaffinity") or spec.device != "cpu":
        return []
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-spec.switches.threads :]


def write(out: Path, duels: Sequence[Duel]) -> None:
    """The rows, and the raw samples where they are to be kept, as a sweep writes them; then the table."""
    rows, samples = store.Part(out, store.ROWS), store.Part(out, store.SAMPLES)
    rows.open()
    try:
        for position, duel in enumerate(duels):
            unit = duel.spec.key.unit
            if duel.spec.measure.samples and duel.parts:
                samples.open()
                samples.append(store.encode_samples(duel.spec, [part.to_dict() for part in duel.parts]))
            if duel.rows:
                rows.append(b"".join(store.encode(position, unit, "", row) for row in rows_of(duel)))
    finally:
        rows.close()
        samples.close()
    merge(out)
