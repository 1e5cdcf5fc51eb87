"""Two sides in alternating pairs, judged: made-up figures of processes, so that the truth is known."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from scipy import stats

from convbench import cli
from convbench.comparison.exchange import as_json, junit
from convbench.comparison.output import markdown, terminal
from convbench.comparison.output_options import of_pairs
from convbench.comparison.pairs import Sides, is_duet, judge_pairs, pair_change
from convbench.comparison.result import Judgement, Policy
from convbench.facts.record import Record
from tests.test_table import write

POLICY = Policy()


def pair(
    method: str, slower: float | Sequence[float] = 1.0, number: int = 0, a: str = "ok", b: str = "ok", **columns: Any
) -> list[Record]:
    """Both rows of a method whose pairs of processes, six of them, say that side b takes `slower` times as long.

    `a` and `b` are verdicts on accuracy, or statuses.
    """
    rows = []
    logs = [math.log(one) for one in (slower if isinstance(slower, Sequence) else near(slower))]
    low, high = stats.t.interval(0.95, len(logs) - 1, -fmean(logs), stats.sem(logs))
    speedup = {"speedup": math.exp(-fmean(logs)), "speedup_low": math.exp(low), "speedup_high": math.exp(high)}
    for side, verdict in (("a", a), ("b", b)):
        row: Record = {"config_id": f"{number:016x}", "run_key": f"{number:016x}", "baseline": f"{method}@a"}
        row |= {
            "op": "conv2d",
            "method": f"{method}@{side}",
            "samples": 120,
            "processes": len(logs),
            "kernel_h": number,
            "kernel_w": 3,
        }
        row |= {"status": "ok", "accuracy": verdict} if verdict in ("ok", "fail", "exact") else {"status": verdict}
        if a == b == "ok":
            row |= {"time_s": 1e-3, **(speedup if side == "b" else {"speedup": 1.0})}
        rows.append(row | columns)
    return rows


def near(slower: float) -> list[float]:
    """Six figures within half a per cent of one another."""
    return [slower * (1 + 0.001 * i) for i in (-2, -1, 0, 0, 1, 2)]


def kinds(result: Judgement) -> dict[str, list[str]]:
    groups = {"failures": result.failures, "doubtful": result.doubtful, "better": result.improvements}
    return {name: [f"{f.kind} {f.key.method}" for f in found] for name, found in groups.items() if found}


@pytest.mark.parametrize(
    ("slower", "verdict", "found"),
    [
        (1.0, "good", {}),
        (1.02, "good", {}),
        (1.1, "regression", {"failures": ["slower mine:f"]}),
        (2.0, "regression", {"failures": ["slower mine:f"]}),
        (0.5, "good", {"better": ["faster mine:f"]}),
    ],
)
def test_slower_beyond_the_margin_fails(slower: float, verdict: str, found: Mapping[str, list[str]]) -> None:
    result = judge_pairs(pair("mine:f", slower), POLICY)
    assert (result.verdict, kinds(result)) == (verdict, found)
    assert result.exit_code == (1 if verdict == "regression" else 0)
    if result.failures:
        assert result.failures[0].text.endswith("slower than BASE, in alternating pairs (95%: " + interval(slower))


def interval(slower: float) -> str:
    change = pair_change(pair("m", slower)[1])
    assert change is not None
    return f"{math.exp(change.low):.2f} to {math.exp(change.high):.2f})"


@pytest.mark.parametrize("processes", [3, 6, 12])
def test_a_change_claims_a_difference_as_often_as_it_says(processes: int) -> None:
    """Logs of processes are drawn from one normal distribution: the truth is 0."""
    rng = random.Random(7)
    trials, level = 1500, 0.05
    alarms = 0
    for _ in range(trials):
        change = pair_change(pair("m:f", [math.exp(rng.gauss(0, 0.02)) for _ in range(processes)])[1])
        assert change is not None
        alarms += change.p_above(0.0) < level
    assert alarms / trials == pytest.approx(level, rel=0.25)


def test_many_cells_of_the_same_code_raise_no_alarm() -> None:
    """100 comparisons of 20 cells whose processes lie 4% apart: fewer than 5% with an alarm."""
    rng = random.Random(3)
    alarms = 0
    for _ in range(100):
        rows = [row for n in range(20) for row in pair("m:f", [math.exp(rng.gauss(0, 0.04)) for _ in range(6)], n)]
        alarms += bool(judge_pairs(rows, POLICY).failures)
    assert alarms < 5


def test_what_is_too_coarse_to_judge_by_is_not_trusted() -> None:
    result = judge_pairs(pair("m:f", [0.6, 0.8, 1.0, 1.0, 1.2, 1.4]), POLICY)
    assert (result.verdict, result.exit_code) == ("untrusted", 4)


def test_wrong_gradient_fails_unless_it_was_wrong() -> None:
    assert kinds(judge_pairs(pair("m:f", a="ok", b="fail"), POLICY)) == {"failures": ["accuracy m:f"]}
    assert kinds(judge_pairs(pair("m:f", a="exact", b="ok"), POLICY)) == {"failures": ["accuracy m:f"]}
    was = judge_pairs([*pair("m:f", a="fail", b="fail"), *pair("m:g")], POLICY)
    assert (was.verdict, kinds(was)) == ("good", {})


def test_what_crashes_now_fails_and_what_always_did_does_not() -> None:
    assert kinds(judge_pairs(pair("m:f", b="crash"), POLICY)) == {"failures": ["unmeasured m:f"]}
    always = judge_pairs(pair("m:f", a="crash", b="crash"), POLICY)
    assert (always.verdict, always.exit_code) == ("nothing", 4)


def test_what_base_could_not_run_passes_when_it_is_mended() -> None:
    mended = judge_pairs(pair("m:f", a="crash", b="ok"), POLICY)
    assert (mended.verdict, kinds(mended)) == ("good", {"better": ["better m:f"]})


def test_slowdown_that_a_control_shows_too_is_in_doubt() -> None:
    """autograd is the same code on both sides; where it moves by 10%, 8% of the method means nothing, and 100% does."""
    sides = Sides(controls=frozenset(["autograd"]))
    shaken = pair("autograd", 1.1)
    doubtful = judge_pairs([*shaken, *pair("m:f", 1.08)], POLICY, sides)
    assert (doubtful.verdict, kinds(doubtful)) == ("untrusted", {"doubtful": ["doubtful m:f"]})
    assert "moved by up to 1.10× as well" in doubtful.doubtful[0].text
    assert kinds(judge_pairs([*shaken, *pair("m:f", 2.0)], POLICY, sides)) == {"failures": ["slower m:f"]}
    swift = judge_pairs([*pair("autograd", 1 / 1.1), *pair("m:f", 1.08)], POLICY, sides)
    assert swift.verdict == "untrusted", "a control that is faster shakes as much"
    assert kinds(judge_pairs([*pair("autograd"), *pair("m:f", 1.08)], POLICY, sides)) == {"failures": ["slower m:f"]}


def test_controls_alone_are_nothing_to_compare() -> None:
    assert judge_pairs(pair("autograd"), POLICY, Sides(controls=frozenset(["autograd"]))).verdict == "nothing"


def test_method_that_base_does_not_have_is_new() -> None:
    sides = Sides(absent={"m:f": "m:f is not in BASE."})
    right = judge_pairs(pair("m:f", a="error"), POLICY, sides)
    assert (right.verdict, right.exit_code, right.notes) == ("first", 0, [])
    assert [row["method"] for row in right.fresh] == ["m:f@b"]
    wrong = judge_pairs(pair("m:f", a="error", b="fail"), POLICY, sides)
    assert (wrong.verdict, kinds(wrong)) == ("regression", {"failures": ["accuracy m:f"]})
    mixed = judge_pairs([*pair("m:f", a="error"), *pair("m:g", 2.0)], POLICY, sides)
    assert (kinds(mixed), mixed.notes) == ({"failures": ["slower m:g"]}, ["m:f is not in BASE."])


def test_accuracy_alone() -> None:
    untimed = [{k: v for k, v in row.items() if not k.startswith(("time", "speedup"))} for row in pair("m:f")]
    assert judge_pairs(untimed, POLICY).verdict == "good"
    assert judge_pairs(pair("m:f", 2.0), Policy(speed=False)).verdict == "good"


def test_interrupted_pairs_have_no_interval_and_prove_nothing() -> None:
    rows = [{k: v for k, v in row.items() if k not in ("speedup_low", "speedup_high")} for row in pair("m:f", 2.0)]
    result = judge_pairs(rows, POLICY)
    assert (result.verdict, result.exit_code) == ("untrusted", 4)
    assert "nothing was compared" in result.advice[0].text


def test_lines_of_a_cases_file_with_the_same_configuration_are_one_cell() -> None:
    rows = [*pair("m:f", 1.0, labels='{"layer": "x"}'), *pair("m:f", 2.0, labels='{"layer": "y"}', samples=300)]
    result = judge_pairs(rows, POLICY)
    assert (result.cells, kinds(result)) == (1, {"failures": ["slower m:f"]})
    assert "measured more than once" in result.notes[0]


def test_only_a_duet_is_a_duet() -> None:
    assert is_duet(pair("m:f"))
    assert not is_duet([])
    assert not is_duet([*pair("m:f"), {"method": "autograd"}])


def test_words_are_those_of_two_sides() -> None:
    shown = of_pairs([*pair("m:f", 2.0), *pair("m:g", 1.0, 1)], ("side a", "side b"), POLICY)
    text = " ".join(terminal(shown).split())
    assert text.startswith("REGRESSION: 2 cells on both sides, 2 of them compared by speed; 1 slower;")
    assert "| | configuration | method | NEW against BASE | what |" in markdown(shown)
    failure = json.loads(as_json(shown))["failures"][0]
    assert (failure["method"], failure["what"]) == ("m:f", "pair")
    assert failure["slowdown"] == pytest.approx(2.0)
    suite = Xml.fromstring(junit(shown)).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")


def test_compare_reads_a_duet_s_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    folder = write(tmp_path / "duet", [*pair("m:f", 1.2), *pair("autograd", 1.0)])
    assert cli.main(["compare", str(folder)]) == 1
    assert "1.20× slower than BASE" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["compare", str(folder), "--margin", "0.5"]) == 0
    assert cli.main(["compare", str(folder), "--accuracy-only"]) == 0
    capsys.readouterr()
    assert cli.main(["compare", str(folder), "--confirm"]) == 2
    sweep = write(tmp_path / "sweep", [{**pair("m")[0], "method": "autograd"}])
    assert cli.main(["compare", str(sweep)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "--confirm measures a sweep again" in said[0]
    assert "compared only where a duet wrote it" in said[1]
