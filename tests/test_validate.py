from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch

from convbench.facts.measure import Measure
from convbench.facts.values import InvalidValue
from convbench.sweep.presets import preset
from convbench.timing.rounds import ArmFailed
from convbench.validation import command as validate
from convbench.validation import passes, proofs
from convbench.validation.evidence import Try
from convbench.validation.proofs import Setup
from convbench.validation.trust import not_asked

from .test_trust import GOOD, OFF


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Setup]:
    """Tries that come out well without being made; what was asked for ends up in the dictionary."""
    asked: dict[str, Setup] = {}

    def tries(setup: Setup, budget_s: float) -> Iterator[Try]:
        asked["setup"] = setup
        yield from [GOOD] * round(budget_s)

    monkeypatch.setattr(passes, "tries", tries)
    return asked


def test_a_good_machine_is_told_in_a_sentence_and_exit_code_0(said, capsys):
    assert validate.main(["budget_s=30"]) == 0
    out = capsys.readouterr().out
    assert out.rstrip().splitlines()[-1].endswith("are detected.")
    assert "Timings from this machine can be trusted" in out
    assert "torch.utils.benchmark" in out
    assert "30 trials" in out
    assert said["setup"] == Setup("cpu", 1, preset("default"), 0)


def test_settings_reach_the_tries(said):
    validate.main(["measure=quick", "threads=2", "seed=7", "budget_s=12"])
    assert said["setup"] == Setup("cpu", 2, preset("quick"), 7)


def test_a_bad_machine_has_exit_code_4(monkeypatch, capsys):
    monkeypatch.setattr(passes, "tries", lambda setup, budget_s: iter([replace(GOOD, same=OFF)] * 30))
    assert validate.main([]) == 4
    out = capsys.readouterr().out
    assert "FAILS" in out
    assert "cannot be trusted: a method against itself failed" in " ".join(out.split())


def test_json_has_every_figure_and_every_try(said, capsys):
    assert validate.main(["budget_s=20", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["trusted"] is True
    assert out["tries"] == len(out["all_tries"]) == 20
    assert out["all_tries"][0]["same"] == [1.001, 0.995, 1.006]
    assert out["measure"] == "default"
    assert out["load"] is False
    assert {proof["holds"] for proof in out["proofs"]} == {True}


def test_json_writes_unknown_figures_as_null(monkeypatch, capsys):
    unknown = replace(GOOD, same=replace_interval())
    monkeypatch.setattr(passes, "tries", lambda setup, budget_s: iter([unknown] * 20))
    validate.main(["--json"])
    assert json.loads(capsys.readouterr().out)["resolution"] is None


def replace_interval():
    return GOOD.same._replace(low=None, high=None)


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["budget=9"], "validate has no setting 'budget=9'; did you mean budget_s?"),
        (["kernel=9"], "validate has no setting 'kernel=9'; allowed: device, budget_s, measure, threads, seed"),
        (["cpu"], "validate has no setting 'cpu'"),
        (["budget_s=soon"], "budget_s='soon' must be a number ≥ 1.0"),
        (["budget_s=nan"], "must be a number"),
        (["threads=0"], "threads=0 is out of range"),
        (["threads=two"], "threads='two' is not a whole number"),
        (["seed=-1"], "seed=-1 is out of range"),
        (["measure=defalt"], "no measurement named 'defalt'; did you mean default?"),
        (["measure=none"], "measure=none times nothing"),
        (["device=gpu"], "device='gpu' is not known; allowed: cpu, cuda, cuda:N"),
    ],
)
def test_a_wrong_command_line_is_told_by_its_key(said, arguments, message):
    with pytest.raises(InvalidValue, match=message.replace("?", r"\?")):
        validate.main(arguments)
    assert not said


def test_a_device_that_is_not_there_has_exit_code_4(said, monkeypatch, capsys):
    from convbench import devices

    monkeypatch.setattr(devices, "missing_device", lambda device: f"no {device} here")
    assert validate.main(["device=cuda:5"]) == 4
    assert capsys.readouterr().err == "convbench: there is no device=cuda:5 to validate: no cuda:5 here\n"


