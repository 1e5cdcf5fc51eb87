"""The command line's settings: their names and types, and how they become configurations and run options."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf

from ..facts.case import InvalidValue, did_you_mean, whole_number
from ..facts.settings import owned
from ..facts.spec import Budget, Measure, Spec, number, one_of
from ..methods import METHODS
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


MeasureSchema = _writable(Measure)
BudgetSchema = _writable(Budget)


_Settings: Any = make_dataclass(
    "_Settings", [(s.name, s.written or s.type, field(default=MISSING)) for s in owned("case", "spec", "switch")]
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
    reference: BudgetSchema = field(default_factory=BudgetSchema)  # type: ignore[valid-type]
    timeout_s: float = MISSING

    cases: str | None = MISSING
    on_illegal: str = MISSING
    shuffle: bool = MISSING
    shuffle_seed: int = MISSING
    limit: int | None = MISSING
    shard: str | None = MISSING

    out: str | None = MISSING
    isolation: str = MISSING
    memory_limit: Any = MISSING
    retry: str = MISSING
    strict: bool = MISSING
    budget_s: float | None = MISSING
    objective: str = MISSING
    chunk: int = MISSING
    plan: str | None = MISSING


_MEASURE_KEYS = frozenset(f"measure.{f.name}" for f in fields(Measure))
_REFERENCE_KEYS = frozenset(f"reference.{f.name}" for f in fields(Budget))
KEYS = frozenset(f.name for f in fields(Schema)) - {"measure", "reference"} | _MEASURE_KEYS | _REFERENCE_KEYS


def preset(name: str) -> Measure:
    """The measurement of conf/measure/NAME.yaml. Raises InvalidValue where there is no such file."""
    files = {path.stem: path for path in (folder("conf") / "measure").glob("*.yaml")}
    if name not in files:
        hint = did_you_mean(name, files) or f"; allowed: {', '.join(sorted(files))}"
        raise InvalidValue("measure", f"no measurement named {name!r}{hint}")
    loaded: Any = OmegaConf.to_container(OmegaConf.load(files[name]))
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in loaded.items()}
    return Measure(**values)


def no_setting(key: str) -> InvalidValue:
    hint = did_you_mean(key, KEYS) or "; `python -m convbench --help` lists them"
    return InvalidValue(key, f"no setting named {key!r}{hint}")


def flat(cfg: DictConfig) -> dict[str, Any]:
    """All settings with dotted keys and interpolations resolved.

    Raises InvalidValue for a setting that the schema does not have (`++key=` slips past it) or lacks.
    """
    values: dict[str, Any] = {}
    for key, value in _plain(cfg).items():
        if key in ("measure", "reference") and isinstance(value, Mapping):
            values.update({f"{key}.{name}": v for name, v in value.items()})
        elif key != "hydra":
            values[key] = value
    for key in values.keys() - KEYS:
        raise no_setting(str(key))
    for key in sorted(KEYS - values.keys()):
        raise InvalidValue(
            key, f"{key} has no value; the configuration file or a ~{key} on the command line removed it"
        )
    for key, value in values.items():
        if value == MISSING:
            raise InvalidValue(key, f"{key} has no value; give one with {key}=…")
    return values


def _plain(cfg: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(
        OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]), resolve=True
    )
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def spec_of(values: Mapping[str, Any]) -> Spec:
    """A checked configuration from flat settings; the methods' names are looked up here, their code is not touched."""
    methods = values["methods"]
    names = [methods] if isinstance(methods, str) else list(methods) if isinstance(methods, (list, tuple)) else None
    if names is None:
        raise InvalidValue("methods", f"methods={methods!r} is not a list; write methods=[autograd,explicit]")
    for key, name in (*(("methods", n) for n in names), ("baseline", values["baseline"])):
        if isinstance(name, str) and ":" not in name and name not in METHODS:
            hint = did_you_mean(name, METHODS)
            raise InvalidValue(
                key, f"{key}={name} is not a known method{hint or ''} (known: {', '.join(METHODS)}; "
                "or package.module:function for your own)"
            )  # fmt: skip
    return Spec.of({**values, "methods": names})


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
    """The settings of a sweep as a whole, checked. `shard` is (which, of how many), counted from 1."""

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
    plan: Path | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """Raises InvalidValue."""
        limit = values["limit"]
        return cls(
            out=Path(values["out"]).expanduser().absolute() if values["out"] else None,
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
            plan=Path(values["plan"]) if values["plan"] else None,
        )


RUN_KEYS = tuple(f.name for f in fields(Settings))
"""Settings of the sweep as a whole. The others belong to a configuration and can differ within a sweep."""
SPEC_KEYS = KEYS - frozenset(RUN_KEYS)


def _shard(value: str | None) -> tuple[int, int]:
    if value is None:
        return (1, 1)
    match = re.fullmatch(r"(\d+)/(\d+)", value)
    which, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= which <= count:
        raise InvalidValue("shard", f"shard={value} is not a share; write shard=2/8 for the second of eight")
    return (which, count)
