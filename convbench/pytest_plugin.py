"""pytest plugin: `pytest --convbench-sweep=NAME --benchmark-only` runs a saved sweep through pytest-benchmark.

One benchmark per configuration and method, grouped by configuration; each is judged before it is timed.
pytest-benchmark times one method after the other: for a ratio to be believed, run convbench itself, which pairs.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .devices.device import Device
    from .facts.spec import Spec
    from .measurement.joint import Truth
    from .measurement.problem import Problem

SWEEPS = pytest.StashKey[dict[Path, "Saved"]]()


@dataclass(frozen=True)
class Saved:
    """A sweep that was asked for: `name` as in node ids, and its configurations."""

    name: str
    specs: list[Spec]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("convbench")
    group.addoption(
        "--convbench-sweep",
        action="append",
        default=[],
        metavar="NAME",
        help="Run a saved sweep (a name, its .yaml, or a .csv of cases): one benchmark per configuration and method.",
    )
    group.addoption(
        "--convbench-override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="Settings on top of the sweep's own, as on convbench's command line; several in one argument or repeated.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Composes the sweeps, so that a mistake ends the run at once, and adds their files to what is collected.

    Where no files or folders were given, the sweeps are all that is collected.
    """
    names = config.getoption("convbench_sweep")
    if not names:
        return
    words = [word for text in config.getoption("convbench_override") for word in split(text)]
    config.stash[SWEEPS] = sweeps = dict(compose(name, words) for name in names)
    given = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    config.args = [*given, *map(str, sweeps)]


def split(text: str) -> list[str]:
    """The words of one --convbench-override, quoted as in a shell; raises pytest.UsageError."""
    try:
        return shlex.split(text)
    except ValueError as error:
        reason = str(error).lower()
        raise pytest.UsageError(f"--convbench-override={text} cannot be split into words: {reason}") from None


def compose(name: str, words: list[str]) -> tuple[Path, Saved]:
    """The file that stands for a sweep in the collection, and the sweep; raises pytest.UsageError."""
    from .facts.values import InvalidValue
    from .sweep.plan import planned, saved

    try:
        path, arguments = saved(name)
        plan = planned([*arguments, *words])
    except InvalidValue as error:
        raise pytest.UsageError(f"--convbench-sweep={name}: {error}") from None
    return path, Saved(name=path.stem, specs=list(plan.sweep))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    saved = parent.config.stash.get(SWEEPS, {}).get(file_path)
    if saved is None:
        return None
    # A node id without the folder is the same on every machine, so that runs can be compared.
    collector: SweepFile = SweepFile.from_parent(parent, path=file_path, nodeid=f"convbench/{saved.name}")
    collector.saved = saved
    return collector


class SweepFile(pytest.File):
    """The benchmarks of one sweep, those of a configuration one after the other."""

    saved: Saved

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._latest: tuple[Spec, Problem, Truth] | None = None

    def problem(self, spec: Spec) -> tuple[Problem, Truth]:
        """The configuration's tensors and reference, kept for its other methods, which follow."""
        if self._latest is None or self._latest[0] is not spec:
            from .measurement import problem, reference
            from .measurement.joint import truth_of

            self._latest = None
            made = problem.make(spec)
            self._latest = (spec, made, truth_of(made, reference.computed))
        return self._latest[1:]

    def forget_problem(self) -> None:
        """The next method gets new tensors."""
        self._latest = None

    def collect(self) -> Iterator[pytest.Item]:
        from .results.naming import distinct_names

        names = distinct_names(spec.columns() for spec in self.saved.specs)
        for spec in self.saved.specs:
            name = names[spec.key]
            for method in spec.arms:
                yield Arm.from_parent(self, name=f"{method}[{name}]", callobj=self._test(spec, method, name))

    def _test(self, spec: Spec, method: str, group: str) -> Callable[[Any], None]:
        def test(benchmark: Any) -> None:
            benchmark.group = group
            benchmark.param = method
            benchmark.params = {**_known(spec.columns()), "method": method}
            run(benchmark, self, spec, method)

        return test


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


class Arm(pytest.Function):
    """One method on one configuration."""

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def run(benchmark: Any, sweep: SweepFile, spec: Spec, method: str) -> None:
    """Prepares the method, asserts that it is right, and only then lets pytest-benchmark time it."""
    from .devices import device_of, missing_device
    from .measurement.accuracy_columns import accuracy_columns
    from .measurement.operands import Operands
    from .measurement.switches import switched
    from .methods import Unsupported
    from .methods.own import CannotLoad, context_of, load

    missing = missing_device(spec.device)
    if missing is not None:
        pytest.skip(missing)
    with switched(spec.switches, spec.device):
        made, truth = sweep.problem(spec)
        operands = Operands(made)
        try:
            prepare = load(method)
            call = prepare(made)
        except Unsupported as error:
            pytest.skip(str(error))
        except CannotLoad as error:
            pytest.fail(str(error), pytrace=False)
        with context_of(prepare)():
            found = accuracy_columns(call(), made, truth)
            if changed := operands.changed():
                sweep.forget_problem()
                pytest.fail(f"{method} changed {' and '.join(changed)} in place", pytrace=False)
            assert found["accuracy"] != "fail", found["reason"]
            kept = ("accuracy", "bound_ratio", "max_abs_err")
            benchmark.extra_info.update({"config_id": spec.config_id, **{key: found[key] for key in kept}})
            device = device_of(spec.device)
            benchmark(call if device.is_host else _synchronized(call, device))


def _synchronized(call: Callable[[], Any], device: Device) -> Callable[[], Any]:
    """A call that returns when `device` has finished; pytest-benchmark's clock is the host's."""

    def synchronized() -> Any:
        result = call()
        device.synchronize()
        return result

    return synchronized
