"""Which functions the names of torch, of convbench and of the clock stand for, and which code those run."""

from __future__ import annotations

import builtins
import gc
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter, is_
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch

TORCH = (
    "torch",
    "torch.nn.functional",
    "torch.nn.grad",
    "torch.autograd",
    "torch.autograd.grad_mode",
    "torch.autograd.graph",
    "torch.overrides",
    "torch.utils._device",
    "torch._C",
    "torch._C._nn",
)
"""What methods, the reference and the judge call of torch; ops are looked up in the dispatcher, not by these names."""


def _holders() -> Iterator[tuple[str, Any]]:
    for name in TORCH:
        if isinstance(module := sys.modules.get(name), ModuleType):
            yield name, module
    yield "torch.Tensor", torch.Tensor
    for module in (time, gc, os, builtins):
        yield module.__name__, module
    for name, own in list(sys.modules.items()):
        if name.partition(".")[0] == __name__.partition(".")[0] and isinstance(own, ModuleType):
            yield name, own
            for value in list(vars(own).values()):
                if isinstance(value, type) and value.__module__ == name:
                    yield f"{name}.{value.__qualname__}", value


@dataclass(frozen=True, slots=True)
class _Names:
    """What a module or class held, by name, and which of it could be called."""

    holder: Any
    called: str
    held: Mapping[str, Any]
    code: dict[str, Any]

    def untouched(self) -> bool:
        """Whether every name is there and stands for the very same thing: quick, and by identity alone."""
        now = vars(self.holder)
        return len(now) == len(self.held) and all(map(is_, now.values(), self.held.values()))

    def covered(self) -> list[str]:
        """Names of code that has come since and hides what the same name stood for: a base class's, or Python's own."""
        now = vars(self.holder)
        below = self.holder.__mro__[1:] if isinstance(self.holder, type) else (builtins,)
        new = (
            now.keys() - self.held.keys()
        )  # a module named as a function of Python's hides nothing: methods/compile.py
        return [n for n in new if _is_code(now[n]) and any(_is_code(vars(b).get(n)) for b in below)]

    def changed(self) -> list[str]:
        now = vars(self.holder)
        return [name for name, was in self.code.items() if now.get(name) is not was]


class Identities:
    """What every name stood for when this was made."""

    def __init__(self) -> None:
        self._names = [_names(called, holder) for called, holder in _holders()]
        functions = {id(v): v for names in self._names for v in names.code.values() if type(v) is FunctionType}
        self._functions = list(functions.values())
        self._codes = list(map(CODE, self._functions))

    def restore(self) -> list[str]:
        """The names that stand for something else now, or run other code, and did not before; all are put back.

        Only what can be called counts: a module may keep a number or a cache under a name of its own. A name that
        has come since counts where it hides another: modules are imported late. What torch has wrapped itself stays.
        """
        found = []
        for number, names in enumerate(self._names):
            if names.untouched():
                continue
            found += [f"{names.called}.{name}" for name in self._put_back(names)]
            self._names[number] = replace(names, held=dict(vars(names.holder)))
        if not all(map(is_, map(CODE, self._functions), self._codes)):
            found += [
                _with_code(f, was) for f, was in zip(self._functions, self._codes, strict=True) if CODE(f) is not was
            ]
        return found

    def take_as_they_are(self) -> None:
        """What has changed until now is how it should be."""
        for number, names in enumerate(self._names):
            if not names.untouched():
                self._names[number] = _names(names.called, names.holder)
        self._codes = list(map(CODE, self._functions))

    def _put_back(self, names: _Names) -> list[str]:
        found = []
        for name in names.covered():
            _kind(names.holder).__delattr__(names.holder, name)
            found.append(name)
        for name in names.changed():
            was, now = names.code[name], vars(names.holder).get(name)
            if wrapped_by_torch(was, now):
                names.code[name] = now
                self._functions.append(now)
                self._codes.append(CODE(now))
                continue
            _kind(names.holder).__setattr__(names.holder, name, was)
            found.append(name)
        return found


CODE = attrgetter("__code__")
HOME = Path(torch.__file__).parent
"""Of torch's source."""


def wrapped_by_torch(was: Any, now: Any) -> bool:
    """Whether `now` is what torch puts in the place of its own function `was`: code in torch's source around it.

    `import torch._dynamo`, the first thing that torch.compile does, wraps torch.manual_seed. The source is read from
    the disk, and nothing but `was` may be in the function's closure or defaults that could be called.
    """
    if type(now) is not FunctionType:
        return False
    reached = [*(now.__defaults__ or ()), *(now.__kwdefaults__ or {}).values()]
    with suppress(ValueError):  # a cell is empty
        reached += [cell.cell_contents for cell in now.__closure__ or ()]
    called = [value for value in reached if callable(value)]
    module = sys.modules.get(str(now.__globals__.get("__name__")))
    file = Path(now.__code__.co_filename)
    return (
        len(called) == 1
        and called[0] is was
        and module is not None
        and vars(module) is now.__globals__
        and file.is_relative_to(HOME)
        and file.is_file()
        and now.__code__ in _codes(compile(file.read_bytes(), str(file), "exec", dont_inherit=True))
    )


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A code and all that is defined in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _names(called: str, holder: Any) -> _Names:
    held = dict(vars(holder))
    return _Names(holder, called, held, {name: value for name, value in held.items() if _is_code(value)})


def _with_code(function: FunctionType, code: CodeType) -> str:
    function.__code__ = code
    return f"the code of {function.__module__}.{function.__qualname__}"


def capture() -> Identities:
    """What every name stands for now."""
    return Identities()


def _is_code(value: Any) -> bool:
    return callable(value) or isinstance(value, (staticmethod, classmethod, property))


def _kind(holder: Any) -> Any:
    """Whose way of setting names is used, whatever a metaclass or a module's own class makes of it."""
    return type if isinstance(holder, type) else ModuleType
