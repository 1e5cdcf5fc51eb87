"""convbench: what convolution gradients cost and how right they are. `convbench.load(DIR)` reads a finished run.

`plain`, `with_autograd`, `accuracy`, `Unsupported`, `Problem` and `Case` are for methods of one's own: see
`convbench.methods`. `COLUMNS` describes every column of the table by name. What is named here changes only as
docs/stability.md says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .facts.case import ConvCase as Case
from .facts.record import COLUMNS
from .methods import Unsupported, accuracy, plain, with_autograd

if TYPE_CHECKING:
    from .measurement.problem import Problem
    from .results.table import load

__all__ = ["COLUMNS", "Case", "Problem", "Unsupported", "__version__", "accuracy", "load", "plain", "with_autograd"]


def __getattr__(name: str) -> Any:
    """`load` and `Problem` on first use: importing convbench must not cost the import of pandas or torch."""
    if name == "load":
        from .results.table import load

        return load
    if name == "Problem":
        from .measurement.problem import Problem

        return Problem
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
