"""`gate`: real repositories of git and real worktrees; the two sides are made up where only the judgement matters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import convbench
from convbench import cli
from convbench.duet.duel import Duel
from convbench.duet.passes import write
from convbench.execution.process import Place
from convbench.facts.values import InvalidValue
from convbench.gate import command, sides
from convbench.gate.repository import NoBase, Repository
from convbench.gate.sides import base_side, own_methods
from convbench.gate.worktree import checked_out
from convbench.results import run_file, store
from convbench.results.table import records
from convbench.timing.samples import Samples
from tests.repositories import RIGHT, SLOW, commit, git, repository

ROOT = Path(__file__).parent.parent
METHOD = "methods=[kernels:grad_input]"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with one commit, on the branch work; the working directory is in it."""
    folder = repository(tmp_path / "project")
    commit(folder, RIGHT)
    git(folder, "switch", "--quiet", "--create", "work")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    yield folder
    for name in [name for name in sys.modules if name.startswith(("kernels", "package"))]:
        del sys.modules[name]


class Fight:
    """Stands for the measurement: side b takes `slower` times as long; remembers where the sides would have run."""

    def __init__(self, slower: float = 1.0, **statuses: str) -> None:
        self.slower, self.statuses = slower, statuses
        self.places: Sequence[Place] = ()
        self.methods: list[str] = []
        self.base_code = ""

    def __call__(self, places: Sequence[Place], duels: Sequence[Duel], out: Path, processes: int) -> int | None:
        self.places, self.methods = places, [duel.method for duel in duels]
        assert places[0].folder is not None
        file = Path(places[0].folder) / "kernels.py"
        self.base_code = file.read_text() if file.exists() else ""
        store.prepare(out)
        for duel in duels:
            known = {k: v for k, v in duel.spec.columns().items() if v is not None}
            for side in "ab":
                verdict = self.statuses.get(side, "ok") if ":" in duel.method else "ok"
                said = {"accuracy": verdict} if verdict in ("ok", "fail") else {"status": verdict, "accuracy": None}
                duel.rows[side] = {**known, "method": duel.method, "status": "ok", **said}
            factor = self.slower if ":" in duel.method else 1.0
            for process in range(processes):
                times = [[1e-3, 1e-3 * factor * (1 + 0.001 * process)]] * 6
                arms = (duel.arm("a"), duel.arm("b"))
                duel.parts.append(Samples(arms, 0, 0.03, 0.01, times, [[1, 1]] * 6, [[0, 1]] * 6, process))
        write(out, duels)
        return None


@pytest.fixture
def fight(monkeypatch: pytest.MonkeyPatch) -> Fight:
    made = Fight()
    monkeypatch.setattr(command, "fight", made)
    monkeypatch.setattr(sides, "_probe", lambda place, methods, answer: ({}, []))
    return made


def gate(*words: str) -> int:
    return cli.main(["gate", *words])


def test_slower_code_is_red_and_its_revert_green(here: Path, fight: Fight, capsys: pytest.CaptureFixture[str]) -> None:
    base = git(here, "rev-parse", "HEAD")
    head = commit(here, SLOW)
    fight.slower = 2.0
    assert gate("--base", "main", METHOD, "out=red") == 1
    out, err = capsys.readouterr()
    assert out.startswith("REGRESSION: 1 cell on both sides")
    assert f"files: {here / 'red'}" in err
    assert fight.methods == ["autograd", "kernels:grad_input"]
    assert fight.base_code == RIGHT
    assert fight.places[1] == Place(sys.executable)
    (entry,) = run_file.runs(here / "red")
    assert entry["argv"] == ["gate", "--base", "main", METHOD, "out=red"]
    assert entry["git"] == {"base": base, "commit": head, "changed_files": 0}
    assert entry["sides"]["controls"] == ["autograd"]
    rows = {row["method"]: row for row in records(convbench.load(here / "red"))}
    assert [rows[f"kernels:grad_input@{side}"]["method_commit"] for side in "ab"] == [base, head]
    assert [rows[f"autograd@{side}"]["commit"] for side in "ab"] == [base, head]
    git(here, "revert", "--no-edit", "HEAD")
    fight.slower = 1.0
    assert gate("--base", "main", METHOD, "out=green") == 0
    assert capsys.readouterr().out.startswith("no regression")
    assert git(here, "worktree", "list").count("\n") == 0


def test_what_is_not_committed_is_measured_and_said(
    here: Path, fight: Fight, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "kernels.py").write_text(SLOW)
    (here / "new.py").write_text("")
    fight.slower = 2.0
    assert gate("--base", "main", METHOD, "--format", "json") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["new"].endswith("with 2 files changed since")
    assert said["base"].endswith("the merge base of HEAD and main")
    assert (fight.base_code, (here / "kernels.py").read_text()) == (RIGHT, SLOW)
    (here / "new.py").unlink()
    (here / "kernels.py").write_text(RIGHT)
    assert Repository.here().changed == 0, "convbench's own results/ counts as no change"


