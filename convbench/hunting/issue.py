"""A region on disk: a script of plain torch that shows it, and a text that can be pasted into an issue upstream."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..facts import units
from ..facts.module_files import file_of
from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..facts.wrt import kind_of
from ..failures.reproducer import Reproducer, can_draw, script
from ..results.files import replacing
from .objective import Objective
from .output import axis, name_of, other, title
from .point import environment_of
from .region import Region
from .space import Space

FOLDER = "hunt"
LIBRARIES = ("ONEDNN_", "OMP_", "MKL_", "CUBLAS_", "CUDNN_", "TORCH_")
"""What the names of environment variables begin with that libraries read."""
CALLS = 100
"""In the script of a crash: a dozen calls in a fresh process are what confirmed it."""
SCRIPT_S = 60.0
"""Seconds that a script may take when it is tried."""
VERSIONS = ("torch", "python", "system", "architecture", "cpu", "cores", "numpy", "torch_config")
"""What an environment's file says that decides what a library computes."""


class Writer:
    """Writes DIR/hunt/NUMBER-OBJECTIVE-METHOD.py and .md for each region, in the order in which they were found."""

    def __init__(self, out: Path, objective: Objective, space: Space, argv: Sequence[str]) -> None:
        self._folder, self._out = out / FOLDER, out
        self._objective, self._space, self._argv = objective, space, argv
        self._numbers: dict[int, int] = {}

    def write(self, region: Region) -> None:
        """Writes both files anew, and tries the script. Raises InvalidValue where they cannot be written."""
        number = self._numbers.setdefault(id(region), len(self._numbers) + 1)
        name = f"{number}-{self._objective.name}-{region.hit.method.rpartition(':')[2]}"
        try:
            self._folder.mkdir(exist_ok=True)
            text = self._script(region, f"{name}.py")
            if text is not None:
                _put(self._folder / f"{name}.py", text)
                region.script = tried(self._folder / f"{name}.py")
            _put(self._folder / f"{name}.md", self._issue(region, text, f"{name}.py"))
        except OSError as error:
            raise InvalidValue("out", f"{self._folder} cannot be written to ({error.strerror})") from error
        suffixes = (".py", ".md") if text is not None else (".md",)
        region.files = [str(self._folder / f"{name}{suffix}") for suffix in suffixes]

    def _spec(self, region: Region) -> Spec:
        hit = region.hit
        asked = self._space.asked
        methods = asked.of(hit.method) if hit.rival is None else asked.of(hit.rival, baseline=hit.method)
        return methods.spec(region.point, "written")

    def _script(self, region: Region, name: str) -> str | None:
        spec, hit = self._spec(region), region.hit
        if not can_draw(spec):
            return None
        own = file_of(hit.method.partition(":")[0]) if ":" in hit.method else None
        said = f"{title(region)}: {hit.said}"
        return script(
            Reproducer(
                spec,
                hit.method,
                said,
                own_file=Path(own) if own else None,
                environment={k: v for k, v in environment_of(region.point).items() if v is not None},
                rival=hit.rival,
                slower=self._objective.least if hit.rival is not None and self._objective.least else 1.0,
                calls=CALLS if self._objective.name == "crash" else 1,
                name=name,
            )
        )

    def _issue(self, region: Region, text: str | None, name: str) -> str:
        parts = [
            f"# {title(region)}",
            f"{_first_sentence(self._objective, region)} Found by `{_command(self._argv)}`.",
            _table(region),
            _figures(region),
            "## What it depends on\n\n" + "\n".join(depends(region)),
            "## Versions\n\n" + _versions(self._out, region),
        ]
        if text is not None:
            ran = f" Run once more: {region.script}." if region.script else ""
            parts.insert(
                2,
                f"## To reproduce\n\n`python {name}`, a script that needs torch alone; exit code 1 while the result is "
                f"wrong, 0 when it is right.{ran}\n\n<details><summary>{name}</summary>\n\n```python\n{text}```\n\n"
                "</details>",
            )
        return "\n\n".join(filter(None, parts)) + "\n"


def _put(file: Path, text: str) -> None:
    with replacing(file) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def tried(file: Path) -> str:
    """How a script ended in a fresh process: `the script ends with exit code 1`."""
    try:
        done = subprocess.run(
            [sys.executable, str(file)], capture_output=True, text=True, timeout=SCRIPT_S, errors="replace", check=False
        )
    except subprocess.TimeoutExpired:
        return f"the script did not end within {units.duration(SCRIPT_S)}"
    if done.returncode < 0:
        return f"the script is killed by {signal.Signals(-done.returncode).name}"
    last = done.stdout.strip().splitlines()[-1:]
    said = f" ({last[0]})" if last else ""
    how = "shows it" if done.returncode else "does not show it"
    return f"the script {how}: exit code {done.returncode}{said}"


def _command(argv: Sequence[str]) -> str:
    return f"python -m convbench {shlex.join(argv)}"


def _first_sentence(objective: Objective, region: Region) -> str:
    seen, number = region.times
    count = f"{seen} of {units.count(number, 'fresh process', 'fresh processes')}"
    expected = EXPECTED[objective.name].format(what=kind_of(region.point["wrt"]))
    return f"`{region.hit.method}` {region.hit.said}. Expected: {expected}. Seen in {count}."


EXPECTED = {
    "crash": "a result",
    "fail": "the {what}, to within the rounding of its dtype",
    "bound_ratio": "errors within the bound of the dtype's rounding",
    "slow": "the time of the faster method, or less",
}


def _table(region: Region) -> str:
    """The configuration, setting by setting."""
    rows = [f"| {axis(key)} | {value} |" for key, value in region.point.items() if value is not None]
    return "| setting | value |\n|---|---|\n" + "\n".join(rows)


def _figures(region: Region) -> str:
    """The figures of the rows that confirmed it, with their intervals."""
    lines = []
    for row in region.rows:
        said = [f"accuracy {row['accuracy']}"] if row.get("accuracy") else [str(row["status"])]
        if row.get("bound_ratio") is not None:
            said.append(f"largest error {row['bound_ratio']:.3g} times its bound")
        if row.get("rel_l2_err") is not None:
            said.append(f"relative error {row['rel_l2_err']:.2e}")
        if row.get("time_s") is not None:
            ends = f"{units.time(row.get('time_low_s'))} to {units.time(row.get('time_high_s'))}"
            said.append(f"{units.time(row['time_s'])} a call, 95% interval in this process {ends}")
        if row.get("speedup") is not None and row["method"] != row["baseline"]:
            ratio = units.interval(row["speedup"], row.get("speedup_low"), row.get("speedup_high"))
            said.append(f"{row['baseline']} takes {ratio} as long")
        lines.append(f"- `{row['method']}`: {'; '.join(said)}")
    return "## Figures\n\n" + "\n".join(lines) if lines else ""


def depends(region: Region) -> list[str]:
    """Which axes matter, in lines of Markdown."""
    point = region.point
    goes = [f"- goes away with {other(key, point)}" for key in region.matters]
    stays = [f"- stays with `{axis(key)}` = {value}" for key, value in region.stays.items()]
    more = [f"- simplified from: {name_of(region.origin)}"] if region.point != region.origin else []
    if region.worst is not None:
        more.append(f"- the largest value seen: {region.worst[0]:.3g}, {name_of(region.worst[1])}")
    if region.elsewhere:
        more.append("- a process that had run it died in a later configuration, which is well by itself")
    return [*goes, *stays, *more]


def _versions(out: Path, region: Region) -> str:
    """The environment that the rows were measured in, and the variables that libraries read."""
    found = _environment(out, region.rows)
    lines = [f"- {key}: {_said(found[key])}" for key in VERSIONS if found.get(key)]
    read = sorted(name for name in os.environ if name.startswith(LIBRARIES))
    return "\n".join([*lines, *(f"- {name}={os.environ[name]}" for name in read)])


def _said(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _environment(out: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    for key in {row["environment_id"] for row in rows if row.get("environment_id")}:
        with suppress(OSError, ValueError):
            found = json.loads((out / "parts" / f"environment-{key}.json").read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
    return {}
