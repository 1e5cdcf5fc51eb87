"""Text that Markdown shows as it is."""

from __future__ import annotations

import re

from .plain import printable

LINK = re.compile(r":(?=//)|w(?=ww\.)", re.IGNORECASE)
"""Where something begins that Markdown makes a link of by itself; as a character reference it begins nothing."""


def escape(text: str) -> str:
    """`text` for a cell of a Markdown table: nothing in it is markup, and it stays on one line."""
    text = re.sub(r"\s+", " ", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = LINK.sub(lambda found: f"&#{ord(found[0])};", printable(text))
    return re.sub(r"([\\|`*_\[\]~@]|(?<!&)#)", r"\\\1", text)


def code(text: str) -> str:
    """`text` as a code span."""
    return "`" + printable(re.sub(r"[`\n]", "'", text)) + "`"
