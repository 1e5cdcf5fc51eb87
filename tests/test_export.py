"""Exports: read back by the programs they are for."""

from __future__ import annotations

import csv
import io
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from convbench import cli
from convbench.facts.configuration_key import ConfigurationKey
from convbench.facts.record import COLUMNS, Record
from convbench.timing.samples import Samples
from tests import report_rows
from tests.simulated import config_id, row, timed_row
from tests.test_table import write

ARMS = ("autograd", "explicit")


def sampled_run(folder: Path, scale: float = 1.0) -> Path:
    """A run of two configurations and two methods with its raw samples, the second in two processes; one row failed."""
    rng = np.random.default_rng(7)
    rows: list[Record] = []
    raw: list[dict[str, Any]] = []
    for i in range(2):
        rows.append(
            {**timed_row(i, "autograd", None), "calls_per_sample": 8, "started_at": f"2026-01-0{i + 1}T00:00:00Z"}
        )
        rows.append({**timed_row(i, "explicit", (2.0, 1.9, 2.1)), "calls_per_sample": 8})
        for process in range(i + 1):
            times = (1e-5 * scale * (1 + rng.random((20, 2)))).tolist()
            samples = Samples(ARMS, 0, 0.03, 0.01, times, [[8, 8]] * 20, [[0, 1], [1, 0]] * 10, process=process)
            raw += samples.to_rows(ConfigurationKey(config_id(i), config_id(i), None))
    rows.append(row(2, "explicit", status="oom", accuracy=None, reason="out | of memory"))
    write(folder, rows)
    pd.DataFrame(raw).sample(frac=1, random_state=0).to_parquet(folder / "samples.parquet")
    environment = {"environment_id": "a1b2", "cpu": "A CPU", "cores": 2, "python": "3.11.7", "system": "Linux"}
    (folder / "environment.json").write_text(json.dumps({"a1b2": environment}))
    return folder


def export(folder: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["export", str(folder), "--format", kind]) == 0
    return capsys.readouterr().out


