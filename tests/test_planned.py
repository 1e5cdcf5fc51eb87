"""Plans: that the same words stand for the same configurations for ever, and what Hydra is asked for."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest

from .composed import plan

PACKAGE = Path(__file__).parent.parent / "convbench"

KNOWN = {
    "-m kernel=3,5,9 device=cpu,cuda": (6, "30374b4bc111"),
    "-m measure=none,rigorous kernel=3,5 measure.margin=0.05": (4, "4eb237fe55ed"),
    "-m size=${kernel} kernel=3,[3,5]": (2, "fb75b8d62f02"),
    "-m op=conv1d,conv2d size=20,[20,24]": (3, "166ba7006498"),
    "": (1, "d0823e12bda4"),
    "+sweep=dcgan,vgg16 measure=none batch=1": (54, "59e5bc9716a7"),
    "-m measure=glob(*)": (4, "cfd25d6f0246"),
    "cases=alexnet.csv dtype=float32,float64": (10, "d1ba734139cf"),
    "+sweep=bias": (4, "241108c4fbf3"),
    "+sweep=kernels kernel=7": (2, "b14928445fc8"),
    "-m seed=range(50) shuffle=true limit=6 shard=2/3": (2, "a1fd364038f4"),
}
"""Words → how many configurations they stand for, and a hash of their places in the product with their `config_id`,
taken when Hydra's own multirun composed them: a table's rows must find their configurations again."""


@pytest.mark.parametrize("words", KNOWN)
def test_the_same_words_stand_for_the_same_configurations_as_ever(words: str) -> None:
    sweep = plan(words.split()).sweep
    text = " ".join(f"{place}:{spec.config_id}" for place, spec in zip(sweep.positions, sweep, strict=True))
    assert (len(sweep), hashlib.sha256(text.encode()).hexdigest()[:12]) == KNOWN[words]


def test_one_thing_of_hydra_s_own_is_imported() -> None:
    """`hydra._internal` may change with any release; what is taken from it is justified where it is imported."""
    found = {
        (path.stem, node.module)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("hydra._internal")
    }
    assert found == {("launched", "hydra._internal.callbacks")}
