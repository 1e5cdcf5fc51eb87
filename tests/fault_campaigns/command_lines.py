"""`python -m tests.fault_campaigns.command_lines [--count 2000] [--seed 0]`: command lines that nobody meant to write.

Good ones are put together from settings, options and subcommands, with values good and bad, and then spoilt. Each must
end by itself with one of the documented exit codes, with no traceback, and with a sentence where it is refused.
"""

from __future__ import annotations

import random
import shlex
import shutil
from pathlib import Path

from convbench.facts.settings import SETTINGS
from tests.fault_campaigns.forked import Report, campaign, measured, told

VALUES = (
    *(
        "0",
        "1",
        "3",
        "-1",
        "3.5",
        "1e400",
        "nan",
        "inf",
        "true",
        "False",
        "null",
        "''",
        "??",
        "[]",
        "[3,5]",
        "[3,5,7,9]",
    ),
    *(
        "{a:1}",
        "3,5",
        "range(1,4)",
        "choice(1,2)",
        "interval(0,1)",
        "glob(*)",
        "${kernel}",
        "${oc.env:HOME}",
        "${nope}",
    ),
    *("autograd", "[autograd,explicit]", "[tests.faulty:calm]", "nowhere.at_all:f", "cpu", "cuda", "meta", "float32"),
    *("bfloat16", "int8", "conv2d", "conv_transpose3d", "input", "weight", "é", "\x1b[2J", "a b", "=", "x" * 3000, "²"),
    *("9" * 30, "1/2", "0/0", "4GB", "skip", "failed", "none", "quick", "rigorous", "@", "\\", "'", '"', "(", "[", "]"),
)
KEYS = (
    *(f"{setting.name}" for setting in SETTINGS.values()),
    "measure",
    "sweep",
    "+sweep",
    "hydra.verbose",
    "kernal",
    "+new",
    "~op",
)
OPTIONS = (
    *(
        "-m",
        "--multirun",
        "--help",
        "--hydra-help",
        "--cfg",
        "--cfg=job",
        "--info",
        "--resolve",
        "-p",
        "--package",
        "-cn",
    ),
    *("--config-name", "--config-dir", "--version", "--nope", "-x", "--", "-", "--run", "--shell-completion"),
)
GOOD = (
    ["measure=none"],
    ["-m", "kernel=3,5", "measure=none"],
    ["-m", "wrt=input,weight", "dtype=float32,bfloat16", "measure=none", "limit=1"],
    ["+sweep=notebook", "measure=none", "limit=1"],
    ["cases=RUN", "measure=none", "limit=1"],
    ["report", "RUN", "--out", "page.html"],
    ["compare", "RUN", "RUN"],
    ["compare", "RUN", "RUN", "--format", "json", "--margin", "0.1"],
    ["export", "RUN", "--format", "csv"],
    ["export", "RUN", "--format", "markdown", "--out", "table.md"],
    ["export", "RUN", "--format", "pytest-benchmark"],
    ["recompute", "RUN"],
    ["methods"],
    ["duet", "--a", "nowhere", "--b", "nowhere"],
    ["validate", "--nope"],
    ["show", "RUN"],
    ["history", "RUN", "RUN"],
    ["gate", "--base", "nowhere", "kernel=3"],
    ["hunt", "objective=fail", "limit=2", "kernel=1,3", "op=conv2d"],
    ["nightly", "gate", "--out", "RUN", "--baselines", "/nowhere/at/all", "--no-keep"],
    ["trace", "nowhere:model", "--input", "1,3,8,8"],
)
KEPT = ("out=", "hydra.run.dir=", "hydra.sweep.dir=")
"""Settings that say where is written to; they are never spoilt."""


def spoilt(rng: random.Random, word: str) -> str:
    """A word with a character changed, added, doubled or taken away; now and then quite another one."""
    if not word or rng.random() < 0.1:
        return rng.choice(VALUES)
    place = rng.randrange(len(word))
    other = rng.choice("=,:[]{}()'\"\\ \t~+-$.0a\u00e9%*")
    return rng.choice(
        [
            word[:place] + word[place + 1 :],
            word[:place] + other + word[place:],
            word[:place] + other + word[place + 1 :],
        ]
    )


def line(rng: random.Random, run: str) -> list[str]:
    words = [word.replace("RUN", run) for word in rng.choice(GOOD)]
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        change = rng.random()
        if change < 0.5:
            words.insert(rng.randrange(len(words) + 1), f"{rng.choice(KEYS)}={rng.choice(VALUES)}")
        elif change < 0.65:
            words.insert(rng.randrange(len(words) + 1), rng.choice(OPTIONS))
        elif words:
            place = rng.randrange(len(words))
            words[place] = spoilt(rng, words[place])
    words = [word for word in words if not word.lstrip("+").startswith(KEPT) and "\0" not in word]
    sweeping = not words or not words[0].isalpha()
    # Whatever is measured is measured by the stand-in, in a folder of its own, and not for long.
    return [*words, "out=OUT", "isolation=process"] if sweeping else words


def tries(rng: random.Random, count: int, place: Path, report: Report) -> None:
    run, folder = place / "run", place / "here"
    measured(["-m", "seed=0,1", "methods=[autograd,explicit]"], run)
    for _ in range(count):
        folder.mkdir()
        words = line(rng, str(run))
        report.add(told(words, folder), shlex.join(words))
        shutil.rmtree(folder)


if __name__ == "__main__":
    raise SystemExit(campaign(str(__doc__), 2000, tries))
