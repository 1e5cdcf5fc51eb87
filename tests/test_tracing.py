"""`trace`: against lists written by hand, and swept again; what it is given may be anything."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import convbench
from convbench import cli
from convbench.tracing.recorder import Recorder

NET = """
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding="same", dilation=2)
        self.reflect = nn.Conv2d(4, 4, 3, stride=2, padding=1, padding_mode="reflect", bias=False)
        self.twice = nn.Conv2d(4, 4, (1, 3), padding=(0, 1), groups=2, bias=False)
        self.alike = nn.Conv2d(4, 4, (1, 3), padding=(0, 1), groups=2, bias=False)
        self.frozen = nn.Conv2d(4, 4, 1).requires_grad_(False)
        self.up = nn.Sequential(nn.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1))
        self.unused = nn.Conv2d(3, 3, 7)
        self.line = nn.Conv1d(2, 2, 3)

    def forward(self, x, offset=None):
        with torch.no_grad():
            self.unused(x)
        x = self.reflect(self.first(x))
        x = self.alike(self.twice(checkpoint(self.twice, x, use_reentrant=False)))
        x = self.up(self.frozen(x))
        return {"maps": [x], "line": self.line(x.flatten(2)), "offset": offset}

def make():
    return Net()

net = Net()
text = "no model"

def two(a, b):
    return torch.nn.functional.conv2d(a.requires_grad_(), b)

def fails(x):
    raise RuntimeError("no such\\nlayer")

def gives_none():
    return None
"""

SCRIPT = """
import sys, torch
from net import Net
assert sys.argv[1:] == ["--epochs", "2"]
model = Net()
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for _ in range(int(sys.argv[2])):
    optimizer.zero_grad()
    found = model(torch.randn(2, 3, 8, 8))
    (found["maps"][0].mean() + found["line"].mean()).backward()
    optimizer.step()
sys.exit()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "net", raising=False)
    return tmp_path


def trace(*words: str) -> list[dict[str, str]]:
    assert cli.main(["trace", "--out", "layers.csv", *words]) == 0
    with open("layers.csv", newline="") as file:
        return list(csv.DictReader(file))


def shape(row: dict[str, str]) -> tuple[Any, ...]:
    """What the hand-written list says of a line."""
    axes = [axis for axis in "hw" if row[f"in_{axis}"]]
    numbers = [[int(row[f"{prefix}_{axis}"]) for axis in axes] for prefix in ("in", "kernel", "stride", "pad", "dil")]
    channels = int(row["in_channels"]), int(row["out_channels"]), int(row["groups"])
    return row["layer"], row["op"], row["wrt"], int(row["count"]), channels, numbers, row["bias"]


# Layer, op, gradient, count, channels and groups, [size, kernel, stride, padding, dilation], bias: by hand from NET.
FIRST = ((3, 4, 1), [[8, 8], [3, 3], [1, 1], [2, 2], [2, 2]], "1")
REFLECT = ((4, 4, 1), [[10, 10], [3, 3], [2, 2], [0, 0], [1, 1]], "0")
TWICE = ((4, 4, 2), [[4, 4], [1, 3], [1, 1], [0, 1], [1, 1]], "0")
FROZEN = ((4, 4, 1), [[4, 4], [1, 1], [1, 1], [0, 0], [1, 1]], "1")
UP = ((4, 2, 1), [[4, 4], [3, 3], [2, 2], [0, 0], [1, 1]], "1")
LINE = ((2, 2, 1), [[100], [3], [1], [0], [1]], "1")
EXPECTED = [
    *(("first", "conv2d", wrt, 1, *FIRST) for wrt in ("weight", "bias")),
    *(("reflect", "conv2d", wrt, 1, *REFLECT) for wrt in ("input", "weight")),
    *(("twice", "conv2d", wrt, 3, *TWICE) for wrt in ("input", "weight")),
    ("frozen", "conv2d", "input", 1, *FROZEN),
    *(("up.0", "conv_transpose2d", wrt, 1, *UP) for wrt in ("input", "weight", "bias")),
    *(("line", "conv1d", wrt, 1, *LINE) for wrt in ("input", "weight", "bias")),
]


