"""Stage `primitives`, second half: planted faults through the program, each of which must be judged as the docs say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..facts.record import Record
from .checks import Check, Seen, inapplicable, judged, unknown
from .context import Context
from .primitives import having

PLANTED = "convbench.proof.planted"
RIVAL = "explicit"
NUMBER = 4
"""Of the device's shapes: some hundred microseconds, so that a sample holds many calls."""
TIMEOUT_S = 60.0
HANG_TIMEOUT_S = 15.0
"""Shorter than the hang and far longer than a call, also where a process has to load its libraries first."""
TWICE = 0.10
"""Share by which twice the work may differ from half the speed: two processes, with memory of their own."""
TRIES = 3
RIGHT = ("ok", "exact", "reduced")


def checks() -> list[Check]:
    streams = "it has no streams of torch's kind"
    failed = "accuracy fail, with the time beside the stream"
    return [
        Check(
            "twice the work", "primitives", "a method that does the work twice has a speedup of 0.5",
            f"{TWICE:.0%}, the best of {TRIES} tries", lambda c: twice(c, ()), 12.0,
        ),
        Check(
            "twice the work in a graph", "primitives", "likewise as a graph",
            f"{TWICE:.0%}, the best of {TRIES} tries",
            having("graphs", "it has no graphs", lambda c: twice(c, ("measure.cuda_graph=true",))), 12.0,
        ),
        Check(
            "another stream", "primitives", failed, "none",
            having("events", streams, lambda c: on_another_stream(c, "streams:another")), 5.0,
        ),
        Check(
            "the default stream", "primitives", failed, "none",
            having("events", streams, lambda c: on_another_stream(c, "streams:default")), 5.0,
        ),
        Check(
            "a method that synchronizes", "primitives", "right, and not faster than without", "none",
            having("events", "every call is waited for", synchronizes), 5.0,
        ),
        Check(
            "a device assert", "primitives", "status error or crash; the rival is right and timed", "none",
            lambda c: fault(c, "faults:asserts", ("error", "crash")), 6.0,
        ),
        Check(
            "out of memory", "primitives", "status oom; the rival is right and timed", "none",
            lambda c: fault(c, "faults:exhausts", ("oom",)), 5.0,
        ),
        Check(
            "TF32 by flags", "primitives", "a module that allows TF32 changes no result: tf32=false is float32", "none",
            lambda c: tf32_at_import(c, "tf32_flags:method"), 5.0,
        ),
        Check(
            "TF32 by words", "primitives", "likewise by fp32_precision", "none",
            lambda c: tf32_at_import(c, "tf32_words:method"), 5.0,
        ),
        Check(
            "tf32=true", "primitives", "float32 is ok with tf32=false, and TF32, so reduced, with tf32=true", "none",
            having("tf32", "it does not compute in TF32", tf32_asked), 6.0,
        ),
        Check(
            "a hang of 40 s",
            "primitives",
            f"status timeout after timeout_s={HANG_TIMEOUT_S:g}; the rival is right and timed",
            "none",
            lambda c: fault(c, "faults:hangs", ("timeout",), f"timeout_s={HANG_TIMEOUT_S:g}"),
            HANG_TIMEOUT_S + 10,
        ),
    ]  # fmt: skip


def measured(context: Context, plant: str, *words: str) -> tuple[Record, Record]:
    """The rows of a planted method and of its rival."""
    name = f"{PLANTED}.{plant}"
    case = context.traits.case(NUMBER)
    asked = [*case, f"methods=[{RIVAL},{name}]", f"baseline={RIVAL}", "measure=quick"]
    if not any(word.startswith("timeout_s=") for word in words):
        asked.append(f"timeout_s={TIMEOUT_S:g}")
    rows = {row["method"]: row for row in context.rows("plants", [*asked, *words])}
    return rows[name], rows[RIVAL]


