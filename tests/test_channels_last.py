"""ResNet-50 in channels_last, in every dtype and with respect to input and weight: every row has a verdict."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from convbench import runner
from convbench.execution.execute import RunOptions, driving, execute
from convbench.facts.dtypes import DTYPES
from convbench.facts.spec import Spec
from convbench.timing.rounds import unmarked

from .composed import configurations
from .processes import Notes

SUITE = [
    *("-m", "+sweep=resnet50", "memory_format=channels_last", "batch=1", f"dtype={','.join(DTYPES)}"),
    *("measure=none", "reference.max_flops=1e7"),
]
LAYERS = 20
RIGHT = ("exact", "ok", "reduced")


def suite() -> list[Spec]:
    found = list(configurations(SUITE))
    assert len(found) == LAYERS * len(DTYPES) * 2
    return found


@pytest.mark.parametrize("layer", ["res5a_branch2a", pytest.param("res5_branch2b", marks=pytest.mark.slow)])
def test_two_layers_in_channels_last(layer: str) -> None:
    """1×1 with stride 2, whose weight has strides of its own choice, and 3×3."""
    specs = [spec for spec in suite() if dict(spec.labels)["layer"] == layer]
    assert Counter((spec.dtype, spec.wrt) for spec in specs) == {(d, w): 1 for d in DTYPES for w in ("input", "weight")}
    for spec in specs:
        for row in runner.run(spec, spec.arms, unmarked).records:
            assert (row["status"], row["accuracy"] in RIGHT) == ("ok", True), row
            assert row["result_hash"]


@pytest.mark.slow
def test_a_whole_suite_in_channels_last(tmp_path: Path) -> None:
    run = RunOptions(tmp_path)
    with driving(run):
        execute(suite(), run, Notes())
    rows = pd.read_parquet(tmp_path / "results.parquet")
    assert len(rows) == LAYERS * len(DTYPES) * 2 * 2
    assert rows[(rows["status"] != "ok") | ~rows["accuracy"].isin(RIGHT)].empty
    assert rows["result_hash"].notna().all()
    assert rows["equals_baseline"].notna().all()
