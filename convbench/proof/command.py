"""`python -m convbench validate --proof`: goes through the checks, and writes what became of them."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._version import __version__
from ..execution.interrupt import StopNow
from ..facts import units
from ..facts.devices import check_device
from ..facts.exits import Exit
from ..facts.units import count
from ..facts.values import InvalidValue, did_you_mean, number, one_of
from ..results.files import replacing
from . import page, stages, table
from .asking import Unanswered
from .checks import NOT_RUN, STAGES, Check, Result, Seen, append, made_by, read, told_by_others
from .context import Context
from .runner import Run, left
from .verdict import exit_code, sentence

SETTINGS = ("device", "out", "stages", "only", "budget_s", "retry")
CHECKS, PAGE, ENVIRONMENT = "checks.jsonl", "proof.html", "environment.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    device: str
    out: Path
    stages: tuple[str, ...]
    only: tuple[str, ...]
    budget_s: float | None
    retry: str


def main(settings: Sequence[str], as_json: bool = False) -> int:
    """Runs what is not done yet and returns 0, 1 or 4; raises InvalidValue, KeyboardInterrupt."""
    wanted = asked(settings)
    chosen = stages.chosen(wanted.stages, wanted.only)
    if not chosen:
        raise InvalidValue("only", f"only={','.join(wanted.only)} fits no check of {', '.join(wanted.stages)}")
    prepare(wanted.out)
    context = Context(wanted.device, wanted.out)
    try:
        missing = context.ask("of_device:missing")
        if missing is not None:
            print(f"convbench: there is no device={wanted.device} to prove: {missing}", file=sys.stderr)
            return Exit.UNTRUSTED
        environment = context.traits.environment
    except Unanswered as error:
        print(f"convbench: {wanted.device} tells nothing of itself: {error}", file=sys.stderr)
        return Exit.UNTRUSTED
    made = (__version__, wanted.device, environment["environment_id"])
    file = wanted.out / CHECKS
    run = Run(context, lambda result: keep(file, result), made, wanted.budget_s, begun)
    results = read(file)
    known, run.told = made_by(results, made), told_by_others(results, made)
    run.done = left(known, wanted.retry)
    greet(file, run.told - known.keys())
    keep_environment(wanted.out / ENVIRONMENT, environment)
    try:
        with terminable():
            run.go(chosen)
    finally:
        context.release()
        results = [run.done.get(check.name) or not_run(check) for check in chosen]
        write(wanted.out / PAGE, page.render(shown(chosen, known | run.done), wanted.device, environment))
    if as_json:
        print(json.dumps(said(results, wanted.device, environment), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        table.show(results, wanted.device, wanted.out / PAGE)
    return exit_code(results)


def shown(chosen: Sequence[Check], known: Mapping[str, Result]) -> list[Result]:
    """What the page shows: all that the folder knows, whichever call made it, and what of `chosen` is not known."""
    names = {check.name for check in chosen} | known.keys()
    return [known.get(check.name) or not_run(check) for check in stages.checks() if check.name in names]


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends what is done as Ctrl-C does, so that the page is written."""

    def stop(number: int, frame: object) -> None:
        raise StopNow(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def asked(settings: Sequence[str]) -> Wanted:
    """Raises InvalidValue."""
    values = {"device": "cuda", "out": "", "stages": ",".join(STAGES), "only": "", "budget_s": "", "retry": "none"}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in SETTINGS:
            hint = did_you_mean(key, SETTINGS) or f"; allowed: {', '.join(SETTINGS)}"
            raise InvalidValue(key, f"validate --proof has no setting {setting!r}{hint}")
        values[key] = text
    device = check_device(values["device"])
    return Wanted(
        device=device,
        out=Path(values["out"] or f"results/proof-{device.replace(':', '-')}"),
        stages=tuple(one_of("stages", stage, STAGES) for stage in values["stages"].strip("[]").split(",")),
        only=tuple(pattern.strip() for pattern in values["only"].strip("[]").split(",") if pattern.strip()),
        budget_s=_seconds(values["budget_s"]) if values["budget_s"] else None,
        retry=one_of("retry", values["retry"], ("none", "failed")),
    )


def _seconds(text: str) -> float:
    try:
        given: Any = float(text)
    except ValueError:
        given = text
    return number("budget_s", given, 1.0)


def prepare(out: Path) -> None:
    """Makes the folder. Raises InvalidValue."""
    try:
        (out / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue("out", f"out={out} cannot be made ({error.strerror}); give another folder") from error


def keep(file: Path, result: Result) -> None:
    """Writes a result down and says it. Raises InvalidValue."""
    try:
        append(file, result)
    except OSError as error:
        raise InvalidValue("out", f"{file} cannot be written ({error.strerror}); give another folder") from error
    seconds = units.time(result.seconds)
    print(f"{result.verdict}: {result.name} ({seconds}): {table.told(result)}", file=sys.stderr, flush=True)


def greet(file: Path, told: Collection[str]) -> None:
    """Says what becomes of results that do not count any more."""
    if told:
        said = f"{file} holds {count(len(told), 'check')} of another version of convbench or in another environment"
        print(f"convbench: {said}: made again, after those that nobody has told yet", file=sys.stderr)


def keep_environment(file: Path, environment: Mapping[str, Any]) -> None:
    """Adds it to those that the file holds, by their names. Raises InvalidValue."""
    try:
        held = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (OSError, ValueError):
        held = {}  # the results that were made there say its name
    held = held if isinstance(held, dict) else {}
    write(file, json.dumps({**held, environment["environment_id"]: environment}, indent=1, ensure_ascii=False) + "\n")


def begun(check: Check) -> None:
    """Tells a terminal what is being waited for."""
    if sys.stderr.isatty():
        print(f"… {check.stage}: {check.name}", end="\r", file=sys.stderr, flush=True)


def write(file: Path, text: str) -> None:
    """Raises InvalidValue."""
    try:
        with replacing(file) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidValue("out", f"{file} cannot be written ({error.strerror}); give another folder") from error


def not_run(check: Check) -> Result:
    return Result.of(check, Seen(NOT_RUN, "", "its time was over, or the program was ended before it"))


def said(results: Sequence[Result], device: str, environment: Mapping[str, Any]) -> dict[str, Any]:
    """The one object that --json prints."""
    return {
        "device": device,
        "environment": environment,
        "checks": [asdict(result) for result in results],
        "sentence": sentence(results, device),
        "exit_code": int(exit_code(results)),
    }
