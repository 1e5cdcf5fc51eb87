#!/usr/bin/env python3
"""A scheduled run, step by step: canary, sweep, gate. `make nightly` runs all three; a workflow runs them as jobs.

Every night that passes becomes the next night's baseline, one per sweep, its overrides and environment fingerprint, in
a folder that outlives the job; `accept` makes one that did not pass the baseline, on purpose. Exit codes are
convbench's own: 0 good; 1 a regression or a wrong gradient; 2 the command line is at fault; 3 something could not be
measured; 4 nothing to compare with, or a machine that cannot be trusted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

NIGHTS = 60
"""Good nights whose tables stay beside a baseline: what `compare --history` looks at."""
KEPT_OF_A_NIGHT = ("results.parquet", "environment.json", "run.json")
BASELINES = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "convbench" / "baselines"
TABLES = "shard-*-of-*/results.parquet"
NOTE = "night.json"
"""Beside a share's table: a list of the sweep's name and the overrides that it was run with."""

LONGEST_NAME = 200
"""Most file systems end a name after 255 bytes; `baseline` and `keep` add up to 51 to this."""


def convbench(*words: str) -> int:
    """The exit code of one convbench command, which is shown first."""
    print(f"$ convbench {' '.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", "convbench", *words], stdin=subprocess.DEVNULL, check=False).returncode


def say(text: str) -> None:
    """Prints a paragraph; on GitHub it goes to the job's summary as well."""
    print(text, flush=True)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")


def canary(options: argparse.Namespace) -> int:
    """4 unless timings from this machine can be trusted: the night is then invalid, not regressed."""
    code = convbench("validate", f"device={options.device}")
    if code == 4:
        from convbench.devices import missing_device

        missing = missing_device(options.device)
        if missing is not None:
            say(f"**canary**: there is no device={options.device} here: {missing}.")
            return 4
    if code not in (0, 2):
        say(f"**canary**: timings from this machine cannot be trusted now (`convbench validate` exited {code}).")
        return 4
    return code


def sweep(options: argparse.Namespace) -> int:
    """Measures one share of the night's sweep into its own folder below `out`."""
    share, of = options.shard.split("/")
    folder = options.out / f"shard-{share}-of-{of}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTE).write_text(json.dumps([options.sweep, *options.overrides]) + "\n", encoding="utf-8")
    words = [f"+sweep={options.sweep}", f"device={options.device}", "strict=true", *options.overrides]
    # Shards are cut from the expanded grid, so every share sees the same order.
    code = convbench("-m", *words, f"shard={options.shard}", f"out={folder}")
    if code:
        say(f"**sweep {options.sweep}, share {options.shard}**: exit code {code}.")
    return code


def gate(options: argparse.Namespace) -> int:
    """Compares the night with the last good one of the same kind, and keeps it when it is good itself."""
    fault = invalid(options)
    if fault:
        say(f"**gate**: this night is invalid: {fault} in {options.out}. Its canary or the sweep itself said why.")
        return 4
    own = own_verdict(options.out)
    home = baseline(options)
    if not home.is_dir():
        say(f"**gate**: no earlier run of {home.parent.name} in this environment ({home.name}): nothing was compared.")
        if own == 0 and kept(options, home):
            say("This run is kept, and the next one is compared with it.")
        return own or 4
    page = options.out / "compare.md"
    # The night's own sweep has run the methods that its table names.
    words = ["--confirm", "--trust", "all", "--format", "markdown", "--out", str(page)]
    # A loss of 1% a night would pass every single night.
    words += ["--history", str(nights(home))] if nights(home).is_dir() else []
    code = convbench("compare", str(home), str(options.out), *words)
    if page.exists():
        say(page.read_text(encoding="utf-8"))
    if code == own == 0:
        kept(options, home)
    return own if own in (1, 3) and code != 1 else code


