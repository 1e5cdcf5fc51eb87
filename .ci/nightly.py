#!/usr/bin/env python3
"""A scheduled run, step by step: canary, sweep, gate. `make nightly` runs all three; a workflow runs them as jobs.

Every night that passes becomes the next night's baseline, one per environment fingerprint, in a folder that
outlives the job. Exit codes are convbench's own: 0 good; 1 a regression or a wrong gradient; 2 the command line
is at fault; 3 something could not be measured; 4 nothing to compare with, or a machine that cannot be trusted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

BASELINES = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "convbench" / "baselines"


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
    if code not in (0, 2):
        say(f"**canary**: timings from this machine cannot be trusted now (`convbench validate` exited {code}).")
        return 4
    return code


def sweep(options: argparse.Namespace) -> int:
    """Measures one share of the night's sweep into its own folder below `out`."""
    share, of = options.shard.split("/")
    words = [f"+sweep={options.sweep}", f"device={options.device}", "strict=true", *options.overrides]
    # Shards are cut from the expanded grid, so every share sees the same order.
    code = convbench("-m", *words, f"shard={options.shard}", f"out={options.out / f'shard-{share}-of-{of}'}")
    if code:
        say(f"**sweep {options.sweep}, share {options.shard}**: exit code {code}.")
    return code


def gate(options: argparse.Namespace) -> int:
    """Compares the night with the last good one of the same fingerprint, and keeps it when it is good itself."""
    missing = missing_shares(options.out)
    if missing:
        say(f"**gate**: this night is invalid: {missing} in {options.out}. Its canary or the sweep itself said why.")
        return 4
    own = own_verdict(options.out)
    home = options.baselines / options.sweep / fingerprint(options.out)
    if not home.is_dir():
        say(f"**gate**: no earlier run of {options.sweep} in this environment ({home.name}): nothing was compared.")
        if own == 0:
            keep(options.out, home)
            say("This run is kept, and the next one is compared with it.")
        return own or 4
    page = options.out / "compare.md"
    code = convbench("compare", str(home), str(options.out), "--confirm", "--format", "markdown", "--out", str(page))
    if page.exists():
        say(page.read_text(encoding="utf-8"))
    if code == own == 0:
        keep(options.out, home)
    return own if own in (1, 3) and code != 1 else code


def night(options: argparse.Namespace) -> int:
    """All steps in one go on one machine."""
    code = canary(options)
    if code:
        return code
    code = sweep(options)
    # 1 and 3 leave a table that is worth comparing; anything else leaves none.
    return gate(options) if code in (0, 1, 3) else code


def missing_shares(out: Path) -> str:
    """Which shares of the night have no table, in words; "" where all are there.

    A share that is missing must not look like cells that vanished: that would be a regression.
    """
    names = [file.parent.name for file in out.glob("shard-*-of-*/results.parquet")]
    wanted = {int(name.rpartition("-")[2]) for name in names}
    if len(wanted) != 1:
        return "shares of different splits" if wanted else "there is no table"
    of = wanted.pop()
    lost = [str(k) for k in range(1, of + 1) if f"shard-{k}-of-{of}" not in names]
    return f"there is no table of share {', '.join(lost)} of {of}" if lost else ""


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
    return "+".join(found) or "unknown"


def keep(out: Path, home: Path) -> None:
    """Makes a run the baseline. `home` is a link that is replaced in one step, so there is always a whole one."""
    home.parent.mkdir(parents=True, exist_ok=True)
    before = home.resolve()
    copy = home.with_name(f"{home.name}.{uuid.uuid4().hex}")
    shutil.copytree(out, copy)
    link = copy.with_suffix(".link")
    link.symlink_to(copy.name)
    link.replace(home)
    if before != home.absolute():
        shutil.rmtree(before, ignore_errors=True)


def shard(text: str) -> str:
    share, _, of = text.partition("/")
    if not (share.isdecimal() and of.isdecimal() and 1 <= int(share) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is no share; give for instance 2/8, the second of eight")
    return text


def setting(name: str, usual: str | None = None) -> str | None:
    """An environment variable; one that is empty counts as not set."""
    return os.environ.get(name) or usual


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=".ci/nightly.py", description=__doc__)
    steps = {"canary": canary, "sweep": sweep, "gate": gate, "night": night}
    parser.add_argument("step", choices=steps)
    add = parser.add_argument
    add(
        "--sweep", default=setting("SWEEP", "kernels"), metavar="NAME", help="saved sweep, or $SWEEP (default: kernels)"
    )
    add("--device", default=setting("DEVICE", "cuda"), help="cuda, cuda:N or cpu, or $DEVICE (default: cuda)")
    add("--shard", default=setting("SHARD", "1/1"), type=shard, metavar="I/N", help="or $SHARD (default: 1/1)")
    add("--out", default=setting("NIGHTLY_OUT"), type=Path, metavar="DIR", help="or $NIGHTLY_OUT (default: a new one)")
    add("--baselines", default=setting("BASELINES", str(BASELINES)), type=Path, metavar="DIR", help="or $BASELINES")
    options, overrides = parser.parse_known_args(argv)
    options.overrides = overrides
    if options.out is None:
        if options.step in ("sweep", "gate"):
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
