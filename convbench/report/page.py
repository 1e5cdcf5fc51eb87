"""The page: one HTML file with everything in it, escaped, and forbidden by its own policy to fetch anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from .._version import __version__
from ..facts import units
from ..findings import finders, intervals, lead, network_words, tally
from ..findings.evidence import SEVERITIES, Finding
from ..findings.networks import of as networks_in
from ..results.rows import Indexes, Rows
from . import explain, summary
from .data import Runs
from .payload import MOST_ROWS, in_script, payload
from .summary import Place

HERE = Path(__file__).parent
LIBRARIES = ("d3.min.js", "plot.umd.min.js")
SCRIPTS = (
    "core.js",
    "filter.js",
    "draw.js",
    "saving.js",
    "forest.js",
    "lines.js",
    "error.js",
    "heat.js",
    "roofline.js",
    "samples.js",
    "table.js",
    "main.js",
)
"""In this order they make up one script."""

MOST_REASONS = 40
"""Lines of the table of failures; more are no longer read."""


COMPARISONS = ("slow_dtype", "slow_memory_format", "kept_alive")
"""Kinds of findings that compare rows with one another."""


def render(runs: Runs) -> str:
    """The report of `runs` as HTML."""
    scripts = [*libraries(), application()]
    split, lines = summary.by_method(runs)
    return templates().render(
        title=", ".join(runs.names),
        runs=runs,
        version=__version__,
        overview=summary.overview(runs),
        headlines=explain.headlines(runs),
        shown=sections(runs),
        leading="backward_" if lead.in_training(runs.rows).any() else "",
        split=split,
        lines=lines,
        intervals=intervals.said(runs.rows),
        others=summary.others(lines),
        findings=found_in(runs),
        comparisons=COMPARISONS,
        networks=networks(runs),
        failures=summary.failures(runs.rows),
        most_reasons=MOST_REASONS,
        baselines=" or ".join(runs.rows.values("baseline")) or "the baseline",
        fingerprints=runs.rows.values("environment_id"),
        environments=environments(runs.environments),
        css=Markup(read("templates/report.css")),
        scripts=[Markup(script) for script in scripts],
        policy=policy(scripts),
        data=Markup(in_script(payload(runs))),
        most_rows=MOST_ROWS,
        licences=read("vendor/LICENSES.txt"),
    )


def networks(runs: Runs) -> list[dict[str, Any]]:
    """The totals of each run's networks, in words."""
    return [
        {
            "heading": " · ".join([*([name] if len(runs.parts) > 1 else []), network_words.heading(total)]),
            "rows": (rows := [network_words.cells(one, total) for one in (*total.methods, total.best)]),
            "standing_in": any(row["by_baseline"] for row in rows),
            "sentences": network_words.sentences(total),
        }
        for name, part in zip(runs.names, runs.parts, strict=True)
        for total in networks_in(part)
    ]


def sections(runs: Runs) -> set[str]:
    """The parts of the page that have something to show; the others have no heading either."""
    rows = runs.rows
    axes = [axis for axis in runs.axes if len(rows.values(axis)) > 1]
    numeric = [axis for axis in axes if all(isinstance(v, (int, float)) for v in rows.values(axis))]
    speed = bool(np.isfinite(lead.numbers(rows, "speedup")[tally.compared(rows)]).any())
    found = {
        "speed": speed,
        "lines": speed and any(len(rows.values(axis)) > 1 for axis in numeric),
        "accuracy": bool(rows.known("accuracy").any()),
        "map": len(axes) > 1 and rows.count > 0,
        "ceilings": bool((rows.known("flops") & rows.known("time_s")).any()),
        "rows": rows.count > 0,
    }
    return {name for name, there in found.items() if there}


def templates() -> jinja2.Template:
    """The page's template; what it is given is escaped unless it is Markup, and nothing may be missing."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["times"] = units.times
    return environment.get_template("page.html.j2")


def found_in(runs: Runs) -> list[tuple[str, Finding, list[Place]]]:
    """(run's name, finding, its rows), the gravest first; each run is searched by itself, as it was when it ended."""
    found, before = [], 0
    for name, part in zip(runs.names, runs.parts, strict=True):
        for finding in finders.find(part):
            found.append((name, finding, summary.places(runs.rows, concerned(runs.rows, finding, before))))
        before += part.count
    return sorted(found, key=lambda one: SEVERITIES.index(one[1].severity))


def concerned(rows: Rows, finding: Finding, before: int) -> Indexes:
    """The rows of a finding in the configurations it names; all of theirs where it compares rows with one another.

    `before`: rows of the runs before the finding's own.
    """
    own = np.sort(np.array(finding.rows, np.int64)) + before
    if finding.kind not in COMPARISONS:
        return own
    codes, _ = rows.codes("configuration")
    return np.flatnonzero(np.isin(codes, codes[own]))


def read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def libraries() -> list[str]:
    return [read(f"vendor/{name}") for name in LIBRARIES]


def application() -> str:
    """The page's own script: the files of SCRIPTS in one function's scope."""
    return '(() => {\n"use strict";\n' + "\n".join(read(f"templates/{name}") for name in SCRIPTS) + "\n})();"


def policy(scripts: Sequence[str]) -> str:
    """A Content-Security-Policy: only these very scripts run and nothing is fetched, whatever a label says."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    rest = "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {rest}"


def environments(found: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """{"names": one per environment, "rows": [(key, values, whether they differ)]}."""
    keys = dict.fromkeys(key for _, one in found for key in one)
    rows = [(key, [shown(one.get(key)) for _, one in found]) for key in keys]
    return {
        "names": [name for name, _ in found],
        "rows": [(key, values, len(set(values)) > 1) for key, values in rows if any(values)],
    }


def shown(value: Any) -> str:
    """A value of an environment: lists joined by commas, nothing for what is unknown."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else summary.text(value)
