"""Functions as methods: each gets the name by which a process of its own can find it.

A function of a module that can be imported is `module:function`, as on the command line. Any other one, of a notebook's
cell, of a script or inside another function, is `inline:function`: its code is written into a module of that name.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from ..facts.module_files import file_of
from ..facts.values import InvalidValue

Method = str | Callable[..., Any]
"""A method's name, or a function that is one."""

INLINE = "inline"
"""The module of functions that no file holds."""

MODULE = """import base64

import cloudpickle

globals().update(cloudpickle.loads(base64.b64decode({pickled!r})))
"""


class Functions:
    """Names for methods; the functions among them that are in no module are kept by theirs."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self.inline: dict[str, Callable[..., Any]] = {}
        self.names = [self._name(method) for method in methods]

    def _name(self, method: Method) -> str:
        if isinstance(method, str):
            return method
        if not callable(method):
            raise InvalidValue("methods", f"methods: {method!r} is neither a name nor a function")
        name, module = getattr(method, "__name__", type(method).__name__), getattr(method, "__module__", None)
        if _is_importable(method, module):
            return f"{module}:{name}"
        name = name if name.isidentifier() else "function"  # of a lambda
        if self.inline.setdefault(name, method) is not method:
            raise InvalidValue("methods", f"methods: two functions are called {name}; give one of them another name")
        return f"{INLINE}:{name}"


def _is_importable(method: Callable[..., Any], module: str | None) -> bool:
    """Whether another process that imports `module` finds this very function there."""
    if module is None or module == "__main__" or module not in sys.modules:
        return False
    return getattr(sys.modules[module], getattr(method, "__name__", ""), None) is method and file_of(module) is not None


@contextmanager
def importable(functions: Functions, isolation: str) -> Iterator[None]:
    """While it is entered, the functions can be imported: by other processes, with `isolation` none by this one alone.

    Raises InvalidValue for one that cannot be sent to another process.
    """
    if not functions.inline:
        yield
    elif isolation == "none":
        with known_here(functions):
            yield
    else:
        with TemporaryDirectory(prefix="convbench-") as folder:
            Path(folder, f"{INLINE}.py").write_text(_module(functions), encoding="utf-8")
            sys.path.insert(0, folder)
            try:
                yield
            finally:
                sys.path.remove(folder)


@contextmanager
def known_here(functions: Functions) -> Iterator[None]:
    """While it is entered, the functions can be imported in this process."""
    before, module = sys.modules.get(INLINE), ModuleType(INLINE)
    vars(module).update(functions.inline)
    sys.modules[INLINE] = module
    try:
        yield
    finally:
        del sys.modules[INLINE]
        if before is not None:
            sys.modules[INLINE] = before


def _module(functions: Functions) -> str:
    import cloudpickle

    for name, function in functions.inline.items():
        try:
            cloudpickle.dumps(function)
        except Exception as error:  # whatever the function refers to raises what it likes
            raise InvalidValue(
                "methods",
                f"methods: {name} cannot be sent to a process of its own ({type(error).__name__}: {error}); define it "
                "in a module, or say isolation=none, under which it shares this process and its speed has no verdict",
            ) from error
    return MODULE.format(pickled=base64.b64encode(cloudpickle.dumps(functions.inline)).decode())
