"""The workflow files: what they call exists and runs here too, actions are pinned, permissions are the least."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

pytestmark = [
    pytest.mark.repo,
    pytest.mark.skipif(not WORKFLOWS, reason="the workflows are not part of a source distribution"),
]


def read(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read(path)["jobs"].values():
        yield from job["steps"]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_workflows_are_there() -> None:
    assert {path.name for path in WORKFLOWS} >= {"ci.yml", "gpu-nightly.yml", "release.yml"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """Every action is named by its 40-digit commit, with the version that a person reads behind it."""
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_permissions_are_the_least(path: Path) -> None:
    content = read(path)
    assert content["permissions"] == {"contents": "read"}
    more = {(path.name, name): job["permissions"] for name, job in content["jobs"].items() if "permissions" in job}
    # To prove who it is to the package index, and to sign where the files come from.
    proof = {"contents": "read", "id-token": "write", "attestations": "write"}
    assert more == ({("release.yml", "publish"): proof} if path.name == "release.yml" else {})
    checkouts = [step for step in steps(path) if "actions/checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert "secrets." not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_steps_call_what_runs_here_too(path: Path) -> None:
    """Commands are make targets or scripts of this repository; a container is furnished with apt-get first."""
    for step in steps(path):
        if "run" not in step:
            continue
        word, *rest = step["run"].split()
        if word == "make":
            assert rest[0] in make_targets(), step
        elif word == "apt-get":
            assert "git make python3 python3-venv" in step["run"]
        else:
            script = ROOT / (rest[0] if word == "bash" else word)
            assert script.is_file(), step
            assert os.access(script, os.X_OK), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_nothing_from_outside_is_pasted_into_a_command(path: Path) -> None:
    """A value such as an input or a branch name reaches a command as an environment variable, never as text."""
    pasted = [e for step in steps(path) for e in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", ""))]
    assert [e for e in pasted if not e.strip().startswith("matrix.")] == []


def test_versions_of_all_kinds_are_tried() -> None:
    """The pinned ones on every Python, the oldest, the newest, what is to come; and once a week without a change."""
    ci = read(ROOT / ".github" / "workflows" / "ci.yml")
    assert "schedule" in ci[True]
    assert {"3.10", "3.12", "3.13", "3.14"} <= set(ci["jobs"]["pinned"]["strategy"]["matrix"]["python"])
    tried = ci["jobs"]["versions"]["strategy"]["matrix"]["include"]
    assert {one["install"] for one in tried} == {"", "--pre", "--resolution lowest-direct"}
    assert {one["torch"] for one in tried} >= {"2.9.0", "2.14", "auto"}
    assert any(one["python"] == "3.14" for one in tried)


def test_nothing_is_built_where_the_right_to_publish_is() -> None:
    """Files of another job, signed and uploaded; and only a tag starts it."""
    release = read(ROOT / ".github" / "workflows" / "release.yml")
    assert release[True] == {"push": {"tags": ["v*"]}}
    publish = release["jobs"]["publish"]
    assert publish["environment"] == "release"
    assert [step["run"] for step in publish["steps"] if "run" in step] == [".ci/publish dist/*"]


def test_only_the_pinned_uv_publishes(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    # A Python whose virtual environments hold tools that write down what they are asked for.
    said = tmp_path / "said"
    tool = f'#!/bin/sh\necho "$(basename "$0") $@" >>{said}\ncase "$*" in *-r*) cat "${{@: -1}}" >>{said};; esac\n'
    tool = tool.replace("#!/bin/sh", "#!/bin/bash")
    (tools / "tool").write_text(tool, encoding="utf-8")
    made = f'mkdir -p "$3/bin"; cp {tools}/tool "$3/bin/python"; cp {tools}/tool "$3/bin/uv"; chmod +x "$3"/bin/*'
    (tools / "python3").write_text(f"#!/bin/sh\n{made}\n", encoding="utf-8")
    (tools / "python3").chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}"}
    script = ROOT / ".ci" / "publish"
    assert subprocess.run([script], env=env, capture_output=True, timeout=60, check=False).returncode == 2
    subprocess.run([script, "a.whl", "b.tar.gz"], env=env, timeout=60, check=True)
    lines = said.read_text(encoding="utf-8").splitlines()
    assert "--require-hashes" in lines[0]
    assert re.fullmatch(r"uv==[\d.]+ \\", lines[1])
    assert len(lines) > 5
    assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines[2:-1])
    assert lines[-1] == "uv publish --trusted-publishing always a.whl b.tar.gz"


def test_strangers_code_never_runs_on_the_gpu_runner() -> None:
    triggers = read(ROOT / ".github" / "workflows" / "gpu-nightly.yml")[True]  # YAML 1.1 reads `on` as true
    assert set(triggers) == {"schedule", "workflow_dispatch"}


def test_only_the_default_branch_makes_baselines() -> None:
    """A night by schedule runs on the default branch, and its event may lack the repository."""
    env = read(ROOT / ".github" / "workflows" / "gpu-nightly.yml")["env"]
    scheduled, by_hand = env["KEEP_BASELINE"].strip("${} ").split(" || ")
    assert scheduled == "github.event_name == 'schedule'"
    assert by_hand == "github.ref_name == github.event.repository.default_branch"


def test_nights_install_torch_where_no_checkout_removes_it() -> None:
    path = ROOT / ".github" / "workflows" / "gpu-nightly.yml"
    workspace = ROOT / "somewhere"
    venv = Path(os.path.normpath(read(path)["env"]["VENV"].replace("${{ github.workspace }}", str(workspace))))
    assert venv.is_absolute()
    assert not venv.is_relative_to(workspace)


def test_containers_have_shared_memory_for_a_browser() -> None:
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            if "container" in job:
                assert "--shm-size=" in job["container"]["options"], name


def test_shares_of_the_night_are_all_there() -> None:
    path = ROOT / ".github" / "workflows" / "gpu-nightly.yml"
    job = read(path)["jobs"]["sweep"]
    shares = job["strategy"]["matrix"]["shard"]
    of = {int(n) for n in re.findall(r"matrix\.shard \}\}/(\d+)", path.read_text(encoding="utf-8"))}
    assert of == {len(shares)}
    assert shares == list(range(1, len(shares) + 1))


@pytest.mark.parametrize("target", sorted(make_targets() - {"clean"}))
def test_make_targets_expand(target: str) -> None:
    """`make -n` reads every recipe; and `make help` names every target."""
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    help_text = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert re.search(rf"^{target} +\S", help_text, re.MULTILINE)


def test_values_reach_make_as_text_not_as_commands(tmp_path: Path) -> None:
    """A sweep's name from a workflow's form cannot run a command, neither in make nor in the shell behind it."""
    planted = tmp_path / "planted"
    name = f"$(shell touch {planted})$(touch {planted});touch {planted}"
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.write_text('#!/bin/sh\nprintf "%s|" "$@" "$SWEEP"\n')
    python.chmod(0o755)
    (venv / "run.stamp").touch()
    done = subprocess.run(
        ["make", "sweep", f"VENV={venv}"], cwd=ROOT, env={"PATH": os.environ["PATH"], "SWEEP": name},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == f"-m|convbench|nightly|sweep|{name}|"
    assert not planted.exists()


def test_ci_sets_up_in_a_home_of_its_own(tmp_path: Path) -> None:
    """With empty caches and no environment that is there already; where pip looks stays."""
    tools = tmp_path / "bin"
    tools.mkdir()
    said = 'echo "$@|$HOME|$VENV|${PIP_CONFIG_FILE-}|${UV_CACHE_DIR-}|$PIP_CERT|$(ls -A "$HOME")"'
    for name, script in {"make": said, "id": "echo 1000"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    home = tmp_path / "home"
    config = home / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True)
    config.touch()
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(home), "UV_CACHE_DIR": "full", "PIP_CERT": "cert.pem"}
    done = subprocess.run(
        ["bash", ROOT / ".ci" / "run"], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    calls = [line.split("|") for line in done.stdout.splitlines() if "|" in line]
    assert [call[0] for call in calls] == ["--keep-going test", "check-repo", "test-slow"]
    for _, own, venv, pip, uv, cert, held in calls:
        assert own != str(home)
        assert Path(venv).is_relative_to(own)
        assert (pip, uv, cert, held) == (str(config), "", "cert.pem", "")
        assert not Path(own).exists()
