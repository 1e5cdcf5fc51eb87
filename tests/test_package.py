"""What is shipped: the version's one place, what the archives hold, and a wheel that runs on its own."""

from __future__ import annotations

import hashlib
import json
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

from convbench import __version__, _version, cli
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


@pytest.mark.parametrize(
    ("described", "version"),
    [
        ("v0.1.0-0-g1a2b3c4", "0.1.0"),
        ("v0.1.0-5-g1a2b3c4", "0.1.1.dev5+g1a2b3c4"),
        ("v0.9.9-12-gabcdef0", "0.9.10.dev12+gabcdef0"),
        ("v1.0.0rc1-0-g1a2b3c4", "1.0.0rc1"),
        ("v1.0.0rc1-3-g1a2b3c4", "1.0.0rc2.dev3+g1a2b3c4"),
    ],
)
def test_version_of_a_commit(described: str, version: str) -> None:
    assert _version.of_description(described) == version
    assert str(Version(version)) == version
    tag = described.split("-")[0]
    # Every commit comes after the tag before it, and no build before a tag after it.
    assert Version(version) >= Version(tag)


def test_version_comes_from_tags(tmp_path: Path) -> None:
    """In a repository of its own: before any tag, at one, after one; and without .git as `git archive` writes it."""
    top = tmp_path / "clone"
    (top / "convbench").mkdir(parents=True)
    shutil.copy(ROOT / "convbench" / "_version.py", top / "convbench")
    (top / ".gitattributes").write_text("convbench/_version.py export-subst\n")

    def git(*words: str) -> str:
        own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        return run("git", *own, *words, cwd=top).strip()

    def versions() -> list[str]:
        """Of the checkout, and of its archive."""
        program = "import runpy; print(runpy.run_path('convbench/_version.py')['__version__'])"
        run("git", "archive", "-o", tmp_path / "archive.tar", "HEAD", cwd=top)
        shutil.rmtree(tmp_path / "archive", ignore_errors=True)
        with tarfile.open(tmp_path / "archive.tar") as archive:
            archive.extractall(tmp_path / "archive")
        return [run(sys.executable, "-c", program, cwd=where).strip() for where in (top, tmp_path / "archive")]

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "--short", "HEAD")
    assert versions() == [f"0.1.1.dev1+g{commit}", f"0.1.1.dev0+g{commit}"]
    git("tag", "v0.1.0")
    assert versions() == ["0.1.0", "0.1.0"]
    git("commit", "-q", "--allow-empty", "-m", "second")
    later = f"0.1.1.dev1+g{git('rev-parse', '--short', 'HEAD')}"
    assert versions() == [later, later]
    # A build beside the checkout is older than what git says; without git it is all there is.
    (top / "convbench" / "_built.py").write_text("version = '0.0.9'\n")
    assert versions()[0] == later
    shutil.rmtree(top / ".git")
    program = "import runpy; print(runpy.run_path('convbench/_version.py')['__version__'])"
    assert run(sys.executable, "-c", program, cwd=top).strip() == "0.0.9"
    (top / "convbench" / "_built.py").unlink()
    assert run(sys.executable, "-c", program, cwd=top).strip() == "0.1.1.dev0+unknown"


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
    # An editable installation keeps the version of the commit that it was installed at.
    assert installed == __version__ or Version(installed).is_devrelease or Version(__version__).is_devrelease


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
    (source / "convbench" / "_built.py").write_text(f"version = '{__version__}'\n")
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
    code = {str(p.relative_to(ROOT)) for p in (ROOT / "convbench").rglob("*.py")} | {"convbench/_built.py"}
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
