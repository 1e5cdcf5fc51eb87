"""The build's metadata that follow from where the project is published: its links, and the README's.

`repository` of `[tool.hatch.metadata.hooks.custom]` in pyproject.toml is the one place that names the address. A
package index shows the README without the files beside it, so relative links and pictures become links into the
repository, at the commit or the tag that is built. While the address is empty the README stays as it is, and
`.ci/check_release.py` refuses a release.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"(!?)(\[[^\]]*\])\((?!https?:|mailto:|#)([^)\s]+)\)")


class Addresses(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        repository = self.config["repository"].rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        if repository:
            text = absolute(text, repository, reference(str(metadata["version"])))
            metadata["urls"] = urls(repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def reference(version: str) -> str:
    """The tag of a release, and the commit of what lies between two: 0.1.0 → v0.1.0, 0.1.1.dev5+g1a2b3c4 → 1a2b3c4."""
    return version.partition("+g")[2] or f"v{version}"


def absolute(text: str, repository: str, ref: str) -> str:
    """Markdown whose relative links and pictures lead into a repository, by the paths that GitHub and GitLab have."""

    def link(found: re.Match[str]) -> str:
        picture, words, path = found.groups()
        return f"{picture}{words}({repository}/{'raw' if picture else 'blob'}/{ref}/{path})"

    return RELATIVE.sub(link, text)


def urls(repository: str) -> dict[str, str]:
    return {
        "Repository": repository,
        "Documentation": f"{repository}/tree/main/docs",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }
