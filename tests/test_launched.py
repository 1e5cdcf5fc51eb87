"""Jobs of a launcher: their shares, their signs of life, what is done when one is lost, and whose GPU is whose."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus

from convbench.devices import smi
from convbench.devices.device import Sharing
from convbench.devices.nvidia import Nvidia
from convbench.execution import gpus
from convbench.execution.execute import RunOptions
from convbench.execution.outcome import Outcome
from convbench.execution.pauses import Pauses
from convbench.facts.spec import Spec
from convbench.facts.values import InvalidValue
from convbench.sweep import job, launched
from convbench.sweep.grid import Sweep
from convbench.terminal.progress import Progress

from .composed import configurations, plan, run_settings
from .processes import measured

TINY = ("measure=none", "size=4", "kernel=3", "in_channels=1", "methods=[autograd,explicit]")


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "results.csv").read_text(encoding="utf-8").splitlines()))


def test_a_share_holds_the_very_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written as what differs from the first one's settings, read back as equal specs at their places in the table."""
    (tmp_path / "mine.csv").write_text("op,in_w,kernel_w,net\nconv1d,9,3,a\nconv2d,8,5,b\n")
    line = ["-m", f"cases={tmp_path / 'mine.csv'}", "measure=none,quick", "seed=range(3)", "deterministic=check"]
    sweep = configurations(line)
    got: list[tuple[list[Spec], RunOptions, list[int]]] = []

    def execute(specs: list[Spec], run: RunOptions, observer: Any, positions: list[int]) -> Outcome:
        got.append((specs, run, positions))
        return Outcome()

    monkeypatch.setattr(job, "execute", execute)
    run = RunOptions(tmp_path / "out", "process", 10**9, "failed")
    path = tmp_path / "00007.jsonl"
    job.write(path, sweep, [10, 1, 7], run)
    job.perform(path)
    ((specs, options, positions),) = got
    assert specs == [sweep[10], sweep[1], sweep[7]]
    assert positions == [10, 1, 7]
    assert options == RunOptions(tmp_path / "out", "process", 10**9, "failed")
    assert not path.exists()
    assert not list(tmp_path.glob("*.alive"))


def test_a_share_is_small(tmp_path: Path) -> None:
    sweep = configurations(["-m", "seed=range(1000)"])
    job.write(tmp_path / "share.jsonl", sweep, range(1000), RunOptions(tmp_path))
    assert (tmp_path / "share.jsonl").stat().st_size < 50 * 1000 + 3000


def test_a_share_that_is_called_off_is_not_begun(tmp_path: Path) -> None:
    assert job.perform(tmp_path / "gone.jsonl") == Outcome()


def test_a_job_at_work_stops_when_its_share_is_taken_away(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from convbench.sweep import job\n"
        "job.BEAT_S = 0.05\n"
        "with job._alive(Path(sys.argv[1])):\n"
        "    time.sleep(60)\n"
    )
    path = tmp_path / "a.jsonl"
    path.write_text("")
    with subprocess.Popen([sys.executable, "-c", program, path], stderr=subprocess.DEVNULL) as process:
        sign = path.with_suffix(".alive")
        while not sign.exists() or not sign.read_text():
            time.sleep(0.02)
        assert sign.read_text().split()[:2] == [socket.gethostname(), str(process.pid)]
        assert process.poll() is None
        launched.call_off([path])
        assert process.wait(timeout=20) != 0
    assert not sign.exists()


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine a job lives as long as its beat goes on; on this one, its process must be there as well."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    path = tmp_path / "a.jsonl"
    watch = job.Watch(path)
    assert not watch.waiting()
    path.write_text("")
    assert watch.waiting()
    sign = path.with_suffix(".alive")
    sign.write_text("elsewhere 1 1\n")
    assert watch.working()
    assert not watch.waiting()
    now[0] += job.SILENCE_S - 1
    assert watch.working()
    sign.write_text("elsewhere 1 2\n")
    assert watch.working()
    now[0] += job.SILENCE_S - 1
    assert watch.working()
    now[0] += 2
    assert not watch.working()
    assert not watch.waiting()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid, alive in ((os.getpid(), True), (gone.pid, False)):
        sign.write_text(f"{socket.gethostname()} {pid} 3\n")
        assert watch.working()
        now[0] += 4 * job.BEAT_S
        assert watch.working() is alive
    sign.write_text("half")
    assert not watch.working()


def test_a_pause_of_driver_and_job_is_not_the_job_s_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    path = tmp_path / "a.jsonl"
    path.write_text("")
    path.with_suffix(".alive").write_text("elsewhere 1 1\n")
    pauses = Pauses()
    watch = job.Watch(path, pauses)
    assert watch.working()
    now[0] += 3600
    pauses.waited(launched.LOOK_S)
    assert watch.working()
    for _ in range(round(job.SILENCE_S / launched.LOOK_S)):
        now[0] += launched.LOOK_S
        pauses.waited(launched.LOOK_S)
    assert not watch.working(), "the driver was awake, and the job silent"


