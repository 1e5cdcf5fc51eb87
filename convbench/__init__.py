"""convbench: what convolution gradients cost and how right they are.

`run` is the command line as a function, `check` judges one method, `load(DIR)` reads a finished run, `totals` and
`switches` say what a network takes in it, and `convbench.testing` is for a test suite of one's own; what they refuse is
an `InvalidValue`.
`plain`, `gradients`, `together`, `backward_of`, `with_autograd`, `accuracy`, `Unsupported`, `Problem` and `Case` are
for methods of one's own: see `convbench.methods`. `COLUMNS` describes every column of the table by name. What is named
here changes only as docs/stability.md says.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .facts.case import ConvCase as Case
from .facts.record import COLUMNS
from .facts.values import InvalidValue
from .methods import Unsupported, accuracy, plain, together, with_autograd

if TYPE_CHECKING:
    from .api.check import Verdict, check
    from .api.network import switches, totals
    from .api.run import run
    from .measurement.problem import Problem
    from .methods.backward import backward_of
    from .methods.own import gradients
    from .results.table import load

__all__ = [
    "COLUMNS",
    "Case",
    "InvalidValue",
    "Problem",
    "Unsupported",
    "Verdict",
    "__version__",
    "accuracy",
    "backward_of",
    "check",
    "gradients",
    "load",
    "plain",
    "run",
    "switches",
    "together",
    "totals",
    "with_autograd",
]

_LATER = {
    "Problem": "measurement.problem",
    "Verdict": "api.check",
    "backward_of": "methods.backward",
    "check": "api.check",
    "gradients": "methods.own",
    "load": "results.table",
    "run": "api.run",
    "switches": "api.network",
    "totals": "api.network",
}
"""Name → the module that has it, imported when it is asked for: importing convbench must not cost torch or pandas."""


def __getattr__(name: str) -> Any:
    if name == "testing":
        return importlib.import_module(".testing", __name__)
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
