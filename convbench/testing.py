"""For the tests of a kernel's author: configurations as pytest parameters, and an assertion on a gradient.

A kernel on every layer of a network::

    @convbench.testing.cases("resnet50", dtype=["float32", "bfloat16"], batch=2, wrt="input")
    def test_my_kernel(case):
        convbench.testing.assert_gradient(my_kernel, case)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from .api.check import verdict
from .api.functions import Functions, Method
from .api.run import planned_with
from .api.words import words_of
from .facts.values import InvalidValue
from .results.naming import distinct_names

if TYPE_CHECKING:
    from .facts.spec import Spec

__all__ = ["assert_gradient", "cases"]

ASCII = str.maketrans("·×→", "-x-")
"""What pytest would write as escape sequences in the id of a test."""

Test = TypeVar("Test", bound=Callable[..., Any])


def cases(*words: str, **settings: Any) -> Callable[[Test], Test]:
    """Parametrizes a test with `case`, one configuration after the other, each named in the test's id.

    A word without `=` is a saved sweep or suite that ships (`resnet50`), a sweep's .yaml or a list of cases (.csv,
    .parquet); other words and `settings` are those of `convbench.run`. A case has `.case` (the convolution), `.wrt`,
    `.dtype`, `.device` and the other settings as attributes. Raises InvalidValue where the test is defined.
    """
    from .sweep.plan import saved

    named = [named for word in words for named in ([word] if "=" in word else saved(word)[1])]
    specs = list(planned_with([*named, *words_of(settings)]).sweep)
    names = distinct_names(spec.columns() for spec in specs)
    return pytest.mark.parametrize("case", [pytest.param(spec, id=names[spec.key].translate(ASCII)) for spec in specs])


def assert_gradient(method: Method, case: Spec | Sequence[Spec]) -> None:
    """Fails where `method` (a function or a name) does not compute the gradient of `case`, saying where it is wrong.

    It is judged in this process, as by `convbench.check`. A case that the method does not cover is skipped, as is one
    whose device is not there.
    """
    __tracebackhide__ = True
    specs = [case] if not isinstance(case, Sequence) else list(case)
    if not specs:
        raise InvalidValue("case", "case is empty; give a configuration of convbench.testing.cases")
    found = verdict(Functions([method]), specs)
    if wrong := found.wrong:
        raise AssertionError("\n".join(map(str, wrong))) from wrong[0].error
    if not found:
        pytest.skip(str(found.judged[0]))
