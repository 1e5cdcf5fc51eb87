#!/usr/bin/env python3
"""Installs convbench and some of its extras into the environment of the Python that runs this: `install.py gpu dev`.

uv does it where it can be had (from PATH, or as one wheel through pip), and pip where it cannot. torch comes first and
alone, because one version of it exists in several builds: where there is no NVIDIA driver it is a build for the CPU, as
far as one can be had. Everything else comes as `lock.txt` has it; uv checks the hashes as well. Read from the
environment: TORCH (auto, cpu, cuda or a version), LOCK (another lock; empty: the newest versions that pyproject.toml
allows), UV (a path; empty: pip), INSTALL_ARGS (further words for `uv pip install` or `pip install`).
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

BUILD_TOOLS = ["setuptools>=70.1", "hatchling", "editables"]
"""For pip, which builds without isolation so that these are pinned too. setuptools from 70.1 on is for
antlr4-python3-runtime, which Hydra 1.3 needs and which exists as source only."""

SIZES = {"cpu": "about 0.4 GB to fetch, 1.3 GB on disk", "cuda": "about 3 GB to fetch, 5 GB on disk"}
"""Of a whole environment with each build of torch, on Linux; what a cache holds is not fetched."""

UV_WORDS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "no-cache-dir": "UV_NO_CACHE",
    "constraint": "UV_CONSTRAINT",
    "cert": "SSL_CERT_FILE",
}
"""Settings of pip, none of which uv reads, and the variables that mean the same to uv."""

UNKNOWN_TO_UV = {"trusted-host", "client-cert", "proxy"}
"""Where pip is told one of these, uv might not get through, or not by the way that was asked for."""

BY_TORCH = re.compile(r"(torch|triton|cuda-[a-z]+|nvidia-(?!ml-py)[a-z0-9-]+)==")
"""Lines of the lock for torch and for what its builds for CUDA bring."""


class Build(NamedTuple):
    """What to ask for to get the build of torch that was chosen."""

    requirement: str
    kind: str
    """cpu or cuda."""
    offered: bool
    """Whether an index in use has it."""


def main(extras: Sequence[str]) -> None:
    lock = read_lock()
    uv = find_uv(lock)
    print(f"Installing convbench[{','.join(extras)}] into {sys.prefix} with {'uv' if uv else 'pip'}", flush=True)
    pinned = next((line.partition("==")[2].split()[0] for line in lock if line.startswith("torch==")), "")
    asked = os.environ.get("TORCH") or "auto"
    version = pinned if asked in ("auto", "cpu", "cuda") else asked
    if not suits(installed("torch"), asked, version):
        wanted = "cpu" if asked == "cpu" or (asked != "cuda" and not driver()) else "cuda"
        same = [line for line in lock if not line.startswith("torch==")] if version == pinned else []
        install_torch(choose(wanted, version, offered_versions()), uv, same)
    # From here on torch is what is there: no index may replace one build by another.
    rest = [*(line for line in lock if not BY_TORCH.match(line)), f"torch=={installed('torch')}"]
    install(uv, [f"--editable={ROOT}[{','.join(extras)}]"], rest)


def read_lock() -> list[str]:
    """One line for each pinned version, with its marker and its hashes; none where the newest are asked for."""
    name = os.environ.get("LOCK", "lock.txt")
    text = (ROOT / name).read_text(encoding="utf-8") if name else ""
    return [line for line in text.replace("\\\n", "").splitlines() if line and not line.lstrip().startswith("#")]


def without_hashes(lines: Sequence[str]) -> list[str]:
    return [line.partition("--hash")[0].strip() for line in lines]


def installed(name: str) -> str:
    """The version of a distribution in this environment now; "" where there is none."""
    importlib.invalidate_caches()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def suits(there: str, asked: str, version: str) -> bool:
    """Whether the torch that is there is the one that was asked for, so that it can stay."""
    if not there or not fits(there, version):
        return False
    return asked not in ("cpu", "cuda") or there.endswith("+cpu") == (asked == "cpu")


def fits(candidate: str, version: str) -> bool:
    """Whether 2.9.1+cpu, say, is a 2.9, a 2.9.1 or a 2.9.1+cpu."""
    release = candidate if "+" in version else candidate.partition("+")[0]
    return not version or release == version or release.startswith(f"{version}.")


def driver() -> bool:
    """Whether this machine has an NVIDIA driver; true where torch has no builds to choose from, outside Linux."""
    return (
        not sys.platform.startswith("linux") or Path("/proc/driver/nvidia").exists() or bool(shutil.which("nvidia-smi"))
    )


def offered_versions() -> list[str]:
    """All versions of torch that the indexes in use offer to this Python, the newest first."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "index", "versions", "torch"], capture_output=True, text=True, check=False
    )
    found = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    return found[1].split(", ") if found else []


