"""The command line's settings: their names and types, and how they become configurations and run options."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields, make_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf

from ..facts.case import OPS, PER_AXIS
from ..facts.dtypes import DTYPES, mode
from ..facts.fills import is_file
from ..facts.measure import Measure
from ..facts.settings import owned
from ..facts.spec import MEMORY_FORMATS, ReferenceLimits, Spec
from ..facts.values import InvalidValue, did_you_mean, number, one_of, whole_number
from ..methods import METHODS
from ..results.files import named
from ..results.objective import Objective

_PACKAGE = Path(__file__).resolve().parent.parent


def folder(name: str) -> Path:
    """`conf` or `sweeps`: beside the package's files in a wheel, one folder up in a checkout.

    Raises InvalidValue where neither exists (an installation that is not whole).
    """
    for root in (_PACKAGE, _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise InvalidValue(name, f"no folder {name}/ beside {_PACKAGE} or above it; install convbench again")


def _writable(kind: type) -> type:
    """The fields of a frozen dataclass as a schema; OmegaConf merges YAML into writable ones only."""
    hints = get_type_hints(kind)
    columns = [(f.name, hints[f.name], field(default=f.default)) for f in fields(kind) if f.default is not NO_DEFAULT]
    return make_dataclass(f"{kind.__name__}Schema", columns)


def _closed(name: str, words: Iterable[str]) -> type[Enum]:
    """The words of a setting that takes no others; composition refuses the rest, and completion offers these."""
    return Enum(name, {word: word for word in words})  # type: ignore[return-value]


_WORDS: dict[str, Iterable[str]] = {
    "op": OPS,
    "dtype": DTYPES,
    "memory_format": MEMORY_FORMATS,
    "on_illegal": ("skip", "error"),
    "isolation": ("process", "none"),
    "retry": ("none", "failed"),
}
CLOSED = {name: _closed(name, words) for name, words in _WORDS.items()}
"""Settings that take one of a few words."""
MeasureSchema = _writable(Measure)
ReferenceSchema = _writable(ReferenceLimits)


_TYPED = {s.name: s.written or s.type for s in owned("case", "spec", "switch")}
_Settings: Any = make_dataclass(
    "_Settings", [(name, kind, field(default=MISSING)) for name, kind in (_TYPED | CLOSED).items()]
)


@dataclass
class Schema(_Settings):  # type: ignore[misc]
    """Every setting with its type. The values come from conf/config.yaml.

    `Any` where a person may write more than one type (an integer or a list of them); Spec and Settings
    check those, and every range.
    """

    methods: Any = MISSING
    baseline: str = MISSING
    measure: MeasureSchema = field(default_factory=MeasureSchema)  # type: ignore[valid-type]
    reference: ReferenceSchema = field(default_factory=ReferenceSchema)  # type: ignore[valid-type]
    timeout_s: float = MISSING

    axes: dict[str, Any] = field(default_factory=dict)
    cases: str | None = MISSING
    shuffle: bool = MISSING
    shuffle_seed: int = MISSING
    limit: int | None = MISSING
    shard: str | None = MISSING

    out: str | None = MISSING
    memory_limit: Any = MISSING
    strict: bool = MISSING
    budget_s: float | None = MISSING
    objective: str = MISSING
    chunk: int = MISSING
    share: str | None = MISSING


_MEASURE_KEYS = frozenset(f"measure.{f.name}" for f in fields(Measure))
_REFERENCE_KEYS = frozenset(f"reference.{f.name}" for f in fields(ReferenceLimits))
_NESTED = ("measure", "reference")
_NO_SETTINGS = ("axes", "hydra")
"""Parts of a configuration that hold no settings of their own."""
KEYS = frozenset(f.name for f in fields(Schema)) - {*_NESTED, *_NO_SETTINGS} | _MEASURE_KEYS | _REFERENCE_KEYS
TYPES = get_type_hints(Schema)


def no_setting(key: str) -> InvalidValue:
    if key.partition(".")[0] == "axes":
        name = key.partition(".")[2] or "kernel"
        return InvalidValue(key, f"axes are what a saved sweep names; on the command line, write -m {name}=3,5")
    if key.partition(".")[0] == "sweep":
        return InvalidValue(
            key,
            "no setting named 'sweep': a saved sweep's file begins with the line `# @package _global_`, which makes "
            "its settings the program's own",
        )
    if (instead := mode(key)) is not None:
        return InvalidValue(key, f"no setting named {key!r}: {instead}")
    hint = did_you_mean(key, KEYS) or "; `python -m convbench --help` lists them"
    return InvalidValue(key, f"no setting named {key!r}{hint}")


def flat(cfg: DictConfig) -> dict[str, Any]:
    """All settings with dotted keys and interpolations resolved.

    Raises InvalidValue for a setting that the schema does not have (`++key=` slips past it) or lacks.
    """
    there = {key for key in map(str, cfg) if key not in (*_NESTED, *_NO_SETTINGS)}
    for group in _NESTED:
        node = OmegaConf.select(cfg, group)
        there |= {f"{group}.{key!s}" for key in node} if isinstance(node, DictConfig) else {group}
    for key in sorted(there - KEYS):
        raise no_setting(key)
    for key in sorted(KEYS - there):
        raise InvalidValue(
            key, f"{key} has no value; the configuration file or a ~{key} on the command line removed it"
        )
    return {key: setting(cfg, key) for key in sorted(KEYS)}


def setting(cfg: DictConfig, key: str) -> Any:
    """One setting as its type, whether it is written or taken from elsewhere (`strict: ${oc.env:STRICT}`).

    Text from elsewhere (an environment variable) is read as the command line would read it where the schema
    allows more than one type. Raises InvalidValue, or OmegaConf's error for what its type does not allow.
    """
    group, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, group) if group else cfg
    if OmegaConf.is_missing(node, name):
        raise InvalidValue(key, f"{key} has no value; give one with {key}=…")
    value = node[name]
    if isinstance(value, Enum):
        return value.name
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True)
    if isinstance(value, str) and TYPES.get(key) is Any and OmegaConf.is_interpolation(node, name):
        # Imported where it is needed: most configurations hold no such setting, and some commands compose nothing.
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        with contextlib.suppress(HydraException):
            value = OverridesParser.create().parse_override(f"{key}={value}").value()
    if key in PER_AXIS and isinstance(value, str) and "," in value:
        several = f"several values to sweep over are written -m {key}={value}, or under axes in a saved sweep"
        raise InvalidValue(key, f"{key}={value!r} is not a whole number; {several}")
    return value


def spec_of(values: Mapping[str, Any]) -> Spec:
    """A checked configuration from flat settings; the methods' names are looked up here, their code is not touched."""
    methods = values["methods"]
    names = [methods] if isinstance(methods, str) else list(methods) if isinstance(methods, (list, tuple)) else None
    if names is None:
        raise InvalidValue("methods", f"methods={methods!r} is not a list; write methods=[autograd,explicit]")
    for key in ENDLESS:
        if values[key] == math.inf:
            raise InvalidValue(key, f"{key}={values[key]} must be a finite number of seconds")
    for key, name in (*(("methods", n) for n in names), ("baseline", values["baseline"])):
        if isinstance(name, str) and (meant := _own_method(name)):
            raise InvalidValue(key, f"{key}={name} is written {meant}: the module, a colon, and the function in it")
        if isinstance(name, str) and ":" not in name and name not in METHODS:
            hint = did_you_mean(name, METHODS)
            raise InvalidValue(
                key, f"{key}={name} is not a known method{hint or ''} (known: {', '.join(METHODS)}; "
                "or package.module:function for your own)"
            )  # fmt: skip
    spec = Spec.of({**values, "methods": names})
    for fill in spec.fills:
        if is_file(fill) and not Path(fill).is_file():
            raise InvalidValue("fill", f"fill={fill}: there is no such file; it holds input, weight and grad_output")
    return spec


