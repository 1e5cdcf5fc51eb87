"""The command line: a bare first word is a subcommand, everything else is Hydra's."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._version import __version__
from .facts.case import InvalidValue, did_you_mean
from .facts.exits import Exit, interrupted

if TYPE_CHECKING:
    from .sweep.program import Program

COMMANDS = {
    "report": "convbench.report.command",
    "compare": "convbench.comparison.command",
    "export": "convbench.commands.export",
    "validate": "convbench.validation.command",
    "recompute": "convbench.commands.recompute",
    "methods": "convbench.commands.methods",
    "duet": "convbench.duet.command",
    "gate": "convbench.gate.command",
}
"""Subcommand → the module whose `main(argv)` it is; imported only when it is asked for."""

DEPENDENCIES = {
    "filelock": "filelock",
    "hydra": "hydra-core",
    "jinja2": "jinja2",
    "markupsafe": "markupsafe",
    "numpy": "numpy",
    "omegaconf": "omegaconf",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "pytest": "pytest",
    "pytest_benchmark": "pytest-benchmark",
    "rich": "rich",
    "scipy": "scipy",
    "torch": "torch",
}
"""Package that convbench imports → the distribution that holds it, as in pyproject.toml."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code; `argv` is without the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["--version"]:
            print(f"convbench {__version__}")
            return Exit.GOOD
        if arguments and _is_command(arguments[0]):
            return _command(arguments[0], arguments[1:])
        return _run(arguments)
    except ModuleNotFoundError as error:
        missing = DEPENDENCIES.get((error.name or "").partition(".")[0])
        if missing is None:
            raise
        return _refuse(
            f"{missing} is missing in {sys.executable}; activate the environment that it is installed in "
            "(after make: . .venv/bin/activate), or pip install . in a clone"
        )
    except InvalidValue as error:
        return _refuse(str(error))
    except KeyboardInterrupt as stop:
        return interrupted(int(getattr(stop, "signal", signal.SIGINT)))
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not complain about it when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.GOOD


def _is_command(word: str) -> bool:
    return word.replace("_", "").replace("-", "").isalpha() and not word.startswith("-")


def _command(word: str, rest: list[str]) -> int:
    if word not in COMMANDS:
        from .sweep.config import KEYS

        if word in KEYS:
            raise InvalidValue(word, f"{word} needs a value: {word}=…")
        hint = did_you_mean(word, COMMANDS) or f"; there are {', '.join(COMMANDS)}, and settings as key=value"
        raise InvalidValue("command", f"no command named {word!r}{hint}")
    module = importlib.import_module(COMMANDS[word])
    try:
        return int(module.main(rest))
    except SystemExit as stop:  # argparse: its --help, or a mistake that it has named
        return stop.code if isinstance(stop.code, int) else Exit.MISTAKE


def _run(arguments: list[str]) -> int:
    from .sweep.hydra_app import run
    from .sweep.messages import sentence
    from .sweep.program import Program

    program = Program()
    try:
        run(arguments, program)
    except SystemExit as stop:  # Hydra has shown what was asked for, or said what is wrong
        return Exit.MISTAKE if stop.code else Exit.GOOD
    except BrokenPipeError:
        raise
    except Exception as error:
        if program.measuring and not program.refused and not isinstance(error, InvalidValue):
            raise
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        return _refuse(program.refused[0] if program.refused else sentence(error))
    return _conclude(program)


def _conclude(program: Program) -> int:
    """Prints the summary of what was run, and says how it went as an exit code."""
    refused = [*program.refused, *map(str, program.illegal)]
    if program.runs:
        from .execution.outcome import exit_code
        from .sweep import drive
        from .terminal import summary as terminal

        last = program.runs[-1]
        outcome = drive.whole([run.outcome for run in program.runs])
        illegal = last.illegal + len(program.illegal)
        context = terminal.Context(last.out, illegal=illegal, missing=outcome.missing, asked=outcome.total)
        terminal.show(last.out, context=context)
        if not program.refused:
            return exit_code(outcome, last.strict)
    return _refuse(refused[0]) if refused else Exit.GOOD


def _refuse(text: str) -> int:
    print(f"convbench: {text}", file=sys.stderr)
    return Exit.MISTAKE


if __name__ == "__main__":
    sys.exit(main())
