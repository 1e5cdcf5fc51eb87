"""hunt: what it proposes, how it simplifies and groups, what it takes from a run before, and how it ends.

What is hunted in is made up: a function of a point says what a method does there, so that it is known what is to be
found. The real ones are in tests/slow/test_hunt.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convbench.cli import main
from convbench.execution.culprits import ELSEWHERE
from convbench.execution.interrupt import Interrupted
from convbench.execution.measured import Measured
from convbench.facts.record import Record, record
from convbench.facts.spec import Spec
from convbench.facts.values import InvalidValue
from convbench.hunting import command, proposals
from convbench.hunting.hunt import Hunt
from convbench.hunting.issue import Writer
from convbench.hunting.objective import Hit, objective_of
from convbench.hunting.point import Point, key_of, per_axis, with_value
from convbench.hunting.region import Region
from convbench.hunting.simplify import Simplifier
from convbench.hunting.space import USUAL, Space
from convbench.hunting.trials import Stopped, Trials
from convbench.sweep.plan import room

from . import old_bugs

CROWDED = {
    **USUAL,
    "batch": 8,
    "in_channels": 4,
    "out_channels": 17,
    "size": (14, 9),
    "kernel": 1,
    "stride": 2,
    "dtype": "bfloat16",
    "memory_format": "channels_last",
    "wrt": "weight",
    "bias": True,
    "threads": 2,
    "fill": "positive",
    "env.ONEDNN_MAX_CPU_ISA": "AVX2",
}


def sizes(point: Point) -> list[int]:
    value = point["size"]
    return list(value) if isinstance(value, tuple) else [value]


def of_6035(point: Point) -> bool:
    """What oneDNN#6035 was found to need."""
    return bool(
        point["memory_format"] == "channels_last"
        and point["wrt"] == "weight"
        and point["kernel"] == 1
        and point["stride"] == 2
        and point["batch"] >= 2
        and 2 <= point["in_channels"] < 8
        and min(sizes(point)) >= 8
        and point.get("env.ONEDNN_MAX_CPU_ISA") == "AVX2"
    )


def simplified(point: Point, does: Callable[[Point], bool], **allowed: Sequence[Any]) -> tuple[Point, list[Point]]:
    asked: list[Point] = []

    def holds(candidate: Point) -> bool:
        asked.append(candidate)
        return does(candidate)

    space = space_for("fail")
    return Simplifier(point, holds, space.asked.legal, allowed).run(), asked


@cache
def space_for(objective: str, *words: str, isa: str | None = None) -> Space:
    """Of AVX2, or of any instructions; with the layers of one network."""
    variables = {} if isa is None else {"ONEDNN_MAX_CPU_ISA": [isa]}
    network = [] if any(word.startswith("cases=") for word in words) else ["cases=mobilenet_v1.csv"]
    return command.space_of(objective_of(objective, None), room([*words, *network]), variables)


def test_every_axis_goes_to_its_simplest_value() -> None:
    found, asked = simplified({**CROWDED, "size": (14, 9)}, of_6035)
    assert found == {
        **USUAL,
        "batch": 2,
        "in_channels": 2,
        "size": 8,
        "stride": 2,
        "memory_format": "channels_last",
        "wrt": "weight",
        "env.ONEDNN_MAX_CPU_ISA": "AVX2",
    }
    assert len({key_of(point) for point in asked}) == len(asked) < 60


def test_channels_and_groups_of_a_depthwise_convolution_go_down_together() -> None:
    def does(point: Point) -> bool:
        return bool(point["groups"] == point["in_channels"] == point["out_channels"] and point["groups"] % 8 == 0)

    found, _ = simplified({**CROWDED, "in_channels": 48, "out_channels": 48, "groups": 48}, does)
    assert (found["groups"], found["in_channels"], found["out_channels"]) == (8, 8, 8)


def test_a_kernel_as_wide_as_the_image_goes_down_with_it() -> None:
    def does(point: Point) -> bool:
        return bool(per_axis(point, "size") == tuple(k + 2 for k in per_axis(point, "kernel")) >= (6, 6))

    found, _ = simplified({**CROWDED, "size": 19, "kernel": 17, "stride": 1}, does)
    assert (found["kernel"], found["size"]) == (4, 6)


