"""Draws the README's picture from a run's files.

python -m convbench -m kernel=3,5,9 device=cpu,cuda out=results/picture
python docs/picture.py results/picture table.svg "python -m convbench -m kernel=3,5,9 device=cpu,cuda"
chromium --headless --window-size=1010,835 --force-device-scale-factor=1.5 --screenshot=docs/table.png table.svg
"""

import argparse
from pathlib import Path

from convbench.terminal import summary as terminal

parser = argparse.ArgumentParser(description="Draws a run's final table as an SVG.")
parser.add_argument("folder", type=Path, help="the folder that a sweep wrote (its out=)")
parser.add_argument("svg", type=Path, help="where to write the picture")
parser.add_argument("title", nargs="?", default="python -m convbench", help="the command line above it")
parser.add_argument("--width", type=int, default=100, help="columns of the terminal drawn (default: 100)")
given = parser.parse_args()
terminal.picture(given.folder, given.svg, given.width, given.title)
