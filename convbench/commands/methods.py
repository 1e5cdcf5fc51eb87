"""`python -m convbench methods`: what ships, what each method covers, and how to add one's own. Imports no torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from ..methods import METHODS
from ..terminal.arguments import Arguments
from ..terminal.screen import console

FOLDER = Path(__file__).parent.parent / "methods"

OWN = """\
Your own: a function in any module on sys.path, the working directory included, named module:function

  python -m convbench methods=[autograd,explicit,my_kernels:grad_input]

  import convbench

  def grad_input(problem):                      # problem.input, .weight, .bias, .grad_output, .case, .wrt, .order
      if problem.wrt != "input":
          raise convbench.Unsupported("grad_input covers wrt=input")
      return lambda: my_kernel(problem.grad_output, problem.weight)      # this call is judged and timed

  @convbench.plain(wrt="input")                 # or without preparation
  def simple(grad_output, input, weight, case): ...

With wrt=all or [input,weight] it is asked for one gradient after the other, unless marked @convbench.together.

It may raise, crash, hang or be wrong: that is a row of the table. More in docs/methods.md and in examples/.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the list; returns 0."""
    description = "List the methods that ship, what each covers, and how to add your own."
    Arguments("methods", description=description).parse_args(argv)
    table = Table("method", "what it is", "covers", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, what in METHODS.items():
        table.add_row(name, what, coverage(name))
    out = console()
    out.print(table)
    out.print()
    out.print(OWN, markup=False, highlight=False, soft_wrap=True)
    return 0


def coverage(name: str) -> str:
    """What a method's docstring says after "Covers", up to the full stop; read from the file, which is not run."""
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""
    found = re.search(r"\bCovers (.+?)\.(?=\s|$)", " ".join(text.split()))
    if found is None:
        raise ValueError(f"the docstring of {name} has no sentence that begins with Covers")
    return found[1]