def test_base_is_where_the_branches_part(here: Path, fight: Fight) -> None:
    """What others merged meanwhile is not this branch's doing."""
    commit(here, SLOW)
    git(here, "switch", "--quiet", "main")
    commit(here, RIGHT + "\n# of somebody else\n")
    git(here, "switch", "--quiet", "work")
    gate("--base", "main", METHOD)
    assert fight.base_code == RIGHT


@pytest.mark.parametrize(
    ("a", "b", "code"),
    [("ok", "fail", 1), ("fail", "fail", 0), ("crash", "ok", 0), ("ok", "crash", 1), ("crash", "crash", 4)],
)
def test_wrong_where_the_base_is_right_is_red(here: Path, fight: Fight, a: str, b: str, code: int) -> None:
    commit(here, SLOW)
    fight.statuses = {"a": a, "b": b}
    assert gate("--base", "main", METHOD) == code


def test_no_base_is_not_red_and_says_why(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first run, a shallow clone, an unrelated history, nothing changed: one sentence each, and exit code 0."""
    origin = here

    def said(*words: str) -> str:
        assert gate(*words, METHOD) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert text.startswith("nothing to compare with yet: There is no")
        return text

    assert "this repository has no commit named origin/main" in said("--base", "origin/main")
    assert "--base is empty, as it is for the first push of a branch" in said("--base", "0" * 40)
    assert "main holds HEAD" in said("--base", "main")
    commit(origin, SLOW)
    git(origin, "switch", "--quiet", "--orphan", "other")
    commit(origin, "# Not main's first commit over again.\n" + RIGHT)
    assert "main and HEAD have no commit in common." in said("--base", "main")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=work", f"file://{origin}", str(shallow))
    monkeypatch.chdir(shallow)
    assert "origin/main is not in this shallow clone; fetch the history" in said("--base", "origin/main")
    git(shallow, "fetch", "--quiet", "--depth=1", "origin", "other:other")
    assert "have no commit in common in this shallow clone; fetch more" in said("--base", "other")
    empty = repository(tmp_path / "empty")
    (empty / "kernels.py").write_text(RIGHT)
    monkeypatch.chdir(empty)
    assert "this repository has no commit yet" in said("--base", "main")


def test_no_base_in_every_format(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("markdown", "json", "junit"):
        assert gate("--base", "main", METHOD, "--format", kind) == 0
        assert "There is nothing new: main holds HEAD" in " ".join(capsys.readouterr().out.split())
    assert gate("--base", "main", METHOD, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "first"


def test_method_that_the_base_does_not_have(
    here: Path, fight: Fight, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "later.py").write_text(RIGHT)
    fault = {"later:grad_input": "cannot import later: ModuleNotFoundError: No module named 'later'"}
    monkeypatch.setattr(sides, "_probe", lambda place, methods, answer: (fault, []))
    fight.statuses = {"a": "error"}
    assert gate("--base", "main", "methods=[later:grad_input]", "out=run") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "later:grad_input is not in the base, so there is nothing to compare it with: cannot import later" in text
    assert "new: " in text
    fight.statuses["b"] = "fail"
    assert gate("--base", "main", "methods=[later:grad_input]") == 1


def test_compare_judges_a_gate_s_folder_as_the_gate_did(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convbench.comparison.command import _sides

    entry = {"sides": {"names": ["x", "y"], "controls": ["autograd"], "absent": {"m:f": "why"}}}
    run_file.append(here, entry)
    names, known = _sides(here)
    assert (names, known.controls, known.absent) == (("x", "y"), frozenset(["autograd"]), {"m:f": "why"})
    assert _sides(here / "nowhere")[0] == ("side a", "side b")


def test_summary_of_a_job_gets_the_markdown(here: Path, fight: Fight, monkeypatch: pytest.MonkeyPatch) -> None:
    page = here / "summary.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    commit(here, SLOW)
    assert gate("--base", "main", METHOD) == 0
    assert page.read_text().startswith("before\n## convbench: no regression\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--base", "mian", METHOD], "--base mian names no commit of this repository; did you mean main?"),
        (["--base", "--all", METHOD], "gate has no option --all"),
        (["--base", "main", "methods=[autograd,explicit]"], "no code of autograd, explicit is in this repository"),
        (["--base", "main", "methods=[nowhere:f]"], "methods=nowhere:f: no module nowhere"),
        (["--base", "main", METHOD, "--processes", "2"], "--processes 2 gives no interval to judge by"),
        (["--base", "main", METHOD, "isolation=none"], "isolation=none means nothing to a gate"),
        (["--base", "main", METHOD, "--base-python", "/none"], "--base-python /none is not a Python interpreter"),
        ([METHOD], "gate needs --base REF"),
    ],
)
def test_mistakes_are_one_sentence(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    commit(here, SLOW)
    assert gate(*words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InvalidValue, match="is in no working tree of git; run it in a clone"):
        Repository.here()


def test_name_that_is_no_commit_of_a_clone(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(here, SLOW)
    git(tmp_path, "clone", "--quiet", "--branch=work", str(here), "clone")
    monkeypatch.chdir(tmp_path / "clone")
    assert Repository.here().merge_base("origin/main") == git(here, "rev-parse", "main")
    with pytest.raises(InvalidValue, match="did you mean origin/main"):
        Repository.here().merge_base("orgin/main")
    with pytest.raises(InvalidValue, match="there are work, origin"):
        Repository.here().merge_base("v17.3")
    with pytest.raises(NoBase):
        Repository.here().merge_base("000000")


@pytest.mark.slow
def test_code_in_a_src_folder_comes_from_each_side_s_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an editable installation, whose finder knows the working directory alone; a real process loads it."""
    commit(here, "", "src/package/__init__.py")
    base = commit(here, RIGHT, "src/package/kernels.py")
    commit(here, SLOW, "src/package/kernels.py")
    monkeypatch.syspath_prepend(str(here / "src"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(here / "src")]))
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    arms = ["autograd", "package.kernels:grad_input", "json:dumps"]
    own = own_methods(arms, Repository.here())
    assert own == {"package.kernels:grad_input": here / "src" / "package" / "kernels.py"}
    with checked_out(here, base) as tree:
        side = base_side(
            Repository.here(), tree, {**own, "package.kernels:later": next(iter(own.values()))}, sys.executable
        )
        assert side.place.folder == str(tree / "sub")
        assert side.place.env is not None
        assert side.place.env["PYTHONPATH"].split(os.pathsep) == [str(tree / "src"), str(ROOT)]
        code = "import package.kernels as k; print(k.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=side.place.folder, env=side.place.env, capture_output=True, text=True
        )
        assert found.stdout.strip() == str(tree / "src" / "package" / "kernels.py")
    sentence = side.absent["package.kernels:later"]
    assert sentence.startswith("package.kernels:later is not in the base")
    assert "has no function named later" in sentence


