"""A comparison as a terminal table, as Markdown for a job summary, as JSON and as JUnit XML."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from typing import Any
from xml.etree import ElementTree as Xml

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..facts.exits import Exit
from ..facts.markdown import code, escape
from ..facts.record import Record
from ..facts.units import count, interval, share
from .result import Finding, GateResult, Key, Policy
from .speed import ENOUGH_TIMES

SHOWN = 50
"""Lines of one kind in the terminal and in Markdown; JSON and JUnit hold all."""

WORDS = {
    "regression": "REGRESSION",
    "nothing": "NOTHING TO COMPARE",
    "untrusted": "NOT TO BE TRUSTED",
    "good": "no regression",
}

TITLES = {
    "vanished": "vanished",
    "unmeasured": "no longer measured",
    "accuracy": "less accurate",
    "untimed": "no longer timed",
    "slower": "slower",
    "doubtful": "in doubt",
    "advisory": "advisory",
    "cleared": "cleared by a second measurement",
    "faster": "faster",
    "better": "better",
}
STYLES = {"advisory": "severity.note", "cleared": "severity.note", "faster": "speed.faster", "better": "speed.faster"}


@dataclass(frozen=True)
class Comparison:
    """A judgement with what it takes to show it. `names`: config_id → the configuration's name for people."""

    base: str
    new: str
    judgement: GateResult
    policy: Policy
    names: Mapping[str, str]

    def name(self, row: Record) -> str:
        return self.names.get(row["config_id"], row["config_id"])

    def method(self, key: Key) -> str:
        """The method's name, with its baseline where it has a cell for more than one."""
        several = self._cells[key.config_id, key.method] > 1
        return f"{key.method} against {key.baseline}" if several else key.method

    @cached_property
    def _cells(self) -> Counter[tuple[str, str]]:
        return Counter((key.config_id, key.method) for key in self.judgement.rows)

    @property
    def summary(self) -> str:
        """What was compared and what came of it, in one or two sentences."""
        j = self.judgement
        if j.verdict == "nothing":
            return self._nothing
        parts = [f"{count(j.cells, 'cell')} in both runs, {j.timed} of them compared by speed"]
        worse = [*j.failures, *j.doubtful]
        failed = [f"{sum(f.kind == kind for f in worse)} {TITLES[kind]}" for kind in _kinds(worse)]
        parts.append(", ".join(failed) or "nothing worse")
        parts.append(f"{len(j.improvements)} better or faster, {len(j.fresh)} new")
        text = "; ".join(parts) + "."
        if j.resolution is not None and math.isfinite(j.resolution):
            text += f" A slowdown of {share(j.resolution - 1)} in one cell would have been seen in half of them."
        elif j.resolution is not None:
            text += " Half of the speedups have no interval to compare."
        if j.coarse:
            worst = max(j.resolutions[method] for method in j.coarse)
            seen = "none" if math.isinf(worst) else f"none below {share(worst - 1)}"
            text += (
                f" Of {' and '.join(j.coarse)}, {seen} would have been seen in half of the cells, which is too coarse "
                "to judge by: measure longer (measure=rigorous) or on a quieter machine."
            )
        return text

    @property
    def _nothing(self) -> str:
        j = self.judgement
        if not j.cells:
            return f"{self.base} and {self.new} have no cell (configuration and method) in common."
        if not j.measured:
            return f"No cell is ok in both {self.base} and {self.new}, so that nothing was compared."
        return (
            f"{self.base} has times of {count(j.asked, 'cell')}, and none could be compared: a ratio needs a method "
            f"beside the baseline, and absolute times need {ENOUGH_TIMES} cells of one environment; --accuracy-only "
            "compares without times."
        )


def _kinds(findings: Sequence[Finding]) -> list[str]:
    return [kind for kind in TITLES if any(f.kind == kind for f in findings)]


def _sorted(findings: Sequence[Finding]) -> list[Finding]:
    """By kind as in TITLES, the largest changes first."""
    order = list(TITLES)
    return sorted(findings, key=lambda f: (order.index(f.kind), -abs(f.change.log) if f.change else 0.0))


def _listed(judgement: GateResult) -> list[Finding]:
    groups = (judgement.failures, judgement.doubtful, judgement.advice, judgement.improvements)
    return [finding for group in groups for finding in _sorted(group)]


def _speedup(row: Record) -> str:
    return interval(row.get("speedup"), row.get("speedup_low"), row.get("speedup_high"))


def _shortened(findings: Sequence[Finding]) -> tuple[list[Finding], list[str]]:
    """At most SHOWN findings of every kind, and a sentence for each kind of which some were left out."""
    shown: list[Finding] = []
    more = []
    for kind in dict.fromkeys(f.kind for f in findings):
        of_kind = [f for f in findings if f.kind == kind]
        shown += of_kind[:SHOWN]
        if len(of_kind) > SHOWN:
            more.append(f"{count(len(of_kind) - SHOWN, 'more cell')}: {TITLES[kind]} (--format json lists all)")
    return shown, more


def _new_cells(comparison: Comparison) -> list[str]:
    fresh = comparison.judgement.fresh
    lines = [
        f"new: {comparison.name(row)} · {row['method']} ({row.get('accuracy', row['status'])})" for row in fresh[:SHOWN]
    ]
    return lines + ([f"{count(len(fresh) - SHOWN, 'more new cell')}"] if len(fresh) > SHOWN else [])


