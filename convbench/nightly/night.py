"""The folder of one night: the tables of its shares, what it was asked for, and what it says of itself."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from ..facts.exits import Exit
from ..results import run_file
from ..results.table import load

SHARES = "shard-*-of-*/results.parquet"
TABLE = "results.parquet"
NOTE = "night.json"
"""Beside a share's table: a list of the sweep's name and the settings that it was run with."""

WITHOUT_SWEEP = "run"
"""Folder of the baselines of nights that are no saved sweep's."""

LONGEST_NAME = 200
"""Most file systems end a name after 255 bytes; `baseline` and `keep` add up to 51 to this."""

ASIDE = ("out", "shard", "strict", "retry")
"""Settings of a run that do not decide what is measured."""


def tables(out: Path) -> list[Path]:
    """The table of each share, or that of the folder itself where one run wrote it as a whole."""
    return sorted(out.glob(SHARES)) or [file for file in (out / TABLE,) if file.is_file()]


def invalid(out: Path, sweep: str = "") -> str:
    """Why the tables are no whole night, in words; "" where they are.

    A share that is missing must not look like cells that vanished: that would be a regression.
    """
    found = tables(out)
    if not found:
        return "there is no table"
    if found == [out / TABLE]:
        return ""
    names = [file.parent.name for file in found]
    wanted = {int(name.rpartition("-")[2]) for name in names}
    if len(wanted) != 1:
        return "shares of different splits"
    of = wanted.pop()
    lost = [str(k) for k in range(1, of + 1) if f"shard-{k}-of-{of}" not in names]
    if lost:
        return f"there is no table of share {', '.join(lost)} of {of}"
    return "shares of different sweeps or overrides" if len(asked(out, sweep)) > 1 else ""


def asked(out: Path, sweep: str = "") -> set[tuple[str, ...]]:
    """The saved sweep's name and the settings that each share was run with; the name is empty where there is none.

    A share without a note of them is told by its run.json, and without that by `sweep` alone.
    """
    return {_asked(file.parent, sweep) for file in tables(out)}


def _asked(folder: Path, sweep: str) -> tuple[str, ...]:
    note = folder / NOTE
    if note.exists():
        return tuple(json.loads(note.read_text(encoding="utf-8")))
    said = [one["argv"] for one in run_file.runs(folder) if isinstance(one.get("argv"), list)]
    if not said:
        return (sweep,)
    words = [str(word) for word in said[-1] if word not in ("-m", "--multirun")]
    named = [word for word in words if word.lstrip("+").startswith("sweep=")]
    kept = [word for word in words if word not in named and word.lstrip("+").partition("=")[0] not in ASIDE]
    return (named[-1].partition("=")[2] if named else "", *kept)


def own_verdict(out: Path) -> Exit:
    """What the night says of itself: a wrong gradient, a row that could not be measured, or nothing bad."""
    table = load(out)
    if (table["accuracy"] == "fail").any():
        return Exit.WRONG
    return Exit.GOOD if table["status"].isin(["ok", "unsupported"]).all() else Exit.UNMEASURED


def baseline(out: Path, baselines: Path, sweep: str = "") -> Path:
    """Where the baseline of a valid night belongs: one for each sweep, settings and environment.

    A night with settings of its own measures something else than the sweep does, so it is compared with its like alone.
    """
    ((name, *settings),) = asked(out, sweep)
    here = fingerprint(out)
    if settings:
        here += "-" + _hash("\n".join(settings))
    return baselines / folder_of(name) / here


def folder_of(sweep: str) -> str:
    """A sweep's name as that of one folder below the baselines, whatever it holds; `run` where there is none."""
    if "/" not in sweep and "\\" not in sweep and sweep not in (".", ".."):
        return sweep or WITHOUT_SWEEP
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', sweep)[:LONGEST_NAME]}-{_hash(sweep)}"


def fingerprint(out: Path) -> str:
    """The environments of a run as a folder's name; several when its shards ran on different machines."""
    found = sorted(load(out)["environment_id"].dropna().unique())
    name = "+".join(found) or "unknown"
    return name if len(name) <= LONGEST_NAME else f"{len(found)}-environments-{_hash(name)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