@pytest.mark.slow
def test_base_that_would_run_the_working_directory_s_code_is_refused(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finder as an editable installation has it leads both sides to the same file."""
    commit(here, "", "src/package/__init__.py")
    base = commit(here, RIGHT.replace("import convbench", "import convbench, package"))
    hook = f"import sys; sys.path.append({str(here / 'src')!r})"
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(hook)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))
    methods = {"kernels:grad_input": here / "kernels.py"}
    with checked_out(here, base) as tree, pytest.raises(InvalidValue, match=r"package/__init__\.py of the working"):
        base_side(Repository.here(), tree, methods, sys.executable)


def test_what_git_ignores_is_no_code_to_compare(here: Path) -> None:
    commit(here, "built/\n", ".gitignore")
    (here / "built").mkdir()
    (here / "built" / "made.py").write_text(RIGHT)
    with pytest.raises(InvalidValue, match="which git ignores, so that the base has no such file"):
        own_methods(["built.made:grad_input"], Repository.here())


@pytest.mark.slow
def test_base_whose_import_ends_the_process(here: Path) -> None:
    base = commit(here, "import os\nos._exit(3)\n", "deadly.py")
    with checked_out(here, base) as tree:
        side = base_side(Repository.here(), tree, {"deadly:f": here / "deadly.py"}, sys.executable)
    assert "importing it there ends the process (exit status 3)" in side.absent["deadly:f"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_worktree_is_gone_however_the_program_ends(here: Path, number: int) -> None:
    (here / ".git" / "hooks" / "post-checkout").write_text("#!/bin/sh\ntouch ../hook-ran\n")
    (here / ".git" / "hooks" / "post-checkout").chmod(0o755)
    code = "import sys, time; from pathlib import Path; from convbench.gate.worktree import checked_out\n"
    code += "with checked_out(Path.cwd(), 'HEAD') as tree: print(tree, flush=True); time.sleep(60)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as process:
        assert process.stdout is not None
        tree = Path(process.stdout.readline().strip())
        assert (tree / "kernels.py").read_text() == RIGHT
        process.send_signal(number)
        process.wait()
    until = time.monotonic() + 30
    while (tree.parent.exists() or git(here, "worktree", "list").count("\n")) and time.monotonic() < until:
        time.sleep(0.05)
    assert not tree.parent.exists()
    assert git(here, "worktree", "list").count("\n") == 0
    assert not (here / "hook-ran").exists()


def test_commit_that_cannot_be_checked_out_is_one_sentence(here: Path) -> None:
    said = "the base ffffffffff cannot be checked out: fatal: invalid reference"
    with pytest.raises(InvalidValue, match=said), checked_out(here, "f" * 40):
        raise AssertionError


def test_signal_while_measuring_ends_with_its_code(here: Path, fight: Fight, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*words: Any) -> int:
        fight(*words)
        return int(signal.SIGTERM)

    monkeypatch.setattr(command, "fight", interrupted)
    commit(here, SLOW)
    assert gate("--base", "main", METHOD) == 143
    assert git(here, "worktree", "list").count("\n") == 0
