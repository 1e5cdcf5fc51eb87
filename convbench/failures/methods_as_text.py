"""A method as a function of plain Python: `NAME(problem)` returns what is called, and the context it is called in."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, NamedTuple

from ..facts.case import ConvCase
from ..facts.spec import Spec
from ..facts.wrt import OUTPUT, parts_of
from ..methods import METHODS
from .sources import copied


class Text(NamedTuple):
    """The function's `name`, its text, the standard library's modules it needs, and whether torch.nn.functional."""

    name: str
    definition: str
    imports: frozenset[str]
    functional: bool


class Own(NamedTuple):
    """Where a method of the user's own was found, the name of its copy beside the script, and the gradients that it is
    asked for at once."""

    file: Path | None = None
    copy: str | None = None
    together: str | None = None


def as_text(method: str, spec: Spec, own: Own) -> Text:
    """`method` for this configuration; one of the user's own is loaded from where it was found.

    Raises KeyError for a name that is neither a shipped method's nor an own one's.
    """
    if ":" in method:
        return _own(method, spec, own)
    said = METHODS[method]
    if method == "autograd" and spec.order == 1:
        return Text(method, _autograd(spec, said), frozenset({"from contextlib import nullcontext"}), True)
    if method == "aten" and spec.in_backward:
        return Text(method, _aten(spec, said), frozenset(), False)
    found = copied(f"methods/{method}.py", "prepare")
    context = "nullcontext" if "@with_autograd" in found.definitions[-1] else "torch.inference_mode"
    body = "\n\n".join(found.definitions) + f"\n\nreturn prepare(problem), {context}"
    imports = frozenset(i for i in found.imports if "torch" not in i)
    if context == "nullcontext":
        imports |= {"from contextlib import nullcontext"}
    functional = any("functional" in i for i in found.imports)
    definition = f'def {method}(problem):\n    """{_sentence(said)}"""\n\n' + indent(body, "    ")
    return Text(method, definition, imports, functional)


def _sentence(said: str) -> str:
    return said[0].upper() + said[1:] + "."


def _autograd(spec: Spec, said: str) -> str:
    case = spec.case
    if spec.wrt == OUTPUT:
        return _forward(spec)
    operands = ["wanted" if name == spec.wrt else f"problem.{name}" for name in ("input", "weight", "bias")]
    geometry = _geometry(case, 8)
    return f'''def autograd(problem):
    """{_sentence(said)}"""
    wanted = problem.{spec.wrt}.detach().requires_grad_()
    output = F.{case.op}(
        {", ".join(operands)},
{geometry}    )

    def backward():
        return torch.autograd.grad(output, wanted, problem.grad_output, retain_graph=True)[0]

    return backward, nullcontext'''


def _geometry(case: ConvCase, depth: int) -> str:
    """The arguments of torch's operation that are numbers, a line each, so many places in."""
    names = ("stride", "padding", *(["output_padding"] if case.transposed else []), "dilation", "groups")
    return "".join(f"{' ' * depth}{name}={getattr(case, name)},\n" for name in names)


def _forward(spec: Spec) -> str:
    """torch's own operation."""
    case = spec.case
    geometry = _geometry(case, 12)
    return f'''def autograd(problem):
    """PyTorch's forward operation."""

    def forward():
        return F.{case.op}(
            problem.input,
            problem.weight,
            problem.bias,
{geometry}        )

    return forward, nullcontext'''


def _aten(spec: Spec, said: str) -> str:
    case = spec.case
    wanted = ("input", "weight", "bias").index(spec.wrt)
    geometry = (case.stride, case.padding, case.dilation, case.transposed, case.output_padding, case.groups)
    return dedent(
        f'''\
        def aten(problem):
            """{_sentence(said)}"""
            operands = problem.grad_output, problem.input, problem.weight, {[case.out_channels] if case.bias else None}
            # stride, padding, dilation, transposed, output_padding, groups; which of the three gradients
            geometry = {geometry}
            mask = {[n == wanted for n in range(3)]}

            def backward():
                return torch.ops.aten.convolution_backward(*operands, *geometry, mask)[{wanted}]

            return backward, torch.inference_mode'''
    )