@pytest.mark.parametrize("target", ["net:net", "net:make", "net:Net"])
def test_module_is_what_was_written_by_hand(folder: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = trace(target, "--input", "2,3,8,8")
    assert [shape(row) for row in rows] == EXPECTED
    assert {(row["batch"], row["dtype"], row["memory_format"]) for row in rows} == {("2", "float32", "contiguous")}
    assert [row["same_as"] for row in rows if row["layer"] == "twice"] == ["alike", "alike"]
    assert {row["output_padding_h"] for row in rows if row["layer"] == "up.0"} == {"1"}
    said = capsys.readouterr().out
    assert "17 gradients of convolutions (7 with respect to the input, 7 with respect to the weight, 3" in said
    assert "in 13 lines: layers.csv" in said
    assert "python -m convbench cases=layers.csv" in said


def test_list_is_swept_as_it_stands(folder: Path) -> None:
    """Every line is a legal configuration, and its gradient is right."""
    rows = trace("net:net", "--input", "2,3,8,8", "--dtype", "float64", "--memory-format", "channels_last")
    assert {row["memory_format"] for row in rows if row["op"] != "conv1d"} <= {"channels_last", "contiguous"}
    assert "channels_last" in {row["memory_format"] for row in rows}
    table = convbench.run("cases=layers.csv", methods=["autograd"], measure="none", isolation="none")
    assert (len(table), set(table["accuracy"]), set(table["dtype"])) == (13, {"ok"}, {"float64"})
    assert list(table["wrt"]) == [row["wrt"] for row in rows]
    assert '"layer": "reflect"' in "".join(table["labels"])


# Layer → the gradients that its backward computes together.
TOGETHER = {
    "first": "weight+bias", "reflect": "input+weight", "twice": "input+weight", "frozen": "input",
    "up.0": "input+weight+bias", "line": "input+weight+bias",
}  # fmt: skip


def test_gradients_of_one_call_are_one_line_where_that_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = trace("net:net", "--input", "2,3,8,8", "--together")
    assert {row["layer"]: row["wrt"] for row in rows} == TOGETHER
    assert [int(row["count"]) for row in rows] == [1, 1, 3, 1, 1, 1]
    said = capsys.readouterr().out
    assert "17 gradients of convolutions (7 with respect to the input, 7 with respect to the weight, 3" in said
    assert "in 6 lines: layers.csv" in said
    table = convbench.run("cases=layers.csv", methods=["autograd", "aten"], measure="none", isolation="none")
    assert (len(table), set(table["accuracy"])) == (12, {"ok"})
    assert list(table["wrt"][::2]) == list(TOGETHER.values())


def test_script_with_its_own_training_step(folder: Path) -> None:
    rows = trace("train.py", "--", "--epochs", "2")
    assert [shape(row) for row in rows] == [(*line[:3], 2 * line[3], *line[4:]) for line in EXPECTED]


def test_options_may_stand_between_a_script_and_its_arguments(folder: Path) -> None:
    assert cli.main(["trace", "train.py", "--out", "layers.csv", "--", "--epochs", "2"]) == 0


def test_functions_of_several_inputs(folder: Path) -> None:
    (row,) = trace("net:two", "--input", "2,3,8,8", "--input", "5,3,1,1", "--dtype", "bfloat16")
    assert shape(row) == ("", "conv2d", "input", 1, (3, 5, 1), [[8, 8], [1, 1], [1, 1], [0, 0], [1, 1]], "0")
    assert row["dtype"] == "bfloat16"
    assert len(trace("net:net", "--input", "2,3,8,8", "--input", "4:int64")) == 13


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["net:net"], "net:net needs its input's shape"),
        (["net:nett", "--input", "1"], "net has no nett; did you mean net"),
        (["nett:net", "--input", "1"], "cannot import nett: No module named 'nett'"),
        (["net:text", "--input", "1"], "net:text is a str; give a module or a function"),
        (["net:gives_none", "--input", "1"], "net:gives_none returned NoneType, which is no torch.nn.Module"),
        (["net:net", "--input", "8,x"], "--input 8,x is no shape; write 8,3,224,224"),
        (["net:net", "--input", "8,3:floor"], "--input 8,3:floor is no shape"),
        (["net:fails", "--input", "1"], "net:fails raised RuntimeError: no such layer"),
        (["net:net", "--", "x"], "'x' is an argument for a script"),
        (["train.py", "--input", "1"], "--input is for a model; train.py makes its own"),
        (["gone.py"], "gone.py does not exist"),
        (["train.py"], "train.py raised AssertionError"),
        (["builtins:abs", "--input", "1"], "nothing that builtins:abs returned requires a gradient"),
        (["torch.nn:ReLU", "--input", "1"], "nothing that torch.nn:ReLU returned requires a gradient"),
        (["torch.nn:Identity", "--input", "1", "--dtype", "float8"], "--dtype"),
    ],
)
def test_mistakes_are_one_sentence(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["trace", "--out", "layers.csv", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (folder / "layers.csv").exists()


def test_what_has_no_convolution_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "plain.py").write_text("import torch\ndef linear():\n    return torch.nn.Linear(3, 3)\n")
    assert cli.main(["trace", "plain:linear", "--input", "3,3", "--out", "x.csv"]) == 2
    assert "the backward pass of plain:linear asked for no convolution's gradient" in capsys.readouterr().err
    assert cli.main(["trace", "plain:linear", "--input", "3,3", "--out", "layers.txt"]) == 2
    assert "must end in .csv" in capsys.readouterr().err


def test_dtype_that_cannot_be_measured_is_left_out_and_said() -> None:
    x = torch.ones(1, 1, 3, dtype=torch.complex64, device="meta")
    recorder = Recorder()
    with recorder.recording():
        torch.ops.aten.convolution_backward(x, x, x[..., :1], None, [1], [0], [1], False, [0], 1, [True, False, False])
    assert not recorder.found
    assert recorder.skipped == ["a convolution: dtype=complex64 is not one of float64, float32, bfloat16, float16"]


def test_a_torchvision_that_was_built_for_another_torch_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its import ends in a RuntimeError, not in an ImportError."""
    said = "operator torchvision::nms does not exist"
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise RuntimeError({said!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["trace", "resnet18", "--input", "1,3,8,8", "--out", str(tmp_path / "layers.csv")]) == 2
    told = capsys.readouterr().err
    assert f"cannot be imported here ({said}); install the one built for torch {torch.__version__}" in told


# The suites that ship, against the networks of torchvision and timm.

TORCHVISION = """
import pathlib, re, sys, torch
from importlib.util import find_spec
folder = pathlib.Path(find_spec("torchvision").origin).parent
try:
    import torchvision
except RuntimeError:
    # Its compiled part is for another build of torch; no network of these uses what that registers.
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    code = "".join(path.read_text() for path in folder.rglob("*.py"))
    for name in set(re.findall(r'(?:register_meta|register_fake)\\("(?:torchvision::)?(\\w+)"', code)):
        library.define(f"{name}(Tensor x) -> Tensor")
from convbench.cli import main
sys.exit(main(["trace", *sys.argv[1:]]))
"""
SUITES = Path(__file__).parent.parent / "sweeps"
LATER = {  # torchvision's ResNet-50 is "v1.5": where a stage begins, the 3×3 layer strides and not the one before it.
    ("256", "128", "56", "1", "2"): -1,
    ("256", "128", "56", "1", "1"): 1,
    ("128", "128", "56", "3", "2"): 1,
    ("512", "256", "28", "1", "2"): -1,
    ("512", "256", "28", "1", "1"): 1,
    ("256", "256", "28", "3", "2"): 1,
    ("1024", "512", "14", "1", "2"): -1,
    ("1024", "512", "14", "1", "1"): 1,
    ("512", "512", "14", "3", "2"): 1,
    ("128", "128", "28", "3", "1"): -1,
    ("256", "256", "14", "3", "1"): -1,
    ("512", "512", "7", "3", "1"): -1,
}


HEAD = {  # timm's VGG-16 has its two fully connected layers as convolutions.
    ("512", "4096", "7", "7", "1"): 1,
    ("4096", "4096", "1", "1", "1"): 1,
}


@pytest.fixture(scope="module")
def torchvision(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder that torchvision is imported from, installed for this if it can be."""
    release = int(torch.__version__.split(".")[1]) + 15  # 0.28 is for torch 2.13
    return installed("torchvision", [f"torchvision==0.{release}.*", "pillow"], tmp_path_factory)


@pytest.fixture(scope="module")
def timm(torchvision: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folders that timm and torchvision, which it imports, come from, and a module with timm's networks."""
    folder = installed("timm", ["timm", "huggingface_hub", "safetensors", "pyyaml"], tmp_path_factory)
    networks = tmp_path_factory.mktemp("networks")
    (networks / "networks_of_timm.py").write_text(
        "from functools import partial\nimport timm\n"
        + "".join(f"{name} = partial(timm.create_model, {name!r})\n" for name in IN_TIMM)
    )
    return os.pathsep.join([str(networks), folder, torchvision])


def installed(package: str, wanted: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder that a package is imported from; skips where it is not there and cannot be installed for this."""
    found = find_spec(package)
    if found is not None and found.origin is not None:
        return str(Path(found.origin).parent.parent)
    folder = str(tmp_path_factory.mktemp(package))
    uv = shutil.which("uv")
    command = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    wanted = ["--target", folder, "--no-deps", *wanted]
    if subprocess.run([*command, *wanted], capture_output=True, timeout=300, check=False).returncode:
        pytest.skip(f"{package} is not there and cannot be installed")
    return folder


def layers_of(path: Path) -> Counter[tuple[str, ...]]:
    """(channels in and out, size, kernel, stride) → how many layers, each by its gradient of the weight."""
    keys = ("in_channels", "out_channels", "in_h", "kernel_h", "stride_h")
    found: Counter[tuple[str, ...]] = Counter()
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row.get("wrt", "weight") == "weight":
                found[tuple(row[name] for name in keys)] += int(row["count"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("model", "differs"), [("vgg16", {}), ("resnet50", LATER)])
def test_suites_that_ship_are_what_torchvision_has(
    model: str, differs: dict[tuple[str, ...], int], torchvision: str, tmp_path: Path
) -> None:
    expected = layers_of(SUITES / f"{model}.csv")
    expected.update(differs)
    assert traced(model, torchvision, tmp_path / "layers.csv") == +expected


IN_TIMM: dict[str, tuple[str, dict[tuple[str, ...], int]]] = {
    "mobilenetv1_100": ("mobilenet_v1", {}),
    "resnet50": ("resnet50", LATER),
    "vgg16": ("vgg16", HEAD),
}
"""timm's name of a network → the suite, and what timm has differently."""


@pytest.mark.slow
@pytest.mark.parametrize("network", IN_TIMM)
def test_suites_that_ship_are_what_timm_has(network: str, timm: str, tmp_path: Path) -> None:
    suite, differs = IN_TIMM[network]
    expected = layers_of(SUITES / f"{suite}.csv")
    expected.update(differs)
    assert traced(f"networks_of_timm:{network}", timm, tmp_path / "layers.csv") == +expected


def traced(target: str, path: str, listed: Path) -> Counter[tuple[str, ...]]:
    """The layers that `convbench trace` finds in a network that is imported from `path`."""
    command = [sys.executable, "-c", TORCHVISION, target, "--input", "1,3,224,224", "--out", str(listed)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([path, str(SUITES.parent), *sys.path])}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return layers_of(listed)
