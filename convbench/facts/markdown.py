"""Text that Markdown shows as it is."""

from __future__ import annotations

import re


def escape(text: str) -> str:
    """`text` for a cell of a Markdown table: nothing in it is markup, and it stays on one line."""
    text = re.sub(r"\s+", " ", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|`*_\[\]~@#])", r"\\\1", text)


def code(text: str) -> str:
    """`text` as a code span."""
    return "`" + re.sub(r"[`\n]", "'", text) + "`"
