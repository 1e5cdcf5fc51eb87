"""What the documents say of the code is true: the columns, the links, the commands that exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import convbench
from convbench.facts import record
from tests import commands

ROOT = Path(__file__).parent.parent
COLUMNS_PAGE = ROOT / "docs" / "columns.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("sweeps/*.md"), *ROOT.glob("results/*.md")])

GROUPS = {
    "case": (
        record.CASE,
        "The convolution. Axes that an operation does not have are empty: 1-D uses `_w`, 2-D `_h` and `_w`.",
    ),
    "setting": (record.SETTING, "Everything else that decides what is computed and where."),
    "outcome": (record.OUTCOME, "What became of the row."),
    "accuracy": (record.ACCURACY, "Against the independent float64 reference."),
    "speed": (record.SPEED, "Against the baseline, from pairs measured in the same round."),
    "underneath": (record.UNDERNEATH, "Named, where a speed changed, by `compare`, `gate`, `duet` and `history`."),
    "memory": (record.MEMORY, ""),
    "provenance": (record.PROVENANCE, "Where the row comes from."),
}


INTRODUCTION = """# The table

`results.parquet` and `results.csv` hold the same: one row per configuration and method, these columns in this order.
Unknown is empty, never 0. Times are seconds, sizes bytes, rates per second; they are scaled for display only. This page
is written from `convbench/facts/record.py` by `make docs`; a test compares the two.

`convbench.load(DIR)` reads the table with these types: `int` as `Int64`, `float` as `Float64`, `bool` as `boolean`,
`str` as `string`, each with room for unknown."""


SAMPLES = """# The raw samples

`samples.parquet` lies beside the table unless `measure.samples=false` left it out: one row per sample, those of a
configuration in the order they were taken. `python -m convbench recompute DIR` makes the table's times, ratios and
verdicts again from nothing else."""


def columns_page() -> str:
    """docs/columns.md, written from convbench/facts/record.py."""
    lines = [INTRODUCTION]
    for name, (columns, about) in GROUPS.items():
        lines += [
            "",
            f"## {name.capitalize()}",
            *([about] if about else []),
            "",
            *described(columns),
        ]
    return "\n".join([*lines, "", SAMPLES, "", *described(record.SAMPLE_COLUMNS)]) + "\n"


def described(columns: Iterable[record.Column]) -> list[str]:
    """The lines of a table of columns."""
    rows = [(f"`{c.name}`", c.type.__name__, c.unit, c.meaning.replace("|", "\\|")) for c in columns]
    return ["| column | type | unit | meaning |", "|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]


def test_page_of_columns_is_current() -> None:
    assert [c.name for columns, _ in GROUPS.values() for c in columns] == list(record.COLUMNS)
    assert COLUMNS_PAGE.read_text(encoding="utf-8") == columns_page(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    """Relative links and the repository's paths in code marks exist."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = re.findall(r"`((?:convbench|conf|docs|tests|\.ci|\.github)/[\w./-]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", commands.DOCS, ids=lambda p: p.name)
def test_every_command_is_known_to_the_test_that_runs_it(page: Path) -> None:
    """tests/slow/test_readme.py runs the console blocks; one that it leaves out has a reason there."""
    text = page.read_text(encoding="utf-8")
    found = commands.blocks(page)
    assert sum(len(block.commands) for block in found) == len(re.findall(r"^\s*\$ ", text, re.MULTILINE))
    assert re.findall(r"^```(?:bash|sh|shell)", text, re.MULTILINE) == []
    assert text.count("<!-- test:") == sum(bool(b.skip) + bool(b.needs) + bool(b.add) for b in found)
    assert [block for block in found if block.skip and len(block.skip.split()) < 3] == []


def test_few_commands_are_left_out() -> None:
    """Those that need what a test cannot bring, and one that another stands for."""
    assert {(b.page.name, b.skip) for page in commands.DOCS for b in commands.blocks(page) if b.skip} == {
        ("clusters.md", "it needs Slurm and a folder that all its machines see"),
        ("clusters.md", "it needs Slurm; tests/slow/test_slurm.py runs the like of it where Slurm is installed"),
        ("clusters.md", "it needs Ray; tests/slow/test_ray.py runs the like of it where Ray is installed"),
        ("duet.md", "the command below is this one with --fail-if-slower, and a duet takes a minute"),
        ("ci.md", "tests/slow/test_nightly_of_a_stranger.py walks this way, and a night takes minutes"),
        ("timing.md", "they need an NVIDIA GPU and its profilers"),
        ("timing.md", "it needs perf and the right to record"),
    }


@pytest.mark.parametrize(
    "mark",
    [
        "<!-- test: skip -->",
        "<!-- test: skip because -->",
        "<!-- test: ad x -->",
        "<!-- test: add x -->\n<!-- test: add y -->",
    ],
)
def test_a_mark_that_says_nothing_known_is_refused(tmp_path: Path, mark: str) -> None:
    (tmp_path / "page.md").write_text(f"{mark}\n```console\n$ true\n```\n")
    with pytest.raises(ValueError, match="is no mark of a block, or one says the same twice"):
        commands.blocks(tmp_path / "page.md")


def test_words_are_added_to_what_measures_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    body = (
        "$ time python -m convbench -m \\\n    kernel=3    # three\n$ convbench report x\n$ ls # all\n"
        "$ convbench validate > f\n$ pytest -q\noutput"
    )
    page.write_text(f"```console\n{body}\n```\n<!-- test: add limit=1 -->\n```console\n{body}\n```\n")
    short, marked = (block.as_run() for block in commands.blocks(page))
    run = "time python -m convbench -m      kernel=3"
    few = f"convbench validate > f {commands.FEW['validate']}"
    assert short == [f"{run} {commands.SHORT}", "convbench report x", "ls", few, "pytest -q"]
    assert marked == [
        f"{run} limit=1",
        "convbench report x",
        "ls",
        "convbench validate > f limit=1",
        "pytest -q limit=1",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    # In code only: "make sure" is no target.
    code = re.findall(r"`([^`\n]+)`|^\$ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    named = {target for pair in code for target in re.findall(r"^make ([a-z][a-z-]*)", "".join(pair))}
    assert named <= targets


def test_readme_has_two_commands_to_start_with() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    start = text[text.index("## Quick start") :].split("\n## ")[0]
    assert re.findall(r"^\$ (.*)$", start, re.MULTILINE) == ["make bench", "make test"]
    assert "python -m convbench -m kernel=3,5,9 device=cpu,cuda" in start


@pytest.mark.slow
def test_readme_s_own_method_works(tmp_path: Path) -> None:
    """As it stands there, with the command below it; judged, not timed."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    own = text[text.index("## Your own method") :].split("\n## ")[0]
    ((code, command),) = re.findall(r"```python\n(.*?)```\n+```console\n\$ python (.*?)\n", own, re.DOTALL)
    (tmp_path / "my_kernels.py").write_text(code, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    words = [sys.executable, *shlex.split(command), "measure=none", "out=run"]
    done = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = convbench.load(tmp_path / "run")
    assert dict(zip(table["method"], table["accuracy"], strict=True))["my_kernels:grad_input"] == "ok"


if __name__ == "__main__":
    COLUMNS_PAGE.write_text(columns_page(), encoding="utf-8")
    sys.exit(0)
