"""Made-up tables like those of a sweep: plausible times and errors, failures and skips."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from convbench.facts.dtypes import DTYPES
from convbench.facts.record import COLUMNS, Record, record
from convbench.facts.spec import Spec
from convbench.results.rows import ARROW

from .settings import MEASURED, make_spec

METHODS = ("autograd", "explicit", "aten", "unfold", "mypkg.kernels:my_dgrad")
FACTOR = {"autograd": 1.0, "explicit": 1.35, "aten": 1.06, "unfold": 0.55, "mypkg.kernels:my_dgrad": 1.8}
CEILING = {"float64": 0.055, "float32": 0.11, "bfloat16": 0.21, "float16": 0.02}


def specs(measured: bool = True, **axes: tuple[Any, ...]) -> Iterator[Spec]:
    """The grid over `axes` (keys of ConvCase and of Spec)."""
    timed = MEASURED if measured else {}
    for values in itertools.product(*axes.values()):
        yield make_spec(**timed, methods=list(METHODS), **dict(zip(axes, values, strict=True)))


def rows_of(spec: Spec, rng: random.Random) -> list[Record]:
    """One row for each method: right ones with an error below the bound and a time that falls with the work."""
    case = spec.case
    flops, moved = case.flops(spec.wrt), case.elements_moved(spec.wrt) * DTYPES[spec.dtype].bytes
    slow = 8.0 if spec.dtype == "float16" else 1.0
    base_s = slow * (6e-6 + flops / (CEILING[spec.dtype] * 1e12 * 0.4)) * rng.uniform(0.9, 1.1)
    return [
        record({**common(spec, method), **outcome(spec, method, rng, (base_s, flops, moved))}) for method in METHODS
    ]


def common(spec: Spec, method: str) -> dict[str, Any]:
    return {
        **spec.columns(),
        "method": method,
        "environment_id": "0a1b2c3d4e5f6071",
        "convbench_version": "0.1.0",
        "started_at": "2026-01-05T08:15:00+00:00",
        "elapsed_s": 1.25,
    }


def outcome(spec: Spec, method: str, rng: random.Random, work: tuple[float, int, int]) -> dict[str, Any]:
    if spec.device.startswith("cuda"):
        return {"status": "skipped", "reason": "device=cuda: this machine has no CUDA device"}
    kernel = spec.case.kernel[0]
    if method == "unfold" and kernel >= 17:
        return {"status": "oom", "reason": "unfold needs 3.2 GB, memory_limit is 2.0 GB"}
    if method == "aten" and kernel == 1:
        return {"status": "crash", "reason": "the process died of signal 6 (SIGABRT) in the timing of aten"}
    if method.startswith("mypkg") and spec.dtype == "float16":
        return {"status": "unsupported", "reason": "my_dgrad has no <float16> kernel & says so"}
    length = spec.case.reduction_length(spec.wrt)
    dtype = DTYPES[spec.dtype]
    bound = dtype.u_out + 2 * dtype.u_acc * math.sqrt(length)
    wrong = method.startswith("mypkg") and kernel == 5 and spec.dtype == "bfloat16"
    ratio = rng.uniform(30, 300) if wrong else rng.uniform(0.05, 0.4)
    values = {
        "status": "ok",
        "accuracy": "fail" if wrong else "exact" if spec.fill == "integer" else "ok",
        "reason": "largest error 41 times its bound at [0, 1, 3, 3]" if wrong else None,
        "max_abs_err": bound * ratio * 3,
        "rel_l2_err": 0.0 if spec.fill == "integer" else bound * ratio,
        "bound_ratio": ratio,
        "reduction_length": length,
        "equals_baseline": method in ("autograd", "aten"),
        "checked_fraction": 1.0,
    }
    if spec.measure.enabled and not wrong:
        values |= timed(spec, method, rng, work)
    return values


def timed(spec: Spec, method: str, rng: random.Random, work: tuple[float, int, int]) -> dict[str, Any]:
    base_s, flops, moved = work
    kernel = spec.case.kernel[0]
    true = FACTOR[method] * (1 + 0.08 * math.log2(kernel / 6)) if method != "autograd" else 1.0
    spread = rng.choice((0.004, 0.008, 0.03))
    middle = true * math.exp(rng.gauss(0, spread))
    low, high = middle * math.exp(-2 * spread), middle * math.exp(2 * spread)
    speed = "faster" if low > 1.03 else "slower" if high < 1 / 1.03 else "inconclusive"
    speed = "equivalent" if low >= 1 / 1.03 and high <= 1.03 else speed
    time_s = base_s / middle
    share = max(flops / (CEILING[spec.dtype] * 1e12), moved / 9e9) / time_s
    values: dict[str, Any] = {
        "time_s": time_s,
        "time_low_s": time_s * 0.98,
        "time_high_s": time_s * 1.03,
        "samples": 40,
        "calls_per_sample": 400,
        "converged": spread < 0.02,
        "measured_s": 0.8,
        "prepare_s": 0.002,
        "first_call_s": 0.003,
        "cache": "hot",
        "cuda_graph": False,
        "flops": flops,
        "tflops": flops / time_s / 1e12,
        "bytes": moved,
        "gbps": moved / time_s / 1e9,
        "ceiling_tflops": CEILING[spec.dtype],
        "ceiling_gbps": 9.0,
        "ceiling_share": share,
        "saved_bytes": 4624 if method == "autograd" else 1296,
        "peak_bytes": 2 * moved,
    }
    if method != "autograd":
        values |= {"speedup": middle, "speedup_low": low, "speedup_high": high, "speed": speed}
    return values


def table(measured: bool = True, seed: int = 0, **axes: tuple[Any, ...]) -> list[Record]:
    rng = random.Random(seed)
    return [row for spec in specs(measured, **axes) for row in rows_of(spec, rng)]


ENVIRONMENT = {
    "environment_id": "0a1b2c3d4e5f6071",
    "cpu": "Example CPU @ 3.00GHz",
    "cores": 2,
    "torch": "2.13.0+cpu",
    "flags": ["avx2", "fma"],
}


def write(folder: Path, rows: list[Record], environment: Mapping[str, Any] | None = ENVIRONMENT) -> Path:
    """`folder` as a finished run leaves it: results.parquet and environment.json."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {n: pa.array([row.get(n) for row in rows], ARROW[c.type]) for n, c in COLUMNS.items()}
    pq.write_table(pa.table(columns), folder / "results.parquet")
    if environment is not None:
        (folder / "environment.json").write_text(
            json.dumps({environment["environment_id"]: environment}), encoding="utf-8"
        )
    return folder


GRID: dict[str, tuple[Any, ...]] = {
    "kernel": (1, 3, 5, 9, 17),
    "dtype": ("float32", "bfloat16", "float16"),
    "wrt": ("input", "weight"),
    "in_channels": (4, 32),
    "device": ("cpu", "cuda"),
}
"""A sweep with something of everything: failures, wrong results, skipped rows, three dtypes, five methods."""
