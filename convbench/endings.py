"""What a row says of a method that raised, was lost or does not cover the configuration."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path
from typing import Any

import torch

from .facts.record import OUT_OF_MEMORY
from .methods import Unsupported
from .methods.own import CannotLoad
from .timing.clocks import Lost
from .timing.rounds import ArmFailed

REASON_LENGTH = 400

DEVICE_ERROR = re.compile(r"(CUDA|HIP) error: ")
"""What a device's error begins with; torch's advice on how to debug it follows in further lines."""
OUT_OF_DEVICE_MEMORY: type[Exception] = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
"""Since torch 2.5 it goes by the first name; a duet measures older ones as well."""
NOT_THE_USERS = (Path(torch.__file__).parent, Path(__file__).parent, Path(os.__file__).parent)
"""torch, convbench and Python itself."""


def failure(error: BaseException) -> dict[str, Any]:
    """What a row says that `error` is the end of: its `status` and `reason`, or that its `accuracy` is fail."""
    if isinstance(error, ArmFailed):
        error = error.error
    if isinstance(error, Lost):
        return error.row
    if isinstance(error, Unsupported):
        return {"status": "unsupported", "reason": sentence(str(error))}
    message = str(error)
    if DEVICE_ERROR.match(message):
        message = message.partition("\n")[0]
    text = f"{type(error).__name__}: {message}" if not isinstance(error, CannotLoad) else str(error)
    exhausted = isinstance(error, (OUT_OF_DEVICE_MEMORY, MemoryError)) or OUT_OF_MEMORY.search(str(error))
    if exhausted:
        return {"status": "oom", "reason": sentence(text)}
    return {"status": "error", "reason": sentence(text) + _place(error)}


def _place(error: BaseException) -> str:
    """` (kernels.py, line 12, in call)`: the innermost line that is neither torch's nor convbench's own, if any is."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if not any(file.is_relative_to(place) for place in NOT_THE_USERS) and file.is_file():
            return f" ({file.name}, line {frame.lineno}, in {frame.name})"
    return ""


def sentence(text: str) -> str:
    """The first lines of a message as one, cut to a readable length."""
    joined = " ".join(text.split())
    return joined if len(joined) <= REASON_LENGTH else joined[: REASON_LENGTH - 1] + "…"