def test_pytest_benchmark_statistics_are_those_of_the_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(export(sampled_run(tmp_path / "run"), "pytest-benchmark", capsys))
    assert set(content) == {"machine_info", "commit_info", "benchmarks", "datetime", "version"}
    assert content["datetime"] == "2026-01-01T00:00:00Z"
    assert content["machine_info"]["cpu"]["brand_raw"] == "A CPU"
    assert [b["stats"]["rounds"] for b in content["benchmarks"]] == [20, 20, 40, 40]
    assert len({b["fullname"] for b in content["benchmarks"]}) == 4
    assert len({b["group"] for b in content["benchmarks"]}) == 2
    for benchmark in content["benchmarks"]:
        stats = benchmark["stats"]
        data = stats["data"]
        assert stats["iterations"] == 8
        assert isinstance(stats["outliers"], str)
        wanted = {
            "min": min(data),
            "max": max(data),
            "mean": sum(data) / len(data),
            "stddev": np.std(data, ddof=1),
            "median": np.median(data),
            "q1": np.median(sorted(data)[: len(data) // 2]),
            "q3": np.median(sorted(data)[len(data) // 2 :]),
            "ops": 1 / statistics.fmean(data),
        }
        for name, value in wanted.items():
            assert stats[name] == pytest.approx(value, rel=1e-9), name
        assert stats["iqr"] == pytest.approx(wanted["q3"] - wanted["q1"])
        inside = [x for x in data if wanted["q1"] - 1.5 * stats["iqr"] <= x <= wanted["q3"] + 1.5 * stats["iqr"]]
        assert (stats["ld15iqr"], stats["hd15iqr"]) == (min(inside), max(inside))
    assert content["benchmarks"][1]["extra_info"]["speedup"] == 2.0
    assert content["benchmarks"][1]["params"]["in_h"] == 8


def test_params_tell_hot_caches_from_cold_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = []
    for cache in ("hot", "cold"):
        folder = sampled_run(tmp_path / cache)
        write(folder, [{**timed_row(0, "autograd", None), "cache": cache, "cuda_graph": False}])
        params += [b["params"] for b in json.loads(export(folder, "pytest-benchmark", capsys))["benchmarks"]]
    hot, cold = params
    assert hot.pop("cache") == "hot"
    assert cold.pop("cache") == "cold"
    assert hot == cold


def test_order_of_the_samples_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sampled_run(tmp_path / "run")
    raw = pd.read_parquet(folder / "samples.parquet")
    one = raw[(raw["config_id"] == config_id(1)) & (raw["method"] == "explicit")].sort_values(["process", "round"])
    content = json.loads(export(folder, "pytest-benchmark", capsys))
    assert content["benchmarks"][3]["stats"]["data"] == one["time_s"].tolist()


def test_layers_of_one_shape_keep_their_own_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines of a cases file that differ in their labels alone, and one without: three benchmarks."""
    rows: list[Record] = []
    raw: list[dict[str, Any]] = []
    texts = [json.dumps({"layer": "conv1", "network": "a"}), json.dumps({"layer": "conv2", "network": "a"}), None]
    for i, labels in enumerate(texts):
        rows.append({**timed_row(0, "autograd", None), **({"labels": labels} if labels else {})})
        samples = Samples(("autograd",), 0, 0.03, 0.01, [[1.0 + i]] * 6, [[1]] * 6, [[0]] * 6)
        raw += samples.to_rows(ConfigurationKey(config_id(0), config_id(0), labels))
    folder = write(tmp_path / "run", rows)
    pd.DataFrame(raw).to_parquet(folder / "samples.parquet")
    benchmarks = json.loads(export(folder, "pytest-benchmark", capsys))["benchmarks"]
    assert [b["stats"]["data"] for b in benchmarks] == [[1.0] * 6, [2.0] * 6, [3.0] * 6]
    assert [b["fullname"].removeprefix("convbench::autograd") for b in benchmarks] == [
        f"[{config_id(0)} · layer=conv1 · network=a]",
        f"[{config_id(0)} · layer=conv2 · network=a]",
        f"[{config_id(0)}]",
    ]


def test_pytest_benchmark_compare_reads_it(tmp_path: Path) -> None:
    """The real command, on two exports; its table puts the same benchmarks of both files in one group."""
    for name, scale in (("before", 1.0), ("after", 2.0)):
        folder = sampled_run(tmp_path / name, scale)
        words = ["export", str(folder), "--format", "pytest-benchmark", "--out", str(tmp_path / f"{name}.json")]
        assert cli.main(words) == 0
    command = [sys.executable, "-m", "pytest_benchmark", "compare", "before.json", "after.json", "--group-by=fullname"]
    command += ["--sort=name", "--csv=out.csv", "--columns=min,median,mean,stddev,iqr,outliers,ops,rounds,iterations"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("explicit[conv2d") == 4
    assert "(1.0)" in done.stdout
    with (tmp_path / "out.csv").open() as file:
        read = list(csv.DictReader(file))
    assert len(read) == 8
    minima: dict[str, list[float]] = {}
    for line in read:
        minima.setdefault(line["name"], []).append(float(line["min"]))
    assert all(max(pair) == pytest.approx(2 * min(pair)) for pair in minima.values())
    assert {line["param:method"] for line in read} == set(ARMS)


def test_without_raw_samples_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "run", [timed_row(0, "explicit", (2.0, 1.9, 2.1))])
    assert cli.main(["export", str(folder), "--format", "pytest-benchmark"]) == 2
    error = capsys.readouterr().err
    assert "run the sweep with measure.samples=true" in error
    assert error.count("\n") == 1


def test_shards_keep_their_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sampled_run(tmp_path / "run" / "shard-1")
    content = json.loads(export(tmp_path / "run", "pytest-benchmark", capsys))
    assert len(content["benchmarks"]) == 4


def test_damaged_environment_costs_only_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sampled_run(tmp_path / "run")
    (folder / "environment.json").write_text("{")
    content = json.loads(export(folder, "pytest-benchmark", capsys))
    assert content["machine_info"]["cpu"]["brand_raw"] == ""


def test_gha_is_smaller_is_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fields that github-action-benchmark's customSmallerIsBetter reads, with the types it wants."""
    content = json.loads(export(sampled_run(tmp_path / "run"), "gha", capsys))
    assert len(content) == 2
    for entry in content:
        assert set(entry) == {"name", "unit", "value", "range", "extra"}
        assert all(isinstance(entry[key], str) for key in ("name", "unit", "range", "extra"))
        assert entry["value"] == pytest.approx(0.5)
        assert entry["unit"] == "time / autograd's time"
        assert entry["range"] == "0.4762 to 0.5263"
    assert len({entry["name"] for entry in content}) == 2


def test_names_of_cells_stay_apart_without_the_labels_that_told_them_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Long labels are not said; where nothing else differs in what is said, the configuration's identity is."""
    labels = {"layer": "up1", "source": "a paper", "note": "a remark of more than 24 characters"}
    cells = [{**timed_row(i, "explicit", (2.0, 1.9, 2.1)), "labels": json.dumps(labels)} for i in range(2)]
    same = {name: cells[0].get(name) for name in ("kernel_h", "kernel_w", "in_h", "in_w", "seed")}
    ids = ("0123456789abcdef", "fedcba9876543210")
    folder = write(tmp_path / "run", [{**cell, **same, "config_id": i} for cell, i in zip(cells, ids, strict=True)])
    names = [entry["name"] for entry in json.loads(export(folder, "gha", capsys))]
    assert len(set(names)) == 2
    for name, tail in zip(names, ("01234567", "fedcba98"), strict=True):
        assert name.startswith("up1 · conv")
        assert name.endswith(f" · {tail} · explicit")
        assert "paper" not in name
        assert "remark" not in name


def test_gha_without_ratios_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "run", [row(0, "explicit")])
    assert cli.main(["export", str(folder), "--format", "gha"]) == 2
    assert "holds no ratio to a baseline" in capsys.readouterr().err


def test_bencher_s_metrics_have_their_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bencher's adapter takes benchmark → measure → value, lower_value and upper_value, all of them numbers."""
    found = json.loads(export(sampled_run(tmp_path / "run"), "bencher", capsys))
    rows = {name: measures for name, measures in found.items() if name.endswith(" · explicit")}
    assert (len(found), len(rows)) == (4, 2), "the row without a time is left out"
    for measures in rows.values():
        assert measures["speedup"] == {"value": 2.0, "lower_value": 1.9, "upper_value": 2.1}
        latency = measures["latency"]
        assert 0 < latency["lower_value"] <= latency["value"] <= latency["upper_value"]
    (explicit, *_) = (timed_row(0, "explicit", (2.0, 1.9, 2.1)),)
    assert next(iter(rows.values()))["latency"]["value"] == pytest.approx(explicit["time_s"] * 1e9)
    assert all("speedup" not in m for name, m in found.items() if name.endswith(" · autograd"))


def test_bencher_without_times_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "run", [row(1, "explicit")])
    assert cli.main(["export", str(tmp_path / "run"), "--format", "bencher"]) == 2
    assert "holds no times" in capsys.readouterr().err


def test_pytest_benchmark_names_the_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sampled_run(tmp_path / "run")
    rows = [{**timed_row(0, "explicit", (2.0, 1.9, 2.1)), "commit": "c0ffee", "dirty": True}]
    write(folder, rows)
    assert json.loads(export(folder, "pytest-benchmark", capsys))["commit_info"]["id"] == "c0ffee"


def test_csv_is_the_whole_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(csv.reader(io.StringIO(export(sampled_run(tmp_path / "run"), "csv", capsys))))
    assert lines[0] == list(COLUMNS)
    assert len(lines) == 1 + 5
    assert lines[1][lines[0].index("in_d")] == ""
    assert lines[1][lines[0].index("in_h")] == "8"


def test_markdown_is_a_table_people_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = export(sampled_run(tmp_path / "run"), "markdown", capsys).splitlines()
    assert len(lines) == 2 + 5
    assert all(line.replace("\\|", "").count("|") == 7 for line in lines)
    assert "2.00× \\[1.90, 2.10\\] faster" in lines[3]
    assert "oom: out \\| of memory" in lines[6]


def test_tables_for_people_lead_with_what_the_terminal_leads_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = report_rows.table(kernel=(3,))
    for one in rows:
        if "time_s" in one:
            one["backward_time_s"] = 2 * one["time_s"]
        if "speedup" in one:
            one |= {"speedup": 4.0, "backward_speedup": 0.5, "backward_speedup_low": 0.4, "backward_speedup_high": 0.6}
            one["backward_speed"] = "slower"
    folder = report_rows.write(tmp_path / "run", rows)
    head, rule, *body = export(folder, "markdown", capsys).splitlines()
    assert head == "| configuration | method | time | speedup | call | accuracy | status |"
    assert rule == "|---|---|--:|---|--:|---|---|"
    (line,) = [line for line in body if "explicit" in line]
    assert "| 0.50× \\[0.40, 0.60\\] slower | 4.00× |" in line
    latex = export(folder, "latex", capsys).splitlines()
    assert latex[0] == "\\begin{tabular}{llrlrll}"
    assert [line.strip() for line in latex if "rule" in line] == ["\\toprule", "\\midrule", "\\bottomrule"]
    (line,) = [line for line in latex if "explicit" in line]
    assert "0.50$\\times$ [0.40, 0.60] slower & 4.00$\\times$ &" in line
    (line,) = [line for line in latex if "dgrad" in line]
    assert "my\\_dgrad" in line
    assert not {c for line in latex for c in line if ord(c) > 127}


def test_tables_for_people_say_why_a_gradient_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"accuracy": "fail", "reason": "largest error 41 times its bound at [0, 1]"}
    folder = write(tmp_path / "run", [row(0, "autograd"), row(0, "explicit", **wrong)])
    assert "| fail | wrong: largest error 41 times its bound at \\[0, 1\\] |" in export(folder, "markdown", capsys)
    assert "& fail & wrong: largest error 41 times its bound at [0, 1] \\\\" in export(folder, "latex", capsys)


def test_out_writes_the_file_or_says_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sampled_run(tmp_path / "run")
    assert cli.main(["export", str(folder), "--format", "csv", "--out", str(tmp_path / "x.csv")]) == 0
    assert (tmp_path / "x.csv").read_text().startswith("op,batch,")
    assert cli.main(["export", str(folder), "--format", "csv", "--out", str(tmp_path / "no" / "x.csv")]) == 2
    assert "cannot be written" in capsys.readouterr().err
