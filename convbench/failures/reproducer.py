"""One configuration and one method as a script of plain torch, which needs no convbench and exits with 1 while the
result is wrong.

The operands are those of the configuration, drawn again in the script, or tensors in a file beside it. What a result is
compared with is computed in the script, or is in that file. Imports no torch, as what writes issues needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Any

from .._version import __version__
from ..facts.case import ConvCase
from ..facts.dtypes import DTYPES
from ..facts.fills import WHOLE_NUMBERS
from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..facts.wrt import OUTPUT
from ..measurement.bounds import bounds, declared_only
from .drawn_as_text import DRAWN_BY, drawing
from .methods_as_text import Own, as_text, literal

TEMPLATES = Path(__file__).parent / "templates"
TENSORS = ("input", "weight", "bias", "grad_output", "direction_input", "direction_weight", "direction_bias")
SIDES = ("input", "grad_output", "direction_input")
LAST_WORDS = "It ends with exit code 1 while the result is wrong, and with 0 when it is right."


@dataclass(frozen=True, slots=True)
class Reproducer:
    """What a script is to show.

    `said`: its first words, what is wrong in a sentence or more. `tensors`: the name of a file beside the script, as
    failures/tensors.py writes it (None: operands are drawn, and the expected gradient is computed, in the script);
    `earlier`: it holds the operands of an earlier call as well. `seed`: of the operands drawn, the configuration's own
    where None. `own_file`: where a method of the user's own was found; `own_copy` the name of its copy beside the
    script. `declared`: the class of bounds that the method says it belongs to. `environment`: variables that torch
    reads when it is loaded. `rival`: a shipped method that the result's time is compared with, which is wrong as well
    where it takes `slower` times as long. `calls`: so often it is called before its result is looked at, because what
    a call does to the memory of its process may show later. `together`: the method was asked for these gradients at
    once; the script asks one of the user's own for them as well, and a shipped one for the spec's alone.
    """

    spec: Spec
    method: str
    said: str
    tensors: str | None = None
    earlier: bool = False
    seed: int | None = None
    own_file: Path | None = None
    own_copy: str | None = None
    declared: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    rival: str | None = None
    slower: float = 1.0
    calls: int = 1
    together: str | None = None
    name: str = "reproduce.py"


def can_draw(spec: Spec) -> bool:
    """Whether a script can draw the configuration's operands: not those of a file, and not the notebook's."""
    return spec.fills[0] in DRAWN_BY


def script(asked: Reproducer) -> str:
    """The text of the script. Raises InvalidValue where the operands can neither be drawn nor are in a file, and
    KeyError for a shipped method that does not exist."""
    if asked.tensors is None and not can_draw(asked.spec):
        raise InvalidValue(
            "fill", f"fill={asked.spec.fills[0]} cannot be drawn in a script; keep its tensors in a file"
        )
    return str(_template().render(_values(asked)))


@cache
def _template() -> Any:
    import jinja2  # takes a tenth of a second, and what measures in another environment does without it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # the output is Python
    )
    environment.filters["literal"] = literal
    return environment.get_template("reproduce.py.j2")


def _values(asked: Reproducer) -> dict[str, Any]:
    spec, case = asked.spec, asked.spec.case
    own = Own(asked.own_file, asked.own_copy, asked.together)
    texts = [as_text(method, spec, own) for method in (asked.method, asked.rival) if method is not None]
    return {
        **_words(asked),
        **_operands(asked),
        "imports": sorted(_standard(asked) | {i for text in texts for i in text.imports}, key=_import_order),
        "torch_imports": [
            "import torch",
            *(["import torch.nn.functional as F"] if any(t.functional for t in texts) else ()),
        ],
        "environment": sorted(asked.environment.items()),
        "switches": _switches(spec),
        "case": case_values(case).items(),
        "shape": case.shape_of(spec.wrt),
        "wanted": named(spec.wrt),
        "device": spec.device.partition(":")[0] if spec.device == "cpu" else spec.device,
        "dtype": spec.dtype,
        "wrt": spec.wrt,
        "order": spec.order,
        "methods": [text.definition for text in texts],
        "first": texts[0].name,
        "first_name": asked.method,
        "second": texts[-1].name,
        "rival": asked.rival,
        "slower": asked.slower,
        "calls": asked.calls,
        "terms": _terms(spec),
        "plus": _bias_term(spec),
        "bounds": _bounds(asked),
        "overflow": DTYPES[spec.dtype].largest * (1 - 2 * DTYPES[spec.dtype].u_out),
        "reduction_length": max(1, case.reduction_length(spec.wrt)),
    }


def _words(asked: Reproducer) -> dict[str, str]:
    variables = "".join(f"{name}={value} " for name, value in sorted(asked.environment.items()))
    needs = "torch alone" if asked.tensors is None else f"torch, and {asked.tensors} beside it"
    if asked.own_file is not None:
        needs += f", and the method's own file {asked.own_file}" + (
            f" or its copy {asked.own_copy}" if asked.own_copy else ""
        )
    usage = f"It needs {needs}. {LAST_WORDS} Written by convbench {__version__}."
    said = asked.said.replace("\\", "\\\\").replace('"""', "'''")
    lines = [fill(line, 118) if len(line) > 118 else line for line in said.splitlines()]
    return {"said": "\n".join(lines), "usage": fill(usage, 118), "command": f"{variables}python {asked.name}"}


