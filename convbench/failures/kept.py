"""OUT/failures/CONFIGURATION/METHOD/: what a failure leaves behind, to be looked at and made to happen again.

    failure.txt     what failed and how, the configuration, what was cut
    reproduce.py    a script without convbench that exits with 1 while the method fails (reproducer.py)
    tensors.pt      operands, result and reference, where there is a result or the operands were made (tensors.py)
    traceback.txt   of an exception, whole
    output.txt      the last that the method's process printed
    *.py            the file of a method of one's own, as it was

Nothing here may cost a run anything: a folder is there whole or not at all, bounded in size and number, and what a disk
does not take is left out. Imports no torch: the process that drives a sweep keeps what a dead child leaves.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..facts.module_files import file_of
from ..facts.record import FAILED
from ..facts.spec import Spec
from ..facts.wrt import OUTPUT, kind_of
from .reproducer import Reproducer, script

FOLDER = "failures"
OF_A_METHOD = 8
"""So many failures of one method are kept in a run."""
OF_A_RUN = 40
MOST_BYTES = 2**29
"""Together; further ones are kept without their tensors."""
LEFT_FREE = 2**26
"""Bytes that the disk must have left over: rows come first."""
MOST_TEXT = 2**18
"""Characters of a traceback or an output."""
MOST_SOURCE = 2**20
"""Bytes of a method's file."""
NOT_KEPT = f"at most {OF_A_METHOD} of a method and {OF_A_RUN} of a run"

TENSORS, UNFINISHED = "tensors.pt", f".unfinished-{platform.node()}-"


class Told(NamedTuple):
    """What a method's end tells: the traceback of its exception, and the last that its process printed."""

    traceback: str = ""
    output: str = ""


NOTHING_TOLD = Told()


class Saved(NamedTuple):
    """What a file of tensors holds: notes on what was cut, and whether the operands of an earlier call."""

    notes: list[str]
    earlier: bool


Save = Callable[[Path], Saved | None]
"""Writes tensors to a file; None where they are too large."""


def keep(failures: Path, row: Mapping[str, Any], asked: Reproducer, told: Told, save: Save | None = None) -> str | None:
    """Keeps one failure; the folder's path from the run's folder, or None where nothing could be kept."""
    place = failures / row["config_id"] / asked.method.replace(":", ".")
    if not place.exists() and _full(failures, place.name):
        return None
    unfinished = failures / f"{UNFINISHED}{os.getpid()}"
    try:
        _clear(unfinished)
        unfinished.mkdir(parents=True)
        if shutil.disk_usage(unfinished).free < LEFT_FREE:
            return None
        _write(unfinished, row, asked, told, save if _size(failures) < MOST_BYTES else None)
        _clear(place)
        place.parent.mkdir(exist_ok=True)
        unfinished.rename(place)
    except (OSError, RuntimeError, MemoryError):  # a full disk, or a limit on memory; torch.save raises RuntimeError
        return None
    finally:
        with suppress(OSError):
            _clear(unfinished)
    return str(place.relative_to(failures.parent))


class Kept(Protocol):
    """A failure of a method (failure.Failure)."""

    @property
    def method(self) -> str: ...

    def kept(self, failures: Path, row: dict[str, Any]) -> str | None: ...


def keep_all(failures: Path, rows: Sequence[dict[str, Any]], found: Sequence[Kept], process: int = 0) -> None:
    """Keeps the failures of a configuration and names the folders in their rows; forgets what fails no more.

    `process`: which of the processes that measure it; a failure in one of them stands, whatever the next ones find.
    """
    known = {failure.method: failure for failure in found}
    _clear_after_the_dead(failures)
    for row in rows:
        failure = known.get(row["method"])
        if failure is not None:
            if (place := failure.kept(failures, row)) is not None:
                row["failure"] = place
        elif process == 0 and row["status"] not in FAILED and row.get("accuracy") != "fail":
            forget(failures, row["config_id"], row["method"])


def forget(failures: Path, config_id: str, method: str) -> None:
    """Takes away what an earlier failure of a method left that does not fail any more."""
    place = failures / config_id / method.replace(":", ".")
    if place.exists():
        with suppress(OSError):
            _clear(place)
            place.parent.rmdir()  # if it is empty


