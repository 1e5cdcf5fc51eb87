"""Imports go down only, and the process that drives a sweep never pays for torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from convbench._version import BUILT
from tests.bare import bare_environment

PACKAGE = Path(__file__).parent.parent / "convbench"

# From the bottom to the top: packages (and modules that stand by themselves). One may import what is in its own
# layer and in those below. A new package gets a place here.
LAYERS = {
    "facts": {"_version", "facts"},
    "timing": {"timing"},
    "devices": {"devices"},
    "measurement": {"measurement"},
    "methods": {"methods"},
    "one configuration": {
        *(
            "candidate",
            "endings",
            "failures",
            "guest",
            "hosts",
            "hosts",
            "memory_columns",
            "operand_sets",
            "phases",
            "runner",
        ),
    },
    "results": {"results"},
    "execution": {"execution"},
    "what the table says": {"findings"},
    "what a person sees": {"terminal", "report"},
    "sweep": {"sweep"},
    "decisions": {
        "commands",
        "comparison",
        "deceptions",
        "duet",
        "gate",
        "history",
        "hunting",
        "nightly",
        "proof",
        "tracing",
        "validation",
    },
    "command line": {"api", "cli", "pytest_plugin", "testing"},
}
# The package's own face takes `load` from below when it is asked for.
FACE = {"__init__", "__main__"}
# What these know, a reader can learn without torch, Hydra, numpy or pandas; not even inside a function.
PLAIN = {
    *(
        "facts.case",
        "facts.measure",
        "facts.values",
        "facts.module_files",
        "facts.devices",
        "facts.dtypes",
        "facts.configuration_key",
        "facts.settings",
        "facts.spec",
        "facts.record",
        "facts.rates",
        "facts.units",
        "facts.exits",
    ),
    "facts.markdown",
    *(
        "timing.samples",
        "timing.figures",
        "timing.conditions",
        "timing.allotment",
        "timing.nvml",
        "validation.trust",
        "validation.burst",
    ),
    *("timing.turns", "timing.outside", "execution.shared_bytes", "execution.guests"),
    *("execution.stage", "execution.interrupt", "execution.source", "execution.gpus"),
}
HEAVY = {"torch", "hydra", "omegaconf", "pandas", "numpy"}
KNOW_HYDRA = {
    f"sweep.{m}"
    for m in (
        "answers",
        "axes",
        "composing",
        "config",
        "foreign",
        "hydras_words",
        "launched",
        "messages",
        "presets",
        "saved",
    )
}
# Run in a child, or below what the driving process needs; everything else is free of torch when it is imported.
CHILDS_SIDE = {
    *(
        "candidate",
        "endings",
        "guest",
        "memory_columns",
        "operand_sets",
        "phases",
        "runner",
        "execution.child_main",
        "execution.method_server",
    ),
    *("validation.passes", "validation.proofs"),
    *(f"proof.figures.{m}" for m in ("of_device", "primitives", "references", "timers")),
    *(f"proof.planted.{m}" for m in ("faults", "streams", "tf32_flags", "tf32_words", "work")),
    *("timing.event_clock", "timing.wall_clock", "timing.cuda_graphs", "devices.ceilings", "measurement.notebook"),
    *("failures.explain", "failures.mistakes", "failures.pattern", "failures.wrong", "failures.failure"),
    *("api.judging", "tracing.recorder", "tracing.targets"),
    # Methods, some of which do harm when they are imported.
    *(f"deceptions.{m}" for m in ("results", "elsewhere", "judge", "state", "honest")),
    *(f"deceptions.at_import.{m}" for m in ("switches", "onednn", "precision", "timer")),
}


def name_of(path: Path) -> str:
    """`facts.case` for facts/case.py, `methods` for methods/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def modules() -> dict[str, Path]:
    """Every module of the package but the version that a build writes into it."""
    return _modules(PACKAGE)


@cache
def _modules(package: Path) -> dict[str, Path]:
    return {name_of(path): path for path in sorted(package.rglob("*.py")) if path != BUILT}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def package_of(module: str) -> str:
    return module.split(".")[0]


