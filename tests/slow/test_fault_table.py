"""Every fault many times over, in the real thing: no row is lost, and no row of another method differs.

`CONVBENCH_INJECTIONS=10 CONVBENCH_FAULT_TIMEOUT_S=3 pytest -m slow -s tests/slow/test_fault_table.py` prints the table
of docs/robustness.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from convbench.execution.execute import RunOptions, driving, execute
from convbench.facts.measure import Measure
from convbench.facts.spec import Spec
from tests.processes import Notes, children, make_spec
from tests.test_faults import QUICK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NOT_TIMED = Measure(name="none", enabled=False)
TIMED = replace(QUICK, backward=False, kernels=False)
"""Faults while the calls are timed; what is timed after them takes as long again."""
TIMES = int(os.environ.get("CONVBENCH_INJECTIONS", "1"))
"""Injections of each fault; every second one, the first among them, where times are measured as well. The documented
table has ten."""

TIMEOUT_S = float(os.environ.get("CONVBENCH_FAULT_TIMEOUT_S", "8"))
"""Long enough for the right methods although other tests run beside this one. The documented table was made with 3."""

FAULTS = {
    "segfault": "crash",
    "segfault_while_timed": "crash",
    "abort": "crash",
    "abort_in_prepare": "crash",
    "exits": "crash",
    "killed": "crash",
    "closes_everything": "crash",
    "forks_in_c_and_dies": "crash",
    "sys_exits": "error",
    "interrupts": "error",
    "raises": "error",
    "raises_in_prepare": "error",
    "spins": "timeout",
    "spins_in_c": "timeout",
    "sleeps": "timeout",
    "stops": "timeout",
    "prints_for_ever": "timeout",
    "allocates": "oom",
    "allocates_tensors": "oom",
    "throws_bad_alloc": "oom",
    "gives_nan": "ok",
    "garbage": "ok",
    "writes_everywhere": "ok",
    "forks": "ok",
    "leaves_a_fork": "ok",
}
WORDS = {"gives_nan": "ok, accuracy fail"}
ACCURACY = ["accuracy", "max_abs_err", "bound_ratio", "result_hash", "equals_baseline"]


def configurations(fault: str) -> list[Spec]:
    timeout_s = TIMEOUT_S if FAULTS.get(fault) == "timeout" else 60.0
    return [
        make_spec(f"faulty:{fault}", "explicit", seed=seed, timeout_s=timeout_s, measure=(TIMED, NOT_TIMED)[seed % 2])
        for seed in range(TIMES)
    ]


def run_all(todo: Sequence[Spec], out: Path) -> pd.DataFrame:
    run = RunOptions(out, memory_limit=300 << 20)
    with driving(run):
        execute(todo, run, Notes())
    return pd.read_parquet(out / "results.parquet")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return run_all(configurations("calm"), tmp_path_factory.mktemp("calm")).set_index(["seed", "method"])


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str, tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    name = f"tests.faulty:{fault}"
    todo = configurations(fault)
    if fault == "segfault_while_timed":
        todo = [spec for spec in todo if spec.measure.enabled]
    before = children()
    rows = run_all(todo, tmp_path).set_index(["seed", "method"])
    assert children() == before
    expected = [(spec.seed, method) for spec in todo for method in ("autograd", name, "explicit")]
    lost = len(set(expected) - set(rows.index))
    own = rows.loc[[index for index in rows.index if index[1] == name]]
    others = rows.loc[[index for index in rows.index if index[1] != name]]
    same = undisturbed.loc[others.index]
    differs = (others[ACCURACY].astype("string") != same[ACCURACY].astype("string")).any(axis=1)
    differs |= (others["status"] != "ok") | (others["time_s"].isna() != same["time_s"].isna())
    misnamed = own[own["status"] != FAULTS[fault]]
    wrong = int(differs.sum()) + len(misnamed)
    report = pd.concat([others[differs], misnamed])[["status", "reason", "time_s", *ACCURACY]].to_string()
    reason = own["reason"].dropna().tolist()[:1]
    cells = (f"`{fault}`", WORDS.get(fault, FAULTS[fault]), *(reason or [""]), str(len(todo)), str(lost), str(wrong))
    print("\n| " + " | ".join(cells) + " |")
    assert (lost, wrong) == (0, 0), report
