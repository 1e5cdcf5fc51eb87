"""How long the float64 reference takes."""

from __future__ import annotations

from time import perf_counter, process_time
from typing import Any

import torch

from ...devices import device_of
from ...facts.spec import ReferenceLimits
from ...measurement import problem, reference
from ...sweep.plan import planned


def of_a_weight(device: str, words: list[str]) -> dict[str, Any]:
    """`seconds` of the reference of the configuration that the words name, and the share of elements compared."""
    torch.set_num_threads(1)
    (spec,) = planned([f"device={device}", *words]).sweep
    made = problem.make(spec)
    on = device_of(device)
    on.synchronize()
    clock = process_time if on.is_host else perf_counter
    begun = clock()
    found = reference.compute(made, ReferenceLimits())
    on.synchronize()
    return {"seconds": clock() - begun, "checked": found.checked_fraction, "elements": found.elements}
