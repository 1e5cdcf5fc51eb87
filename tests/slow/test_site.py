"""The documentation as a site: built with every warning an error, complete, and searchable; a broken link stops it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

import convbench
from tests.commands import DOCS

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow
# Not importorskip: another package may leave an empty folder of that name, and scipy trips over its import.
if not list(distributions(name="sphinx")):
    pytest.skip("the extra docs is not installed", allow_module_level=True)


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """What `make site` runs."""
    (words,) = re.findall(
        r"^\t\$\(BIN\)/python (-m sphinx .*) build/site$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    command = [sys.executable, *words.split(), str(out)]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_there(site: Path) -> None:
    assert [page.name for page in DOCS if not (site / "docs" / f"{page.stem}.html").is_file()] == []
    assert "README.html" in (site / "index.html").read_text(encoding="utf-8")


def test_the_python_interface_has_every_public_name(site: Path) -> None:
    page = (site / "docs" / "site" / "api.html").read_text(encoding="utf-8")
    assert [name for name in convbench.__all__ if f'id="convbench.{name}"' not in page] == []
    assert "The table of a run: one row per configuration × method" in page  # the docstring of `load`


def test_what_is_searched_for_is_found(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    found = json.loads(index[index.index("{") : index.rindex("}") + 1])
    numbers = found["terms"]["bencher"]
    pages = {found["docnames"][n] for n in ([numbers] if isinstance(numbers, int) else numbers)}
    assert "docs/exports" in pages


def test_a_broken_link_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("docs", "examples", "sweeps", "results"):
        shutil.copytree(ROOT / name, source / name, ignore=lambda f, names: [n for n in names if n[:2] == "20"])
    for page in ROOT.glob("*.md"):
        shutil.copy(page, source)
    with (source / "docs" / "duet.md").open("a", encoding="utf-8") as file:
        file.write("\nSee [nothing](nowhere.md).\n")
    done = build(source, tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
