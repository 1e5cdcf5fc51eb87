"""A method that is a tenth slower than the explicit formula, by its own clock and without a sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def tenth_slower(problem: Any) -> Callable[[], Any]:
    """The explicit formula, and a busy wait of a tenth of what it took."""
    from convbench.methods.explicit import prepare

    call = prepare(problem)

    def longer() -> Any:
        begun = time.perf_counter()
        result = call()
        now = time.perf_counter()
        until = now + 0.1 * (now - begun)
        while time.perf_counter() < until:
            pass
        return result

    return longer
