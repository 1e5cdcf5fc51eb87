"""What a row says of a method that raised, was lost or does not cover the configuration."""

from __future__ import annotations

from typing import Any

import torch

from .facts.record import OUT_OF_MEMORY
from .methods import Unsupported
from .methods.own import CannotLoad
from .timing.turns import Lost

REASON_LENGTH = 400


def failure(error: BaseException) -> dict[str, Any]:
    """What a row says that `error` is the end of: its `status` and `reason`, or that its `accuracy` is fail."""
    if isinstance(error, Lost):
        return error.row
    if isinstance(error, Unsupported):
        return {"status": "unsupported", "reason": sentence(str(error))}
    text = f"{type(error).__name__}: {error}" if not isinstance(error, CannotLoad) else str(error)
    exhausted = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or OUT_OF_MEMORY.search(str(error))
    return {"status": "oom" if exhausted else "error", "reason": sentence(text)}


def sentence(text: str) -> str:
    """The first lines of a message as one, cut to a readable length."""
    joined = " ".join(text.split())
    return joined if len(joined) <= REASON_LENGTH else joined[: REASON_LENGTH - 1] + "…"
