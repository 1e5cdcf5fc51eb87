"""A proof as one HTML page: the verdict, the checks by stage, the tables of times, the environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from .._version import __version__
from ..facts import units
from .checks import STAGES, VERDICTS, Result
from .table import IN_SHORT, in_short, told
from .timers import ours
from .verdict import exit_code, sentence

TITLES = {
    "primitives": "What timing rests on, and planted faults",
    "timers": "Times beside those of other timers",
    "program": "The whole program",
}
PAGE = "docs/ci.md, A check that failed"
TO_DO = {
    "fail": f"What a failed check stands for, and what not to believe until it is mended: {PAGE}. retry=failed makes "
    "it again; one that fails twice is a fault of convbench, of torch or of the device: report it with its line of "
    "checks.jsonl.",
    "could not tell": "Nothing is known to be wrong there: a machine with nothing else to do may tell (retry=failed).",
    "not run": "The same command goes on with what was not run.",
}
"""By verdict, what its reader does next."""
CLASSES = {"pass": "good", "fail": "bad", "could not tell": "warn", "not run": "quiet", "does not apply": "quiet"}


def render(results: Sequence[Result], device: str, environment: Mapping[str, Any]) -> str:
    """The page. What it is given is escaped; it fetches nothing and runs no script."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    counts = Counter(result.verdict for result in results)
    return found.get_template("proof.html.j2").render(
        device=device,
        model=environment.get("gpu") or environment.get("cpu"),
        version=__version__,
        code=int(exit_code(results)),
        sentence=sentence(results, device),
        counts=[(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]],
        classes=CLASSES,
        stages=[(stage, TITLES[stage], of_stage(results, stage)) for stage in STAGES if of_stage(results, stage)],
        to_do=[TO_DO[verdict] for verdict in VERDICTS if counts[verdict] and verdict in TO_DO],
        told=told,
        in_short=in_short,
        in_short_verdicts=IN_SHORT,
        time=units.time,
        ratio=lambda times, timer: f"{ours(times, timer) / times['others'][timer]:.3f}",
        timed=[
            (result.name, name, times) for result in results for name, times in result.figures.get("times", {}).items()
        ],
        total=units.duration(sum(result.seconds or 0.0 for result in results)),
        environment=[(key, shown(value)) for key, value in environment.items() if value not in (None, {}, [])],
    )


def of_stage(results: Sequence[Result], stage: str) -> list[Result]:
    """The gravest first."""
    return sorted((r for r in results if r.stage == stage), key=lambda result: VERDICTS.index(result.verdict))


def shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
