"""What a table says about the notebook that convbench began with: its figures, and its sentence about the bias."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..facts.case import ConvCase
from ..facts.record import Record
from ..facts.settings import CONFIGURATION
from ..results.rows import Rows, partners

CASE = ConvCase(
    op="conv_transpose2d",
    batch=1,
    in_channels=4,
    out_channels=1,
    size=(17, 17),
    kernel=(9, 9),
    stride=(1, 1),
    padding=(0, 0),
    output_padding=(0, 0),
    dilation=(1, 1),
    groups=1,
    bias=False,
)
SETTING = {"fill": "notebook", "seed": 0, "dtype": "float32", "device": "cpu", "wrt": "input", "order": 1}
"""With CASE, the notebook's own configuration."""

PRINTED: Mapping[str, tuple[str, float, float]] = {
    "loss": ("cost", 656.59412, 1e-6),
    "grad_mean": ("gradient mean", -0.0020146435, 1e-5),
    "grad_std": ("gradient std", 0.62366945, 1e-6),
}
"""Column → what it is called, what the notebook printed (torch 0.3), and the relative difference that
rounding explains. The mean is a sum of terms that cancel, hence its wider allowance."""
SHAPE = (1, 4, 17, 17)
DIFFERENCE = 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: `printed` by the notebook, `here` now, both as text; `relative` is |here − printed| / |printed|."""

    name: str
    printed: str
    here: str
    relative: float | None
    agrees: bool


def notebook_figures(rows: Rows) -> list[Figure]:
    """The notebook's figures beside those of this table; empty where its configuration was not measured."""
    where = rows.equal("status", "ok")
    for name, value in (CASE.columns() | SETTING).items():
        where &= rows.equal(name, value)
    where &= ~rows.equal("memory_format", "channels_last")
    found = {row["method"]: row for row in rows.take(np.flatnonzero(where).tolist())}
    if not found:
        return []
    row = found.get("autograd", next(iter(found.values())))
    figures = [_figure(row, column) for column in PRINTED if row.get(column) is not None]
    if row.get("accuracy") not in (None, "fail"):
        shape = tuple(row[c] for c in ("batch", "in_channels", "in_h", "in_w"))
        figures.append(Figure("gradient shape", str(SHAPE), str(shape), None, shape == SHAPE))
    if "explicit" in found and row is not found["explicit"]:
        figures.append(_difference(row, found["explicit"]))
    return figures


def _figure(row: Record, column: str) -> Figure:
    name, printed, allowed = PRINTED[column]
    relative = abs(row[column] - printed) / abs(printed)
    digits = f"{row[column]:.8g}"
    return Figure(name, f"{printed:.8g}", digits, relative, relative <= allowed)


def _difference(autograd: Record, explicit: Record) -> Figure:
    """Bitwise equality means a difference of 0; otherwise the two errors bound it."""
    name = "largest difference"
    equal = explicit.get("equals_baseline")
    if equal is None and autograd.get("result_hash") and explicit.get("result_hash"):
        equal = autograd["result_hash"] == explicit["result_hash"]
    if equal:
        return Figure(name, str(DIFFERENCE), "0.0", None, True)
    errors = [row.get("max_abs_err") for row in (autograd, explicit)]
    bound = math.fsum(e for e in errors if e is not None) if None not in errors else None
    return Figure(name, str(DIFFERENCE), "unknown" if bound is None else f"at most {bound:.2g}", None, False)


@dataclass(frozen=True, slots=True)
class BiasStatement:
    """`pairs` of rows that differ in the bias only, of which `identical` hold the same gradient.

    `bitwise` says that their bytes were compared; otherwise mean and standard deviation were. `different`
    names the methods of the other pairs, `wrt` the gradients.
    """

    pairs: int
    identical: int
    bitwise: bool
    wrt: tuple[str, ...]
    different: tuple[str, ...]


def bias_statement(rows: Rows) -> BiasStatement | None:
    """Does a bias change the gradient for the same grad_output? None where no two rows differ in the bias only."""
    if len(rows.values("bias")) < 2:
        return None
    same = ("method", *(name for name in CONFIGURATION if name != "bias"), "environment_id")
    biased, plain = partners(rows, "bias", 0, same)
    ok = rows.equal("status", "ok")
    for columns, bitwise in ((("result_hash",), True), (("grad_mean", "grad_std"), False)):
        known = ok & np.logical_and.reduce([rows.known(c) for c in columns])
        usable = known[biased] & known[plain]
        if usable.any():
            return _statement(rows, (biased[usable], plain[usable]), columns, bitwise)
    return None


def _statement(rows: Rows, pairs: tuple[Any, Any], columns: Sequence[str], bitwise: bool) -> BiasStatement:
    biased, plain = pairs
    identical = np.ones(len(biased), bool)
    for column in columns:
        codes, _ = rows.numbered(column)
        identical &= codes[biased] == codes[plain]
    different = dict.fromkeys(rows.value("method", int(i)) for i in biased[~identical])
    wrt = dict.fromkeys(rows.value("wrt", int(i)) for i in biased)
    return BiasStatement(len(biased), int(identical.sum()), bitwise, tuple(wrt), tuple(different))