def kept(options: argparse.Namespace, home: Path) -> bool:
    """Keeps the night unless --no-keep forbids it; says so where it does."""
    if options.keep:
        keep(options.out, home)
    else:
        say("This run is not kept: the baseline stays as it was (--no-keep, or KEEP_BASELINE=false).")
    return bool(options.keep)


def accept(options: argparse.Namespace) -> int:
    """Makes a night the baseline whatever the gate said of it; 1, 3 or 4 for one that could never be a baseline."""
    fault = invalid(options)
    if fault:
        say(f"**accept**: this night is invalid: {fault} in {options.out}; the baseline stays as it was.")
        return 4
    own = own_verdict(options.out)
    if own:
        what = {1: "a wrong gradient", 3: "rows that could not be measured"}[own]
        say(f"**accept**: this night has {what}; the baseline stays as it was.")
        return own
    home = baseline(options)
    # What is accepted is the new level; the old nights would call it a regression for ever.
    shutil.rmtree(nights(home), ignore_errors=True)
    keep(options.out, home)
    say(f"**accept**: {options.out} is the baseline of {home.parent.name} in this environment ({home.name}) now.")
    return 0


def night(options: argparse.Namespace) -> int:
    """All steps in one go on one machine."""
    code = canary(options)
    if code:
        return code
    code = sweep(options)
    # 1 and 3 leave a table that is worth comparing; anything else leaves none.
    return gate(options) if code in (0, 1, 3) else code


def invalid(options: argparse.Namespace) -> str:
    """Why the tables of the night are no whole night, in words; "" where they are.

    A share that is missing must not look like cells that vanished: that would be a regression.
    """
    names = [file.parent.name for file in options.out.glob(TABLES)]
    wanted = {int(name.rpartition("-")[2]) for name in names}
    if len(wanted) != 1:
        return "shares of different splits" if wanted else "there is no table"
    of = wanted.pop()
    lost = [str(k) for k in range(1, of + 1) if f"shard-{k}-of-{of}" not in names]
    if lost:
        return f"there is no table of share {', '.join(lost)} of {of}"
    return "shares of different sweeps or overrides" if len(asked(options)) > 1 else ""


def asked(options: argparse.Namespace) -> set[tuple[str, ...]]:
    """The sweep and the overrides that each share was run with; --sweep alone for a share without a note of them."""
    notes = [file.with_name(NOTE) for file in options.out.glob(TABLES)]
    return {tuple(json.loads(n.read_text(encoding="utf-8"))) if n.exists() else (options.sweep,) for n in notes}


def baseline(options: argparse.Namespace) -> Path:
    """Where the baseline of a valid night belongs.

    A night with overrides measures something else than the sweep does, so it is compared with its like alone.
    """
    ((sweep, *overrides),) = asked(options)
    name = fingerprint(options.out)
    if overrides:
        name += "-" + hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:12]
    return Path(options.baselines / folder_of(sweep) / name)


def folder_of(sweep: str) -> str:
    """A sweep's name as that of one folder below the baselines, whatever $SWEEP holds."""
    if "/" not in sweep and "\\" not in sweep and sweep not in ("", ".", ".."):
        return sweep
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', sweep)[:LONGEST_NAME]}-{hashlib.sha256(sweep.encode()).hexdigest()[:12]}"


def own_verdict(out: Path) -> int:
    """What the night says of itself: 1 for a wrong gradient, 3 for a row that could not be measured, else 0."""
    import convbench

    table = convbench.load(out)
    if (table["accuracy"] == "fail").any():
        return 1
    return 0 if table["status"].isin(["ok", "unsupported"]).all() else 3


