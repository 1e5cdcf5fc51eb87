"""Rows name the commits of the code that they were measured with: real repositories of git."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import convbench
from convbench import cli
from convbench.execution import git
from convbench.execution.commits import Commits
from convbench.facts.record import COLUMNS
from convbench.measurement.environment import FINGERPRINT
from convbench.results.table import records
from tests import repositories
from tests.processes import use_stub
from tests.repositories import RIGHT, commit, repository


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = repository(tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def test_folder_and_file_of_a_commit(here: Path) -> None:
    assert git.of_folder(here) is None, "no commit yet"
    commit(here, "*.log\n", ".gitignore")
    name = commit(here, RIGHT)
    file, new, ignored = here / "kernels.py", here / "new.py", here / "x.log"
    assert git.of_folder(here) == git.of_file(file) == git.State(name, dirty=False)
    for path in (new, ignored):
        path.write_text("")
    assert git.of_folder(here) == git.State(name, dirty=False), "files that git does not know change no code"
    assert git.of_file(new) == git.State(name, dirty=True)
    assert git.of_file(ignored) is None
    file.write_text("")
    assert git.of_folder(here) == git.of_file(file) == git.State(name, dirty=True)
    other = repository(here.parent / "other")
    (here / "link.py").symlink_to(other / "kernels.py")
    assert git.of_file(here / "link.py") is None
    assert git.of_file(here / "link.py") != git.State(commit(other, RIGHT), dirty=True)
    linked = git.of_file(here / "link.py")
    assert linked == git.State(repositories.git(other, "rev-parse", "HEAD"), dirty=False)


def test_a_hook_s_variables_do_not_mislead(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = commit(here, RIGHT)
    other = repository(tmp_path / "other")
    commit(other, RIGHT + "# other\n")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert git.of_folder(here) == git.State(name, dirty=False)


def test_without_git_nothing_is_known(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(here, RIGHT)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Commits().columns("kernels:grad_input") == {}
    assert git.of_file(here / "kernels.py") is None


def test_a_sweep_s_rows_name_their_commits(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_stub(monkeypatch)
    name = commit(here, RIGHT)
    (here / "fresh.py").write_text(RIGHT)
    words = ["methods=[autograd,kernels:grad_input,fresh:grad_input]", "measure=none", "out=run"]
    cli.main(words)
    rows = {row["method"]: row for row in records(convbench.load(here / "run"))}
    found = {m: [row.get(c) for c in ("commit", "dirty", "method_commit", "method_dirty")] for m, row in rows.items()}
    assert found == {
        "autograd": [name, False, None, None],
        "kernels:grad_input": [name, False, name, False],
        "fresh:grad_input": [name, False, name, True],
    }


def test_outside_of_a_repository_the_columns_are_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", os.fspath(tmp_path.parent))
    assert Commits().columns("autograd") == {}


def test_commit_is_no_part_of_what_makes_runs_comparable() -> None:
    columns = {"commit", "dirty", "method_commit", "method_dirty"}
    assert columns <= COLUMNS.keys()
    assert not columns & set(FINGERPRINT)
