"""The options of convbench's own command line, apart from its words (`key=value`)."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from ..facts.values import InvalidValue
from .config import KEYS

GROUP = "sweep"
"""The group of files that saved sweeps are."""
SWEEPING = (f"+{GROUP}=", "cases=")
"""Words that stand for several configurations, so that -m need not be written."""

_OF_HYDRA: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--hydra-help", {"action": "store_true"}),
    ("--cfg -c", {"choices": ("job", "hydra", "all")}),
    ("--resolve", {"action": "store_true"}),
    ("--package -p", {}),
    ("--run -r", {"action": "store_true"}),
    ("--multirun -m", {"action": "store_true"}),
    ("--shell-completion -sc", {"action": "store_true"}),
    ("--config-path -cp", {}),
    ("--config-name -cn", {}),
    ("--config-dir -cd", {}),
    ("--info -i", {"nargs": "?", "const": "all"}),
    ("--experimental-rerun", {}),
)
"""Hydra's options, as its own parser reads them."""


@dataclass(frozen=True, slots=True)
class Line:
    """A command line that has been read. `words` are settings and choices of files, in Hydra's grammar."""

    words: tuple[str, ...]
    multirun: bool = False
    config_path: str | None = None
    config_name: str = "config"
    config_dir: str | None = None
    help: bool = False
    dry_run: bool = False
    saved: bool = False
    """`+sweep=` without a name: which saved sweeps are there?"""
    cfg: str | None = None
    package: str | None = None
    resolve: bool = False
    of_hydra: tuple[str, ...] = ()
    """What Hydra itself is asked for, as words of its own command line: --info, --hydra-help, completion."""

    @property
    def sweeping(self) -> bool:
        """Whether the line stands for a sweep, as far as the line itself says."""
        return self.multirun or any(word.startswith(SWEEPING) for word in self.words)

    def with_words(self, words: Sequence[str]) -> Line:
        return replace(self, words=(*self.words, *words))


def read(arguments: Sequence[str]) -> Line:
    """Options and settings in any order. Raises InvalidValue."""
    # argparse alone takes no further settings after the first group of them.
    args = _parser().parse_intermixed_args(list(arguments))
    if args.experimental_rerun:
        raise InvalidValue("options", "--experimental-rerun needs Hydra's own job files, which are not written here")
    if args.resolve and not args.cfg:
        raise InvalidValue("options", "--resolve belongs to --cfg, as in --cfg job --resolve")
    if args.package and not args.cfg:
        raise InvalidValue("options", f"--package {args.package} belongs to --cfg, as in --cfg job -p measure")
    # Hydra wants the plus sign, since no sweep is chosen by default; nobody means anything else without it.
    words = tuple(f"+{word}" if word.startswith(f"{GROUP}=") else word for word in args.words)
    return Line(
        words=words,
        multirun=args.multirun,
        config_path=args.config_path,
        config_name=args.config_name or "config",
        config_dir=args.config_dir,
        help=args.help,
        dry_run=args.dry_run,
        saved=f"+{GROUP}=" in words,
        cfg=args.cfg,
        package=args.package,
        resolve=args.resolve,
        of_hydra=tuple(_of_hydra(args)),
    )


def _of_hydra(args: argparse.Namespace) -> list[str]:
    asked = [f"--info={args.info}"] if args.info else []
    asked += ["--hydra-help"] if args.hydra_help else []
    return asked + (["--shell-completion"] if args.shell_completion else [])


def _parser() -> argparse.ArgumentParser:
    """A mistake raises instead of printing the usage."""

    def refuse(message: str) -> NoReturn:
        word = re.match(r"unrecognized arguments: --?([\w.]+)(=\S*)?", message)
        if word is not None and word[1] in KEYS:
            written = f"--{word[1]}{word[2] or ''}"
            value = (word[2] or "=")[1:] or "…"
            raise InvalidValue(
                "options", f"{written} is not an option; settings are written without dashes: {word[1]}={value}"
            )
        raise InvalidValue("options", f"{message}; `python -m convbench --help` shows how it is called")

    parser = argparse.ArgumentParser("convbench", add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    for names, how in _OF_HYDRA:
        parser.add_argument(*names.split(), **how)
    parser.error = refuse  # type: ignore[method-assign]
    return parser
