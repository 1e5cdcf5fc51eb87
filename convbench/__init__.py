"""convbench: what convolution gradients cost and how right they are. `convbench.load(DIR)` reads a finished run.

`plain`, `backward_of`, `with_autograd`, `accuracy`, `Unsupported`, `Problem` and `Case` are for methods of one's own:
see `convbench.methods`. `COLUMNS` describes every column of the table by name. What is named here changes only as
docs/stability.md says.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .facts.case import ConvCase as Case
from .facts.record import COLUMNS
from .methods import Unsupported, accuracy, plain, with_autograd

if TYPE_CHECKING:
    from .measurement.problem import Problem
    from .methods.backward import backward_of
    from .results.table import load

__all__ = [
    "COLUMNS",
    "Case",
    "Problem",
    "Unsupported",
    "__version__",
    "accuracy",
    "backward_of",
    "load",
    "plain",
    "with_autograd",
]

_LATER = {
    "Problem": "measurement.problem",
    "backward_of": "methods.backward",
    "load": "results.table",
}
"""Name → the module that has it, imported when it is asked for: importing convbench must not cost torch or pandas."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
