"""Own methods that deceive their judge or harm their rivals, and honest ones that look like them.

`python -m convbench validate --judge` tries them all. Each is a method as a user would write one, and is measured as
one: `methods=[autograd,convbench.deceptions.results:keeps_its_first]`. Importing this package imports no torch.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

RESULTS = (
    "results:uninitialised",
    "results:keeps_its_first",
    "results:computes_beforehand",
    "results:computes_beforehand_and_adds_zero",
    "results:right_thrice",
    "results:nan_later",
    "results:coarser_later",
    "results:every_other_call",
    "results:looks_at_its_caller",
    "results:answers_known_data",
    "results:remembers_all_data",
    "results:remembers_by_address",
    "results:lazy",
    "results:one_buffer",
    "results:two_buffers",
    "results:into_its_operand",
    "results:one_image_expanded",
    "results:only_in_inference_mode",
)
ELSEWHERE = (
    "elsewhere:unfinished",
    "elsewhere:works_ahead",
    "elsewhere:two_threads",
    "elsewhere:two_threads_in_its_call",
    "elsewhere:threads_of_its_own",
    "elsewhere:half_in_a_fork",
    "elsewhere:busy_forks",
    "elsewhere:busy_thread",
    "elsewhere:interval_timer",
    "elsewhere:garbage_callback",
    "elsewhere:at_exit",
)
JUDGE = (
    "judge:finds_the_reference",
    "judge:finds_the_reference_in_a_frame",
    "judge:replaces_the_judge",
    "judge:patches_the_code_of_the_judge",
    "judge:patches_double",
    "judge:wraps_its_row",
    "judge:slows_the_clock",
    "judge:blinds_the_guard",
)
STATE = (
    "at_import.onednn:method",
    "state:onednn_off_between",
    "state:threads_left",
    "state:anomaly_mode_left",
    "state:default_device_left",
    "state:default_dtype_left",
    "state:grad_mode_left",
    "state:deterministic_left",
    "state:function_mode_left",
    "state:profile_function_left",
    "state:slows_autograd",
    "state:patches_conv2d",
    "state:overrides_a_kernel",
    "state:spoils_operands",
    "state:relays_operands",
    "state:environment_left",
    "state:spoils_another_method",
    "at_import.timer:method",
)
DECEPTIONS = (*RESULTS, *ELSEWHERE, *JUDGE, *STATE)
"""`module:function` in this package."""

LIMITS: dict[str, str] = {}
"""What is not caught, and why: deceptions that convbench does not claim to see."""

HONEST = (
    "honest:plain",
    "honest:workspace",
    "honest:channels_last",
    "honest:counts_its_calls",
    "honest:switch_in_its_call",
    "honest:through_autograd",
    "honest:idle_threads",
    "honest:of_numpy",
    "at_import.switches:method",
    "at_import.precision:method",
)
"""Right methods that must be ok and timed as what they are. The last two leave switches of torch set at their top, as
many modules do: they are in order, and what they set must not reach anybody else."""


def method(name: str) -> str:
    """What one writes into `methods=` for it."""
    return f"{__name__}.{name}"


@cache
def _documented(module: str) -> dict[str, str]:
    tree = ast.parse(Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8"))
    found = {n.name: ast.get_docstring(n) or "" for n in tree.body if isinstance(n, ast.FunctionDef)}
    return {"": ast.get_docstring(tree) or "", **found}


def meaning(name: str) -> str:
    """What it does, in its own words, on one line: read from its source, since importing it may do harm."""
    module, _, function = name.partition(":")
    known = _documented(module)
    return " ".join((known[function] or known[""]).split())
