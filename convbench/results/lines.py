"""Lines of part files: one row or one configuration's samples each, signed, so that torn and damaged ones are told."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..facts.configuration_key import ConfigurationKey
from ..facts.record import IMPOSSIBLE
from ..facts.spec import Spec

HEAD = re.compile(
    rb'\{"crc":"([0-9a-f]{8})",("position":(\d+),"written":[0-9.]+,"unit":"([0-9a-f-]+)","code":"([0-9a-f]*)",'
    rb'"method":"([^"]+)","status":"([a-z]+)","accuracy":(null|"[a-z]+").*\}\n)',
)
KEY = re.compile(rb'"(?:unit|run_key)":"([0-9a-f]{16})(?=[-"])')
"""What names a row's configuration, twice in every line: one of them survives most damage."""
SHORT = re.compile(r"[0-9a-f]+-[0-9a-f]{8}")
"""A unit as lines were written before labels had 64 bits: their CRC-32, in which different labels may agree."""

IMPOSSIBLE_TIME = b',"speed":"%s"' % IMPOSSIBLE.encode()
"""What a row's line holds as no other part of it can: a quotation mark within a text has a backslash before it."""


LEFT = re.compile(rb'"accuracy":(?:null|"[a-z]+"),"left":([0-9]+),')
"""Where a line says how many processes its configuration is still to be measured in; without it, in none."""


class Line(NamedTuple):
    """What the head of a line says about its row; `unit` is that of its ConfigurationKey.

    `left`: further processes that its configuration was still to be measured in when it was written.
    """

    position: int
    unit: str
    code: str
    method: str
    status: str
    wrong: bool
    left: int = 0


def encode(position: int, unit: str, code: str, row: Mapping[str, Any], left: int = 0) -> bytes:
    """One line of a part file: the head in fixed order, then the row's other columns."""
    head = {
        "position": position,
        "written": round(time.time(), 3),
        "unit": unit,
        "code": code,
        "method": row["method"],
        "status": row["status"],
        "accuracy": row.get("accuracy"),
        **({"left": left} if left else {}),
    }
    return _signed(head | dict(row))


def encode_samples(spec: Spec, samples: Sequence[Mapping[str, Any]], passing: bool = False) -> bytes:
    """One line of a samples file: the raw samples of all processes of a configuration.

    `passing`: they are kept for the processes that are still to come, and not for samples.parquet.
    """
    head = {"written": round(time.time(), 3), "unit": spec.key.unit, **({"passing": True} if passing else {})}
    return _signed(head | spec.key._asdict() | {"samples": list(samples)})


def _signed(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    # A file name in a label may hold bytes that are no UTF-8.
    body = text.encode(errors="replace")[1:] + b"\n"
    return b'{"crc":"%08x",' % zlib.crc32(body) + body


def decode(line: bytes) -> dict[str, Any] | None:
    """What a line of any kind holds; None where it is torn, damaged or something else."""
    body = line[len('{"crc":"01234567",') :]
    if not line.startswith(b'{"crc":"%08x",' % zlib.crc32(body)):
        return None
    values: dict[str, Any] = json.loads(b"{" + body)
    return {**values, "unit": _full(values["unit"], values)} if "unit" in values else values


def decode_head(line: bytes) -> Line | None:
    """The head of a row's line; None where the line is torn, damaged or something else."""
    found = HEAD.fullmatch(line)
    if found is None or zlib.crc32(found[2]) != int(found[1], 16):
        return None
    unit = found[4].decode()
    return Line(
        int(found[3]),
        _full(unit, json.loads(line)) if SHORT.fullmatch(unit) else unit,
        found[5].decode(),
        found[6].decode(),
        found[7].decode(),
        found[8] == b'"fail"' or IMPOSSIBLE_TIME in line,
        int(left[1]) if (left := LEFT.search(line)) else 0,
    )


def _full(unit: str, values: Mapping[str, Any]) -> str:
    """The unit of a line as it is named today."""
    return ConfigurationKey(None, unit.partition("-")[0], values.get("labels")).unit if SHORT.fullmatch(unit) else unit


def run_keys_in(damaged: bytes) -> set[str]:
    """The run keys that a damaged line still names; one of a row's two copies may be spoilt, and is then nobody's."""
    return {key.decode() for key in KEY.findall(damaged)}
