"""The table's speed columns once more from the raw samples, on runs whose samples are made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from convbench.commands import recompute
from convbench.facts.rates import RATES, Work
from convbench.facts.record import record
from convbench.facts.spec import Spec
from convbench.facts.values import InvalidValue
from convbench.results import store
from convbench.results.merge import merge
from convbench.timing.samples import Samples
from convbench.timing.speed_columns import columns, combine

from .processes import make_spec
from .test_timing import gaussian, run

ARMS = ("autograd", "explicit")


def measured(seed: int, processes: int = 1) -> list[Samples]:
    """Samples of the two methods; the second takes 1.2 times as long."""
    taken = [run(gaussian(0.02), 100 * seed + p, slowdown=1.2, names="ab") for p in range(processes)]
    return [replace(samples, arms=ARMS, process=p, per_arm={}) for p, samples in enumerate(taken)]


def lines(position: int, spec: Spec, parts: list[Samples]) -> tuple[list[bytes], bytes]:
    """What the store would hold of one configuration: its rows and its samples."""
    rows = []
    for method in spec.arms:
        speed = combine(parts, method, spec.baseline, spec.measure)
        row = {**spec.columns(), "method": method, "status": "ok", **speed}
        row.update(Work(1000, 500, 0.1, 20.0).rates(speed["time_s"]))
        rows.append(store.encode(position, spec.key.unit, "", record(row)))
    return rows, store.encode_samples(spec, [part.to_dict() for part in parts])


def write(out: Path, suffix: str, *lines: bytes) -> None:
    store.prepare(out)
    part = store.Part(out, suffix)
    part.open()
    for line in lines:
        part.append(line)
    part.close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three configurations: one process, six processes, and the first one's once more under another label."""
    spec = make_spec("explicit")
    specs = [spec, replace(spec, seed=1), replace(spec, labels={"layer": "conv2"})]
    found = [lines(i, s, measured(i, 6 if i == 1 else 1)) for i, s in enumerate(specs)]
    write(tmp_path, store.ROWS, *(row for rows, _ in found for row in rows))
    write(tmp_path, store.SAMPLES, *(samples for _, samples in found))
    merge(tmp_path)
    return tmp_path


def table(out: Path) -> pa.Table:
    return pyarrow.parquet.read_table(out / "results.parquet")


def damage(out: Path, **values: Any) -> pa.Table:
    """Overwrites whole columns of the table; returns it as it was before."""
    before = changed = table(out)
    for name, value in values.items():
        place = changed.schema.get_field_index(name)
        column = pa.array([value] * len(changed), changed.schema.field(place).type)
        changed = changed.set_column(place, changed.schema.field(place), column)
    pyarrow.parquet.write_table(changed, out / "results.parquet")
    return before


def test_a_table_that_is_right_stays_as_it_is(out, capsys):
    before, text = table(out), (out / "results.csv").read_text()
    assert recompute.main([str(out)]) == 0
    assert table(out).equals(before, check_metadata=True)
    assert (out / "results.csv").read_text() == text
    assert capsys.readouterr().out == "6 rows recomputed from their samples.\nEvery value is as it was.\n"


def test_every_column_that_follows_is_made_again(out, capsys):
    wrong = dict.fromkeys((*recompute.FOLLOWS, *RATES))
    wrong |= {"time_s": 1.0, "speedup_low": 7.0, "samples": 3, "speed": "faster", "converged": False}
    before = damage(out, **wrong)
    assert recompute.main([str(out)]) == 0
    after = table(out)
    for name in before.column_names:
        if before[name].type == pa.float64():
            assert after[name].to_pylist() == pytest.approx(before[name].to_pylist()), name
        else:
            assert after[name].to_pylist() == before[name].to_pylist(), name
    said = capsys.readouterr().out
    assert "time_s changed in 6 rows." in said
    assert "speedup_low changed in 6 rows." in said


def test_what_was_observed_beside_the_times_is_left_alone(out):
    damage(out, measured_s=1.5, cache="hot", prepare_s=0.25, flops=2000)
    recompute.main([str(out)])
    after = table(out)
    assert after["measured_s"].to_pylist() == [1.5] * 6
    assert after["prepare_s"].to_pylist() == [0.25] * 6
    # Rates follow from what is in the row.
    assert after["tflops"].to_pylist() == pytest.approx([2e-9 / t for t in after["time_s"].to_pylist()])


def test_rows_without_samples_or_without_a_time_stay(out):
    spec = make_spec("aten")
    row = record({**spec.columns(), "method": "aten", "status": "ok", "time_s": 0.5, "speedup": 2.0})
    failed = record({**replace(spec, seed=9).columns(), "method": "explicit", "status": "error", "reason": "broke"})
    write(
        out,
        store.ROWS,
        store.encode(7, spec.key.unit, "", row),
        store.encode(8, replace(spec, seed=9).key.unit, "", failed),
    )
    merge(out)
    recompute.main([str(out)])
    after = table(out)
    kept = after.filter(pc.equal(after["method"], "aten")).to_pylist()
    assert [(r["time_s"], r["speedup"]) for r in kept] == [(0.5, 2.0)]
    assert after.filter(pc.equal(after["status"], "error"))["time_s"].to_pylist() == [None]


@pytest.mark.parametrize(
    "name,hint", [("results.parquet", "give the folder of a run"), ("samples.parquet", "measure.samples=true")]
)
def test_a_missing_file_is_named_with_what_to_do(out, name, hint):
    (out / name).unlink()
    with pytest.raises(InvalidValue, match=f"has no {name}; .*{hint}"):
        recompute.main([str(out)])


def test_a_folder_that_is_being_written_is_refused(out):
    with store.locked(out), pytest.raises(InvalidValue, match="is being written by"):
        recompute.main([str(out)])


def test_without_its_baseline_a_method_keeps_its_time():
    samples = replace(run(gaussian(0.01), 1, names="ab"), arms=("explicit", "aten"))
    row = {"method": "aten", "baseline": "autograd", "status": "ok", "flops": 10, "bytes": 10}
    found = recompute.speed_columns({**row, "ceiling_tflops": None, "ceiling_gbps": None}, [samples])
    assert found["time_s"] == columns(samples, "aten", "autograd", make_spec("aten").measure)["time_s"]
    assert found["speedup"] is None
    assert found["ceiling_share"] is None
