"""Rows in words: a configuration's name, what a sweep holds fixed, and what it varies."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..facts.configuration_key import ConfigurationKey
from ..facts.record import Record
from ..facts.settings import SETTINGS, owned

if TYPE_CHECKING:  # The progress bar names configurations too and must not wait for pyarrow.
    from .rows import Rows

CASE_SETTINGS = tuple(setting.name for setting in owned("case"))
RUN_SETTINGS = tuple(name for name in SETTINGS if name not in CASE_SETTINGS)

SAID = tuple(setting for setting in RUN_SETTINGS if setting not in ("threads", "measure"))
"""Settings of a run in a configuration's name; `threads` follows them where it is not 1."""

CASE_COLUMNS = 4
"""More settings of the case than this are said together, as a short name."""

LABEL_WIDTH = 24
"""Labels with longer values than this stay in the files."""

LABELS_FIRST = ("layer", "name", "network", "suite")
"""The order of these labels in a configuration's name; others follow in the order of the row."""

LABELS_UNSAID = ("count", "source")
"""Labels that say something about a configuration and do not name it."""


def value_of(setting: str, row: Record) -> Any:
    """A setting's value in a row; per-axis values as 17×17 (size) or as one number where all axes agree."""
    if not SETTINGS[setting].per_axis:
        return row.get(setting)
    values = [row[name] for name in SETTINGS[setting].columns if row.get(name) is not None]
    if not values:
        return None
    if setting != "size" and len(set(values)) == 1:
        return str(values[0])
    return "×".join(map(str, values))


def unusual(setting: str, value: Any) -> bool:
    """Whether a value of a setting does not go without saying."""
    usual = SETTINGS[setting].usual
    return bool(value != (str(usual) if SETTINGS[setting].per_axis else usual))


def say(setting: str, value: Any) -> str:
    """A value in words: `kernel 9`, `bias`, `oneDNN off`; of what is no setting, the value alone."""
    return SETTINGS[setting].say(value) if setting in SETTINGS else str(value)


def text_of(setting: str, row: Record) -> str:
    """A setting's value as a cell of a table; empty where unknown."""
    value = value_of(setting, row)
    if value is None:
        return ""
    if setting == "bias":
        return "yes" if value else "no"
    if isinstance(value, bool):
        return "on" if value else "off"
    if setting == "memory_format":
        return str(value).replace("contiguous", "contig.").replace("channels_last", "ch. last")
    return str(value)


ALWAYS = ("threads",)
"""Said even where it is the usual value, since times mean nothing without it."""


def phrases(row: Record, settings: Sequence[str]) -> list[str]:
    """What `row` says of `settings`, the usual values left out: conv2d, 1×4→1, 17×17, kernel 9, float32, cpu, …"""
    wanted = [s for s in settings if value_of(s, row) is not None]
    wanted = [s for s in wanted if s in ALWAYS or unusual(s, value_of(s, row))]
    channels = ("batch", "in_channels", "out_channels")
    together = all(c in wanted for c in channels)
    out = []
    for setting in wanted:
        if together and setting in channels:
            if setting == "batch":
                out.append(f"{row['batch']}×{row['in_channels']}→{row['out_channels']}")
            continue
        out.append(say(setting, value_of(setting, row)))
    return out


def case_name(row: Record, settings: Sequence[str] = CASE_SETTINGS) -> str:
    """A short name of the case: `conv_transpose2d 1×4→1 17×17 k9 s2`, of some of its settings."""
    out = []
    for phrase, setting in _phrased(row, settings):
        letter = SETTINGS[setting].letter if setting in SETTINGS else ""
        out.append(f"{letter}{value_of(setting, row)}" if letter else phrase)
    return " ".join(out)


def _phrased(row: Record, settings: Sequence[str]) -> list[tuple[str, str]]:
    channels = [s for s in ("batch", "in_channels", "out_channels") if s in settings]
    if len(channels) == 3:
        rest = [s for s in settings if s not in channels]
        at = 1 if "op" in rest else 0
        together = (f"{row.get('batch')}×{row.get('in_channels')}→{row.get('out_channels')}", "channels")
        before = [(p, s) for s in rest[:at] for p in phrases(row, (s,))]
        return [*before, together, *((p, s) for s in rest[at:] for p in phrases(row, (s,)))]
    return [(p, s) for s in settings for p in phrases(row, (s,))]


