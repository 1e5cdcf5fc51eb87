"""Draws the pictures of a report that the README and docs/report.md show, by Chromium.

python -m convbench +sweep=fsrcnn methods=[autograd,explicit,unfold] limit=20 out=results/fsrcnn
python -m convbench report results/fsrcnn
PYTHONPATH=. python docs/report_picture.py results/fsrcnn/report.html docs/network.png "#networks"
PYTHONPATH=. python docs/report_picture.py results/fsrcnn/report.html docs/report.png "#forest"
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from tests.slow.webdriver import Browser

WIDTH, SCALE, COLOURS = 1100, 1.5, 96
"""Of the page in pixels; dots to a pixel; colours of the picture, which makes it a third as large."""

parser = argparse.ArgumentParser(description="Draws a part of a report as a PNG.")
parser.add_argument("page", type=Path, help="the report")
parser.add_argument("png", type=Path, help="where to write the picture")
parser.add_argument("part", help="CSS selector of what is drawn")
given = parser.parse_args()

with tempfile.TemporaryDirectory() as profile, tempfile.TemporaryDirectory() as downloads:
    browser = Browser(Path(profile), Path(downloads))
    try:
        browser.prefer("light")
        browser.resize(WIDTH, 900, SCALE)
        browser.open(given.page.resolve())
        browser.until("document.documentElement.dataset.ready")
        part = f"document.querySelector('{given.part}')"
        browser.run(f"{part}.scrollIntoView()")
        browser.until(f"!{part}.matches('.plot') || {part}.querySelector('svg[data-name]')")
        height = int(browser.run("return document.documentElement.scrollHeight"))
        browser.resize(WIDTH, height, SCALE)
        browser.run("scrollTo(0, 0)")
        browser.until(f"{part}.matches('section') || {part}.querySelector('svg[data-name]')")
        edges = browser.run(f"const b = {part}.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]")
        browser.screenshot(given.png)
    finally:
        browser.close()
with Image.open(given.png) as whole:
    left, top, right, bottom = (round(edge * SCALE) for edge in edges)
    room = round(4 * SCALE)
    box = (left - room, top - room, right + room, bottom + room)
    whole.convert("RGB").crop(box).quantize(COLOURS, dither=Image.Dither.NONE).save(given.png, optimize=True)
