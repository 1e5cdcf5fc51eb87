"""How a child process begins: its command line and the environment it is given."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .process import Place

LOAD = """
import importlib.util, sys
home = sys.argv[1]
spec = importlib.util.spec_from_file_location("convbench", home + "/__init__.py", submodule_search_locations=[home])
package = sys.modules["convbench"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
"""
"""Loads this very convbench by its path: another environment needs torch and numpy, and no convbench of its own,
and nothing of this environment's packages comes along."""

BOOT = f"""{LOAD}
from convbench.execution.child_main import main
main(sys.argv[2:])
"""

DEFAULTS = {"KINETO_LOG_LEVEL": "5", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""What a child finds in its environment unless the user has set it: torch's profiler, which counts memory, logs
nothing; and with deterministic=true torch refuses every matrix product on CUDA unless cuBLAS was given a fixed
workspace before it started (8 buffers of 4096 KiB; the other one that torch allows, :16:8, costs speed)."""


def command(place: Place | None) -> list[str]:
    """What starts a child in this environment, or in that of a `place`; its numbers follow."""
    if place is None:
        return [sys.executable, "-m", "convbench.execution.child_main"]
    return [place.python, "-c", BOOT, str(Path(__file__).resolve().parent.parent)]


def environment(place: Place | None) -> dict[str, str]:
    """DEFAULTS under this process's environment with its import path, or under that of a `place`."""
    if place is not None:
        return {**DEFAULTS, **(os.environ if place.env is None else place.env)}
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    return {**DEFAULTS, **os.environ, "PYTHONPATH": path}
