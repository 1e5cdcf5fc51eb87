"""`--dry-run`: the plan in words. Nothing is run, and no file is written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ..execution.source import code_key
from ..facts import units
from ..facts.configuration_key import ConfigurationKey
from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..results import store
from ..results.naming import distinct_names
from . import estimate
from .plan import Plan, Search
from .running import check_modules

SHOWN = 40
"""Configurations that are named; the rest is counted."""


def tell(found: Plan | Search) -> None:
    """Prints what would be run. Raises InvalidValue for what a run would refuse at once."""
    if isinstance(found, Search):
        raise InvalidValue("--dry-run", "another hydra/sweeper chooses while it runs; there is no plan to show")
    check_modules(found.sweep)
    for line in lines(found):
        print(line)


def lines(plan: Plan) -> Iterator[str]:
    """How many rows and which configurations; what is left out and why; how long the rest takes; where the rows would
    go and what is there."""
    arms = [spec.arms for spec in plan.sweep]
    methods = list(dict.fromkeys(method for each in arms for method in each))
    rows = units.count(sum(map(len, arms)), "row")
    yield f"{rows}: {units.count(len(arms), 'configuration')}, {', '.join(methods)}"
    columns = [spec.columns() for spec in islice(plan.sweep, SHOWN)]
    names = distinct_names(columns)
    for row, each in zip(columns, arms, strict=False):
        differing = "" if set(each) == set(methods) else f" · {', '.join(each)}"
        yield f"  {names[ConfigurationKey.of(row)]}{differing}"
    if len(arms) > SHOWN:
        yield f"  … and {units.count(len(arms) - SHOWN, 'more configuration')}"
    yield from _left_out(plan)
    todo = _todo(plan)
    yield from estimate.lines(todo, plan.settings.out, plan.settings.budget_s)
    yield _place(plan, len(arms) - len(todo))


def _left_out(plan: Plan) -> Iterator[str]:
    left_out = plan.left_out
    if left_out.illegal:
        yield f"{units.count(left_out.illegal, 'illegal combination')} left out (on_illegal=error stops at the first):"
        for reason, times in left_out.reasons.most_common():
            yield f"  {times:,} × {reason}"
        rest = left_out.illegal - sum(left_out.reasons.values())
        if rest:
            yield f"  {rest:,} × other reasons"
    if left_out.repeated:
        yield f"skipped {units.count(left_out.repeated, 'duplicate combination')}"


def _todo(plan: Plan) -> list[Spec]:
    """The configurations that the folder does not hold already."""
    settings = plan.settings
    if settings.out is None:
        return list(plan.sweep)
    index = store.Index(settings.out)
    codes: dict[str, str] = {}
    todo = []
    for spec in plan.sweep:
        codes |= {arm: code_key(arm) for arm in spec.arms if arm not in codes}
        if not store.settled(index.entries(spec, codes), settings.retry):
            todo.append(spec)
    return todo


def _place(plan: Plan, done: int) -> str:
    settings = plan.settings
    how = f" by jobs of {plan.launcher.kind}" if plan.launcher is not None else ""
    if settings.out is None:
        return f"nothing was run; the results would go{how} to a new folder under results/"
    held = f", which holds {units.count(done, 'configuration')} of them already" if done else ""
    return f"nothing was run; the results would go{how} to {settings.out}{held}"
