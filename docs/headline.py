"""Writes the README's table (docs/table.svg) and the paragraph below it from a run's files; `make headline` measures.

python -m convbench -m kernel=3,5,9 device=cpu,cuda out=results/headline
python docs/headline.py results/headline
"""

import argparse
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from convbench.facts import units
from convbench.results.table import load
from convbench.terminal import summary as terminal

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python -m convbench -m kernel=3,5,9 device=cpu,cuda"
BEGIN, END = "<!-- headline: make headline -->\n", "<!-- end of headline -->\n"


def paragraph(table: pd.DataFrame) -> str:
    """What the table says of the notebook's formula on a CPU, whatever it says."""
    rows = table[(table["device"] == "cpu") & (table["status"] == "ok")]
    kernels = sorted(rows["kernel_w"].unique())
    by = rows.set_index(["method", "kernel_w"])
    explicit = {
        name: [float(by.loc[("explicit", k), name]) for k in kernels] for name in ("backward_speedup", "speedup")
    }
    autograd_s = [float(by.loc[("autograd", k), "backward_time_s"]) for k in kernels]
    engine = [float(by.loc[("autograd", k), "engine_s"]) / s for k, s in zip(kernels, autograd_s, strict=True)]
    fastest = []
    for kernel in kernels:
        best = by.xs(kernel, level="kernel_w")["backward_speedup"].astype(float).idxmax()
        fastest.append(f"`{best}` at {kernel} ({units.times(float(by.loc[(best, kernel), 'backward_speedup']))})")
    said = (
        "`explicit` is the notebook's formula. Would a training step be faster with it? There it is the backward of a "
        f"`torch.autograd.Function`, and {_listed(map(units.times, explicit['backward_speedup']))} as fast as autograd "
        f"at kernels {_listed(map(str, kernels))}; by its bare calls, without autograd's engine, it is "
        f"{_listed(map(units.times, explicit['speedup']))}. The engine alone takes "
        f"{_listed(map(units.share, engine))} of autograd's time on problems this small, and a `Function` written in "
        f"Python has its own cost on top. The fastest in a training step: {_listed(fastest)}. Larger problems give "
        "other answers; try `size=` and `batch=`."
    )
    return "\n".join(textwrap.wrap(said, 120, break_long_words=False, break_on_hyphens=False)) + "\n"


def _listed(words: Iterable[str]) -> str:
    found = list(words)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the README's table and the paragraph below it.")
    parser.add_argument("folder", type=Path, help="the folder that the command above wrote (its out=)")
    folder = parser.parse_args().folder
    terminal.picture(folder, ROOT / "docs" / "table.svg", 116, COMMAND)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    inside = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    readme.write_text(inside.sub(lambda _: BEGIN + paragraph(load(folder)) + END, text), encoding="utf-8")


if __name__ == "__main__":
    main()