def test_a_device_that_fails_meanwhile_has_exit_code_4(monkeypatch, capsys):
    def tries(setup: Setup, budget_s: float) -> Iterator[Try]:
        yield GOOD
        raise ArmFailed("a", RuntimeError("an illegal memory access was encountered"))

    monkeypatch.setattr(passes, "tries", tries)
    assert validate.main([]) == 4
    assert "illegal memory access" in capsys.readouterr().err


def test_a_device_that_refuses_what_is_no_arm_has_exit_code_4_and_one_sentence(monkeypatch, capsys):
    def do_bench(setup: Setup) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB.")

    monkeypatch.setattr(proofs, "do_bench", do_bench)
    assert validate.main([]) == 4
    said = capsys.readouterr().err
    assert said == "convbench: cpu failed while it was timed: OutOfMemoryError: CUDA out of memory.\n"


def test_a_triton_that_cannot_run_is_not_asked_and_blames_no_device(monkeypatch):
    """It compiles C when it is first used; a device cannot be had here, so its samples are stood in for."""

    def compiles(call: object, return_mode: str) -> float:
        raise subprocess.CalledProcessError(1, ["gcc"])

    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(testing=SimpleNamespace(do_bench=compiles)))
    monkeypatch.setattr(proofs, "workload", lambda device: lambda: None)
    monkeypatch.setattr(proofs, "_samples", lambda setup, calls: None)
    monkeypatch.setattr("convbench.validation.proofs.columns", lambda *arguments: {"time_s": 1e-5})
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    proof = proofs.do_bench(proofs.Setup("cuda", 1, Measure(), 0))
    assert proof is not None
    assert proof.holds is None
    assert proof.observed.startswith("not asked: triton cannot run here (CalledProcessError: Command '['gcc']'")


def test_what_could_not_be_asked_neither_holds_nor_fails(said, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(proofs, "do_bench", lambda setup: not_asked("triton's do_bench", "triton is not installed"))
    assert validate.main(["budget_s=20"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "do_bench" in line]
    assert line.split()[0] == "–"


def test_a_measurement_without_settings_is_the_default_preset():
    assert Measure() == preset("default")


def test_load_runs_only_while_it_measures(said, monkeypatch):
    from convbench.validation import burst

    events = []

    class Load:
        def __enter__(self) -> None:
            events.append("on")

        def __exit__(self, *error: object) -> None:
            events.append("off")

    monkeypatch.setattr(burst, "load", Load)
    validate.main(["--load", "budget_s=10"])
    assert events == ["on", "off"]


@pytest.mark.slow
def test_a_real_run_from_the_command_line():
    """As a user starts it, for two seconds: too few tries for a judgement, and it says so."""
    done = subprocess.run(
        [sys.executable, "-m", "convbench", "validate", "budget_s=2", "measure=quick", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    out = json.loads(done.stdout)
    assert done.returncode == (0 if out["trusted"] else 4)
    assert done.stderr == ""
    assert 1 <= out["tries"] == len(out["all_tries"])
    assert out["environment"]["environment_id"]


@pytest.mark.slow
def test_every_pass_is_a_process_of_its_own_and_the_budget_is_theirs_together():
    """Real processes, as few tries as can be: at least one of each."""
    measure = replace(preset("quick"), processes=2, looks=(6,), min_time_s=0.0, max_time_s=0.2, warmup_s=0.01)
    found = list(passes.tries(Setup("cpu", 1, measure, 3), 1.0))
    assert {one.process for one in found} == {0, 1}
    assert [one.number for one in found if one.process == 1][:1] == [0]
    assert all(one.planted is not None and one.planted.k == 4 for one in found if one.number == 0)
    assert all(one.own_share is None or 0 < one.own_share < 1.1 for one in found)


def test_what_a_process_failed_of_is_said(monkeypatch, capsys):
    whole = replace(GOOD, sample_s=0.01, asked_s=0.01)

    def fails(setup: Setup, budget_s: float) -> Iterator[Try]:
        yield whole
        raise ArmFailed("a", torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB."))

    monkeypatch.setattr(passes, "tries_here", fails)
    passes.main({**asdict(Setup("cpu", 1, preset("quick"), 0)), "until": 0.0})
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert Try.from_dict(first) == whole
    assert second == {"failed": "OutOfMemoryError: CUDA out of memory."}
    with pytest.raises(passes.Failed, match="the process that measured ended with 1"):
        list(passes.tries(Setup("cpu", 0, preset("quick"), 0), 1.0))
