"""`convbench.run`: a sweep from Python, its table as a DataFrame."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..facts.values import InvalidValue
from .functions import Functions, Method, importable
from .words import listed, words_of

if TYPE_CHECKING:
    import pandas as pd

    from ..sweep.plan import Plan


def run(*words: str, methods: Sequence[Method] | None = None, **settings: Any) -> pd.DataFrame:
    """Runs what `python -m convbench -m WORDS` runs, prints nothing, and returns the table as `convbench.load` does.

    `words` are the command line's, `"kernel=3,5,9"` or `"+sweep=dcgan"`; `settings` the same as Python's values, in
    which a list is several values and a tuple one value per axis: `kernel=[3, 5], stride=(2, 1)`. `methods` are names
    and functions, those of a notebook's cell included. Each function runs in a process of its own, to which its code
    is sent; with `isolation="none"` in this one, and its speed then has no verdict. Files are kept where `out=DIR`
    says, and else nowhere.

    Raises InvalidValue, a ValueError, with the sentence that the command line would print; KeyboardInterrupt when it is
    interrupted (with `out=DIR`, the same call goes on from there).
    """
    functions = Functions(methods or ())
    plan = planned_with([*words, *words_of(settings)], functions.names if methods is not None else None)
    with ExitStack() as held:
        out = plan.settings.out or Path(held.enter_context(TemporaryDirectory(prefix="convbench-")), "run")
        held.enter_context(importable(functions, plan.settings.isolation))
        table = _run(replace(plan, settings=replace(plan.settings, out=out)))
        if plan.settings.out is None:
            table["failure"] = table["failure"].mask(table["failure"].notna())  # those folders go with the others
        return table


def planned_with(words: Sequence[str], methods: Sequence[str] | None = None) -> Plan:
    """The plan of a command line whose methods are these. Raises InvalidValue."""
    from ..sweep.plan import asked_with, planned

    for word in words:
        if not isinstance(word, str) or word.startswith("-"):
            raise InvalidValue("words", f"{word!r} is no setting; give words such as 'kernel=3,5', and no options")
    if methods is not None:
        if any(word.startswith("methods=") for word in words):
            raise InvalidValue("methods", "methods is given twice, as a word and by name; give it once")
        words = [*words, f"methods={listed('methods', methods)}"]
    plan = planned(words)
    if plan.launcher is not None:
        raise InvalidValue("hydra/launcher", "a launcher starts programs of its own; use the command line for that")
    found = asked_with(plan, ["-m", *words])
    assert isinstance(found, type(plan))
    return found


def _run(plan: Plan) -> pd.DataFrame:
    from rich.console import Console

    from ..results.table import load
    from ..sweep import running
    from ..terminal.progress import Progress

    silent = Progress(len(plan.sweep), console=Console(file=io.StringIO(), quiet=True))
    done = running.here(plan.sweep, plan.settings, silent)
    if done.outcome.signal is not None:
        raise KeyboardInterrupt
    return load(done.out)
