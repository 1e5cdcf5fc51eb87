"""convbench: what convolution gradients cost and how right they are. `convbench.load(DIR)` reads a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .table import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """`load` on first use: importing convbench must not cost the import of pandas."""
    if name == "load":
        from .table import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