def test_axes_of_space_are_dropped_and_a_transpose_is_taken_back() -> None:
    crowded = {
        **CROWDED,
        "op": "conv_transpose3d",
        "size": (5, 6, 7),
        "memory_format": "contiguous",
        "output_padding": 1,
    }
    found, _ = simplified(crowded, lambda point: point["stride"] in (2, (2, 2, 2)))
    assert (found["op"], found["stride"], found["output_padding"]) == ("conv1d", 2, 0)


def test_what_was_named_bounds_what_is_tried() -> None:
    found, asked = simplified(CROWDED, lambda point: True, kernel=[1, 3], batch=[8, 4], dtype=["bfloat16"])
    assert (found["dtype"], found["batch"], found["in_channels"]) == ("bfloat16", 4, 1)
    assert {point["dtype"] for point in asked} == {"bfloat16"}
    assert {point["batch"] for point in asked} <= {8, 4}


def test_boundaries_try_every_combination_of_what_chooses_a_kernel() -> None:
    space = space_for("crash", "dtype=float32", isa="AVX2")
    points = [p.point for p in islice(proposals.boundary(space, 0), 1300)]
    chosen = ("kernel", "stride", "memory_format", "wrt", "padding")
    # An axis of its own for each axis of space is drawn now and then.
    plain = [point for point in points if not any(isinstance(point[key], tuple) for key in chosen)]
    assert len({tuple(point[key] for key in chosen) for point in plain}) >= 3 * 2 * 2 * 2 * 2
    assert {point["env.ONEDNN_MAX_CPU_ISA"] for point in points} == {"AVX2"}
    assert any(of_6035(point) for point in points)
    assert [p.point for p in islice(proposals.boundary(space, 0), 50)] == points[:50]