ENDLESS = ("measure.sample_s", "measure.gpu_sample_s", "measure.warmup_s", "measure.gpu_warmup_s", "measure.min_time_s")
"""Settings that would never end a measurement if they were infinite."""


def _own_method(name: str) -> str | None:
    """How a method of the user's own is written, where `name` is a file's path, or has a dot for the colon."""
    file = re.fullmatch(r"(?:\./)?([\w/]+)\.py:(\w+)", name)
    if file is not None:
        return f"{file[1].replace('/', '.')}:{file[2]}"
    dotted = re.fullmatch(r"([A-Za-z_][\w.]*)\.([A-Za-z_]\w*)", name)
    return f"{dotted[1]}:{dotted[2]}" if dotted is not None else None


_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def bytes_of(key: str, value: Any) -> int | None:
    """A number of bytes: `4000000000`, `4GB` (10⁹) or `4GiB` (2³⁰); None stays None."""
    if value is None:
        return None
    if key == "memory_limit" and sys.platform != "linux":
        raise InvalidValue(key, f"memory_limit={value!r} needs Linux (/proc and RLIMIT_DATA); leave it away here")
    match = _BYTES.fullmatch(str(value).strip())
    size = 0
    if match and not isinstance(value, bool):
        number, prefix, binary = match.groups()
        size = int(float(number) * (1024 if binary else 1000) ** " kmgt".index(prefix.lower() or " "))
    if size < 1:
        raise InvalidValue(key, f"{key}={value!r} is not a size; write bytes or for instance {key}=4GB")
    return size


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a sweep as a whole, checked. `shard` is (which, of how many), counted from 1.

    `asked` is what run.json says of the command: its composed settings and, added by whoever has it, its `argv`.
    """

    out: Path | None
    cases: str | None
    isolation: str
    memory_limit: int | None
    retry: str
    strict: bool
    on_illegal: str
    shuffle: bool
    shuffle_seed: int
    limit: int | None
    shard: tuple[int, int]
    chunk: int
    budget_s: float | None
    objective: Objective
    asked: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """Raises InvalidValue."""
        limit = values["limit"]
        return cls(
            out=_folder(values["out"]),
            cases=values["cases"],
            isolation=one_of("isolation", values["isolation"], ("process", "none")),
            memory_limit=bytes_of("memory_limit", values["memory_limit"]),
            retry=one_of("retry", values["retry"], ("none", "failed")),
            strict=values["strict"],
            on_illegal=one_of("on_illegal", values["on_illegal"], ("skip", "error")),
            shuffle=values["shuffle"],
            shuffle_seed=whole_number("shuffle_seed", values["shuffle_seed"], 0),
            limit=None if limit is None else whole_number("limit", limit, 1),
            shard=_shard(values["shard"]),
            chunk=whole_number("chunk", values["chunk"], 1),
            budget_s=None if values["budget_s"] is None else number("budget_s", values["budget_s"], 1),
            objective=Objective.of(values["objective"]),
            asked={"settings": dict(values)},
        )


RUN_KEYS = (*(f.name for f in fields(Settings) if f.compare), "share")
"""Settings of the sweep as a whole. The others belong to a configuration and can differ within a sweep."""
SPEC_KEYS = KEYS - frozenset(RUN_KEYS)


def _folder(value: str | None) -> Path | None:
    if value == "":
        raise InvalidValue("out", "out= names no folder; leave it out for a new one under results/")
    return None if value is None else named(value).absolute()


def _shard(value: str | None) -> tuple[int, int]:
    if value is None:
        return (1, 1)
    match = re.fullmatch(r"(\d+)/(\d+)", value)
    which, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= which <= count:
        raise InvalidValue("shard", f"shard={value} is not a shard; write shard=2/8 for the second of eight")
    return (which, count)
