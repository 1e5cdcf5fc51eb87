"""Stage `program`, first half: nothing that is right may be called wrong, whatever the operation and its settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..facts.case import OPS
from ..facts.record import Record
from ..facts.units import count
from .checks import Check, Seen, inapplicable, judged
from .context import Context

DTYPES = ("float32", "bfloat16", "float16", "float64")
LONGEST = 3
"""Rows that are named where more are wrong."""
EXAMPLE = "examples.triton_dgrad:grad_input"
COMMON = ("batch=2", "in_channels=8", "out_channels=8", "size=9", "kernel=3", "padding=1", "measure=none")


def checks() -> list[Check]:
    plane = ("conv2d", "conv_transpose2d")
    plain = [
        Check(
            f"grid {op}", "program", "no right method is called wrong, and none is an error",
            "verdicts exact, ok and reduced", lambda c, op=op: plain_grid(c, op), 12.0,  # type: ignore[misc]
        )
        for op in (*plane, *(op for op in OPS if op not in plane))
    ]  # fmt: skip
    return [
        *plain[:2],
        Check(
            "grid tf32=true", "program", "likewise where TF32 is allowed", "verdicts exact, ok and reduced",
            tf32_grid, 12.0,
        ),
        Check(
            "grid Triton example", "program", "likewise of the example's kernel, which is launched past torch",
            "verdicts exact, ok and reduced", triton_grid, 20.0,
        ),
        *plain[2:],
    ]  # fmt: skip


def plain_grid(context: Context, op: str) -> Seen:
    dtypes = [dtype for dtype in DTYPES if dtype != "float64" or context.traits.has_float64]
    layouts = "contiguous" if op.endswith("1d") else "contiguous,channels_last"
    words = [
        f"op={op}", "stride=1,2", "groups=1,2", "wrt=input,weight", f"dtype={','.join(dtypes)}",
        f"memory_format={layouts}", "fill=normal+integer", "methods=[autograd,explicit,aten,unfold]",
    ]  # fmt: skip
    return right(context.rows("grid", [*COMMON, *words]))


def tf32_grid(context: Context) -> Seen:
    if not context.traits.tf32:
        return inapplicable("it does not compute in TF32")
    words = ["op=conv2d,conv_transpose2d,conv3d", "stride=1,2", "groups=1,2", "wrt=input,weight", "tf32=true"]
    # Without cuDNN's tiny cases: enough channels that matrix units are used.
    sizes = ["in_channels=64", "out_channels=64", "fill=normal,integer,positive"]
    return right(context.rows("grid", [*COMMON, *words, *sizes, "methods=[autograd,explicit,aten,unfold]"]))


def triton_grid(context: Context) -> Seen:
    if not context.traits.triton:
        return inapplicable("Triton is not installed, or has no say there")
    if not (Path.cwd() / "examples").is_dir():
        return inapplicable("the examples are not at hand; run it at the top of a checkout")
    words = [
        "op=conv2d,conv_transpose2d", "stride=1,2", "groups=1,2", "dtype=float32,bfloat16,float16",
        "memory_format=contiguous,channels_last", "tf32=false,true", f"methods=[autograd,{EXAMPLE}]",
    ]  # fmt: skip
    rows = context.rows("grid", [*COMMON, *words])
    seen = right(rows)
    own = [row for row in rows if row["method"] == EXAMPLE]
    return seen if any(row["status"] == "ok" for row in own) else judged(False, seen.observed, reason(own))


def right(rows: Sequence[Record]) -> Seen:
    """Whether no row is wrong or failed; what a method does not cover is neither."""
    counted = Counter(row.get("accuracy") or row["status"] for row in rows)
    observed = f"{count(len(rows), 'row')}: " + ", ".join(f"{n} {name}" for name, n in counted.most_common())
    wrong = [row for row in rows if row["status"] not in ("ok", "unsupported") or row.get("accuracy") == "fail"]
    some = any(row.get("accuracy") for row in rows)
    return judged(some and not wrong, observed, reason(wrong) if wrong else "nothing was computed", **counted)


def reason(rows: Sequence[Record]) -> str:
    """Of the first few rows, which they are and why."""
    names = ("op", "dtype", "wrt", "stride_w", "groups", "memory_format", "fill", "tf32", "method")
    said = [
        " ".join(f"{name}={row[name]}" for name in names if row.get(name) is not None)
        + f": {row['status']} {row.get('accuracy') or ''} {row.get('reason') or ''}"
        for row in rows[:LONGEST]
    ]
    more = f" and {len(rows) - LONGEST} more" if len(rows) > LONGEST else ""
    return "; ".join(said) + more