@dataclass
class Jobs:
    """A launcher whose first `dying` jobs die after they have begun; the others do their work."""

    dying: int = 0
    broken: str = ""
    asked: list[int] = field(default_factory=list)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        self.asked.append(len(job_overrides))
        if self.broken:
            raise OSError(self.broken)
        died = False
        for (word,) in job_overrides:
            path = Path(word.removeprefix("share='").removesuffix("'"))
            if self.dying:
                self.dying -= 1
                path.with_suffix(".alive").write_text(f"{socket.gethostname()} {2**22 + 1} 1\n")
                died = True
            else:
                job.perform(path)
        if died:
            raise RuntimeError("a job died\nand said much more")
        return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead jobs are noticed at once."""
    monkeypatch.setattr(job, "BEAT_S", 0.05)
    monkeypatch.setattr(launched, "LOOK_S", 0.05)


def spread(sweep: Sweep, out: Path, jobs: Jobs, chunk: int = 4) -> Any:
    return launched.spread(sweep, run_settings(out=str(out), chunk=chunk, isolation="none"), jobs, Progress(len(sweep)))


@pytest.mark.usefixtures("soon")
def test_what_is_lost_with_a_job_is_launched_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = configurations(["-m", "seed=range(10)", *TINY])
    jobs = Jobs(dying=1)
    run = spread(sweep, tmp_path / "run", jobs)
    assert jobs.asked == [3, 2], "three chunks of 4; then the lost one in smaller ones"
    assert (run.outcome.total, measured(run.outcome), run.outcome.missing) == (10, 10, 0)
    found = Counter((int(row["seed"]), row["method"], row["status"]) for row in rows(tmp_path / "run"))
    assert found == Counter((seed, method, "ok") for seed in range(10) for method in ("autograd", "explicit"))
    err = capsys.readouterr().err
    assert "4 configurations lost with their jobs (RuntimeError: a job died and said much more)" in err
    assert "10/10" in err
    again = Jobs()
    run = spread(sweep, tmp_path / "run", again)
    assert again.asked == []
    assert (run.outcome.already_done, measured(run.outcome)) == (10, 0)


@pytest.mark.usefixtures("soon")
def test_what_is_lost_again_and_again_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = configurations(["-m", "seed=range(2)", *TINY])
    jobs = Jobs(dying=100)
    run = spread(sweep, tmp_path / "run", jobs)
    assert len(jobs.asked) == launched.ATTEMPTS
    assert (measured(run.outcome), run.outcome.missing) == (0, 2)
    assert "the same command with the same out tries them again" in capsys.readouterr().err


def test_a_launcher_that_cannot_launch_is_a_mistake(tmp_path: Path) -> None:
    sweep = configurations(["-m", "seed=range(2)", *TINY])
    jobs = Jobs(broken="no sbatch here")
    with pytest.raises(InvalidValue, match="the launcher cannot start jobs: OSError: no sbatch here"):
        spread(sweep, tmp_path / "run", jobs)
    assert len(jobs.asked) == 1


@pytest.mark.usefixtures("soon")
def test_a_launcher_that_waits_for_the_dead_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As submitit does on a Slurm without accounting."""
    monkeypatch.setattr(launched, "GRACE_S", 0.3)
    released = threading.Event()

    class Waits(Jobs):
        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
            try:
                return super().launch(job_overrides, initial_job_idx)
            except RuntimeError:
                released.wait(60)
                raise

    sweep = configurations(["-m", "seed=range(2)", *TINY])
    began = time.monotonic()
    run = spread(sweep, tmp_path / "run", Waits(dying=1), chunk=1)
    released.set()
    assert time.monotonic() - began < 30
    assert run.outcome.missing == 0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("JoblibLauncher", "disturb each other"),
        ("LocalLauncher", "disturb each other"),
        ("SlurmLauncher", "a machine of its own"),
        ("RayLauncher", "a machine of its own"),
    ],
)
def test_times_taken_in_company_are_warned_of(kind: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    launched.warn_of_company(configurations(["measure=quick"]), kind, Progress(1))
    assert expected in capsys.readouterr().err
    launched.warn_of_company(configurations(["measure=none"]), kind, Progress(1))
    assert not capsys.readouterr().err


def test_a_job_has_the_launcher_of_the_driver(tmp_path: Path) -> None:
    """Also where a file chose it: Hydra 1.4 refuses jobs that are composed to another one."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster/ours.yaml").write_text(
        "# @package _global_\ndefaults: [override /hydra/launcher: joblib]\nhydra: {launcher: {n_jobs: 3}}\n"
    )
    found = plan(["-m", "seed=0,1", f"--config-dir={tmp_path}", "+cluster=ours", "measure=none,quick"])
    assert found.launcher is not None
    assert found.launcher.kind == "JoblibLauncher"
    jobs: Any = found.launcher.jobs(tmp_path / "it's/jobs")
    composed = found.launcher.loader.load_sweep_config(jobs.config, ["share=x"])
    assert composed.hydra.launcher == found.launcher.config.hydra.launcher
    assert composed.hydra.launcher.n_jobs == 3
    assert composed.hydra.sweep.dir == str(tmp_path / "it's/jobs")
    assert composed.share == "x"


def test_paths_survive_hydra_s_grammar() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    path = Path("/a b/it's, [here] \\ $x/ä=1:2.jsonl")
    (override,) = OverridesParser.create().parse_overrides([f"share={launched.quoted(path)}"])
    assert override.value() == str(path)


def on(device: str) -> Sweep:
    return configurations([f"device={device}", "measure=none"])


def shared(monkeypatch: pytest.MonkeyPatch, *names: str, taken: Mapping[str, list[str]] | None = None) -> None:
    """A machine with GPUs of these names, on some of which others compute."""
    told = Sharing(("CUDA_VISIBLE_DEVICES",), lambda: list(names), lambda name: (taken or {}).get(name, []))
    monkeypatch.setattr(Nvidia, "sharing", told)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_each_job_takes_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared(monkeypatch, "0", "1")
    monkeypatch.setattr(gpus, "WAIT_S", 0.02)
    program = (
        "import os, sys; from pathlib import Path; from convbench.execution import gpus\n"
        "from convbench.devices.smi import NVIDIA\n"
        "name, _ = gpus._first_free(['0', '1'], NVIDIA, Path(sys.argv[1])); print(name, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "0\n"
        with gpus.own_device(on("cuda"), tmp_path):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
        shared(monkeypatch, "0")
        taken: list[str] = []

        def wait_for_the_only_one() -> None:
            with gpus.own_device(on("cuda"), tmp_path):
                taken.append(os.environ["CUDA_VISIBLE_DEVICES"])

        waiting = threading.Thread(target=wait_for_the_only_one)
        waiting.start()
        time.sleep(0.2)
        assert not taken
        other.kill()
        waiting.join(timeout=20)
    assert taken == ["0"]


@pytest.mark.parametrize("listed", ["2,3", " 2 , 3,-1,7", "GPU-5f3a-1,GPU-77-2", "MIG-GPU-a/3/0,MIG-0b1c-44", "3,2,"])
def test_the_gpus_that_the_environment_names_are_shared_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str
) -> None:
    """A list is what a whole machine was given to; only one name is a scheduler's choice for this job."""
    shared(monkeypatch, "0", "1", "2", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    first, second = [name.strip() for name in listed.split(",")[:2]]
    with gpus.own_device(on("cuda"), tmp_path):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == first
        # Another job, which got the same list.
        with monkeypatch.context() as another:
            another.setenv("CUDA_VISIBLE_DEVICES", listed)
            with gpus.own_device(on("cuda"), tmp_path):
                assert os.environ["CUDA_VISIBLE_DEVICES"] == second
    assert os.environ["CUDA_VISIBLE_DEVICES"] == listed


def test_a_gpu_that_others_compute_on_comes_last_and_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared(monkeypatch, "0", "1", taken={"0": ["python (pid 12)"]})
    with gpus.own_device(on("cuda"), tmp_path):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
        assert capsys.readouterr().err == ""
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        with gpus.own_device(on("cuda"), tmp_path):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        os.environ["CUDA_VISIBLE_DEVICES"] = "1"
    assert capsys.readouterr().err == "convbench: other processes compute on device 0: python (pid 12)\n"


def test_gpus_are_left_alone_where_they_are_none_of_our_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for device, names in (("cpu", "01"), ("cuda:1", "01"), ("cuda", "")):
        shared(monkeypatch, *names)
        with gpus.own_device(on(device), tmp_path):
            assert "CUDA_VISIBLE_DEVICES" not in os.environ
    shared(monkeypatch, "0", "1")
    for chosen in ("5", "", "-1", "MIG-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        with gpus.own_device(on("cuda"), tmp_path):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == chosen
    assert not list(tmp_path.iterdir())


def test_gpus_are_those_that_nvidia_smi_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is split is handed out in slices."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert smi.nvidia_names() == []
    assert smi.nvidia_processes("0") == []
    fake = tmp_path / "nvidia-smi"
    fake.write_text(
        """#!/bin/sh
if [ "$1" = -L ]; then
printf 'GPU 0: A (UUID: x)\\n  MIG 1g.5gb Device 0: (UUID: MIG-a)\\n  MIG 1g.5gb Device 1: (UUID: MIG-b)\\n'
printf 'GPU 1: B (UUID: y)\\n'
else
[ "$2" = 1 ] && printf '4242, /usr/bin/python3\\n'
fi
"""
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert smi.nvidia_names() == ["MIG-a", "MIG-b", "1"]
    assert smi.nvidia_processes("1") == ["/usr/bin/python3 (pid 4242)"]
    assert smi.nvidia_processes("0") == []


def test_a_share_is_json(tmp_path: Path) -> None:
    sweep = configurations(["-m", "kernel=[3,5],7", "methods=[autograd,m:f]"])
    job.write(tmp_path / "p.jsonl", sweep, [0, 1], RunOptions(tmp_path))
    head, *lines = (json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines())
    assert head["settings"]["methods"] == ["autograd", "m:f"]
    assert lines == [{"position": 0, "kernel": [3, 5]}, {"position": 1, "kernel": 7}]
