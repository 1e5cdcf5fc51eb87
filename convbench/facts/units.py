"""Numbers as people read them: times, sizes, rates and ratios with as many digits as they deserve."""

from __future__ import annotations

import math

MISSING = "–"
"""Stands for an unknown value, which is never shown as 0."""

TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def known(value: float | None) -> bool:
    """False for None, NaN and the infinities."""
    return value is not None and math.isfinite(value)


def significant(value: float, digits: int = 3) -> str:
    """`value` with so many significant digits and no exponent between 1e-4 and 1e6: 0.0123, 1.31, 12.3, 123."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if not -4 <= exponent < 6:
        return f"{value:.{digits - 1}e}"
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"


def _scaled(value: float, steps: tuple[tuple[float, str], ...], digits: int) -> tuple[str, str]:
    """The digits and the unit of the first step that gives at least 1 after rounding."""
    rounded = abs(float(f"{value:.{digits - 1}e}"))
    factor, unit = next((step for step in steps if rounded >= step[0]), steps[-1])
    return significant(value / factor, digits), unit


def time(seconds: float | None) -> str:
    """12.3 µs; above a minute as `duration`."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds >= 60:
        return duration(seconds)
    return " ".join(_scaled(seconds, TIMES, 3))


def duration(seconds: float) -> str:
    """A stretch of time somebody waits for: 0.8 s, 12 s, 3 min 20 s, 2 h 05 min, 3 d 04 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def size(count: float | None) -> str:
    """Bytes with decimal prefixes: 512 B, 1.23 kB, 5.10 MB."""
    if count is None or not math.isfinite(count):
        return MISSING
    if abs(count) < 1000:
        return f"{count:.0f} B"
    digits, prefix = _scaled(count, PREFIXES, 3)
    return f"{digits} {prefix}B"


def rate(per_second: float | None, unit: str) -> str:
    """`rate(1.23e10, "FLOP")` → 12.3 GFLOP/s."""
    if per_second is None or not math.isfinite(per_second):
        return MISSING
    digits, prefix = _scaled(per_second, PREFIXES, 3)
    return f"{digits} {prefix}{unit}/s"


def count(number: int, noun: str = "", plural: str = "") -> str:
    """10,000 or, with a noun, 1 row and 10,000 rows; `plural` where an s does not make one."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def share(part: float) -> str:
    """A fraction of 1 as per cent: 0%, 0.3%, 12%, 99.9%; never 100% for less than all."""
    if part in (0.0, 1.0):
        return f"{100 * part:.0f}%"
    if part > 0.999:
        return ">99.9%"
    if 0.1 <= part < 0.99:
        return f"{100 * part:.0f}%"
    return f"{significant(100 * part, 3 if part > 0.5 else 2)}%"


def times(ratio: float | None) -> str:
    """1.31×, 12.3×, 123×, 0.42×, 0.012×."""
    if ratio is None or not math.isfinite(ratio):
        return MISSING
    return f"{ratio:.{_decimals(ratio)}f}×"


def interval(ratio: float | None, low: float | None, high: float | None) -> str:
    """1.31× [1.28, 1.34]: the ends with the decimals of the middle."""
    if ratio is None or not math.isfinite(ratio):
        return MISSING
    if low is None or high is None:
        return times(ratio)
    decimals = _decimals(ratio)
    return f"{ratio:.{decimals}f}× [{low:.{decimals}f}, {high:.{decimals}f}]"


def _decimals(ratio: float) -> int:
    """2 between 0.1 and 10 (the margin of a verdict is 3%), fewer above, two significant digits below."""
    if ratio <= 0:
        return 2
    if ratio >= 0.0995:
        return 2 if ratio < 9.995 else 1 if ratio < 99.95 else 0
    return 1 - math.floor(math.log10(ratio))
