"""Sphinx's settings for the site that `make site` builds from the README and the pages of docs/, with an API page.

The source folder is the top of the repository, so that the links between the pages are the same here and on GitHub.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

from convbench import __version__

project = "convbench"
author = "The convbench contributors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "README"
include_patterns = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md"),
    *("docs/*.md", "docs/site/api.md", "examples/README.md", "sweeps/README.md", "results/README.md"),
]

lexers["csv"] = TextLexer()

html_theme = "furo"
html_title = f"convbench {__version__}"
html_extra_path = ["extra"]
myst_heading_anchors = 3

# Docstrings are plain text with code between backticks.
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"

NAVIGATION = """

```{toctree}
:hidden:
:caption: Measuring

docs/sweeps
docs/suites
docs/trace
docs/hunt
docs/methods
examples/README
docs/timing
docs/accuracy
docs/judging
docs/clusters
docs/robustness
```

```{toctree}
:hidden:
:caption: Results

docs/columns
docs/analysis
docs/python
docs/report
docs/compare
docs/history
docs/duet
docs/exports
docs/ci
docs/findings
results/README
```

```{toctree}
:hidden:
:caption: Reference

docs/site/api
OTHERS
docs/stability
sweeps/README
CHANGELOG
SECURITY
CONTRIBUTING
RELEASING
```
"""
"""OTHERS are the pages of docs/ that have no place of their own here."""


def navigate(app: Any, name: str, source: list[str]) -> None:
    """Adds the navigation to the README, which must not show it elsewhere."""
    if name == root_doc:
        pages = sorted(f"docs/{page.stem}" for page in Path(app.srcdir, "docs").glob("*.md"))
        source[0] += NAVIGATION.replace("OTHERS", "\n".join(p for p in pages if f"{p}\n" not in NAVIGATION))


def as_text(app: Any, what: str, name: str, documented: Any, options: Any, lines: list[str]) -> None:
    """Marks what reStructuredText would take for markup in a docstring, outside of code."""
    text = "\n".join(lines).split("`")
    text[::2] = [re.sub(r"[*|]|_\b(?!\w)", r"\\\g<0>", part) for part in text[::2]]
    lines[:] = "`".join(text).split("\n")


def setup(app: Any) -> None:
    app.connect("source-read", navigate)
    app.connect("autodoc-process-docstring", as_text)