def configuration_name(row: Record) -> str:
    """`conv_transpose2d 1×4→1 17×17 k9 · float32 · cpu · input`, the short labels of its cases file in front."""
    threads = row.get("threads", 1)
    said = [phrase.removeprefix("wrt ") for phrase in phrases(row, SAID)]
    said += [f"{threads} threads"] if threads != 1 else []
    return " · ".join([*label_values(row), case_name(row), *said])


APART: tuple[Callable[[Record], str], ...] = (
    lambda row: str(row.get("config_id"))[:8],
    lambda row: f"measure={row.get('measure')}",
    lambda row: str(row.get("run_key"))[:8],
    lambda row: " · ".join(f"{name}={value}" for name, value in labels_of(row).items()),
    lambda row: f"{row.get('config_id')} · {row.get('run_key')}",
)
"""What is added, in this order and only where needed, to names that two configurations would share."""


def distinct_names(rows: Iterable[Record]) -> dict[ConfigurationKey, str]:
    """Every configuration's name; no two have the same."""
    firsts: dict[ConfigurationKey, Record] = {}
    for row in rows:
        firsts.setdefault(ConfigurationKey.of(row), row)
    names = {key: configuration_name(row) for key, row in firsts.items()}
    tails = told_apart(names, firsts)
    return {key: " · ".join(filter(None, (name, tails[key]))) for key, name in names.items()}


Key = TypeVar("Key", bound=Hashable)


def told_apart(names: Mapping[Key, Hashable], rows: Mapping[Key, Record]) -> dict[Key, str]:
    """What has to be added to each configuration's name so that no two are the same; empty where nothing has."""
    tails = dict.fromkeys(names, "")
    for tail in APART:
        alike: dict[Hashable, list[Key]] = {}
        for key, name in names.items():
            alike.setdefault((name, tails[key]), []).append(key)
        for keys in alike.values():
            found = {key: tail(rows[key]) for key in keys} if len(keys) > 1 else {}
            if len(set(found.values())) > 1:
                tails.update({key: " · ".join(filter(None, (tails[key], text))) for key, text in found.items()})
    return tails


def example_name(row: Record, settings: Sequence[str]) -> str:
    """What tells a configuration from the others of its sweep, in which `settings` vary: `kernel 5 · cuda`.

    Empty where nothing varies.
    """
    said = [s for s in settings if value_of(s, row) is not None]
    case = [s for s in said if s in CASE_SETTINGS]
    parts = label_values(row)
    if len(case) > CASE_COLUMNS:
        parts.append(case_name(row, case))
    else:
        parts.extend(say(s, value_of(s, row)) for s in case)
    parts.extend(say(s, value_of(s, row)) for s in said if s not in case)
    return " · ".join(parts)


def labels_of(row: Record) -> dict[str, str]:
    """The further columns of a cases file, by name; empty where there are none or they are damaged."""
    try:
        labels = json.loads(row.get("labels") or "{}")
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else {}


def label_values(row: Record) -> list[str]:
    """The labels that name a configuration: the short ones, the layer first."""
    labels = labels_of(row)
    unsaid = (*LABELS_UNSAID, *(["suite"] if "network" in labels else []))
    order = sorted(labels, key=lambda name: LABELS_FIRST.index(name) if name in LABELS_FIRST else len(LABELS_FIRST))
    return [labels[name] for name in order if name not in unsaid and 0 < len(labels[name]) <= LABEL_WIDTH]


def varying(rows: Rows) -> list[str]:
    """The settings that are not the same in all rows, in the order of SETTINGS.

    An unknown value counts for sizes per axis only: there it means another number of axes.
    """
    distinct = {
        name: [len(rows.codes(c)[1] if setting.per_axis else rows.values(c)) for c in setting.columns]
        for name, setting in SETTINGS.items()
    }
    return [setting for setting, counts in distinct.items() if max(counts) > 1]
