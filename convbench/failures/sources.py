"""The source of a function of convbench with all that it needs, to be copied into a script that needs no convbench.

Nothing is imported: the text is read, what a function refers to is looked up in its module, and what that module takes
from convbench is followed. What is only mentioned in annotations is left out, as no annotation is evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parent.parent


class Copied(NamedTuple):
    """`imports`, one statement each, and `definitions` in an order in which they can be executed."""

    imports: list[str]
    definitions: list[str]


class _Module(NamedTuple):
    """The top level of a file: its definitions by name, and by name where an import takes it from.

    `taken` holds (the statement, None) for what is not convbench's, ("", (file, name)) for what is.
    """

    text: str
    defined: dict[str, ast.stmt]
    taken: dict[str, tuple[str, tuple[Path, str] | None]]


def copied(file: str, name: str) -> Copied:
    """`name` of `file` (relative to the package) with what it refers to. Raises KeyError where there is no such name,
    and ValueError where two different things of one name are needed."""
    found: dict[str, tuple[Path, str]] = {}
    imports: dict[str, None] = {}
    _follow(PACKAGE / file, name, found, imports)
    return Copied(sorted(imports), [text for _, text in found.values()])


def _follow(path: Path, name: str, found: dict[str, tuple[Path, str]], imports: dict[str, None]) -> None:
    module = _read(path)
    if name not in module.defined:
        statement, source = module.taken[name]
        if source is None:
            imports[statement] = None
        else:
            _follow(*source, found, imports)
        return
    if name in found:
        if found[name][0] != path:
            raise ValueError(f"{name} of {path.name} and {name} of {found[name][0].name} cannot stand in one script")
        return
    node = module.defined[name]
    found[name] = path, ""  # so that a function may call itself
    for needed in sorted(_names(node)):
        if needed in module.defined or needed in module.taken:
            _follow(path, needed, found, imports)
    del found[name]
    found[name] = path, _text(module, node)


def _text(module: _Module, node: ast.stmt) -> str:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return "\n".join(module.text.splitlines()[first - 1 : node.end_lineno])


@cache
def _read(path: Path) -> _Module:
    text = path.read_text(encoding="utf-8")
    defined: dict[str, ast.stmt] = {}
    taken: dict[str, tuple[str, tuple[Path, str] | None]] = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined[node.name] = node  # of an overloaded function the last, which is the one
        elif isinstance(node, ast.Assign):
            defined.update((target.id, node) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            taken.update(_taken(node, path))
    return _Module(text, defined, taken)


def _taken(node: ast.Import | ast.ImportFrom, path: Path) -> dict[str, tuple[str, tuple[Path, str] | None]]:
    found: dict[str, tuple[str, tuple[Path, str] | None]] = {}
    for alias in node.names:
        known_as = alias.asname or alias.name.partition(".")[0]
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
            found[known_as] = "", (file, alias.name)
        else:
            found[known_as] = ast.unparse(type(node)(**{**vars(node), "names": [alias]})), None
    return found


def _names(node: ast.AST) -> set[str]:
    """Names that are read where the code runs and that it does not bind itself; those of annotations are not read."""
    nodes = list(_run(node))
    read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return read - bound - {n.arg for n in nodes if isinstance(n, ast.arg)}


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, annotations left out."""
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _run(child)
