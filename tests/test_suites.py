"""The shape suites in sweeps/: every line is a convolution, and together the lines are the published networks.

The judge is tests/networks.py, which writes the networks down a second time; test_suite_figures.py
compares them with the figures that the papers state.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from convbench.facts.record import CASE
from convbench.sweep import cases

from .networks import NETWORKS, SWEEPS, Layer, read, table, walks

SUITES = sorted(path.stem for path in SWEEPS.glob("*.csv"))
SINGLE_LAYERS = {"convnet_benchmarks", "deepbench_training"}
LABELS = {"suite", "network", "layer", "count", "source"}


def test_every_suite_has_both_files_and_a_judge() -> None:
    asking = {path.stem for path in SWEEPS.glob("*.yaml") if ".csv" in path.read_text(encoding="utf-8")}
    assert set(SUITES) == asking == set(NETWORKS) | SINGLE_LAYERS
    assert len(SUITES) == 17


@pytest.mark.parametrize("suite", SUITES)
def test_columns_are_the_tables_own(suite: str) -> None:
    rows = table(suite)
    case_columns = [c.name for c in CASE]
    assert set(rows[0]) <= {*case_columns, *LABELS}
    assert set(rows[0]) >= LABELS
    without_axes = {name for name in case_columns if not re.search(r"_[dhw]$", name)}
    assert set(rows[0]) >= without_axes | {"in_w", "kernel_w", "stride_w", "pad_w", "dil_w", "output_padding_w"}
    assert {row["suite"] for row in rows} == {suite}
    assert all(row["source"] and int(row["count"]) >= 1 for row in rows)


@pytest.mark.parametrize("suite", SUITES)
def test_every_line_is_another_legal_case(suite: str) -> None:
    layers = read(suite)
    assert len(layers) == len(table(suite)), "two lines have one name"
    assert len({layer.case for layer in layers.values()}) == len(layers), "equal shapes belong into one line"


@pytest.mark.parametrize("suite", SUITES)
def test_convbench_reads_every_line_and_every_label(suite: str) -> None:
    found = cases.read(SWEEPS / f"{suite}.csv")
    assert len(found.rows) == len(table(suite))
    assert set(found.labels) == LABELS


@pytest.mark.parametrize("suite", SUITES)
def test_axes_that_an_operation_lacks_are_empty(suite: str) -> None:
    for row in table(suite):
        dims = int(row["op"][-2])
        for name, value in row.items():
            axis = re.search(r"_([dhw])$", name)
            if axis:
                assert bool(value) == (axis[1] in "dhw"[3 - dims :]), name


@pytest.mark.parametrize("suite", SUITES)
def test_sweep_file_names_its_table_and_its_source(suite: str) -> None:
    text = (SWEEPS / f"{suite}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# @package _global_\n# ")
    assert OmegaConf.to_container(OmegaConf.create(text)) == {
        "cases": f"{suite}.csv",
        "methods": ["autograd", "explicit"],
        "axes": {"wrt": "input,weight"},
    }
    head = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    papers = {paper for row in table(suite) for paper in re.findall(r"arXiv:[\d.]+\d", row["source"])}
    assert all(paper in head for paper in papers)


@pytest.mark.parametrize("suite", sorted(NETWORKS))
def test_layers_follow_each_other_as_often_as_counted(suite: str) -> None:
    visits = Counter(f"{layer.network}/{layer.name}" for walk in walks(suite).values() for layer in walk.visited)
    assert visits == {name: layer.count for name, layer in read(suite).items()}


def test_documentation_counts_what_is_there() -> None:
    text = (SWEEPS.parent / "docs" / "suites.md").read_text(encoding="utf-8")
    counted = {name: (int(a), int(b)) for name, a, b in re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", text, re.M)}
    assert counted == {suite: (len(read(suite)), sum(x.count for x in read(suite).values())) for suite in SUITES}
    total = re.search(r"(\d+) lines for (\d+) layers", text)
    assert total
    assert [int(n) for n in total.groups()] == [sum(column) for column in zip(*counted.values(), strict=True)]


def everywhere() -> Iterable[tuple[str, Layer]]:
    return ((suite, layer) for suite in sorted(NETWORKS) for layer in read(suite).values())


def test_groups_are_where_the_architectures_have_them() -> None:
    grouped = {(layer.network, layer.name): layer.case.groups for _, layer in everywhere() if layer.case.groups > 1}
    depthwise = [layer for layer in read("mobilenet_v1").values() if layer.name.endswith("_dw")]
    assert grouped == {
        **{("alexnet", f"conv{n}"): 2 for n in (2, 4, 5)},
        **{(f"hifigan-msd{n}", "conv2"): 4 for n in (1, 2, 3)},
        **{(f"hifigan-msd{n}", f"conv{m}"): 16 for n in (1, 2, 3) for m in (3, 4, 5, 6)},
        **{("mobilenet_v1", layer.name): layer.case.in_channels for layer in depthwise},
    }


def test_dilation_is_where_the_architectures_have_it() -> None:
    dilated = {
        (layer.network, layer.name): layer.case.dilation for _, layer in everywhere() if max(layer.case.dilation) > 1
    }
    residual = {f"res{i}_k{k}_d{d}": d for i in (1, 2, 3, 4) for k in (3, 7, 11) for d in (3, 5)}
    assert dilated == {
        **{("enet", f"b2_{n}_conv"): (d, d) for n, d in ((2, 2), (4, 4), (6, 8), (8, 16))},
        **{("hifigan-v1-generator", name): (d,) for name, d in residual.items()},
    }


def test_layers_without_a_bias_are_those_stated() -> None:
    without = {f"{layer.network}/{layer.name}" for _, layer in everywhere() if not layer.case.bias}
    normalized = {name for suite in ("dcgan", "mobilenet_v1", "resnet50") for name in read(suite)}
    projections = {name for name in read("enet") if re.search(r"_(reduce|expand|shortcut|conv_w)$", name)}
    scores = {name for name in read("fcn") if "/upscore" in name}
    assert without == normalized | projections | scores | {f"unet3d/up{n}" for n in (1, 2, 3)}


KERNELS = {
    "dcgan-generator": [(5, 5)] * 4,
    "dcgan-discriminator": [(5, 5)] * 4,
    "wavegan-generator": [(25,)] * 5,
    "wavegan-discriminator": [(25,)] * 5,
    **{f"hifigan-msd{n}": [(15,), *[(41,)] * 5, (5,), (3,)] for n in (1, 2, 3)},
    **{f"hifigan-mpd{n}": [*[(5, 1)] * 5, (3, 1)] for n in (2, 3, 5, 7, 11)},
    "fcn": [
        *[(3, 3)] * 13,
        *((k, k) for k in (7, 1, 1, 64, 4, 1, 32, 4, 1, 16)),
    ],
    "vnet": [(k,) * 3 for k in (5, 2, 5, 5, 2, 5, 5, 5, 2, 5, 5, 5, 2, 5, 5, 5, *(2, 5, 5, 5) * 2, 2, 5, 5, 2, 5, 1)],
}


@pytest.mark.parametrize("network", KERNELS)
def test_kernels_are_those_stated(network: str) -> None:
    """For networks whose number of parameters nobody states."""
    suite = next(suite for suite, members in NETWORKS.items() if network in {name for name, *_ in members})
    assert [layer.case.kernel for layer in walks(suite)[network].visited] == KERNELS[network]


def test_batches_are_the_published_ones() -> None:
    batches = {suite: {layer.case.batch for layer in read(suite).values()} for suite in SUITES}
    assert batches == {
        **{key: {1} for key in ("cyclegan", "fcn", "pix2pix", "unet", "unet3d")},
        **{key: {64} for key in ("mobilenet_v1", "vgg16", "wavegan")},
        **{key: {128} for key in ("alexnet", "convnet_benchmarks")},
        "vnet": {2},
        "enet": {10},
        "hifigan": {16},
        "resnet50": {32},
        "dcgan": {128, 64},
        "fsrcnn": {128, 1},
        "deepbench_training": {4, 8, 16, 32},
    }


def test_single_layer_lists_are_whole() -> None:
    deepbench = read("deepbench_training").values()
    assert sum(layer.count for layer in deepbench) == 94
    numbers = sorted(int(layer.name.removeprefix("train_")) for layer in deepbench)
    assert len(numbers) == 90
    assert (numbers[0], numbers[-1]) == (0, 93)
    cases = [layer.case for layer in read("convnet_benchmarks").values()]
    assert [(c.in_channels, c.out_channels, c.size[0], c.kernel[0]) for c in cases] == [
        *((3, 96, 128, 11), (64, 128, 64, 9), (128, 128, 32, 9), (128, 128, 16, 7), (384, 384, 13, 3))
    ]
    assert all(len({*c.size}) == len({*c.kernel}) == 1 for c in cases)
    plain = {(*c.stride, *c.padding, *c.dilation, c.groups, c.bias) for c in cases}
    assert plain == {(1, 1, 0, 0, 1, 1, 1, True)}
    assert {layer.count for layer in read("convnet_benchmarks").values()} == {1}


LISTS = [
    ("deepbench_training", "deepbench.csv", "deepbench_training", True),
    ("convnet_benchmarks", "convnet.csv", "layerwise", True),
    ("alexnet", "onednn_conv.csv", "alexnet", False),
    ("vgg16", "onednn_conv.csv", "vgg_19", False),
    ("resnet50", "onednn_conv.csv", "resnet_50", False),
    ("mobilenet_v1", "onednn_conv.csv", "mobilenet", False),
]


@pytest.mark.parametrize(("suite", "file", "network", "with_batch"), LISTS)
def test_agrees_with_reference_lists(suite: str, file: str, network: str, with_batch: bool) -> None:
    """CONVBENCH_SHAPES: a folder of the projects' own lists (DeepBench, oneDNN, …) in the table's columns."""
    folder = os.environ.get("CONVBENCH_SHAPES")
    if not folder:
        pytest.skip("CONVBENCH_SHAPES names no folder of reference shape lists")
    with (Path(folder) / file).open(newline="", encoding="utf-8") as lines:
        theirs = [row for row in csv.DictReader(lines) if row["network"] == network]
    ours = table(suite)
    keys = [c.name for c in CASE if c.name in theirs[0] and (with_batch or c.name != "batch")]
    known = {tuple(row[key] for key in keys) for row in theirs}
    assert {tuple(row[key] for key in keys) for row in ours} <= known
    if with_batch:
        assert sum(int(row["count"]) for row in ours) == len(theirs)
