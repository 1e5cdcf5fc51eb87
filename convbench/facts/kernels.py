"""What a call ran underneath, in one short text: a GPU's kernels, oneDNN's primitives, torch's operations by name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

LONGEST = 100
"""Characters of one name: a template of cuDNN's or CUTLASS's has hundreds. What is cut is told apart by a hash."""

MOST = 8
"""Names in one text; the rest is counted."""

SEPARATOR = "; "


def told(names: Sequence[str]) -> str | None:
    """`2× reorder; convolution`: the names in the order of their first use, each once; None where there are none."""
    often = Counter(filter(None, map(plain, names)))
    shown = [name if times == 1 else f"{times}× {name}" for name, times in often.items()]
    if len(shown) > MOST:
        rest = shown[MOST - 1 :]
        shown = [*shown[: MOST - 1], f"… {len(rest)} more #{_hash(SEPARATOR.join(rest))}"]
    return SEPARATOR.join(shown) or None


def plain(name: str) -> str:
    """A C++ function's name without what it returns and takes; what is too long keeps both ends and gets a hash."""
    whole = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    depth, end = 0, len(whole)
    for position, letter in enumerate(whole):
        if letter == "(" and depth == 0 and position:
            end = position
            break
        depth += (letter in "<({") - (letter in ">)}")
    short = " ".join(whole[:end].replace(SEPARATOR.strip(), ",").split())
    if len(short) <= LONGEST:
        return short
    tail = f" #{_hash(short)}"
    half = (LONGEST - len(tail) - 1) // 2
    return f"{short[:half]}…{short[-half:]}{tail}"


def changed(old: str | None, new: str | None) -> str | None:
    """`kernel a → b`: what only one of two texts names; None where they name the same, or one is unknown."""
    if not old or not new or old == new:
        return None
    was, now = old.split(SEPARATOR), new.split(SEPARATOR)
    gone, come = [name for name in was if name not in now], [name for name in now if name not in was]
    if not gone and not come:
        return "the same kernels in another order"
    word = "kernels" if max(len(gone), len(come)) > 1 else "kernel"
    return f"{word} {' + '.join(gone) or 'none'} → {' + '.join(come) or 'none'}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
