"""Subcommands' arguments: every mistake in them is one sentence, and so is an `--out` that cannot be written."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from ..facts.values import InvalidValue, did_you_mean

KINDS = {"int": "a whole number", "float": "a number"}
NEGATIVE = re.compile(r"-\.?\d.*")


class Arguments(argparse.ArgumentParser):
    """The parser of `python -m convbench COMMAND`. A mistake raises InvalidValue instead of printing the usage.

    `passed_on`: further options that are not the command's own, which `parse_known_args` leaves over.
    """

    def __init__(self, command: str, *, passed_on: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(prog=f"python -m convbench {command}", **settings)
        self._command = command
        self._passed_on = tuple(passed_on)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        # argparse would complain about what is missing first, and a mistyped option is often why something is.
        self._check_options(words)
        return super().parse_known_args(words, namespace)

    def _check_options(self, words: Sequence[str]) -> None:
        own = [option for action in self._actions for option in action.option_strings]
        for word in takewhile(lambda word: word != "--", words):
            name = word.partition("=")[0]
            if not name.startswith("-") or name == "-" or " " in name or NEGATIVE.fullmatch(word):
                continue
            known = (*own, *self._passed_on)
            if word == f"{name}=" and name in own:
                raise InvalidValue(name, f"{word} has no value: write {self._shape(name)}, or leave it out")
            if name in known or (name.startswith("--") and any(option.startswith(name) for option in known)):
                continue
            named = [option for option in known if option.startswith("--")]
            hint = did_you_mean(name, named) or f"; allowed: {', '.join(named)}"
            raise InvalidValue(name, f"{self._command} has no option {name}{hint}")

    def error(self, message: str) -> NoReturn:
        raise InvalidValue(self._command, self._sentence(message))

    def _sentence(self, message: str) -> str:
        """argparse's message in the program's words."""
        see = f"; see `{self.prog} --help`"
        kind, _, names = message.partition(": ")
        if kind == "the following arguments are required":
            return f"{self._command} needs {' and '.join(map(self._shape, names.split(', ')))}{see}"
        if kind == "unrecognized arguments":
            takes = [str(action.metavar) for action in self._actions if not action.option_strings]
            return f"{self._command} takes {' '.join(takes) or 'no arguments'}; {names!r} is too many{see}"
        match = re.fullmatch(r"argument (\S+): (.+)", message, re.DOTALL)
        return self._fault(match[1], match[2]) if match else f"{message}{see}"

    def _fault(self, option: str, fault: str) -> str:
        """What is wrong with an option's value."""
        action = self._action(option)
        if match := re.match(r"invalid choice: '([^']*)'", fault):
            return f"{option} {match[1]!r} is not known; allowed: {', '.join(map(str, action.choices or ()))}"
        if match := re.match(r"invalid (\w+) value: (.+)", fault):
            return f"{option} {match[2]} is not {KINDS.get(match[1], match[1])}"
        if fault.startswith("expected"):
            return f"{option} needs a value: {self._shape(option)}"
        if match := re.match(r"ignored explicit argument (.+)", fault):
            return f"{option} takes no value, and {match[1]} was given"
        return f"{option} {fault}"

    def _action(self, name: str) -> argparse.Action:
        """The argument that argparse's messages call `name`."""
        shown = ((a, ("/".join(a.option_strings), a.metavar, a.dest, *a.option_strings)) for a in self._actions)
        return next(action for action, names in shown if name in names)

    def _shape(self, name: str) -> str:
        """How an argument is written: `DIR`, `--out FILE`, `--format csv|markdown`."""
        action = self._action(name)
        value = "|".join(map(str, action.choices)) if action.choices else action.metavar or action.dest.upper()
        return f"{name} {value}" if action.option_strings else name


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Around writing a command's `--out`: raises InvalidValue where `file` cannot be written."""
    try:
        yield
    except OSError as error:
        raise InvalidValue(
            "--out", f"{file} cannot be written ({error.strerror or error}); give another path with --out"
        ) from error
