"""The set of deceptions, and what its rows are read to mean."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from convbench import deceptions
from convbench.facts.measure import Measure
from convbench.facts.values import InvalidValue
from convbench.validation import command, judge_command
from convbench.validation.deception_trials import BASELINE, OWN_RIVAL, RIVAL, Trial, touches, trial

EVERY = [*deceptions.DECEPTIONS, *deceptions.HONEST]


@pytest.mark.parametrize("name", EVERY)
def test_each_is_a_function_that_says_what_it_does(name: str) -> None:
    """Read, not imported: some of them do harm at their import."""
    module, _, function = deceptions.method(name).partition(":")
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    with open(found.origin, encoding="utf-8") as file:
        assert f"def {function}(problem: Problem)" in file.read()
    assert deceptions.meaning(name).endswith(".")


def test_names_are_used_once() -> None:
    assert len(EVERY) == len(set(EVERY))


def row(method: str, time_s: float = 1.0, **other: Any) -> dict[str, Any]:
    return {"method": method, "status": "ok", "accuracy": "ok", "time_s": time_s, "speedup": 1 / time_s, **other}


def rows(*more: dict[str, Any], **changed: dict[str, Any]) -> dict[tuple[int, str], dict[str, Any]]:
    """Rows of two configurations; a changed one replaces the rival's of the first."""
    first = [row(BASELINE), row(OWN_RIVAL), changed.get("rival", row(RIVAL)), *more]
    return {(0, r["method"]): r for r in first} | {(1, r["method"]): r for r in (row(BASELINE), row(RIVAL))}


NAME = "results:keeps_its_first"
METHOD = deceptions.method(NAME)


@pytest.mark.parametrize(
    "theirs, said, in_order",
    [
        (row(METHOD, 0.1), "ok", False),
        (row(METHOD, 0.9), "ok", True),
        (row(METHOD, 0.1, speed="impossible"), "impossible", True),
        (row(METHOD, 0.1, speed="inconclusive", speedup_low=9.0, speedup_high=11.0), "inconclusive", True),
        (row(METHOD, 0.1, speed="inconclusive", speedup_low=0.9, speedup_high=11.0), "ok", False),
        (row(METHOD, 0.1, accuracy="fail", reason="wrong"), "fail", True),
        ({"method": METHOD, "status": "crash", "reason": "killed"}, "crash", True),
    ],
)
def test_a_deception_is_caught_or_gains_nothing(theirs: dict[str, Any], said: str, in_order: bool) -> None:
    found = trial(NAME, rows(theirs), rows(), ())
    assert (found.said, found.in_order) == (said, in_order)


@pytest.mark.parametrize("verdict, in_order", [("ok", True), ("fail", False)])
def test_an_honest_method_must_not_be_caught(verdict: str, in_order: bool) -> None:
    name = "honest:workspace"
    found = trial(name, rows(row(deceptions.method(name), 0.5, accuracy=verdict)), rows(), ())
    assert found.in_order is in_order


def test_a_method_that_touches_another_is_not_in_order_however_it_was_caught() -> None:
    found = rows(row(METHOD, accuracy="fail"), rival=row(RIVAL, 3.0))
    touched = touches(found, rows())
    assert touched == ["explicit 3.0× slower"]
    assert not trial(NAME, found, rows(), touched).in_order


@pytest.mark.parametrize(
    "rival, said",
    [
        (row(RIVAL, 1.2), []),
        (row(RIVAL, accuracy="fail"), ["explicit: accuracy fail"]),
        ({"method": RIVAL, "status": "error"}, ["explicit: error"]),
    ],
)
def test_what_counts_as_touched(rival: dict[str, Any], said: list[str]) -> None:
    assert touches(rows(rival=rival), rows()) == said


def test_a_rival_that_is_missing_was_touched() -> None:
    found = rows()
    del found[1, BASELINE]
    assert touches(found, rows()) == ["autograd of the next configuration: missing"]


def some(name: str, row: dict[str, Any], touched: tuple[str, ...] = ()) -> Trial:
    return trial(name, rows({**row, "method": deceptions.method(name)}), rows(), touched)


TRIALS = [
    some("results:lazy", row("", accuracy="fail", reason="a | subclass")),
    some("results:one_buffer", row("", 0.9)),
    some("results:right_thrice", row("", 0.001)),
    some("honest:plain", row("", 1.0)),
]


def test_the_conclusion_names_what_got_through() -> None:
    assert judge_command.sentence(TRIALS) == (
        "3 deceptions: 1 caught, 1 gained nothing, 1 got through (results:right_thrice). 1 honest method: 1 believed. "
        "No other method was touched."
    )
    touching = some("results:lazy", row("", accuracy="fail"), ("explicit: error",))
    assert judge_command.sentence([touching]).endswith(" Others were touched by results:lazy.")


@pytest.mark.parametrize("output", ["terminal", "markdown", "json"])
def test_the_table_is_printed_and_the_exit_code_says_how_it_went(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    seen: list[tuple[str, ...]] = []

    def tried(names: tuple[str, ...], measure: Measure) -> list[Trial]:
        seen.append(names)
        return TRIALS

    monkeypatch.setattr(judge_command, "tried", tried)
    argv = ["--judge", *([f"--{output}"] if output != "terminal" else [])]
    assert command.main(argv) == 4
    monkeypatch.setitem(deceptions.LIMITS, "results:right_thrice", "nobody can tell")
    assert command.main(argv) == 0
    assert seen == [tuple(EVERY)] * 2
    said = " ".join(capsys.readouterr().out.split())
    assert {"json": '"reason": "a | subclass"', "markdown": "a \\| subclass"}.get(output, "NOT CAUGHT") in said


@pytest.mark.parametrize(
    "argv, said",
    [
        (["--markdown"], "--markdown needs --judge"),
        (["--keep", "x"], "--keep needs --judge"),
        (["--judge", "--load"], "--load does not go with --judge"),
        (["--judge", "budget_s=3"], "no setting 'budget_s=3'; allowed: measure"),
        (["--judge", "measure=none"], "measure=none times nothing"),
    ],
)
def test_what_judging_does_not_take_is_refused(argv: list[str], said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        command.main(argv)


def test_trials_that_are_kept_are_not_made_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made: list[str] = []

    def tried(names: Sequence[str], measure: Measure) -> Iterator[Trial]:
        for name in names:
            if len(made) == 3:
                raise KeyboardInterrupt
            made.append(name)
            yield some(name, row("", accuracy="fail"), ("explicit: error",))

    monkeypatch.setattr(judge_command, "tried", tried)
    argv = ["--judge", "--json", "--keep", str(tmp_path / "trials")]
    with pytest.raises(KeyboardInterrupt):
        command.main(argv)
    assert made == EVERY[:3]
    made[:] = ["", ""]
    with pytest.raises(KeyboardInterrupt):
        command.main(argv)
    assert made[2:] == EVERY[3:4]
    monkeypatch.setattr(deceptions, "DECEPTIONS", EVERY[:4])
    monkeypatch.setattr(deceptions, "HONEST", ())
    capsys.readouterr()
    assert command.main(argv) == 4
    shown = json.loads(capsys.readouterr().out)["trials"]
    assert [one["name"] for one in shown] == EVERY[:4]
    assert shown[0] == json.loads(json.dumps(some(EVERY[0], row("", accuracy="fail"), ("explicit: error",)).to_dict()))


def test_a_file_that_holds_no_trials_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trials").write_text("method,time_s\n")
    with pytest.raises(InvalidValue, match="that is no file of trials"):
        command.main(["--judge", "--keep", str(tmp_path / "trials")])
