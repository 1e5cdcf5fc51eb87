"""The page: one HTML file with everything in it, escaped, and forbidden by its own policy to fetch anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import pyarrow as pa
from markupsafe import Markup

from .._version import __version__
from ..facts import units
from ..facts.key import KEY_COLUMNS, ConfigurationKey
from ..facts.record import FAILED, IMPOSSIBLE
from ..findings import finders
from ..findings.evidence import SEVERITIES, Finding
from ..results.rows import Rows
from . import summary
from .data import Runs, plain
from .payload import MOST_ROWS, in_script, payload
from .summary import PLACE, Place

HERE = Path(__file__).parent
LIBRARIES = ("d3.min.js", "plot.umd.min.js")
SCRIPTS = ("core.js", "filter.js", "draw.js", "forest.js", "error.js", "heat.js", "roofline.js", "table.js", "main.js")
"""In this order they make up one script."""

MOST_REASONS = 40
"""Lines of the table of failures; more are no longer read."""


OF_ONE_METHOD = ("wrong", IMPOSSIBLE, *FAILED, "not_repeatable")
"""Kinds of findings whose sentence begins with the method that it is about."""

CONCERNED: dict[str, tuple[str, Any]] = {
    "wrong": ("accuracy", "fail"),
    IMPOSSIBLE: ("speed", IMPOSSIBLE),
    **{status: ("status", status) for status in FAILED},
    "unsettled": ("converged", False),
    "launch_bound": ("launch_bound", True),
    "not_repeatable": ("repeatable", False),
    "reduced": ("accuracy", "reduced"),
}
"""Kind of a finding → the column and the value that make a row one of its own."""


def render(runs: Runs) -> str:
    """The report of `runs` as HTML."""
    scripts = [*libraries(), application()]
    split, lines = summary.by_method(runs)
    return templates().render(
        title=", ".join(runs.names),
        runs=runs,
        version=__version__,
        overview=summary.overview(runs),
        split=split,
        lines=lines,
        findings=found_in(runs),
        concerned=CONCERNED,
        failures=summary.failures(runs.table),
        most_reasons=MOST_REASONS,
        baselines=" or ".join(runs.table["baseline"].dropna().unique()) or "the baseline",
        fingerprints=list(runs.table["environment_id"].dropna().unique()),
        environments=environments(runs.environments),
        css=Markup(read("templates/report.css")),
        scripts=[Markup(script) for script in scripts],
        policy=policy(scripts),
        data=Markup(in_script(payload(runs))),
        most_rows=MOST_ROWS,
        licences=read("vendor/LICENSES.txt"),
    )


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
    found = []
    for name in runs.names:
        table = runs.table[runs.table["run"] == name]
        every = finders.find(Rows(len(table), column_of(table)))
        number = numbers(table)
        named = [[number[key] for key in finding.configurations] for finding in every]
        found += [
            (name, finding, places(table[table["configuration"].isin(those)], finding))
            for finding, those in zip(every, named, strict=True)
        ]
    return sorted(found, key=lambda one: SEVERITIES.index(one[1].severity))


def numbers(table: pd.DataFrame) -> dict[ConfigurationKey, int]:
    """Key of a configuration of one run → its number on the page."""
    first = table.drop_duplicates("configuration")
    keys = zip(*(plain(first[name]) for name in KEY_COLUMNS), strict=True)
    return dict(zip((ConfigurationKey(*key) for key in keys), plain(first["configuration"]), strict=True))


def places(rows: pd.DataFrame, finding: Finding) -> list[Place]:
    """The finding's own among the `rows` of its configurations; all where it compares rows with one another."""
    if finding.kind in CONCERNED:
        column, wanted = CONCERNED[finding.kind]
        rows = rows[(rows[column] == wanted).fillna(False)]
    if finding.kind == "unsettled":
        rows = summary.compared(rows)
    if finding.kind in OF_ONE_METHOD:
        rows = rows[[finding.sentence.startswith(f"{method} ") for method in rows["method"]]]
    return list(dict.fromkeys(zip(*(plain(rows[name]) for name in PLACE), strict=True)))


def column_of(table: pd.DataFrame) -> Callable[[str], Any]:
    """What Rows asks for: a column as an Arrow array, None where all is unknown."""

    def load(name: str) -> Any:
        if name not in table or not table[name].notna().any():
            return None
        column = pa.array(table[name], from_pandas=True)
        # The texts of several tables put together stay in as many pieces.
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

    return load


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
        "rows": [(key, values, len(set(values)) > 1) for key, values in rows],
    }


def shown(value: Any) -> str:
    """A value of an environment: lists joined by commas, nothing for what is unknown."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else summary.text(value)
