"""The steps of a night, each with an exit code: canary, sweep, gate, accept, or the first three in one go.

Every night that passes becomes the next night's baseline, one per sweep, its settings and environment fingerprint, in
a folder that outlives the job; `accept` makes one that did not pass the baseline, on purpose.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..devices import missing_device
from ..facts.exits import Exit
from .baselines import forget, keep, nights
from .night import NOTE, WITHOUT_SWEEP, baseline, invalid, own_verdict


@dataclass(frozen=True, slots=True)
class Night:
    """What one night is: a saved `sweep` (empty: none) with `settings`, a share `I/N` of it, and where it goes.

    `keeps`: a good one may become the baseline.
    """

    out: Path
    baselines: Path
    sweep: str = ""
    settings: tuple[str, ...] = ()
    device: str = "cpu"
    shard: str = "1/1"
    keeps: bool = True

    @property
    def words(self) -> list[str]:
        """The sweep as on convbench's own command line."""
        saved = [f"+sweep={self.sweep}"] if self.sweep else []
        return [*saved, f"device={self.device}", "strict=true", *self.settings]


def convbench(*words: str) -> int:
    """The exit code of one convbench command, which is shown first."""
    print(f"$ convbench {' '.join(words)}", flush=True)
    process = subprocess.Popen([sys.executable, "-m", "convbench", *words], stdin=subprocess.DEVNULL)
    try:
        return process.wait()
    except BaseException:  # interrupted: what it measured is merged before it ends
        process.terminate()
        process.wait()
        raise


def say(text: str) -> None:
    """Prints a paragraph; on GitHub it goes to the job's summary as well."""
    print(text, flush=True)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")


def canary(night: Night) -> int:
    """4 unless timings from this machine can be trusted: the night is then invalid, not regressed."""
    code = convbench("validate", f"device={night.device}")
    if code == Exit.UNTRUSTED:
        missing = missing_device(night.device)
        if missing is not None:
            say(f"**canary**: there is no device={night.device} here: {missing}.")
            return code
    if code not in (Exit.GOOD, Exit.MISTAKE):
        say(f"**canary**: timings from this machine cannot be trusted now (`convbench validate` exited {code}).")
        return Exit.UNTRUSTED
    return code


def sweep(night: Night) -> int:
    """Measures one share of the night's sweep into its own folder below `out`."""
    share, of = night.shard.split("/")
    folder = night.out / f"shard-{share}-of-{of}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTE).write_text(json.dumps([night.sweep, *night.settings]) + "\n", encoding="utf-8")
    # Shards are cut from the expanded grid, so every share sees the same order.
    code = convbench("-m", *night.words, f"shard={night.shard}", f"out={folder}")
    if code:
        say(f"**sweep {night.sweep or ' '.join(night.settings)}, share {night.shard}**: exit code {code}.")
    return code


def gate(night: Night) -> int:
    """Compares the night with the last good one of the same kind, and keeps it when it is good itself.

    The first night of its kind has nothing to be compared with: where it is good and kept, that is no fault.
    """
    fault = invalid(night.out, night.sweep)
    if fault:
        say(f"**gate**: this night is invalid: {fault} in {night.out}. Its canary or the sweep itself said why.")
        return Exit.UNTRUSTED
    own = own_verdict(night.out)
    home = baseline(night.out, night.baselines, night.sweep)
    if not home.is_dir():
        say(f"**gate**: no earlier run of {_kind(home)} in this environment ({home.name}): nothing was compared.")
        if own != Exit.GOOD:
            return own
        if not kept(night, home):
            return Exit.UNTRUSTED
        say("This run is kept, and the next one is compared with it.")
        return Exit.GOOD
    page = night.out / "compare.md"
    # The night's own sweep has run the methods that its table names.
    words = ["--confirm", "--trust", "all", "--format", "markdown", "--out", str(page)]
    # A loss of 1% a night would pass every single night.
    words += ["--history", str(nights(home))] if nights(home).is_dir() else []
    code = convbench("compare", str(home), str(night.out), *words)
    if page.exists():
        say(page.read_text(encoding="utf-8"))
    if code == own == Exit.GOOD:
        kept(night, home)
    return own if own != Exit.GOOD and code != Exit.WRONG else code


def _kind(home: Path) -> str:
    return "these settings" if home.parent.name == WITHOUT_SWEEP else home.parent.name


def kept(night: Night, home: Path) -> bool:
    """Keeps the night unless that is forbidden; says so where it is."""
    if night.keeps:
        keep(night.out, home)
    else:
        say("This run is not kept: the baseline stays as it was (--no-keep, or KEEP_BASELINE=false).")
    return night.keeps


def accept(night: Night) -> int:
    """Makes a night the baseline whatever the gate said of it; 1, 3 or 4 for one that could never be a baseline."""
    fault = invalid(night.out, night.sweep)
    if fault:
        say(f"**accept**: this night is invalid: {fault} in {night.out}; the baseline stays as it was.")
        return Exit.UNTRUSTED
    own = own_verdict(night.out)
    if own != Exit.GOOD:
        what = {Exit.WRONG: "a wrong gradient", Exit.UNMEASURED: "rows that could not be measured"}[own]
        say(f"**accept**: this night has {what}; the baseline stays as it was.")
        return own
    home = baseline(night.out, night.baselines, night.sweep)
    forget(home)
    keep(night.out, home)
    say(f"**accept**: {night.out} is the baseline of {_kind(home)} in this environment ({home.name}) now.")
    return Exit.GOOD


def whole(night: Night) -> int:
    """All steps in one go on one machine."""
    code = canary(night)
    if code != Exit.GOOD:
        return code
    code = sweep(night)
    # 1 and 3 leave a table that is worth comparing; anything else leaves none.
    return gate(night) if code in (Exit.GOOD, Exit.WRONG, Exit.UNMEASURED) else code


STEPS = {"canary": canary, "sweep": sweep, "gate": gate, "accept": accept}
