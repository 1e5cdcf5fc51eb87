"""Stage `program`, second half: the tests, large problems, and the program's own commands on the device."""

from __future__ import annotations

import json
import re
import sys

from ..facts.units import time
from ..validation.trust import SLOWDOWN
from ..validation.unlike import OWN_CORE, UNEQUAL
from .checks import Check, Seen, inapplicable, judged, unknown
from .context import ROOT, Context

REFERENCE_S = 10.0
"""Of a configuration whose reference is sampled: a gather of 5·10⁷ products, and signed sums over all of it. CPU
seconds where the host is the device."""
HEAVY = (
    "op=conv2d",
    "batch=64",
    "in_channels=512",
    "out_channels=512",
    "size=28",
    "kernel=3",
    "padding=1",
    "wrt=weight",
)
LARGE = ("op=conv2d", "batch=1", "in_channels=128", "out_channels=2", "size=4100", "kernel=3", "padding=1")
LARGE_ELEMENTS = 128 * 4100**2
"""Of the input, above 2³¹."""
LARGE_BYTES = 36e9
"""Several times what the input has in bfloat16: results, copies, and the comparison in float64 block by block."""
HOST_BYTES = 48e9
"""Values are drawn on the host, in float32."""
VALIDATED_S = 30
SLOW_S = 1800.0
"""A command of the program may take, on a machine with much else to do: ten times as long as on a quiet one."""
NIGHT = ("measure.memory=false", "measure.backward=false")


def checks() -> list[Check]:
    return [
        Check(
            "reference time", "program", "the reference of a large weight's gradient is sampled and soon there",
            time(REFERENCE_S), reference_time, 10.0,
        ),
        Check("validate", "program", "exit code 0: timings can be trusted", "validate's own", validate, 40.0),
        Check(
            "the README's command", "program", "exit code 0, every row measured and right", "none", readme, 60.0
        ),
        Check("tests marked gpu", "program", "they pass", "none", gpu_tests, 90.0),
        Check(
            "two nights", "program", "the first is kept, the second passes: exit code 0 twice",
            "the gate's own", two_nights, 120.0,
        ),
        Check(
            "beyond 2³¹ elements", "program", "a gradient of 2.15·10⁹ elements is right", "verdicts exact, ok, reduced",
            large, 120.0,
        ),
    ]  # fmt: skip


def reference_time(context: Context) -> Seen:
    f = context.ask("references:of_a_weight", 300.0, words=list(HEAVY))
    observed = f"{time(f['seconds'])} for {f['checked']:.2%} of {f['elements']:,} elements"
    return judged(f["seconds"] <= REFERENCE_S, observed, "large configurations would wait for their reference", **f)


def validate(context: Context) -> Seen:
    words = (f"device={context.device}", "measure=quick", f"budget_s={VALIDATED_S}", "--json")
    done = context.program("validate", *words, within_s=4 * VALIDATED_S + 120.0)
    if done.code not in (0, 4) or not done.output.startswith("{"):
        return judged(False, f"exit code {done.code}", done.last_words)
    said = json.loads(done.output)
    figures = {name: said[name] for name in ("resolution", "finds_from", "tries", "timed_share")}
    broken = [proof["name"] for proof in said["proofs"] if proof["holds"] is False]
    # What other work on the machine does by itself: slowdowns are missed, cores shared, another timer's medians move.
    noise = [SLOWDOWN, OWN_CORE, UNEQUAL] + [name for name in broken if context.traits.is_host and "agreement" in name]
    if not said["trusted"] and all(name in noise for name in broken):
        return unknown(said["sentence"], f"{said['tries']} trials", **figures)
    return judged(said["trusted"], said["sentence"], ", ".join(broken), **figures)


def readme(context: Context) -> Seen:
    devices = context.device if context.traits.is_host else f"cpu,{context.device}"
    out = context.out / "runs" / "readme"
    done = context.program("-m", "kernel=3,5,9", f"device={devices}", f"out={out}", "strict=true", within_s=SLOW_S)
    if done.code:
        return judged(False, f"exit code {done.code}", done.last_words)
    import convbench

    table = convbench.load(out)
    seen = table.groupby(["device", "method"]).speedup.median()
    observed = f"{len(table)} rows; speedups " + ", ".join(
        f"{' '.join(map(str, name))} {speedup:.2f}" for name, speedup in dict(seen).items()
    )
    return judged(bool((table.status == "ok").all()), observed, "not every row was measured")


def two_nights(context: Context) -> Seen:
    home = context.folder("nights").absolute()
    codes = []
    for night in ("first", "second"):
        out = f"--out={home / night}"
        words = ("--sweep=kernels", f"--device={context.device}", out, *NIGHT)
        done = context.program("nightly", "sweep", *words, within_s=SLOW_S)
        if done.code:
            return judged(False, f"the sweep of the {night} night ended with {done.code}", done.last_words)
        done = context.program("nightly", "gate", out, f"--baselines={home / 'baselines'}", within_s=SLOW_S)
        codes.append(done.code)
    observed = f"gates ended with {codes[0]} and {codes[1]}"
    if codes == [0, 4]:
        return unknown(done.first_words, observed)
    return judged(codes == [0, 0], observed, done.first_words)


def gpu_tests(context: Context) -> Seen:
    marked = [file for file in sorted((ROOT / "tests").glob("test_*.py")) if "mark.gpu" in file.read_text("utf-8")]
    if not marked:
        return inapplicable("the tests are not at hand; run it in a checkout")
    # What a library of the device warns of is no fault of convbench's there, though it is one here.
    words = ["-q", "-m", "gpu", "-W", "default", "-p", "no:cacheprovider", "-rs", "--rootdir", str(ROOT)]
    done = context.command([sys.executable, "-m", "pytest", *words, *map(str, marked)], 600.0)
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", done.output)}
    if "No module named pytest" in done.errors:
        return inapplicable("pytest is not installed")
    if done.code in (0, 5) and not counts.get("passed"):
        return inapplicable("no test with that mark runs on this machine: they need CUDA")
    observed = ", ".join(f"{n} {kind}" for kind, n in counts.items()) or f"exit code {done.code}"
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.output, re.MULTILINE)
    return judged(done.code == 0, observed, ", ".join(failed) or done.last_words, **counts)


def large(context: Context) -> Seen:
    free = context.traits.free_bytes
    host = context.traits.environment.get("memory_bytes")
    if free is None or free < LARGE_BYTES or host is None or host < HOST_BYTES:
        return inapplicable(f"it needs {LARGE_BYTES / 1e9:.0f} GB there, and {HOST_BYTES / 1e9:.0f} GB on the host")
    words = [*LARGE, "dtype=bfloat16", "fill=ones", "wrt=input", "measure=none", "methods=[autograd,explicit]"]
    rows = context.rows("large", [*words, "timeout_s=120"])
    observed = "; ".join(f"{row['method']}: {row['status']} {row.get('accuracy') or ''}" for row in rows)
    good = all(row["status"] == "ok" and row.get("accuracy") in ("exact", "ok", "reduced") for row in rows)
    reasons = "; ".join(str(row["reason"]) for row in rows if row.get("reason"))
    return judged(good, observed, reasons, elements=LARGE_ELEMENTS)
