"""Files that are there whole or not at all, and environment.json in whatever state."""

from __future__ import annotations

from pathlib import Path

import pytest

from convbench.results.files import environments, replacing


def test_a_file_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("old")
    with replacing(path) as unfinished:
        unfinished.write_text("new")
        assert unfinished.parent == path.parent
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_not_finished_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as unfinished:
        unfinished.write_text("half" * 10_000 + "ü", encoding="ascii")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content, expected",
    [
        ('{"a": {"cpu": "A"}, "b": {}}', {"a": {"cpu": "A"}, "b": {}}),
        ('{"a": {"cpu": "A"}, "b": 1}', {"a": {"cpu": "A"}}),
        ("[]", {}),
        ('{"a": ', {}),
        (None, {}),
    ],
)
def test_environments_as_far_as_they_can_be_read(tmp_path: Path, content: str | None, expected: object) -> None:
    if content is not None:
        (tmp_path / "environment.json").write_text(content)
    assert environments(tmp_path) == expected
