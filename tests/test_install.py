"""How `make` sets up: which build of torch is asked for, by what with which pins; and the lock they come from."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.repo
LOCK = (ROOT / "lock.txt").read_text(encoding="utf-8")

OFFERED = ["2.15.0", "2.14.1", "2.13.0+cpu", "2.13.0", "2.9.1+cpu", "2.9.1", "2.9.0"]
"""What `pip index versions torch` lists where some builds for the CPU lie beside an index's own."""


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name in ("TORCH", "LOCK", "UV", "INSTALL_ARGS"):
        monkeypatch.delenv(name, raising=False)
    return script("install")


@pytest.mark.parametrize(
    ("wanted", "version", "requirement", "kind", "offered"),
    [
        ("cpu", "2.13.0", "torch==2.13.0+cpu", "cpu", True),
        ("cuda", "2.13.0", "torch==2.13.0,!=2.13.0+cpu", "cuda", True),
        ("cuda", "2.9", "torch==2.9.1,!=2.9.1+cpu", "cuda", True),
        ("cpu", "2.9", "torch==2.9.1+cpu", "cpu", True),
        ("cuda", "", "torch==2.15.0", "cuda", True),
        # No build for the CPU there: uv asks torch's own server, and pip takes what the index has.
        ("cpu", "2.14", "torch==2.14.*", "cpu", False),
        ("cpu", "2.14.1", "torch==2.14.1", "cpu", False),
        ("cuda", "2.14", "torch==2.14.1", "cuda", True),
    ],
)
def test_build_of_torch(
    setup: ModuleType, wanted: str, version: str, requirement: str, kind: str, offered: bool
) -> None:
    assert setup.choose(wanted, version, OFFERED) == (requirement, kind, offered)
    asked = Requirement(requirement).specifier
    # `==2.13.0` alone would be met by 2.13.0+cpu as well, and an installer would prefer it.
    taken = [v for v in OFFERED if v in asked]
    assert all(v.endswith("+cpu") == (kind == "cpu") for v in taken) or not offered


def test_without_an_answer_from_the_index_the_version_is_asked_for_all_the_same(setup: ModuleType) -> None:
    assert setup.choose("cuda", "2.13.0", []) == ("torch==2.13.0", "cuda", False)
    assert setup.choose("cpu", "", []) == ("torch", "cpu", False)


@pytest.mark.parametrize(
    ("there", "asked", "version", "stays"),
    [
        ("2.13.0+cpu", "auto", "2.13.0", True),
        ("2.13.0", "auto", "2.13.0", True),
        ("2.13.0", "cpu", "2.13.0", False),
        ("2.13.0+cpu", "cuda", "2.13.0", False),
        ("2.13.0+cpu", "2.9", "2.9", False),
        ("2.9.1+cpu", "2.9", "2.9", True),
        ("2.90.1", "2.9", "2.9", False),
        ("2.15.0", "auto", "", True),
        ("", "auto", "2.13.0", False),
    ],
)
def test_torch_that_is_there_stays_where_it_is_what_was_asked_for(
    setup: ModuleType, there: str, asked: str, version: str, stays: bool
) -> None:
    assert setup.suits(there, asked, version) is stays


def calls(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, uv: str | None, **environment: str) -> list[list[str]]:
    """The requirements of each installation that `main` asks for, and the constraints it gives, by a fake installer."""
    made: list[list[str]] = []
    present = {"torch": ""}

    def install(tool: str | None, words: list[str], lines: list[str]) -> None:
        assert tool == uv
        made.append([*words, *lines])
        if any(word.startswith("torch") for word in words):
            if "--torch-backend=cpu" in words and environment.get("server") == "away":
                raise subprocess.CalledProcessError(1, ["uv"])
            present["torch"] = "2.13.0+cpu"

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(setup, "install", install)
    monkeypatch.setattr(setup, "installed", present.__getitem__)
    monkeypatch.setattr(setup, "find_uv", lambda lock: uv)
    monkeypatch.setattr(setup, "driver", lambda: environment.get("driver") == "there")
    monkeypatch.setattr(setup, "offered_versions", lambda: json.loads(environment.get("offered", json.dumps(OFFERED))))
    setup.main(["gpu", "dev"])
    return made


def test_torch_comes_first_and_nothing_replaces_it(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = calls(setup, monkeypatch, "uv")
    assert first[0] == "torch==2.13.0+cpu"
    assert any(line.startswith("sympy==") for line in first)
    assert not any("--hash" in line for line in first)
    assert second[0] == f"--editable={ROOT}[gpu,dev]"
    assert second[-1] == "torch==2.13.0+cpu"
    assert not [line for line in second if re.match(r"torch==2.13.0 |triton|nvidia-c", line)]
    assert any(line.startswith("nvidia-ml-py==") for line in second)
    assert all("--hash=sha256:" in line for line in second[1:-1])
    said = capsys.readouterr().out
    assert "torch==2.13.0+cpu, for cpu: about" in said
    assert "GB to fetch" in said


def test_with_a_driver_it_is_the_build_for_cuda(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = calls(setup, monkeypatch, None, driver="there")
    assert first[0] == "torch==2.13.0,!=2.13.0+cpu"
    assert any(line.startswith("nvidia-cudnn") for line in first)
    assert "for cuda: about 3 GB" in capsys.readouterr().out


@pytest.mark.parametrize(("server", "requests"), [("there", 1), ("away", 2)])
def test_torchs_own_server_is_asked_where_no_index_has_the_build(
    setup: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    server: str,
    requests: int,
) -> None:
    made = calls(setup, monkeypatch, "uv", offered='["2.13.0"]', server=server)
    assert made[0][:2] == ["--torch-backend=cpu", "torch==2.13.0"]
    assert len(made) == requests + 1
    if requests == 2:
        assert made[1][0] == "torch==2.13.0"
        said = capsys.readouterr().out
        assert "PIP_EXTRA_INDEX_URL" in said
        assert "for cuda: about 3 GB" in said


def test_pip_takes_what_the_index_has(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = calls(setup, monkeypatch, None, offered='["2.13.0"]')
    assert first[0] == "torch==2.13.0"


def test_another_torch_brings_its_own_cuda(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = calls(setup, monkeypatch, "uv", TORCH="2.14", driver="there")
    assert first == ["torch==2.14.1"]


def test_without_a_lock_everything_is_the_newest(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = calls(setup, monkeypatch, "uv", LOCK="", driver="there")
    assert first == ["torch==2.15.0"]
    assert second == [f"--editable={ROOT}[gpu,dev]", "torch==2.13.0+cpu"]


def test_uv_is_told_what_pip_is_told(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_INDEX", "UV_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_NO_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_NO_CACHE", "0")
    told = setup.uv_environment(
        {
            "index-url": "file:///a",
            "extra-index-url": "file:///b\nfile:///c",
            "find-links": "/d\n/e",
            "no-cache-dir": "1",
        }
    )
    assert told["UV_DEFAULT_INDEX"] == "file:///a"
    assert told["UV_INDEX"].split() == ["file:///b", "file:///c"]
    assert told["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert told["UV_FIND_LINKS"] == "/d,/e"
    assert told["UV_NO_CACHE"] == "0", "what the user told uv itself goes first"


def test_settings_of_pip_are_read_from_its_variables_and_files(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nfind-links = /from/file\nproxy = there\n", encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/from/variable")
    assert setup.pip_settings()["find-links"] == "/from/variable"
    # uv knows no proxy of pip's, and might not get through.
    assert setup.find_uv([]) is None
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert setup.pip_settings()["find-links"] == "/from/file"


def test_uv_may_be_chosen_and_forbidden(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV", "/a/uv")
    assert setup.find_uv([]) == "/a/uv"
    monkeypatch.setenv("UV", "")
    assert setup.find_uv([]) is None


@pytest.mark.parametrize("writes", [True, False])
def test_bytecode_is_there_where_python_does_not_write_it(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    """Else every process of every sweep compiles torch and sympy anew."""
    asked: list[list[str]] = []
    monkeypatch.setattr(setup.subprocess, "run", lambda command, **_: asked.append(command))
    monkeypatch.setattr(setup, "pip_settings", dict)
    monkeypatch.setattr(setup.sys, "dont_write_bytecode", not writes)
    setup.install("uv", ["torch"], [])
    (command,) = asked
    assert ("--compile-bytecode" in command) is not writes


def test_constraints_are_the_lock_without_its_hashes() -> None:
    assert (ROOT / "constraints.txt").read_text(encoding="utf-8") == script("lock").exported(LOCK)


def test_every_line_of_the_lock_has_hashes_and_no_address() -> None:
    lines = [line for line in LOCK.replace("\\\n", "").splitlines() if not line.startswith("#")]
    assert len(lines) > 150
    assert [line for line in lines if "--hash=sha256:" not in line] == []
    assert "://" not in LOCK


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_lock_names_one_version_for_each_python(python: str) -> None:
    """Of every direct dependency, on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    pins: dict[str, list[str]] = {}
    for line in script("install").without_hashes(script("install").read_lock()):
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            pins.setdefault(pin.name, []).append(str(pin.specifier))
    assert [name for name, versions in pins.items() if len(versions) > 1] == []
    assert {"torch", "numpy", "hydra-core", "pandas", "ray", "uv"} <= set(pins)
