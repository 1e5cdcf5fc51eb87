"""What a release needs: the repository's address, links at a package index that follow from it, a dated heading."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_install import script

ROOT = Path(__file__).parent.parent
ADDRESS = "https://example.org/someone/convbench"

pytestmark = pytest.mark.repo


def test_no_link_of_the_readme_is_relative_at_a_package_index() -> None:
    text = script("hatch_metadata").absolute((ROOT / "README.md").read_text(encoding="utf-8"), ADDRESS, "v1.2.3")
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]*)\)", text)
    assert [link for _, link in links if not link.startswith("https://")] == []
    assert {link for picture, link in links if picture} == {
        f"{ADDRESS}/raw/v1.2.3/docs/table.svg",
        f"{ADDRESS}/raw/v1.2.3/docs/network.png",
        f"{ADDRESS}/raw/v1.2.3/docs/report.png",
    }
    assert ("", f"{ADDRESS}/blob/v1.2.3/docs/ci.md") in links


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[a](docs/b.md#c)", "[a](A/blob/R/docs/b.md#c)"),
        ("![a](b.png)", "![a](A/raw/R/b.png)"),
        ("[a](#b) [c](https://d) [e](mailto:f)", "[a](#b) [c](https://d) [e](mailto:f)"),
    ],
)
def test_links_that_lead_into_the_repository(given: str, expected: str) -> None:
    assert script("hatch_metadata").absolute(given, "A", "R") == expected


@pytest.mark.parametrize(
    ("version", "ref"), [("0.1.0", "v0.1.0"), ("1.0.0rc1", "v1.0.0rc1"), ("0.1.1.dev5+g1a2b3c4", "1a2b3c4")]
)
def test_links_lead_to_the_tag_or_the_commit(version: str, ref: str) -> None:
    assert script("hatch_metadata").reference(version) == ref


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the check reads of a tree that is ready to be released as 0.2.0."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "check_release.py", tmp_path / ".ci")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    filled = re.sub(r'^repository = ".*"$', f'repository = "{ADDRESS}"', project, count=1, flags=re.MULTILINE)
    (tmp_path / "pyproject.toml").write_text(filled, encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n")
    return tmp_path


def check(tree: Path, tag: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tree / ".ci" / "check_release.py"), tag]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is there from Python 3.11 on")
@pytest.mark.parametrize(
    ("file", "old", "new", "tag", "said"),
    [
        ("pyproject.toml", ADDRESS, "", "v0.2.0", "repository='' under"),
        ("pyproject.toml", ADDRESS, "convbench", "v0.2.0", "repository='convbench' under"),
        ("CHANGELOG.md", " - 2026-12-01", "", "v0.2.0", "has no date"),
        ("CHANGELOG.md", "## [Unreleased]\n", "", "v0.2.0", "the first headings"),
        ("CHANGELOG.md", "", "", "v0.3.0", "must be [Unreleased] and [0.3.0]"),
        ("CHANGELOG.md", "", "", "main", "the tag 'main' is no version"),
    ],
)
def test_what_a_release_lacks_is_said(tree: Path, file: str, old: str, new: str, tag: str, said: str) -> None:
    text = (tree / file).read_text(encoding="utf-8")
    (tree / file).write_text(text.replace(old, new) if old else text, encoding="utf-8")
    done = check(tree, tag)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is there from Python 3.11 on")
@pytest.mark.parametrize("tag", ["v0.2.0", "v0.2.0rc1"])
def test_a_release_that_lacks_nothing_passes(tree: Path, tag: str) -> None:
    done = check(tree, tag)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_release_workflow_asks_before_it_builds() -> None:
    workflow = ROOT / ".github" / "workflows" / "release.yml"
    if not workflow.exists():
        pytest.skip("the workflows are not part of a source distribution")
    text = workflow.read_text(encoding="utf-8")
    assert 0 < text.index("run: .ci/check_release.py") < text.index("run: make wheel")
