"""One configuration: a case and everything else that decides what is computed and how it is measured."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .case import ConvCase
from .configuration_key import ConfigurationKey
from .devices import check_device
from .dtypes import DTYPES, mode
from .fills import check_fill, fills_of, is_file
from .measure import Measure
from .settings import SETTINGS, Identity, owned
from .values import IllegalCase, InvalidValue, number, one_of, whole_number
from .wrt import OUTPUT, check_wrt, parts_of, wrt_of

SCHEMA_VERSION = 1
"""Version of what a record means. A record of another version is measured again, never reused. The metadata of the
tables hold it (convbench/results/schema.py), and docs/stability.md says what that is for."""

MEMORY_FORMATS = ("contiguous", "channels_last")
ALLOCATORS = ("system", "retain")
METHOD = re.compile(r"[a-z_][a-z0-9_]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _check_switches(switches: Any) -> None:
    whole_number("threads", switches.threads, 1)
    one_of("allocator", switches.allocator, ALLOCATORS)


if TYPE_CHECKING:

    class Switches:
        """Settings of the libraries underneath, set for the run and recorded; they change results or times."""

        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

        def __init__(self, **values: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
else:
    Switches = make_dataclass(
        "Switches",
        [(setting.name, setting.type, field(default=setting.usual)) for setting in owned("switch")],
        namespace={"__post_init__": _check_switches, "__module__": __name__},
        frozen=True,
        slots=True,
    )


@dataclass(frozen=True, slots=True)
class ReferenceLimits:
    """What the float64 reference of one configuration may cost.

    `max_flops`: multiply-adds × 2 for the reference and its error bound together; None: what suits the device
    (devices/device.py, Work). `max_bytes`: memory
    above the problem's own tensors. Beyond either, a seeded sample of elements and an identity over
    everything are checked instead.
    """

    max_flops: float | None = None
    max_bytes: float = 1e9

    def __post_init__(self) -> None:
        if self.max_flops is not None:
            number("reference.max_flops", self.max_flops, 1e4)
        number("reference.max_bytes", self.max_bytes, 1e5)


IDENTITY_SINCE = {s.name: s.usual for s in SETTINGS.values() if s.identity is Identity.IF_UNUSUAL}
"""Part of a configuration's identity only when they differ from these values."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One configuration. `key` tells it from the others of its run; `config_id` is stable between runs."""

    case: ConvCase
    dtype: str
    device: str
    memory_format: str
    wrt: str
    order: int
    fill: str
    seed: int
    methods: tuple[str, ...]
    baseline: str
    switches: Switches
    measure: Measure
    reference_limits: ReferenceLimits
    timeout_s: float
    check_repeatable: bool = False
    fixed_weight: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (instead := mode(self.dtype)) is not None:
            raise InvalidValue("dtype", f"dtype={self.dtype!r} is not one of {', '.join(DTYPES)}: {instead}")
        one_of("dtype", self.dtype, tuple(DTYPES))
        one_of("memory_format", self.memory_format, MEMORY_FORMATS)
        check_fill(self.fill)
        whole_number("seed", self.seed, 0)
        number("timeout_s", self.timeout_s, 0.001)
        check_device(self.device)
        self._check_methods()
        self._check_combination()

    def _check_methods(self) -> None:
        if not self.methods:
            raise InvalidValue("methods", "methods=[] names no method; see `python -m convbench methods`")
        for method in (*self.methods, self.baseline):
            if not isinstance(method, str) or not METHOD.fullmatch(method):
                raise InvalidValue(
                    "methods", f"methods={method!r} is neither a method's name nor package.module:function"
                )
        if len(set(self.methods)) != len(self.methods):
            raise InvalidValue("methods", f"methods={list(self.methods)} names a method twice")

    def _check_combination(self) -> None:
        case = self.case
        if self.order not in (1, 2):
            raise InvalidValue("order", f"order={self.order!r} is not 1 (gradient) or 2 (gradient of the gradient)")
        if self.order == 2 and any(is_file(fill) for fill in self.fills):
            raise IllegalCase("fill", f"fill={self.fill} holds no directions to differentiate in; give order=1")
        check_wrt(self.wrt, self.order, case.bias)
        if self.memory_format == "channels_last" and case.dims == 1:
            raise IllegalCase(
                "memory_format", f"memory_format=channels_last needs two or three axes; {case.op} has one"
            )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Spec:
        """A Spec from flat settings (the keys of conf/config.yaml, groups dotted: `measure.margin`).

        Raises InvalidValue or IllegalCase.
        """
        methods = values["methods"]
        deterministic = values["deterministic"]
        if deterministic not in (True, False, "check"):
            raise InvalidValue(
                "deterministic", f"deterministic={deterministic!r} is not known; allowed: true, false, check"
            )
        switches = {f.name: values[f.name] for f in fields(Switches)} | {"deterministic": deterministic is True}
        methods = (methods,) if isinstance(methods, str) else tuple(methods)
        case = ConvCase.of(values)
        return cls(
            case=case,
            methods=methods,
            switches=Switches(**switches),
            measure=Measure(**_group(values, "measure", Measure)),
            reference_limits=ReferenceLimits(**_group(values, "reference", ReferenceLimits)),
            check_repeatable=deterministic == "check",
            labels=dict(values.get("labels") or {}),
            **{key: values[key] for key in (*_OWN, "baseline", "timeout_s")}
            | {"wrt": wrt_of(values["wrt"], case.bias)},
        )

    @property
    def config_id(self) -> str:
        """16 hexadecimal digits: what is computed and where; not how long it is measured, nor by which methods."""
        values = {key: self._setting(key) for key, s in SETTINGS.items() if s.identity is not Identity.NEVER}
        return _digest({key: v for key, v in values.items() if key not in IDENTITY_SINCE or v != IDENTITY_SINCE[key]})

    @property
    def run_key(self) -> str:
        """16 hexadecimal digits over everything that decides what a run of this configuration records, labels aside."""
        everything = self.to_dict()
        del everything["labels"]
        # Runs from before these were so called, or could be set, resume.
        everything["budget"] = everything.pop("reference_limits")
        if everything["budget"]["max_flops"] is None:
            everything["budget"]["max_flops"] = 2e10  # what it was before it followed the device
        if not self.fixed_weight:
            del everything["fixed_weight"]
        if self.switches.allocator == "system":
            del everything["switches"]["allocator"]
        for name, usual in (("backward", True), ("time", "device")):  # runs from before they could be set resume
            if everything["measure"][name] == usual:
                del everything["measure"][name]
        # Its values decide; what a changed preset is called began to say so later.
        everything["measure"]["name"] = self.measure.name.partition(" ")[0]
        # Rows from before kernels were named are not measured again for their names.
        del everything["measure"]["kernels"]
        if not self.measure.profile:
            del everything["measure"]["profile"]
        return _digest({**everything, "schema": SCHEMA_VERSION})

    @property
    def key(self) -> ConfigurationKey:
        labels = json.dumps(dict(self.labels), ensure_ascii=False, sort_keys=True) if self.labels else None
        return ConfigurationKey(self.config_id, self.run_key, labels)

    def _setting(self, key: str) -> Any:
        """The value of a setting of facts/settings.py."""
        if key == "measure":
            return self.measure.name
        part = {"case": self.case, "spec": self, "switch": self.switches, "measure": self.measure}
        return getattr(part[SETTINGS[key].owner], key)

    @property
    def wrts(self) -> tuple[str, ...]:
        """The gradients to compute, one or several at once."""
        return parts_of(self.wrt)

    @property
    def joint(self) -> bool:
        """Whether several gradients are computed at once."""
        return len(self.wrts) > 1

    @property
    def in_backward(self) -> bool:
        """Whether a training step's backward pass computes it: no gradient of a gradient, and no output."""
        return self.order == 1 and self.wrt != OUTPUT

    @property
    def fills(self) -> tuple[str, ...]:
        """The kinds of data to judge on; the first is what is timed."""
        return fills_of(self.fill)

    @property
    def arms(self) -> tuple[str, ...]:
        """The methods to run, the baseline among them."""
        return self.methods if self.baseline in self.methods else (self.baseline, *self.methods)

    def columns(self) -> dict[str, Any]:
        """The case and setting columns of this configuration's rows (without `method`)."""
        asked = [s.name for s in owned("spec", "switch", "measure") if not s.observed]
        return {
            **self.case.columns(),
            **{name: self._setting(name) for name in asked},
            "baseline": self.baseline,
            **self.key._asdict(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` is the inverse."""
        out: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        out["case"] = self.case.to_dict()
        for key in ("switches", "measure", "reference_limits"):
            group = getattr(self, key)
            out[key] = {f.name: getattr(group, f.name) for f in fields(group)}
        out["labels"] = dict(self.labels)
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Spec:
        case: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data["case"].items()}
        measure: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data["measure"].items()}
        return cls(
            **{
                **data,
                "case": ConvCase(**case),
                "methods": tuple(data["methods"]),
                "switches": Switches(**data["switches"]),
                "measure": Measure(**measure),
                "reference_limits": ReferenceLimits(**data["reference_limits"]),
            }
        )


_OWN = tuple(setting.name for setting in owned("spec"))


def _group(values: Mapping[str, Any], prefix: str, kind: type) -> dict[str, Any]:
    out = {f.name: values[f"{prefix}.{f.name}"] for f in fields(kind)}
    return {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in out.items()}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
