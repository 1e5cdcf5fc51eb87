"""Imports go down only, and the process that drives a sweep never pays for torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "convbench"

# From the bottom to the top. A module may import modules of its own layer (without a cycle) and of the
# layers below. A new module gets a place here; the package's subpackages count as one module each.
LAYERS = {
    "facts": {
        *("_version", "case", "spec", "record", "statistics", "units", "environment"),
        *("interrupt", "rates", "samples", "source", "stage", "trust", "gpus", "nvml", "burst", "allotment"),
    },
    "measurement": {
        *("problem", "notebook", "gradients", "contraction", "reference", "accuracy", "methods", "switches"),
        *("clocks", "cuda_clock", "timing", "ceilings", "memory", "runner", "worker_child"),
        *("proofs", "duet_child"),
    },
    "results": {
        *("store", "merge", "rows", "table", "wording", "screen", "objective", "findings", "evidence", "statements"),
        *("aligned", "layouts", "selection", "sections", "progress", "follow", "following", "terminal", "report"),
        *("change", "gate", "compare_output", "methods_list"),
    },
    "execution": {"child", "worker", "execute", "budgeted", "duet_pair"},
    "sweep": {"config", "cases", "grid", "drive", "share", "launched", "axes", "sweeper", "program", "messages"},
    "command line": {
        *("cli", "hydra_app", "planned", "pytest_plugin", "validate", "recompute", "export"),
        *("compare", "confirm", "duet", "duet_rows"),
    },
}
# What these know, a reader can learn without torch, Hydra or pandas; not even inside a function.
PLAIN = LAYERS["facts"] - {"environment"}
HEAVY = {"torch", "hydra", "omegaconf", "pandas", "numpy"}
KNOW_HYDRA = {"config", "axes", "sweeper", "program", "launched", "messages", "hydra_app"}
# `methods` itself holds names only; what computes is in its submodules.
WITHOUT_TORCH = {"methods", "clocks", "timing", "burst"}
# Imported by the process that drives the sweep, the terminal, the report and the gate.
PARENT_SIDE = {*LAYERS["results"], *LAYERS["execution"], *LAYERS["sweep"], *LAYERS["command line"]}


def files_of(module: str) -> list[Path]:
    single = PACKAGE / f"{module}.py"
    return [single] if single.exists() else sorted((PACKAGE / module).rglob("*.py"))


def modules() -> set[str]:
    found = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or any(p.glob("*.py"))}
    return found - {"__init__", "__pycache__"}


def imported_names(node: ast.AST, path: Path) -> list[str]:
    """Absolute dotted names that one import statement refers to; [] for anything else."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    if not node.level:
        return [node.module or ""]
    inside = path.relative_to(PACKAGE.parent).parts[: -node.level]
    base = ".".join((*inside, *([node.module] if node.module else [])))
    # `from . import a, b` names modules; `from .a import b` names a.
    return [base] if node.module else [f"{base}.{alias.name}" for alias in node.names]


def imports(path: Path, *, deferred: bool = True) -> set[str]:
    """Dotted names imported by a file; with `deferred`, those inside functions as well."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if deferred else at_import(tree)
    return {name for node in nodes for name in imported_names(node, path)}


def at_import(node: ast.AST) -> list[ast.AST]:
    """The nodes that run when the module is imported: everything outside functions and TYPE_CHECKING."""
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        found += [child, *at_import(child)]
    return found


def own_imports(module: str, *, deferred: bool = True) -> set[str]:
    """Names of the convbench modules that a module imports, itself left out."""
    names = {name for path in files_of(module) for name in imports(path, deferred=deferred)}
    parts = [name.split(".") for name in names if name.startswith("convbench.")]
    return {p[1] for p in parts} & modules() - {module}


def test_every_module_has_a_layer() -> None:
    placed = [m for layer in LAYERS.values() for m in layer]
    assert len(placed) == len(set(placed))
    assert modules() - {"__main__"} == set(placed), "give every module one place in LAYERS"


@pytest.mark.parametrize("module", sorted(modules() - {"__main__"}))
def test_imports_go_down_only(module: str) -> None:
    height = {m: i for i, layer in enumerate(LAYERS.values()) for m in layer}
    up = sorted(m for m in own_imports(module) if height.get(m, 0) > height.get(module, len(height)))
    assert not up, f"{module} imports from a layer above: {up}"


def test_no_import_cycle() -> None:
    graph = {module: own_imports(module, deferred=False) for module in modules()}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", sorted(PLAIN))
def test_facts_know_no_framework(module: str) -> None:
    used = {name.split(".")[0] for path in files_of(module) for name in imports(path)}
    assert not used & HEAVY


@pytest.mark.parametrize("module", sorted(modules() - KNOW_HYDRA - {"__main__"}))
def test_hydra_is_known_to_the_command_line_and_the_sweeper_alone(module: str) -> None:
    used = {name.split(".")[0] for path in files_of(module) for name in imports(path)}
    assert not used & {"hydra", "omegaconf"}


@pytest.mark.parametrize("module", sorted(PARENT_SIDE))
def test_parent_side_takes_measurement_only_on_demand(module: str) -> None:
    """All but a few that know no torch themselves; that these do not is seen by the next test."""
    below = own_imports(module, deferred=False) & LAYERS["measurement"] - WITHOUT_TORCH
    assert not below, f"{module} imports {sorted(below)}, and with it torch, when it is imported"


def test_driving_process_is_free_of_torch() -> None:
    """A real interpreter imports every module of the parent side; torch must not have come along."""
    names = [f"convbench.{module}" for module in sorted(PARENT_SIDE)]
    code = f"import importlib, sys; [importlib.import_module(n) for n in {names}]; sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr or "importing the parent side imported torch"


def test_rules_see_what_they_forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk finds imports in every form: plain, from, relative, of a package, inside a function."""
    package = tmp_path / "convbench"
    (package / "methods").mkdir(parents=True)
    for name in ("cli", "case", "spec", "methods/__init__"):
        (package / f"{name}.py").write_text("")
    (package / "record.py").write_text(
        "import torch.nn\nfrom . import case\nfrom .spec import Spec\ndef late():\n    import convbench.methods.x\n"
    )
    (package / "methods" / "x.py").write_text("from ..cli import main\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    assert own_imports("record") == {"case", "spec", "methods"}
    assert own_imports("record", deferred=False) == {"case", "spec"}
    assert "torch.nn" in imports(package / "record.py")
    assert own_imports("methods") == {"cli"}
