"""Sections of a page that a command writes: between `<!-- NAME, by … -->` and `<!-- end of NAME -->`."""

from __future__ import annotations

import re
from pathlib import Path


def replace_section(page: Path, name: str, text: str) -> None:
    """Puts `text` between the two marks of `name`. Raises ValueError where the page has not exactly one such pair."""
    whole = page.read_text(encoding="utf-8")
    marks = re.compile(rf"(<!-- {re.escape(name)}, by [^\n]* -->\n)(.*?)(<!-- end of {re.escape(name)} -->)", re.DOTALL)
    written, count = marks.subn(lambda found: f"{found[1]}{text}{found[3]}", whole)
    if count != 1:
        raise ValueError(f"{page} has {count} sections called {name!r}")
    page.write_text(written, encoding="utf-8")