def imported_names(node: ast.AST, path: Path) -> list[str]:
    """Absolute dotted names that one import statement refers to; [] for anything else."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    inside = path.relative_to(PACKAGE.parent).parts[: -node.level] if node.level else ()
    base = ".".join((*inside, *([node.module] if node.module else [])))
    # `from .a import b` may name the module a.b or a name in a.
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


@cache
def imports(path: Path, *, deferred: bool = True) -> set[str]:
    """Dotted names imported by a file; with `deferred`, those inside functions as well."""
    nodes = list(ast.walk(parsed(path))) if deferred else at_import(parsed(path))
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
    """The convbench modules that a module imports, itself left out."""
    known = modules()
    names = {name.removeprefix("convbench.") for name in imports(known[module], deferred=deferred)}
    return (names & known.keys()) - {module, "__init__"}


def needed(module: str) -> set[str]:
    """Modules that must be imported before this one is whole: an empty package is not waited for."""
    found = own_imports(module, deferred=False)
    return {name for name in found if name == "methods" or modules()[name].name != "__init__.py"}


def test_every_package_has_a_layer() -> None:
    placed = [m for layer in LAYERS.values() for m in layer]
    assert len(placed) == len(set(placed))
    assert {package_of(m) for m in modules()} - FACE == set(placed), "give every package one place in LAYERS"
    assert set(modules()) >= PLAIN | KNOW_HYDRA | CHILDS_SIDE


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_down_only(module: str) -> None:
    height = {m: i for i, layer in enumerate(LAYERS.values()) for m in layer}
    at = height.get(package_of(module), len(height))
    known = modules()
    tree = parsed(known[module])
    unread = type_checking(tree)
    nodes = [node for node in ast.walk(tree) if node not in unread]
    names = {n.removeprefix("convbench.") for node in nodes for n in imported_names(node, known[module])}
    up = sorted(n for n in names & known.keys() if height.get(package_of(n), -1) > at)
    assert not up, f"{module} imports from a layer above: {up}"


def type_checking(tree: ast.AST) -> set[ast.AST]:
    """Nodes that only a type checker reads."""
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def test_no_import_cycle() -> None:
    graph = {module: needed(module) for module in modules()}
    assert list(TopologicalSorter(graph).static_order())


def test_no_two_modules_know_each_other() -> None:
    """Not even inside functions, or for types alone."""
    graph = {module: {name for name in own_imports(module) if "." in name} for module in modules()}
    pairs = {(one, other) for one, known in graph.items() for other in known if one in graph.get(other, ())}
    assert not pairs


@pytest.mark.parametrize("module", sorted(PLAIN))
def test_facts_know_no_framework(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(modules()[module])} & HEAVY


@pytest.mark.parametrize("module", sorted(modules().keys() - KNOW_HYDRA))
def test_hydra_is_known_to_the_sweep_alone(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(modules()[module])} & {"hydra", "omegaconf"}


def parents_side() -> list[str]:
    """Modules that the driving process may import: of the methods' package the registry alone."""
    left_out = {"measurement", "__main__"}
    candidates = {m for m in modules() if package_of(m) not in left_out and not m.startswith("methods.")}
    return sorted(candidates - CHILDS_SIDE)


def test_driving_process_is_free_of_torch() -> None:
    """A real interpreter imports every module of the parent side; torch must not have come along."""
    names = ["convbench" if m == "__init__" else f"convbench.{m}" for m in parents_side()]
    assert len(names) > 50
    code = f"import importlib, sys; [importlib.import_module(n) for n in {names}]; sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr or "importing the parent side imported torch"


def test_side_of_a_duet_needs_torch_and_numpy_alone(tmp_path: Path) -> None:
    """A real interpreter whose environment has nothing else imports it, as the two environments of a duet do."""
    python = bare_environment(tmp_path / "bare") / "bin" / "python"
    code = f"import sys; sys.path.append({str(PACKAGE.parent)!r}); import convbench.execution.method_server"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_rules_see_what_they_forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk finds imports in every form: plain, from, relative, of a package, inside a function."""
    package = tmp_path / "convbench"
    for name in ("__init__", "cli", "facts/__init__", "facts/case", "facts/spec", "methods/__init__", "methods/x"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text("")
    (package / "facts" / "record.py").write_text(
        "import torch.nn\nfrom . import case\nfrom .spec import Spec\ndef late():\n    import convbench.methods.x\n"
    )
    (package / "methods" / "y.py").write_text("from ..cli import main\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    assert own_imports("facts.record") == {"facts.case", "facts.spec", "facts", "methods.x"}
    assert needed("facts.record") == {"facts.case", "facts.spec"}
    assert "torch.nn" in imports(package / "facts" / "record.py")
    assert own_imports("methods.y") == {"cli"}
    with pytest.raises(AssertionError, match="layer above"):
        test_imports_go_down_only("facts.record")