def show(comparison: Comparison, console: Console) -> None:
    """The comparison on a terminal or in a log."""
    judgement = comparison.judgement
    style = "speed.faster" if judgement.exit_code == Exit.GOOD else "severity.bad"
    console.print(Text.assemble((WORDS[judgement.verdict], style), f": {comparison.summary}"))
    findings, more = _shortened(_listed(judgement))
    if findings:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for head in ("", "configuration", "method", "speedup in NEW", "what"):
            table.add_column(head, overflow="fold")
        for f in findings:
            kind = Text(TITLES[f.kind], style=STYLES.get(f.kind, "severity.bad"))
            table.add_row(kind, comparison.name(f.row), comparison.method(f.key), _speedup(f.row), f.text)
        console.print(table)
    for line in (*more, *_new_cells(comparison), *judgement.notes):
        console.print(Text(line, style="quiet"))


def terminal(comparison: Comparison) -> str:
    """What `show` prints, without colours and as wide as a wide log."""
    stream = StringIO()
    from ..terminal.screen import THEME

    show(comparison, Console(file=stream, width=160, theme=THEME, highlight=False, emoji=False, markup=False))
    return stream.getvalue()


def markdown(comparison: Comparison) -> str:
    """A section for a job summary; whatever came from a file is escaped."""
    judgement = comparison.judgement
    lines = [f"## convbench: {WORDS[judgement.verdict]}", "", escape(comparison.summary), ""]
    lines += [f"BASE {code(comparison.base)} · NEW {code(comparison.new)}", ""]
    findings, more = _shortened(_listed(judgement))
    if findings:
        lines += ["| | configuration | method | speedup in NEW | what |", "|---|---|---|---|---|"]
        for f in findings:
            cells = (TITLES[f.kind], comparison.name(f.row), comparison.method(f.key), _speedup(f.row), f.text)
            lines.append(f"| {' | '.join(escape(cell) for cell in cells)} |")
        lines.append("")
    lines += [f"- {escape(line)}" for line in (*more, *_new_cells(comparison), *judgement.notes)]
    return "\n".join(lines).rstrip() + "\n"


def as_json(comparison: Comparison) -> str:
    """Every finding as JSON. Log ratios are given as factors: `slowdown` 1.10 is 10% slower than in BASE."""
    j = comparison.judgement
    content = {
        "verdict": j.verdict,
        "exit_code": j.exit_code,
        "summary": comparison.summary,
        "base": comparison.base,
        "new": comparison.new,
        "margin": comparison.policy.margin,
        "cells": j.cells,
        "timed": j.timed,
        "resolution": j.resolution if j.resolution is None or math.isfinite(j.resolution) else None,
        **{
            group: [_finding(comparison, f) for f in _sorted(getattr(j, group))]
            for group in ("failures", "doubtful", "advice", "improvements")
        },
        "new_cells": [
            {"config_id": row["config_id"], "method": row["method"], "name": comparison.name(row)} for row in j.fresh
        ],
        "notes": j.notes,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _finding(comparison: Comparison, finding: Finding) -> dict[str, Any]:
    out: dict[str, Any] = {
        "kind": finding.kind,
        **finding.key._asdict(),
        "name": comparison.name(finding.row),
        "text": finding.text,
    }
    if finding.change is not None:
        c = finding.change
        ends = {"slowdown": c.log, "slowdown_low": c.low, "slowdown_high": c.high}
        out |= {"what": c.what, **{key: math.exp(value) for key, value in ends.items()}, "q": finding.q}
    return out


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(comparison: Comparison) -> str:
    """One test case per cell for CI viewers: failed where it regressed, skipped where NEW could not measure it."""
    j = comparison.judgement
    failures = {f.key: f for f in j.failures}
    rows = {**j.rows, **{f.key: f.row for f in j.failures if f.kind == "vanished"}}
    suite = Xml.Element("testsuite", name="convbench compare", tests=str(len(rows) + 1))
    skipped = 0
    for key, row in rows.items():
        case = Xml.SubElement(
            suite, "testcase", classname=_clean(comparison.name(row)), name=_clean(comparison.method(key))
        )
        case.set("time", f"{row.get('measured_s', 0.0):.6f}")
        if key in failures:
            text = _clean(failures[key].text)
            Xml.SubElement(case, "failure", type=failures[key].kind, message=text).text = text
        elif row["status"] != "ok" or row.get("accuracy") == "fail":
            skipped += 1
            word = row["status"] if row["status"] != "ok" else "accuracy is fail, as it was"
            Xml.SubElement(case, "skipped", message=_clean(f"{word}: {row.get('reason', '')}".removesuffix(": ")))
    whole = Xml.SubElement(suite, "testcase", classname="convbench", name="the comparison as a whole", time="0")
    if j.exit_code == Exit.UNTRUSTED:
        Xml.SubElement(whole, "error", type=j.verdict, message=_clean(comparison.summary))
    counts = {"failures": len(failures), "errors": int(j.exit_code == Exit.UNTRUSTED), "skipped": skipped}
    for name, number in counts.items():
        suite.set(name, str(number))
    Xml.SubElement(suite, "system-out").text = _clean("\n".join([comparison.summary, *j.notes]))
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    """`text` without the control characters that XML cannot hold."""
    return _NOT_XML.sub("�", text)


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "json": as_json,
    "junit": junit,
}
