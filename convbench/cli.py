"""The command line: a bare first word is a subcommand, everything else is Hydra's."""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._version import __version__
from .facts.exits import Exit, interrupted
from .facts.plain import printable
from .facts.values import InvalidValue, did_you_mean

if TYPE_CHECKING:
    from .sweep.options import Line
    from .sweep.plan import Plan, Search
    from .sweep.running import Run

COMMANDS = {
    "report": "convbench.report.command",
    "compare": "convbench.comparison.command",
    "export": "convbench.commands.export",
    "validate": "convbench.validation.command",
    "recompute": "convbench.commands.recompute",
    "methods": "convbench.commands.methods",
    "duet": "convbench.duet.command",
    "gate": "convbench.gate.command",
    "nightly": "convbench.nightly.command",
    "show": "convbench.commands.show",
    "history": "convbench.history.command",
    "trace": "convbench.tracing.command",
    "hunt": "convbench.hunting.command",
}
"""Subcommand → the module whose `main(argv)` it is; imported only when it is asked for."""

LONG = 200
"""Characters of a word beyond which a message shows its ends only."""

DEPENDENCIES = {
    "cloudpickle": "cloudpickle",
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
    "ruptures": "ruptures",
    "scipy": "scipy",
    "torch": "torch",
}
"""Package that convbench imports → the distribution that holds it, as in pyproject.toml."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code; `argv` is without the program's name."""
    from .terminal.streams import nowhere, unbroken

    arguments = list(sys.argv[1:] if argv is None else argv)
    with unbroken():
        code = _guarded(arguments)
        try:
            sys.stdout.flush()
        except OSError as error:  # a disk that is full, behind a redirection
            nowhere(sys.stdout)
            if code != Exit.MISTAKE:  # what was refused has its sentence, of the same disk perhaps
                code = _refuse(_of_system(error))
    return code


def _guarded(arguments: list[str]) -> int:
    """The exit code, whatever is raised."""
    try:
        return _dispatch(arguments)
    except InvalidValue as error:
        return _refuse(str(error))
    except KeyboardInterrupt as stop:
        return interrupted(int(getattr(stop, "signal", signal.SIGINT)))
    except ImportError as error:
        fault = _of_import(error)
        if fault:
            return _refuse(fault)
        traceback.print_exc()
    except OSError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        return _refuse(_of_system(error))
    except Exception:
        traceback.print_exc()
    return Exit.BROKEN


def _dispatch(arguments: list[str]) -> int:
    _check_directory()
    if arguments[:1] == ["--version"]:
        print(f"convbench {__version__}")
        return Exit.GOOD
    if arguments and _is_command(arguments[0]):
        return _command(arguments[0], arguments[1:])
    return _run(arguments)


def _of_import(error: ImportError) -> str:
    """What to do about a package that cannot be imported, or nothing where convbench itself is at fault."""
    missing = DEPENDENCIES.get((error.name or "").partition(".")[0])
    if isinstance(error, ModuleNotFoundError) and missing is not None:
        return (
            f"{missing} is missing in {sys.executable}; activate the environment that it is installed in "
            "(after make: . .venv/bin/activate), or pip install . in a clone"
        )
    if "cannot open shared object file" in str(error):
        return f"a library cannot be loaded: {error}"
    return ""


def _of_system(error: OSError) -> str:
    """What the operating system refused, in a sentence."""
    hint = {
        errno.EMFILE: "; allow more of them (ulimit -n)",
        errno.ENOSPC: "; free some space",
        errno.EACCES: "; give a place that you may use",
    }.get(error.errno or 0, "")
    what = f"{error.filename!r}: " if error.filename else ""
    return f"the system refuses what is needed: {what}{error.strerror or error}{hint}"


def _check_directory() -> None:
    """Raises InvalidValue where the working directory has been deleted: nothing relative to it could be found."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise InvalidValue(
            "directory", "the working directory has been deleted; change to one that exists and try again"
        ) from None


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
    """Composes, runs, concludes."""
    from .sweep import options

    line = options.read(arguments)
    if line.help or line.cfg or line.saved or line.of_hydra:
        return _answer(line)
    from .sweep.plan import asked_with, composed

    found = asked_with(composed(line), arguments)
    if line.dry_run:
        from .sweep import dry_run

        dry_run.tell(found)
        return Exit.GOOD
    return _conclude(_perform(found))


def _answer(line: Line) -> int:
    from .sweep.answers import answer

    try:
        answer(line, list(COMMANDS))
    except SystemExit as stop:  # Hydra has shown what was asked for, or said what is wrong
        return Exit.MISTAKE if stop.code else Exit.GOOD
    return Exit.GOOD


def _perform(found: Plan | Search) -> Run:
    """Runs what was composed: with the sweeper that chooses, with the launcher that is named, or here."""
    # Loaded only where something is run: --help and --cfg answer at once.
    from .sweep import running
    from .sweep.plan import Search

    if isinstance(found, Search):
        from .sweep import foreign

        return foreign.search(found.line)
    if found.launcher is not None:
        from .sweep import launched

        return launched.launch(found.sweep, found.settings, found.launcher)
    return running.here(found.sweep, found.settings)


def _conclude(run: Run) -> int:
    """Prints the summary of what was run, and says how it went as an exit code."""
    from .execution.outcome import exit_code
    from .terminal import summary as terminal

    outcome = run.outcome
    context = terminal.Context(
        run.out, illegal=run.illegal, missing=outcome.missing, unfinished=outcome.unfinished, asked=outcome.total
    )
    terminal.show(run.out, context=context)
    return _refuse(run.refused[0]) if run.refused else exit_code(outcome, run.strict)


def _refuse(text: str) -> int:
    print(f"convbench: {shortened(printable(text))}", file=sys.stderr)
    return Exit.MISTAKE


def shortened(text: str) -> str:
    """A sentence in which no quoted value hides the rest: long ones are told by their beginning and their end."""
    return re.sub(
        rf"\S{{{LONG},}}", lambda word: f"{word[0][:60]}… ({len(word[0]):,} characters) …{word[0][-20:]}", text
    )


if __name__ == "__main__":
    sys.exit(main())