OWN = """\
def own(problem):
    \"\"\"{method}, from where it was found{or_copy}.\"\"\"
    if importlib.util.find_spec("convbench") is None:
        stand_in_for_convbench()
    sys.path.insert(0, {root})
    try:
        found = importlib.import_module({module})
    except ModuleNotFoundError as error:
        copy = Path(__file__).with_name({copy})
        if error.name != {top} or not copy.is_file():
            raise
        spec = importlib.util.spec_from_file_location({module}, copy)
        found = sys.modules[{module}] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    method = found.{function}
    context = nullcontext if getattr(method, "convbench_autograd", False) else torch.inference_mode
{returned}


def stand_in_for_convbench():
    \"\"\"Where convbench is not installed: the marks that a method's file takes from it, and its exception.\"\"\"

    def mark(name):
        return lambda function: setattr(function, name, True) or function

    module = sys.modules["convbench"] = ModuleType("convbench")
    module.Unsupported = type("Unsupported", (Exception,), {{}})
    module.plain = lambda f=None, **covers: mark("convbench_plain")(f) if f else mark("convbench_plain")
    module.with_autograd = mark("convbench_autograd")
    module.together = mark("convbench_together")
    module.accuracy = lambda declared: lambda function: function"""

RETURNED = """\
    if getattr(method, "convbench_plain", False):
        operands = problem.grad_output, problem.input, problem.weight, problem.case
        return lambda: method(*operands), context
    return method(problem), context"""
RETURNED_TOGETHER = """\
    # Asked for {wrts} at once; what is looked at is the one with respect to {wrt}.
    if getattr(method, "convbench_plain", False):
        operands = problem.grad_output, problem.input, problem.weight, problem.case
        return lambda: method(*operands)[{at}], context
    if getattr(method, "convbench_together", False):
        call = method(SimpleNamespace(**{{**vars(problem), "wrt": {together}, "wrts": {wrts}, "joint": True}}))
        return lambda: call()[{at}], context
    shapes = {{"input": case.input_shape, "weight": case.weight_shape, "bias": (case.out_channels,)}}
    parts = [
        SimpleNamespace(**{{**vars(problem), "wrt": wrt, "wrts": (wrt,), "shape": shapes[wrt]}}) for wrt in {wrts}
    ]
    calls = [method(part) for part in parts]
    return lambda: [call() for call in calls][{at}], context"""

OWN_IMPORTS = frozenset(
    {
        "import importlib.util",
        "import sys",
        "from contextlib import nullcontext",
        "from pathlib import Path",
        "from types import ModuleType",
    }
)


def _own(method: str, spec: Spec, own: Own) -> Text:
    """A function of the user's: imported from where it was, or from its copy beside the script."""
    own_file, own_copy, together = own
    returned = RETURNED
    if together is not None:
        wrts = parts_of(together)
        at = {"wrts": literal(wrts), "wrt": spec.wrt, "at": wrts.index(spec.wrt), "together": literal(together)}
        returned = RETURNED_TOGETHER.format(**at)
    module, _, function = method.partition(":")
    depth = module.count(".") + (own_file is not None and own_file.name == "__init__.py")
    definition = OWN.format(
        method=method,
        or_copy="" if own_copy is None else ", or from its copy beside this script",
        root="os.getcwd()" if own_file is None else literal(str(own_file.parents[depth])),
        module=literal(module),
        top=literal(module.partition(".")[0]),
        copy=literal(own_copy or f"{module.rpartition('.')[2]}.py"),
        function=function,
        returned=returned,
    )
    return Text("own", definition, OWN_IMPORTS | ({"import os"} if own_file is None else set()), False)


def literal(value: Any) -> str:
    """`value` as Python writes it, infinities included."""
    if isinstance(value, (tuple, list)):
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, float) and math.isinf(value):
        return "math.inf" if value > 0 else "-math.inf"
    if isinstance(value, str) and value.isprintable() and not set(value) & set('"\\'):
        return f'"{value}"'
    return repr(value)
