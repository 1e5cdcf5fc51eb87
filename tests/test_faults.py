"""The user's own method goes wrong in the real thing: torch, the real runner, both kinds of isolation.

The other faults are in test_worker.py, and all of them many times over in slow/test_fault_table.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from convbench.execution.execute import RunOptions, driving, execute
from convbench.facts.measure import Measure

from .processes import ROOT, Notes, children, make_spec

QUICK = Measure(looks=(6,), min_time_s=0.01, warmup_s=0.01, sample_s=0.001, memory=False)


def rows_of(run: RunOptions) -> pd.DataFrame:
    table = pd.read_parquet(run.out / "results.parquet")
    return table.assign(method=table["method"].str.removeprefix("tests.faulty:")).set_index("method")


@pytest.mark.slow
def test_each_fault_is_a_row_and_right_methods_are_judged_and_timed(tmp_path: Path) -> None:
    faults = ["segfault", "allocates_tensors", "gives_nan", "raises"]
    spec = make_spec(*(f"faulty:{fault}" for fault in faults), "explicit", measure=QUICK)
    run = RunOptions(tmp_path / "out", memory_limit=300 << 20)
    before = children()
    with driving(run):
        outcome = execute([spec], run, Notes())
    rows = rows_of(run)
    assert rows["status"].to_dict() == {
        "autograd": "ok",
        "segfault": "crash",
        "allocates_tensors": "oom",
        "gives_nan": "ok",
        "raises": "error",
        "explicit": "ok",
    }
    assert rows["accuracy"].dropna().to_dict() == {
        "autograd": "ok",
        "gives_nan": "fail",
        "explicit": "ok",
    }
    assert set(rows.index[rows["time_s"].notna()]) == {"autograd", "explicit"}
    assert "SIGSEGV" in rows["reason"]["segfault"]
    assert "this kernel has no luck" in rows["reason"]["raises"]
    assert rows["environment_id"].nunique() == 1
    assert not rows["environment_id"].isna().any()
    assert (outcome.wrong, outcome.missing) == (1, 0)
    assert children() == before


@pytest.mark.slow
def test_without_isolation_faults_that_python_can_catch_are_rows(tmp_path: Path) -> None:
    """In a process of its own, because this one is meant to stay without torch."""
    program = """if True:
        import sys
        from pathlib import Path
        from convbench.execution.execute import RunOptions, driving, execute
        from tests.processes import Notes, make_spec
        run = RunOptions(Path(sys.argv[1]), isolation="none")
        spec = make_spec("faulty:raises", "faulty:gives_nan", "faulty:calm")
        with driving(run):
            execute([spec], run, Notes())
    """
    run = RunOptions(tmp_path / "out")
    subprocess.run([sys.executable, "-c", program, run.out], cwd=ROOT, check=True, timeout=120)
    rows = rows_of(run)
    assert rows["status"].to_dict() == {"autograd": "ok", "raises": "error", "gives_nan": "ok", "calm": "ok"}
    assert rows["accuracy"].dropna().to_dict() == {"autograd": "ok", "gives_nan": "fail", "calm": "ok"}
