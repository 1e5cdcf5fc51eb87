"""What is shipped: the version's one place, what the archives hold, and a wheel that runs on its own."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException
from packaging.requirements import Requirement
from packaging.version import Version

from convbench import __version__, cli
from convbench.sweep import messages

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
pytestmark = pytest.mark.repo

TOP_LEVEL = {"convbench", "conf", "sweeps", "examples", "tests", "docs", ".ci", ".github"}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """The standard output of a command that has to succeed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_version_is_written_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert Version(__version__)
    # Releases are headings of the changelog, which look back; everything else must read the one place.
    kept = {ROOT / "convbench" / "_version.py", ROOT / "CHANGELOG.md", ROOT / "constraints.txt"}
    files = [
        p
        for kind in ("py", "toml", "cff", "md", "yml")
        for p in (*ROOT.glob(f"*.{kind}"), *ROOT.glob(f"convbench/**/*.{kind}"))
    ]
    assert files
    pattern = re.compile(rf"(?:version|convbench)\W{{1,6}}{re.escape(__version__)}\b", re.IGNORECASE)
    assert [str(p) for p in files if p not in kept and pattern.search(p.read_text(encoding="utf-8"))] == []


def test_every_dependency_is_named_when_it_is_missing() -> None:
    declared = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    assert set(cli.DEPENDENCIES.values()) == declared


def test_what_is_missing_is_installed_from_a_clone() -> None:
    """No index has convbench; and the extras that messages name exist."""
    assert set(messages._EXTRAS.values()) <= set(PROJECT["project"]["optional-dependencies"])
    missing = messages.sentence(MissingConfigException("gone", "hydra/launcher/joblib"))
    assert missing == "hydra/launcher=joblib is not installed: in a clone, pip install '.[joblib]'"
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/slow/*.py")]
    assert [p.name for p in pages if "pip install 'convbench" in p.read_text(encoding="utf-8")] == []


def test_installed_metadata_has_the_version() -> None:
    try:
        installed = metadata.version("convbench")
    except metadata.PackageNotFoundError:
        pytest.skip("runs from a checkout that is not installed")
    assert installed == __version__


def test_every_pinned_version_is_inside_the_declared_range() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            pins[pin.name.lower().replace("_", "-")] = Version(str(pin.specifier).removeprefix("=="))
    declared = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    declared += [r for extra in PROJECT["project"]["optional-dependencies"].values() for r in extra]
    for text in declared:
        wanted = Requirement(text)
        assert wanted.name.lower() in pins, f"{wanted.name} is not pinned in constraints.txt"
        assert pins[wanted.name.lower()] in wanted.specifier, text


def test_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"].startswith("Apache-2.0 AND ")
    assert all((ROOT / name).is_file() for name in PROJECT["project"]["license-files"])


VENDORED = {
    "d3": ("d3.min.js", "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1"),
    "@observablehq/plot": ("plot.umd.min.js", "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb"),
}
"""Name on npm → the file of its release's dist/ that is in convbench/report/vendor, and its SHA-256 in that release."""


@pytest.mark.parametrize("package", VENDORED)
def test_vendored_javascript_is_unmodified(package: str) -> None:
    name, digest = VENDORED[package]
    folder = ROOT / "convbench" / "report" / "vendor"
    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    listed = ROOT / ".github" / "vendored" / "package.json"
    if listed.exists():  # it is no part of a source distribution
        version = json.loads(listed.read_text(encoding="utf-8"))["dependencies"][package]
        assert f" v{version} " in (folder / name).read_text(encoding="utf-8").splitlines()[0]
        assert f" {version} (npm: {package})" in (folder / "LICENSES.txt").read_text(encoding="utf-8")


def not_shipped(folder: str, names: list[str]) -> set[str]:
    """What a copy of the tree leaves out: at the top, also results/ and dist/ (convbench/results/ is code)."""
    top = {"results", "dist", "build"} if Path(folder) == ROOT else set()
    return {name for name in names if name in top or name in (".venv", ".git") or name.endswith("_cache")}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An sdist and a wheel, built from a copy of the files that ship, with measured data beside them."""
    source, out = tmp_path_factory.mktemp("source") / "convbench", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, ignore=not_shipped)
    for name in ("results/2026-01-31/results.csv", "results/reference/sweeps/leak.csv", "results/sweeps/leak.yaml"):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_text("measured data")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source)
    built = {"sdist": list(out.glob("*.tar.gz")), "wheel": list(out.glob("*.whl"))}
    assert [len(files) for files in built.values()] == [1, 1]
    return {kind: files[0] for kind, files in built.items()}


@pytest.mark.slow
def test_archives_pass_twine_check(archives: dict[str, Path]) -> None:
    said = run(sys.executable, "-m", "twine", "check", "--strict", *archives.values())
    assert said.count("PASSED") == 2


@pytest.mark.slow
def test_sdist_holds_the_source_and_no_results(archives: dict[str, Path]) -> None:
    with tarfile.open(archives["sdist"]) as archive:
        names = ["/".join(name.split("/")[1:]) for name in archive.getnames()]
    assert {"pyproject.toml", "README.md", "LICENSE", "conf/config.yaml", "tests/conftest.py"} <= set(names)
    assert any(name.startswith("sweeps/") for name in names)
    unwanted = [name for name in names if name.startswith("results/") or "leak" in name or "__pycache__" in name]
    assert unwanted == []
    assert {name.split("/")[0] for name in names if "/" in name} <= TOP_LEVEL


@pytest.mark.slow
def test_wheel_holds_package_configuration_and_license(archives: dict[str, Path]) -> None:
    names = zipfile.ZipFile(archives["wheel"]).namelist()
    shipped = {
        str(p.relative_to(ROOT / "sweeps")) for p in (ROOT / "sweeps").rglob("*") if p.suffix in (".yaml", ".csv")
    }
    assert {name.removeprefix("convbench/sweeps/") for name in names if name.startswith("convbench/sweeps/")} >= shipped
    assert "convbench/conf/config.yaml" in names
    code = {str(p.relative_to(ROOT)) for p in (ROOT / "convbench").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == code
    assert "convbench/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/convbench/report/vendor/LICENSES.txt") for name in names)
    assert any(name.startswith("convbench/report/templates/") for name in names)
    assert b"pytest_plugin" in zipfile.ZipFile(archives["wheel"]).read(
        f"convbench-{__version__}.dist-info/entry_points.txt"
    )
    assert {name.split("/")[0] for name in names} <= {
        "convbench",
        "hydra_plugins",
        f"convbench-{__version__}.dist-info",
    }


@pytest.mark.slow
def test_wheel_runs_in_an_environment_of_its_own(archives: dict[str, Path]) -> None:
    """The script that CI uses; the dependencies come from this environment, so that nothing is downloaded."""
    said = run(ROOT / ".ci" / "try-wheel", archives["wheel"], sysconfig.get_path("purelib"))
    assert "the wheel runs" in said