def told(row: Record) -> str:
    """A row in words."""
    parts = [f"status {row['status']}"]
    parts += [f"{column} {row[column]}" for column in ("accuracy", "speed") if row.get(column)]
    parts += [f"speedup {row['speedup']:.3f}"] if row.get("speedup") else []
    return ", ".join(parts) + (f": {row['reason']}" if row.get("reason") else "")


def intact(rival: Record) -> bool:
    """Whether a rival is what it is without the plant: right, and timed."""
    return rival["status"] == "ok" and rival.get("accuracy") in RIGHT and bool(rival.get("time_s"))


def twice(context: Context, words: Sequence[str]) -> Seen:
    name, single = f"{PLANTED}.work:twice", f"{PLANTED}.work:once"
    found = []
    for seed in range(TRIES):
        asked = [*context.traits.case(NUMBER), f"methods=[{single},{name}]", f"baseline={single}", "measure=quick"]
        rows = {row["method"]: row for row in context.rows("plants", [*asked, f"seed={seed}", *words])}
        row = rows[name]
        if row.get("speedup") is None:
            return judged(False, told(row), "it was not timed")
        if words and not row.get("cuda_graph"):
            return judged(False, told(row), f"it was not timed as a graph: {row.get('cuda_graph_error')}")
        found.append(row["speedup"])
        if abs(math.log(2 * found[-1])) <= math.log1p(TWICE):
            break
    best = min(found, key=lambda speedup: abs(math.log(2 * speedup)))
    good = abs(math.log(2 * best)) <= math.log1p(TWICE)
    return judged(good, f"speedup {best:.3f}", f"all of {len(found)} tries are off", speedups=found)


def on_another_stream(context: Context, plant: str) -> Seen:
    row, rival = measured(context, plant)
    if row["status"] == "unsupported":
        return inapplicable(str(row["reason"]))
    return judged(row.get("accuracy") == "fail" and intact(rival), told(row), _rival(rival))


def synchronizes(context: Context) -> Seen:
    row, rival = measured(context, "work:synchronizes")
    good = row["status"] == "ok" and row.get("accuracy") in RIGHT and row.get("speed") not in ("faster", "impossible")
    return judged(good and intact(rival), told(row), _rival(rival))


def fault(context: Context, plant: str, statuses: Sequence[str], *words: str) -> Seen:
    row, rival = measured(context, plant, *words)
    return judged(row["status"] in statuses and intact(rival), told(row), _rival(rival))


def _rival(rival: Record) -> str:
    return f"expected otherwise; the rival: {told(rival)}"


def tf32_at_import(context: Context, plant: str) -> Seen:
    row, rival = measured(context, plant, "tf32=false")
    good = row["status"] == "ok" and row.get("accuracy") in ("ok", "exact") and rival.get("accuracy") in ("ok", "exact")
    return judged(good and intact(rival), told(row), _rival(rival))


def tf32_asked(context: Context) -> Seen:
    seen = {}
    for tf32 in ("false", "true"):
        words = [*context.traits.case(NUMBER), "measure=none", f"tf32={tf32}", "methods=[autograd,explicit,aten]"]
        for row in context.rows("plants", words):
            seen[f"{row['method']}, tf32={tf32}"] = f"{row.get('accuracy')} {row.get('explained_by') or ''}".strip()
    observed = "; ".join(f"{name}: {value}" for name, value in seen.items())
    plain = all(value in ("ok", "exact") for name, value in seen.items() if name.endswith("false"))
    # A library may find float32 faster for a shape; one method in TF32 shows that the switch reaches the device.
    asked = [value for name, value in seen.items() if name.endswith("true")]
    cut = any("tf32" in value for value in asked) and not any(value.startswith("fail") for value in asked)
    if plain and not cut and not any(value.startswith("fail") for value in asked):
        return unknown("no method chose TF32 for this shape", observed)
    return judged(plain and cut, observed, "the switch does not do what it says")