def _operands(asked: Reproducer) -> dict[str, Any]:
    spec = asked.spec
    seed = spec.seed if asked.seed is None else asked.seed
    found = drawing(spec.fills[0], spec.dtype, spec.case.reduction_length(spec.wrt)) if asked.tensors is None else None
    sided = found is not None and found.sided
    calls = []
    for name, shape in shapes(spec).items():
        arguments = [str(seed * len(TENSORS) + TENSORS.index(name)), *map(str, shape)]
        calls.append((name, ", ".join(arguments + (["side=True"] if sided and name in SIDES else []))))
    formats = {"channels_last": "channels_last_3d" if spec.case.dims == 3 else "channels_last"}
    return {
        "tensors": asked.tensors,
        "earlier": asked.earlier,
        "placed": "" if spec.device == "cpu" else ".to(DEVICE)",
        "operands": calls,
        "sided": sided,
        "fill": found.lines if found else (),
        "fill_said": found.said if found else "",
        "memory_format": formats.get(spec.memory_format),
    }


def shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """The shape of every operand of a configuration, by its name."""
    case = spec.case
    found = {"input": case.input_shape, "weight": case.weight_shape, "grad_output": case.output_shape}
    if spec.order == 2:
        found |= {"direction_input": case.input_shape, "direction_weight": case.weight_shape}
    if case.bias:
        found["bias"] = (case.out_channels,)
        if spec.order == 2:
            found["direction_bias"] = (case.out_channels,)
    return {name: found[name] for name in TENSORS if name in found}


def named(wrt: str) -> str:
    """`the output`, or `the gradient with respect to weight`."""
    return "the output" if wrt == OUTPUT else f"the gradient with respect to {wrt}"


def case_values(case: ConvCase) -> dict[str, Any]:
    """What a method may ask of a case, as numbers."""
    derived = ("dims", "transposed", "output_size", "small_size", "large_size", "taps")
    names = (*case.to_dict(), *derived, "input_shape", "weight_shape", "output_shape")
    return {name: getattr(case, name) for name in names}


def _switches(spec: Spec) -> list[str]:
    """The statements that set what the configuration does not leave as torch has it."""
    asked = spec.switches
    found = [f"torch.set_num_threads({asked.threads})"]
    if spec.device != "cpu":
        found += [f"torch.backends.{part}.allow_tf32 = {asked.tf32}" for part in ("cudnn", "cuda.matmul")]
    if asked.cudnn_benchmark:
        found.append("torch.backends.cudnn.benchmark = True")
    if asked.deterministic:
        found.append("torch.use_deterministic_algorithms(True)")
    if not asked.onednn:
        found.append("torch.backends.mkldnn.enabled = False")
    return found


def _standard(asked: Reproducer) -> set[str]:
    """The standard library's modules that the script itself needs."""
    found = {"import math", "import sys", "from types import SimpleNamespace"}
    if asked.tensors is None:
        found.add("import itertools")
    else:
        found.add("from pathlib import Path")
    if asked.environment:
        found.add("import os")
    if asked.rival is not None:
        found |= {"import statistics", "import time"}
    return found


def _import_order(statement: str) -> tuple[bool, str]:
    return statement.startswith("from"), statement


def _terms(spec: Spec) -> list[tuple[str, str, str]]:
    """The contractions that the result is the sum of: what comes out, and the names of both operands."""
    forward, backward = ("large", "small") if spec.case.transposed else ("small", "large")
    vx, vw = ("direction_input", "direction_weight") if spec.order == 2 else ("input", "weight")
    if spec.wrt == "input":
        return [(backward, "grad_output", vw)]
    if spec.wrt == "weight":
        small, large = (vx, "grad_output") if spec.case.transposed else ("grad_output", vx)
        return [("weight", small, large)]
    if spec.wrt == "grad_output":
        return [(forward, vx, "weight"), (forward, "input", vw)]
    return [(forward, "input", "weight")] if spec.wrt == OUTPUT else []


def _bias_term(spec: Spec) -> str:
    if spec.wrt not in ("grad_output", OUTPUT) or not spec.case.bias:
        return ""
    bias = "bias" if spec.wrt == OUTPUT else "direction_bias"
    return f' + of(operands["{bias}"]).view(-1, {", ".join("1" * spec.case.dims)})'


def _bounds(asked: Reproducer) -> list[tuple[Any, ...]]:
    spec = asked.spec
    case, wrt, length = spec.case, spec.wrt, max(1, spec.case.reduction_length(spec.wrt))
    terms = case.batch if wrt in ("weight", "bias") else case.taps
    integers = spec.fills[0] in WHOLE_NUMBERS
    classes = bounds(spec.dtype, length, terms, integers, wrt != "bias")
    classes |= declared_only(asked.declared, spec.dtype, length, integers)
    parts = ("of_ref", "sums", "rounded", "exact_below", "of_largest", "tiny", "l2")
    return [(name, *(float(f"{getattr(b, part):.6g}") for part in parts)) for name, b in classes.items()]