def choose(wanted: str, version: str, offered: Sequence[str]) -> Build:
    """The build to install: one of the version and kind wanted where the indexes have it.

    A build for the CPU says so (2.13.0+cpu); the one without a suffix is CUDA's, or else the only one of its system.
    """
    fitting = [v for v in offered if fits(v, version)]
    for one in fitting:
        if one.endswith("+cpu") == (wanted == "cpu"):
            other = f",!={one}+cpu" if f"{one}+cpu" in offered else ""
            return Build(f"torch=={one}{other}", wanted, True)
    if not version:
        return Build("torch", wanted, False)
    return Build(f"torch=={version}" if version.count(".") > 1 else f"torch=={version}.*", wanted, False)


def install_torch(build: Build, uv: str | None, lines: Sequence[str]) -> None:
    """Installs it, whatever builds the indexes in use have; asks torch's own server for one that they have not.

    The hashes in the lock are those of one index's builds, so that torch's are not checked.
    """
    lines = without_hashes(lines)
    if not build.offered and uv:
        print(f"{build.requirement} for {build.kind}, from torch's own server: {SIZES[build.kind]}", flush=True)
        try:
            backend = "cpu" if build.kind == "cpu" else "auto"
            return install(uv, [f"--torch-backend={backend}", build.requirement], lines)
        except subprocess.CalledProcessError:
            print("That did not work; going on with what the indexes in use have.", flush=True)
    if not build.offered and build.kind == "cpu":
        print(
            "No index in use has torch for the CPU alone. To spare the CUDA libraries, which nothing here can use, "
            "interrupt this and set PIP_EXTRA_INDEX_URL to an index that has it.",
            flush=True,
        )
        build = build._replace(kind="cuda")
    print(f"{build.requirement}, for {build.kind}: {SIZES[build.kind]}, all packages together", flush=True)
    return install(uv, [build.requirement], lines)


def find_uv(lock: Sequence[str]) -> str | None:
    """Where uv is: the one named, the one on PATH, or one that pip puts into this environment; None for pip."""
    if "UV" in os.environ:
        return os.environ["UV"] or None
    if UNKNOWN_TO_UV & set(pip_settings()):
        return None
    own = Path(sys.executable).with_name("uv")
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if found is None:
        pin = [line for line in without_hashes(lock) if line.startswith("uv==")]
        # A system for which there is no wheel of it has pip all the same.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=uv"]
        subprocess.run([*pip, *(pin or ["uv"])], check=False, stderr=subprocess.DEVNULL)
    return found or (str(own) if own.exists() else None)


def pip_settings() -> dict[str, str]:
    """What pip is told by its files and by its variables, which go first: {"index-url": "…"}."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    files: dict[str, str] = {}
    variables: dict[str, str] = {}
    for section, name, value in re.findall(r"^(:env:|global|install)\.([\w-]+)=(.*)$", done.stdout, re.MULTILINE):
        (variables if section == ":env:" else files)[name] = str(ast.literal_eval(value))
    return {**files, **variables}


def uv_environment(settings: dict[str, str]) -> dict[str, str]:
    """The environment for uv: this one, and pip's settings where uv has none of its own for the same thing."""
    told = {UV_WORDS[name]: value for name, value in settings.items() if name in UV_WORDS}
    if "UV_FIND_LINKS" in told:
        told["UV_FIND_LINKS"] = ",".join(told["UV_FIND_LINKS"].split())
    if "UV_INDEX" in told:
        # As pip does: the best version of all indexes, not everything from the first that knows the name.
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {**told, **os.environ}


def install(uv: str | None, words: Sequence[str], lines: Sequence[str]) -> None:
    """`uv pip install` or `pip install` of some words, held to the versions of some lines of the lock."""
    more = shlex.split(os.environ.get("INSTALL_ARGS", ""))
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "constraints.txt"
        held.write_text("\n".join(lines if uv else without_hashes(lines)) + "\n", encoding="utf-8")
        if uv:
            command = [uv, "pip", "install", f"--python={sys.executable}", f"--constraints={held}"]
            # As pip does. Where PYTHONDONTWRITEBYTECODE is set, as images for containers have it, each process would
            # compile anew whatever it imports, sympy and pandas above all. Elsewhere Python writes what it needs.
            compiled = ["--compile-bytecode"] if sys.dont_write_bytecode else []
            command += [f"--build-constraints={held}", *compiled, *more, *words]
            subprocess.run(command, check=True, env=uv_environment(pip_settings()))
            return
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"--constraint={held}"]
        subprocess.run([*pip, *BUILD_TOOLS], check=True)
        subprocess.run([*pip, "--no-build-isolation", "--use-pep517", *more, *words], check=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{shlex.join(map(str, failed.cmd))} exited with status {failed.returncode}")
