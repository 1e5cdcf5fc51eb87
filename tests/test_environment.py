"""The environment and its fingerprint: the same on the same machine, another where times could differ."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convbench.devices import nvidia
from convbench.facts.spec import Switches
from convbench.measurement import environment
from convbench.measurement.environment import FINGERPRINT, collect, cpu_model

USUAL = Switches()


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What is kept for the process must not carry over from or to other tests."""
    environment._machine.cache_clear()
    yield
    environment._machine.cache_clear()


def fingerprint(switches: Switches = USUAL) -> str:
    environment._machine.cache_clear()
    return str(collect("cpu", switches)["environment_id"])


def test_it_says_what_it_ran_on() -> None:
    found = collect("cpu", Switches(threads=2))
    assert found["torch"] == torch.__version__
    assert found["python"] == platform.python_version()
    assert found["cores"] == os.cpu_count()
    assert found["threads"] == 2
    assert found["device"] == "cpu"
    assert "gpu" not in found
    assert json.loads(json.dumps(found)) == found


def test_neither_clock_nor_name_nor_load_nor_place_changes_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = fingerprint()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 99.0, 99.0))
    monkeypatch.setattr(platform, "release", lambda: "0.0.1")
    monkeypatch.setenv("HOSTNAME", "elsewhere")
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.chdir(tmp_path)
    assert fingerprint() == before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_fewer_cores_than_there_are_change_it_and_which_ones_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    before = fingerprint()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {9, 4})
    limited = fingerprint()
    found = collect("cpu", USUAL)
    assert (found["affinity"], found["usable_cores"]) == ([4, 9], 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 2})
    assert fingerprint() == limited != before
    monkeypatch.delattr(os, "sched_getaffinity")
    assert fingerprint() == before
    assert (collect("cpu", USUAL)["affinity"], collect("cpu", USUAL)["usable_cores"]) == (None, 4)


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "KMP_AFFINITY", "MALLOC_ARENA_MAX"])
def test_what_limits_instructions_threads_and_memory_changes_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name, raising=False)
    before = fingerprint()
    monkeypatch.setenv(name, "avx2")
    assert fingerprint() != before
    assert f"{name}=avx2" in collect("cpu", USUAL)["variables"]


def test_what_only_logs_does_not_and_no_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    monkeypatch.setenv("ONEDNN_VERBOSE", "1")
    assert fingerprint() == before
    monkeypatch.setenv("LD_PRELOAD", "/home/me/lib/libjemalloc.so:/opt/lib/other.so")
    assert fingerprint() != before
    assert "LD_PRELOAD=libjemalloc.so:other.so" in collect("cpu", USUAL)["variables"]


def test_nothing_private_is_kept() -> None:
    """torch's own build settings aside, which may name folders of the machine that built it."""
    text = json.dumps({**collect("cpu", USUAL), "torch_config": None})
    for private in (platform.node(), str(Path.home()), str(Path.cwd())):
        assert private not in text


@pytest.mark.parametrize(
    "changed",
    [{"threads": 2}, {"tf32": True}, {"cudnn_benchmark": True}, {"deterministic": True}, {"onednn": False}],
)
def test_every_switch_changes_it(changed: dict[str, Any]) -> None:
    assert fingerprint(replace(USUAL, **changed)) != fingerprint()


def test_processor_cores_and_torch_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {fingerprint()}
    for owner, name, value in (
        (environment, "cpu_model", lambda: "another"),
        (os, "cpu_count", lambda: 1000),
        (torch, "__version__", "99.0"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            seen.add(fingerprint())
    assert len(seen) == 4
    assert fingerprint() in seen


class Properties:
    name, total_memory, multi_processor_count, major, minor = "GPU 1", 10**9, 100, 9, 0


def test_a_gpu_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    monkeypatch.setattr(nvidia, "nvidia_driver", lambda: "570.1")
    found = collect("cuda", USUAL)
    assert (found["device"], found["gpu"], found["compute_capability"]) == ("cuda", "GPU 1", "9.0")
    assert found["environment_id"] != fingerprint()
    monkeypatch.setattr(nvidia, "nvidia_driver", lambda: "580.2")
    assert collect("cuda", USUAL)["environment_id"] != found["environment_id"]


def test_what_changes_results_or_times_on_a_gpu_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    monkeypatch.setattr(nvidia, "nvidia_driver", lambda: "570.1")
    monkeypatch.setattr(nvidia, "version_of", lambda package: None)
    for name in nvidia.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    usual = collect("cuda", USUAL)
    assert (usual["environment_variables"], usual["unusual_flags"]) == ({}, {})
    seen = {usual["environment_id"]}
    for name in ("NVIDIA_TF32_OVERRIDE", "CUDA_LAUNCH_BLOCKING", "PYTORCH_CUDA_ALLOC_CONF"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            found = collect("cuda", USUAL)
            assert found["environment_variables"] == {name: "1"}
            seen.add(found["environment_id"])
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.cudnn, "benchmark_limit", 3)
        seen.add(collect("cuda", USUAL)["environment_id"])
    for switch in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"):
        setattr(torch.backends.cuda.matmul, switch, False)
        try:
            seen.add(collect("cuda", USUAL)["environment_id"])
        finally:
            setattr(torch.backends.cuda.matmul, switch, True)
    for version in ("3.6.0", "3.7.0"):
        monkeypatch.setattr(nvidia, "version_of", lambda package, version=version: version)
        seen.add(collect("cuda", USUAL)["environment_id"])
    assert len(seen) == 9
    assert collect("cuda", USUAL)["environment_id"] in seen


def test_the_second_of_two_equal_gpus_is_the_same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert collect("cuda:1", USUAL)["environment_id"] == collect("cuda", USUAL)["environment_id"]


def test_fingerprint_names_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name would be an empty part of every fingerprint."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert set(FINGERPRINT) <= collect("cuda", USUAL).keys()


FILES = {
    "/proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast 9000\ncpu family\t: 25\nmodel\t\t: 17\nstepping\t: 1\n",
    "/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Kernel Module  570.86.15  Thu Jan 23\nGCC version:\n",
}


def test_processor_and_driver_are_read_from_what_linux_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: FILES[str(self)])
    assert cpu_model() == "Fast 9000 (25.17.1)"
    assert nvidia.nvidia_driver() == "570.86.15"
    monkeypatch.setitem(FILES, "/proc/cpuinfo", "processor\t: 0\n")
    assert cpu_model() == platform.machine()


def test_elsewhere_they_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Path) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", missing)
    assert cpu_model() == (platform.processor() or platform.machine())
    assert nvidia.nvidia_driver() is None
    monkeypatch.setattr(os, "sysconf", missing)
    assert environment._memory_bytes() is None


def test_where_linux_does_not_tell_the_driver_nvml_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in WSL; and where there is no NVML either, or it fails, nothing is known."""

    def not_told(path: Path) -> str:
        raise FileNotFoundError(path)

    class Failed(Exception):
        pass

    def fails() -> None:
        raise Failed

    monkeypatch.setattr(Path, "read_text", not_told)
    library = SimpleNamespace(nvmlInit=lambda: None, nvmlSystemGetDriverVersion=lambda: b"580.159.04", NVMLError=Failed)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert nvidia.nvidia_driver() == "580.159.04"
    library.nvmlInit = fails
    assert nvidia.nvidia_driver() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvidia.nvidia_driver() is None
