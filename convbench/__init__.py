"""convbench: what convolution gradients cost and how right they are. `convbench.load(DIR)` reads a finished run.

`plain`, `with_autograd` and `Unsupported` are for methods of one's own: see `convbench.methods`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .methods import Unsupported, plain, with_autograd

if TYPE_CHECKING:
    from .results.table import load

__all__ = ["Unsupported", "__version__", "load", "plain", "with_autograd"]


def __getattr__(name: str) -> Any:
    """`load` on first use: importing convbench must not cost the import of pandas."""
    if name == "load":
        from .results.table import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