@pytest.mark.parametrize("bug", (*old_bugs.FAIL, *old_bugs.CRASH), ids=lambda bug: bug.__name__)
def test_boundaries_reach_where_bugs_of_old_releases_were(bug: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a trial takes; the hunts themselves are a campaign of many minutes."""
    monkeypatch.setattr(old_bugs, "explicit", lambda made: None)  # what a bug returns where it is not
    words = ["cases=mobilenet_v1.csv", *old_bugs.LEFT_OPEN.get(bug.__name__, ())]
    space = command.space_of(objective_of("fail", None), room(words), {"ONEDNN_MAX_CPU_ISA": [None]})

    def there(spec: Spec) -> bool:
        made = SimpleNamespace(spec=spec, case=spec.case, wrt=spec.wrt, order=1, dtype=getattr(torch, spec.dtype))
        for operand in ("input", "weight", "grad_output"):
            setattr(made, operand, None)
        return bug(made) is not None

    points = (proposal.point for proposal in proposals.boundary(space, 0))
    assert any(there(spec) for point in points if (spec := space.spec(point)) is not None)


def test_only_what_is_named_is_tried_of_an_axis() -> None:
    space = space_for("fail", "kernel=2,5", "op=conv1d", "dtype=float64", "cases=wavegan.csv")
    found = [
        *islice(proposals.boundary(space, 1), 60),
        *proposals.suites(space),
        *islice(proposals.drawn(space, 1), 60),
    ]
    assert {p.kind for p in found} >= {"boundary", "random"}
    assert {str(p.point["kernel"]) for p in found} <= {"2", "5"}
    assert {(p.point["op"], p.point["dtype"]) for p in found} == {("conv1d", "float64")}
    assert all(space.asked.legal(p.point) for p in found)


def test_real_layers_come_with_one_image_and_of_every_kind_the_cheapest_first() -> None:
    space = space_for("slow", "dtype=bfloat16", "cases=mobilenet_v1.csv", "memory_format=channels_last")
    found = [p.point for p in proposals.suites(space)]
    flops: dict[tuple[str, ...], list[int]] = {}
    for point in found:
        kind = tuple(str(point[key]) for key in ("wrt", "kernel", "stride")) + (str(point["groups"] > 1),)
        flops.setdefault(kind, []).append(space.asked.spec(point, "").case.flops(point["wrt"]))
    assert all(one == sorted(one) for one in flops.values())
    assert len({tuple(str(p[key]) for key in ("kernel", "stride")) for p in found[: len(flops)]}) == 3
    assert {point["batch"] for point in found} == {1}
    assert any(point["groups"] == 512 and point["stride"] == 2 and point["wrt"] == "input" for point in found)


Does = Callable[[Point], str | None]
"""What a method does at a point: the status of its row, `fail` for a wrong gradient, None where it is well."""


class MadeUp:
    """A session whose methods do what a function says. `left` configurations may be run before a signal comes."""

    def __init__(self, does: Does, left: int = 10**6) -> None:
        self.does, self.left = does, left
        self.visited: list[Spec] = []
        self.rows: dict[str, list[Record]] = {}

    def settled(self, spec: Spec) -> bool:
        return spec.key.unit in self.rows

    def visit(self, spec: Spec, process: int = 0) -> Measured:
        if self.left <= 0:
            raise Interrupted
        self.left -= 1
        self.visited.append(spec)
        return Measured([self._row(spec, arm) for arm in spec.arms])

    def afresh(self, specs: Sequence[Spec], times: int) -> tuple[int, Measured]:
        measured = Measured([])
        for place, spec in enumerate(specs):
            measured = self.visit(spec)
            if any(row["status"] != "ok" for row in measured.found):
                return place, measured
        return len(specs) - 1, measured

    def keep(self, position: int, spec: Spec, measured: Measured) -> list[Record]:
        self.rows[spec.key.unit] = measured.found
        return measured.found

    def restart(self) -> None: ...

    def _row(self, spec: Spec, method: str) -> Record:
        said = self.does(point_of(spec)) if method == "explicit" else None
        found: dict[str, Any] = {"status": "ok", "accuracy": "ok", "bound_ratio": 0.5}
        if said == "fail":
            found = {"status": "ok", "accuracy": "fail", "bound_ratio": 9.0, "reason": "off"}
        elif said is not None and said.startswith(ELSEWHERE):
            found["reason"] = said
        elif said is not None:
            found = {"status": said, "reason": "killed"}
        return record({**spec.columns(), "method": method, **found})


def point_of(spec: Spec) -> Point:
    case = {key: getattr(spec.case, key) for key in USUAL if hasattr(spec.case, key)}
    own = {key: getattr(spec, key) for key in ("dtype", "memory_format", "wrt", "fill")}
    isa = spec.labels.get("ONEDNN_MAX_CPU_ISA")
    return with_value({**USUAL, **case, **own, "env.ONEDNN_MAX_CPU_ISA": isa})


MADE_UP = ("methods=[explicit]", "baseline=autograd")


def hunted(session: MadeUp, name: str, tmp_path: Path, most: int = 400, regions: int | None = None) -> Hunt:
    space = space_for(name, *MADE_UP, isa="AVX2")
    trials: Trials

    def stop() -> None:
        if trials.count >= most:
            raise Stopped

    trials = Trials(session, objective_of(name, None), stop, session.rows)
    writer = Writer(tmp_path, trials.objective, space, ["hunt", f"objective={name}"])
    hunt = Hunt(trials.objective, space, trials, lambda text: None, writer.write, {}, most=regions)
    hunt.run([(at_boundaries("fail"), 1e9)], None)
    return hunt


@cache
def at_boundaries(objective: str) -> list[proposals.Proposal]:
    """Those of the boundaries that have the layout of oneDNN#6035 and a stride: a hundred or so."""
    found = islice(proposals.boundary(space_for(objective, *MADE_UP, isa="AVX2"), 0), 1300)
    return [p for p in found if p.point["memory_format"] == "channels_last" and p.point["stride"] == 2]


@pytest.fixture(autouse=True)
def _no_scripts_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds of torch each; tests/slow runs the real ones. The environment is put back."""
    monkeypatch.setattr("convbench.hunting.issue.tried", lambda file: "not run here")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")


def test_hits_of_one_kind_are_one_region_simplified_and_written_down(tmp_path: Path) -> None:
    session = MadeUp(lambda point: "fail" if of_6035(point) else None)
    hunt = hunted(session, "fail", tmp_path)
    (region,) = hunt.regions
    assert region.done
    assert (region.point["batch"], region.point["in_channels"], region.point["size"]) == (2, 2, 8)
    assert {"kernel", "stride", "memory_format", "wrt", "batch", "in_channels", "size"} <= region.matters.keys()
    assert {"out_channels", "threads", "dtype"} <= region.stays.keys()
    assert region.also >= 1
    assert region.times == (3, 3)
    script, issue = (tmp_path / "hunt" / f"1-fail-explicit{suffix}" for suffix in (".py", ".md"))
    compile(script.read_text(), str(script), "exec")
    text = issue.read_text()
    assert "ONEDNN_MAX_CPU_ISA" in text
    assert "goes away with a smaller stride than 2" in text
    assert script.read_text() in text


def test_two_causes_are_two_regions(tmp_path: Path) -> None:
    def does(point: Point) -> str | None:
        return "fail" if of_6035(point) or (point["wrt"] == "input" and point["kernel"] == 3) else None

    hunt = hunted(MadeUp(does), "fail", tmp_path)
    assert {(r.point["wrt"], r.point["kernel"]) for r in hunt.regions} == {("weight", 1), ("input", 3)}


def test_a_hunt_for_one_region_ends_with_it(tmp_path: Path) -> None:
    session = MadeUp(lambda point: "fail" if point["wrt"] == "input" or point["kernel"] == 3 else None)
    hunt = hunted(session, "fail", tmp_path, regions=1)
    assert len(hunt.regions) == 1
    assert hunt.regions[0].done


def test_a_hit_that_does_not_come_again_is_none(tmp_path: Path) -> None:
    """Once only, in the company of others."""
    seen: list[Point] = []

    def does(point: Point) -> str | None:
        seen.append(point)
        return "fail" if len(seen) == 5 else None

    hunt = hunted(MadeUp(does), "fail", tmp_path, most=50)
    assert not hunt.regions
    assert hunt.tally.unconfirmed == 1


def test_a_crash_is_not_run_into_again(tmp_path: Path) -> None:
    """Each costs a process: what is in a region that is known is left out."""
    session = MadeUp(lambda point: "crash" if point["stride"] == 2 else None)
    hunt = hunted(session, "crash", tmp_path, most=300)
    assert len(hunt.regions) == 1
    assert hunt.tally.left_out > 20
    crashed = [rows for rows in session.rows.values() if any(row["status"] == "crash" for row in rows)]
    assert len(crashed) < 40


def test_who_damages_memory_is_found_although_another_dies_of_it(tmp_path: Path) -> None:
    """The one that dies lives by itself; the culprit ends a process only where it runs over and over."""
    session = Damaging(of_6035)
    hunt = hunted(session, "crash", tmp_path, most=300)
    (region,) = hunt.regions
    assert region.elsewhere
    assert (region.point["batch"], region.point["in_channels"], region.point["size"]) == (2, 2, 8)


class Damaging(MadeUp):
    """What runs after a configuration that damages memory dies, in the process that others ran in; in one of its own a
    configuration that does so dies itself."""

    def __init__(self, damages: Callable[[Point], bool]) -> None:
        super().__init__(self._dies)
        self.damages, self.damaged, self.alone = damages, False, False

    def _dies(self, point: Point) -> str | None:
        before, self.damaged = self.damaged, self.damages(point)
        if self.alone:
            return "crash" if self.damaged else None
        return f"{ELSEWHERE}: killed" if before and not self.damaged else None

    def afresh(self, specs: Sequence[Spec], times: int) -> tuple[int, Measured]:
        self.alone, self.damaged = True, False
        try:
            return super().afresh(specs, times)
        finally:
            self.alone = self.damaged = False


def test_a_second_run_goes_on_where_the_first_was_stopped(tmp_path: Path) -> None:
    session = MadeUp(lambda point: "fail" if of_6035(point) else None, left=60)
    first = hunted(session, "fail", tmp_path)
    assert len(session.visited) == 60
    before = {spec.key.unit for spec in session.visited if spec.key.unit in session.rows}
    session.left, session.visited = 10**6, []
    second = hunted(session, "fail", tmp_path)
    assert second.trials.reused >= 40
    assert not before & {spec.key.unit for spec in session.visited}
    whole = hunted(MadeUp(lambda point: "fail" if of_6035(point) else None), "fail", tmp_path, most=2000)
    assert [region.point for region in second.regions] == [region.point for region in whole.regions]
    assert not first.regions or first.regions[0].origin == whole.regions[0].origin


def test_slowness_is_against_the_fastest_method_that_is_right() -> None:
    slow = objective_of("slow", "3")
    rows: list[Mapping[str, Any]] = [
        {"method": "autograd", "status": "ok", "accuracy": "ok"},
        {"method": "wrong", "status": "ok", "accuracy": "fail", "speedup": 50.0, "speedup_low": 49.0},
        {"method": "unsure", "status": "ok", "accuracy": "ok", "speedup": 3.5, "speedup_low": 2.9, "speedup_high": 4.0},
    ]
    assert slow.hits(rows, "autograd") == []
    rows.append(
        {"method": "fast", "status": "ok", "accuracy": "ok", "speedup": 5.0, "speedup_low": 4.5, "speedup_high": 6.0}
    )
    (hit,) = slow.hits(rows, "autograd")
    assert (hit.method, hit.rival, hit.value, hit.low) == ("autograd", "fast", 5.0, 4.5)


def test_a_ratio_that_shrinks_has_another_cause() -> None:
    slow = objective_of("slow", None)
    thirty, four = (Hit("autograd", "", value, value - 0.5, value + 0.5, "upcast") for value in (30.0, 4.0))
    assert slow.counts(four)
    assert not slow.kept(four, thirty)
    assert slow.worse(thirty, four)
    assert not slow.worse(four, thirty)
    wrong = Hit("autograd", "", 1e6)
    assert objective_of("fail", None).kept(Hit("autograd", "", 2.0), wrong)


def test_a_region_holds_what_is_alike_where_it_matters() -> None:
    point = with_value({**USUAL, "stride": 2, "in_channels": 2, "wrt": "weight"})
    region = Region(Hit("explicit", "wrong"), point, point, "boundary", [])
    region.matters = {"stride": 2, "in_channels": 2, "wrt": "weight", "kernel": 1}
    assert region.holds({**point, "stride": 3, "in_channels": 7, "batch": 9}, "explicit")
    assert not region.holds(point, "autograd")
    for other in ({"stride": 1}, {"in_channels": 1}, {"wrt": "input"}, {"kernel": (1, 3)}):
        assert not region.holds({**point, **other}, "explicit")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "objective=…: crash"),
        (["objective=crush"], "did you mean crash"),
        (["objective=crash", "at_least=2"], "is so or not"),
        (["objective=slow", "at_least=none"], "must be a number above 0"),
        (["objective=fail", "objective=crash"], "given twice"),
        (["objective=fail", "regions=none"], "must be a whole number above 0"),
        (["objective=fail", "isolation=none"], "fresh processes"),
        (["objective=fail", "hydra/sweeper=optuna"], "is for sweeps"),
        (["objective=fail", "kernal=3"], "did you mean kernel"),
        (["objective=fail", "methods=[nowhere:f]"], "no module nowhere"),
        (["objective=fail", "measure=quick,default"], "one choice"),
    ],
)
def test_mistakes_are_a_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hunt", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_variables_of_the_environment_are_words_in_capitals() -> None:
    own, variables, rest = command.split(["objective=fail", "ONEDNN_MAX_CPU_ISA=unset,AVX2", "kernel=3"])
    assert own == {"objective": "fail"}
    assert variables == {"ONEDNN_MAX_CPU_ISA": [None, "AVX2"]}
    assert rest == ["kernel=3"]
    with pytest.raises(InvalidValue, match="given twice"):
        command.split(["A=1", "A=2"])