def _full(failures: Path, method: str) -> bool:
    kept = list(failures.glob("[!.]*/*"))
    return len(kept) >= OF_A_RUN or sum(one.name == method for one in kept) >= OF_A_METHOD


def _size(failures: Path) -> int:
    found = 0
    for path in failures.glob("[!.]*/*/*"):
        with suppress(OSError):
            found += path.stat().st_size
    return found


def _clear_after_the_dead(failures: Path) -> None:
    """Takes away what processes of this machine were writing when they were killed."""
    for folder in failures.glob(f"{UNFINISHED}*"):
        try:
            os.kill(int(folder.name.removeprefix(UNFINISHED)), 0)
        except ProcessLookupError:
            with suppress(OSError):
                _clear(folder)
        except (OSError, ValueError):  # somebody else's process, or folder
            continue


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _write(folder: Path, row: Mapping[str, Any], asked: Reproducer, told: Told, save: Save | None) -> None:
    own, notes = _own(asked.method, folder)
    asked = replace(asked, own_file=own, own_copy=None if own is None else own.name)
    saved = None if save is None else save(folder / TENSORS)
    if saved is not None:
        notes += saved.notes
        asked = replace(asked, tensors=TENSORS, earlier=saved.earlier)
    else:
        notes.append("operands, result and reference are not here: they are too large, or there were none")
    for name, text in (("traceback.txt", told.traceback), ("output.txt", told.output)):
        if text.strip():
            (folder / name).write_text(_bounded(text), encoding="utf-8", errors="replace")
    try:
        (folder / asked.name).write_text(script(asked), encoding="utf-8")
        if asked.together is not None:
            notes.append(f"wrt={asked.together} was asked for at once; tensors and script look at wrt={asked.spec.wrt}")
    except (KeyError, ValueError) as error:
        notes.append(f"no script: {error}")
    (folder / "failure.txt").write_text(_page(row, notes), encoding="utf-8")


def _own(method: str, folder: Path) -> tuple[Path | None, list[str]]:
    """The file of a method of the user's own, after it has been copied to the folder."""
    if ":" not in method:
        return None, []
    found = file_of(method.partition(":")[0])
    if found is None or not Path(found).is_file():
        return None, ["the method's file was not found"]
    path = Path(found)
    if path.suffix != ".py" or path.stat().st_size > MOST_SOURCE:
        return path, [f"{path} is not copied: it is no Python file, or larger than {MOST_SOURCE >> 20} MiB"]
    shutil.copyfile(path, folder / path.name)
    return path, []


def _bounded(text: str) -> str:
    """The text; of one that is too long its beginning and its end."""
    if len(text) <= MOST_TEXT:
        return text
    half = MOST_TEXT // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _page(row: Mapping[str, Any], notes: list[str]) -> str:
    """failure.txt."""
    told = ("method", "status", "accuracy", "reason")
    lines = [f"{name}: {row[name]}" for name in told if row.get(name) is not None]
    lines += ["", *notes, "", "The row of the table, as far as it was known:", ""]
    lines += [f"{name}={value}" for name, value in row.items() if name not in told and value is not None]
    return "\n".join(lines) + "\n"


def reproducer(spec: Spec, method: str, row: Mapping[str, Any]) -> Reproducer:
    """The script of a failed row, before it is known what it can be given."""
    together = spec.wrt if spec.joint else None
    spec = replace(spec, wrt=spec.wrts[0])
    what = f"{method} fails" if row.get("accuracy") != "fail" else f"{method} gives a wrong {kind_of(spec.wrt)}"
    case = spec.case
    sizes = f"{case.op} {list(case.input_shape)} → {list(case.output_shape)}, weight {list(case.weight_shape)}"
    asked = "" if spec.wrt == OUTPUT else f" with respect to {spec.wrt}"
    said = f"{what}{asked} of {sizes}, {spec.dtype}."
    return Reproducer(spec, method, f"{said}\n\n{row.get('reason', row.get('status'))}", together=together)
