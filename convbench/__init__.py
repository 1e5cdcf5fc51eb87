"""Benchmark and sweep harness for convolution gradients. Importing it imports neither torch nor pandas."""

from ._version import __version__

__all__ = ["__version__"]
