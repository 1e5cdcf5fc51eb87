"""A comparison for programs: as JSON, and as JUnit XML for CI viewers."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from xml.etree import ElementTree as Xml

from ..facts.exits import Exit
from .comparison import Comparison, in_order
from .result import Finding


def as_json(comparison: Comparison) -> str:
    """Every finding as JSON. Log ratios are given as factors: `slowdown` 1.10 is 10% slower than in BASE."""
    j, e = comparison.judgement, comparison.environments
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
            group: [_finding(comparison, f) for f in in_order(getattr(j, group))]
            for group in ("failures", "doubtful", "advice", "improvements")
        },
        "new_cells": [
            {"config_id": row["config_id"], "method": row["method"], "name": comparison.name(row)} for row in j.fresh
        ],
        "environments": {"differ": e.differ, "base": list(e.base.values()), "new": list(e.new.values())},
        "notes": comparison.notes,
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
    for finding in j.failures:
        if finding.key not in rows:
            text = _clean(f"{finding.key.method}: {finding.text}")
            Xml.SubElement(whole, "failure", type=finding.kind, message=text).text = text
    if j.exit_code == Exit.UNTRUSTED:
        Xml.SubElement(whole, "error", type=j.verdict, message=_clean(comparison.summary))
    counts = {"failures": len(failures), "errors": int(j.exit_code == Exit.UNTRUSTED), "skipped": skipped}
    for name, number in counts.items():
        suite.set(name, str(number))
    Xml.SubElement(suite, "system-out").text = _clean("\n".join([comparison.summary, *comparison.notes]))
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    """`text` without the control characters that XML cannot hold."""
    return _NOT_XML.sub("�", text)
