"""Settings as Python's values, made into the words of a command line: the one way to a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..facts.values import InvalidValue

BARE = re.compile(r"[\w./:+%@-]+")
"""What Hydra's grammar takes as it is; anything else is quoted."""


def words_of(settings: Mapping[str, Any]) -> list[str]:
    """`kernel=3,5` of {"kernel": [3, 5]}: a list is several values, a tuple one value per axis; `measure__looks` stands
    for the key `measure.looks`. Raises InvalidValue for anything that no setting can be."""
    return [f"{key.replace('__', '.')}={_swept(key, value)}" for key, value in settings.items()]


def _swept(key: str, value: Any) -> str:
    if isinstance(value, list):
        if not value:
            raise InvalidValue(key, f"{key}=[] holds no value; give at least one")
        return ",".join(_one(key, one) for one in value)
    return _one(key, value)


def _one(key: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return value if BARE.fullmatch(value) else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, tuple):
        return listed(key, value)
    raise InvalidValue(
        key,
        f"{key}={value!r} is a {type(value).__name__}; give a number, a word, true or false, a tuple (one value per "
        "axis) or a list (several values)",
    )


def listed(key: str, values: Sequence[Any]) -> str:
    """One value that is a list: `[3,5]`."""
    return f"[{','.join(_one(key, value) for value in values)}]"