def fingerprint(out: Path) -> str:
    """The environments of a run as a folder's name; several when its shards ran on different machines."""
    import convbench

    found = sorted(convbench.load(out)["environment_id"].dropna().unique())
    name = "+".join(found) or "unknown"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{len(found)}-environments-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def keep(out: Path, home: Path) -> None:
    """Makes a run the baseline. `home` is a link that is replaced in one step, so there is always a whole one."""
    home.parent.mkdir(parents=True, exist_ok=True)
    before = home.resolve()
    copy = home.with_name(f"{home.name}.{uuid.uuid4().hex}")
    shutil.copytree(out, copy)
    link = copy.with_name(f"{copy.name}.link")
    link.symlink_to(copy.name)
    link.replace(home)
    if before != home.absolute():
        shutil.rmtree(before, ignore_errors=True)
    remember(out, nights(home))


def nights(home: Path) -> Path:
    """Where the good nights of a baseline's kind are remembered, a folder for each."""
    return home.with_name(f"{home.name}.nights")


def remember(out: Path, folder: Path) -> None:
    """Adds the tables of a night to those that are remembered, and takes the oldest away beyond NIGHTS of them."""
    night = folder / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{uuid.uuid4().hex[:6]}"
    for table in out.glob(TABLES):
        share = night / table.parent.name
        share.mkdir(parents=True)
        for name in KEPT_OF_A_NIGHT:
            if table.with_name(name).is_file():
                shutil.copyfile(table.with_name(name), share / name)
    for old in sorted(folder.iterdir())[:-NIGHTS]:
        shutil.rmtree(old, ignore_errors=True)


def shard(text: str) -> str:
    share, _, of = text.partition("/")
    if not (share.isdecimal() and of.isdecimal() and 1 <= int(share) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; give for instance 2/8, the second of eight")
    return text


def lasting(text: str) -> Path:
    """A folder that outlives the job; a relative one would lie in the checkout, which the next job cleans."""
    path = Path(os.path.expanduser(text))
    if not path.is_absolute():
        raise argparse.ArgumentTypeError(f"{text} is relative; give an absolute path (or ~/…), also in $BASELINES")
    return path


def setting(name: str, usual: str | None = None) -> str | None:
    """An environment variable; one that is empty counts as not set."""
    return os.environ.get(name) or usual


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=".ci/nightly.py", description=__doc__)
    steps = {"canary": canary, "sweep": sweep, "gate": gate, "night": night, "accept": accept}
    parser.add_argument("step", choices=steps)
    add = parser.add_argument
    add(
        "--sweep", default=setting("SWEEP", "kernels"), metavar="NAME", help="saved sweep, or $SWEEP (default: kernels)"
    )
    add("--device", default=setting("DEVICE", "cuda"), help="cuda, cuda:N or cpu, or $DEVICE (default: cuda)")
    add("--shard", default=setting("SHARD", "1/1"), type=shard, metavar="I/N", help="or $SHARD (default: 1/1)")
    add("--out", default=setting("NIGHTLY_OUT"), type=Path, metavar="DIR", help="or $NIGHTLY_OUT (default: a new one)")
    add("--baselines", default=setting("BASELINES", str(BASELINES)), type=lasting, metavar="DIR", help="or $BASELINES")
    add("--keep", action=argparse.BooleanOptionalAction, help="may a good night become the baseline, or $KEEP_BASELINE")
    options, overrides = parser.parse_known_args(argv)
    options.overrides = overrides
    if overrides and options.step not in ("sweep", "night"):
        parser.error(f"{options.step} takes no settings of a sweep, and was given {' '.join(overrides)}")
    if options.keep is None:
        said = setting("KEEP_BASELINE", "true")
        if said not in ("true", "false"):
            parser.error(f"KEEP_BASELINE={said} is not allowed; give true or false")
        options.keep = said == "true"
    if options.out is None:
        if options.step in ("sweep", "gate", "accept"):
            parser.error(f"{options.step} is one step of a night; give the night's folder with --out DIR")
        # A folder of its own: in an old one the sweep would resume and measure nothing.
        options.out = Path("results") / f"nightly-{datetime.now():%Y-%m-%d_%H-%M-%S}"
    try:
        return steps[options.step](options)
    except OSError as error:
        print(f"the night cannot be kept: {error}; free some space or name another folder", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
