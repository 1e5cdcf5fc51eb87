"""The networks of sweeps/*.csv written down a second time: walks from the input to the output.

On a walk every layer must take what the one before it gives. Sizes are found by counting the places
of a kernel, not by convbench's formulas.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

from convbench.facts.case import OPS, ConvCase

SWEEPS = Path(__file__).parent.parent / "sweeps"
PREFIX = {
    "size": "in",
    "kernel": "kernel",
    "stride": "stride",
    "padding": "pad",
    "dilation": "dil",
    "output_padding": "output_padding",
}


@dataclass(frozen=True)
class Layer:
    """One line of a suite, read without convbench's own reader."""

    network: str
    name: str
    count: int
    case: ConvCase
    source: str

    @property
    def weights(self) -> int:
        case = self.case
        return case.in_channels // case.groups * case.out_channels * math.prod(case.kernel)

    @property
    def biases(self) -> int:
        return self.case.out_channels if self.case.bias else 0


def table(suite: str) -> list[dict[str, str]]:
    with (SWEEPS / f"{suite}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read(suite: str) -> dict[str, Layer]:
    """`network/layer` → Layer; raises where a line is no legal case."""
    layers = {}
    for row in table(suite):
        axes = "dhw"[3 - OPS[row["op"]][0] :]
        values = {key: [int(row[f"{prefix}_{a}"]) for a in axes] for key, prefix in PREFIX.items()}
        plain = {key: int(row[key]) for key in ("batch", "in_channels", "out_channels", "groups")}
        case = ConvCase.of({"op": row["op"], "bias": bool(int(row["bias"])), **plain, **values})
        layers[f"{row['network']}/{row['layer']}"] = Layer(
            row["network"], row["layer"], int(row["count"]), case, row["source"]
        )
    return layers


def windows(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many places a kernel fits, by counting them."""
    return len(range(0, size + 2 * padding - dilation * (kernel - 1), stride))


def sizes_after(case: ConvCase) -> tuple[int, ...]:
    """Sizes after a layer; a transposed one by searching the size that the direct one would bring back."""
    after = []
    for size, k, s, p, op, d in zip(
        case.size, case.kernel, case.stride, case.padding, case.output_padding, case.dilation, strict=True
    ):
        if case.transposed:
            fitting = [n for n in range(1, s * size + d * k + s) if windows(n, k, s, p, d) == size]
            after.append(fitting[op])
        else:
            after.append(windows(size, k, s, p, d))
    return tuple(after)


def pooled(size: int, rule: str) -> int:
    """`2`: 2x2, stride 2; `3/2`: 3x3, stride 2; `^`: rounding up (Caffe); `p2`: padded by 2."""
    found = re.fullmatch(r"(\d+)(?:/(\d+))?(?:p(\d+))?(\^?)", rule)
    assert found, rule
    kernel, stride, pad = int(found[1]), int(found[2] or found[1]), int(found[3] or 0)
    steps = (size + 2 * pad - kernel) / stride
    return (math.ceil(steps) if found[4] else math.floor(steps)) + 1


class Walk:
    """Follows a network. `layer`, `network/layer` or `layer*3` apply it; other steps:

    `>x` remember, `<x` go back to, `=x` must equal (a residual), `+x` concatenate a remembered map,
    cropped; `cat:n` n further channels; `pool:rule`; `up:n` n times the size; `pad:n` n more on each
    side; `crop:m-n` from m to n; `fold:n` rows of n samples.
    """

    def __init__(self, layers: dict[str, Layer], network: str, channels: int, size: tuple[int, ...]) -> None:
        self.layers, self.network = layers, network
        self.channels, self.size = channels, size
        self.kept: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.visited: list[Layer] = []

    def follow(self, steps: str) -> Walk:
        for step in steps.split():
            verb, _, argument = step.partition(":")
            if step[0] in "<>=+":
                self.remembered(step[0], step[1:])
            elif argument:
                self.reshape(verb, argument)
            else:
                name, _, times = step.partition("*")
                for _ in range(int(times or 1)):
                    self.apply(name if "/" in name else f"{self.network}/{name}")
        return self

    def apply(self, name: str) -> None:
        layer = self.layers[name]
        assert (layer.case.in_channels, layer.case.size) == (self.channels, self.size), f"{name} does not follow"
        self.channels, self.size = layer.case.out_channels, sizes_after(layer.case)
        self.visited.append(layer)

    def remembered(self, sign: str, name: str) -> None:
        if sign == ">":
            self.kept[name] = (self.channels, self.size)
            return
        channels, size = self.kept[name]
        if sign == "<":
            self.channels, self.size = channels, size
        elif sign == "=":
            assert (self.channels, self.size) == (channels, size), name
        else:
            assert all(a >= b for a, b in zip(size, self.size, strict=True)), name
            self.channels += channels

    def reshape(self, verb: str, argument: str) -> None:
        if verb == "cat":
            self.channels += int(argument)
        elif verb == "pool":
            self.size = tuple(pooled(n, argument) for n in self.size)
        elif verb == "up":
            self.size = tuple(n * int(argument) for n in self.size)
        elif verb == "pad":
            self.size = tuple(n + 2 * int(argument) for n in self.size)
        elif verb == "crop":
            before, after = argument.split("-")
            assert set(self.size) == {int(before)}, f"{self.size} is to be cropped from {before}"
            self.size = (int(after),) * len(self.size)
        else:
            assert verb == "fold"
            self.size = (math.ceil(self.size[0] / int(argument)), int(argument))


def numbered(pattern: str, first: int, last: int) -> str:
    """`pattern` with # replaced by first … last (downwards where first is larger)."""
    step = 1 if last >= first else -1
    return " ".join(pattern.replace("#", str(n)) for n in range(first, last + step, step))


VGG = "conv1_1 conv1_2 POOL conv2_1 conv2_2 POOL conv3_1 conv3_2*2 POOL >3 conv4_1 conv4_2*2 POOL >4 conv5_1*3 POOL"
FCN_HEADS = (
    "fc6 fc7 score_fr >s fcn-32s/upscore crop:544-500 >out <s fcn-16s+8s/upscore2 >u "
    "<4 fcn-16s+8s/score_pool4 crop:44-34 =u fcn-16s/upscore16 crop:560-500 =out <u fcn-8s/upscore_pool4 >v "
    "<3 fcn-8s/score_pool3 crop:88-70 =v fcn-8s/upscore8 crop:568-500 =out"
)
ENET_SECTION = " ".join(
    f">x b2_1_reduce {middle} b2_0_expand =x"
    for middle in (
        *("b2_0_conv", "b2_2_conv", "b2_3_conv_w b2_3_conv_h", "b2_4_conv"),
        *("b2_0_conv", "b2_6_conv", "b2_3_conv_w b2_3_conv_h", "b2_8_conv"),
    )
)
ENET_64 = ">x b1_1_reduce b1_0_conv b1_0_expand =x"
ENET = (
    f"initial cat:3 b1_0_reduce b1_0_conv b1_0_expand {' '.join([ENET_64] * 4)} b2_0_reduce b2_0_conv b2_0_expand "
    f"{ENET_SECTION} {ENET_SECTION} "
    f">x b4_0_reduce b4_0_deconv b1_0_expand >y <x b4_0_shortcut up:2 =y {ENET_64} {ENET_64} "
    ">x b5_0_reduce b5_0_deconv b5_0_expand >y <x b1_1_reduce up:2 =y >x b5_1_reduce b5_1_conv b5_0_expand =x fullconv"
)
HIFIGAN_STAGE = "up# " + " ".join(
    f">x {' '.join(f'res#_k{k}_d{d} res#_k{k}_d1 =x' for d in (1, 3, 5))}" for k in (3, 7, 11)
)
DOWN = "down#_conv1 down#_conv2 >#"
UP = "up# +# up#_conv1 up#_conv2"
SEPARABLE = "conv#_dw conv#_pw"


def bottleneck(stage: int, last: str, blocks: int) -> str:
    """A stage of ResNet-50; `last` is the line that holds its third layers."""
    tail = f"res{stage}_branch2b {last}"
    first = f">x res{stage}a_branch1 >s <x res{stage}a_branch2a {tail} =s"
    return " ".join([first] + [f">s res{stage}b_branch2a {tail} =s"] * (blocks - 1))


VNET = (
    "left1_conv >1 down1 left2_conv*2 >2 down2 left3_conv*3 >3 down3 left4_conv*3 >4 down4 left5_conv*3 up4 +4 "
    "right4_conv*3 up3 +3 right3_conv*3 up2 +2 right2_conv*2 up1 +1 right1_conv out"
)
RESNET = (
    f"conv1 pool:3/2^ {bottleneck(2, 'res2a_branch1', 3)} {bottleneck(3, 'res3_branch2c', 4)} "
    f"{bottleneck(4, 'res4_branch2c', 6)} {bottleneck(5, 'res5_branch2c', 3)}"
)
PIX2PIX = f"{numbered('e# >#', 1, 7)} e8 d1 " + " ".join(f"+{8 - n} d{n + 1}" for n in range(1, 8))
CYCLEGAN = f"pad:3 c7s1_64 d128 d256 {'>r pad:1 R256 pad:1 R256 =r ' * 9} u128 u64 pad:3 c7s1_3"

ALEXNET = "conv1 pool:3/2 conv2 pool:3/2 conv3 conv4 conv5 pool:3/2"
MOBILENET = f"conv1 {numbered(SEPARABLE, 1, 7)} {'conv7_dw conv7_pw ' * 4} {numbered(SEPARABLE, 12, 13)}"
UNET = f"{numbered(DOWN + ' pool:2', 1, 4)} down5_conv1 down5_conv2 {numbered(UP, 4, 1)} out"
UNET3D = f"{numbered(DOWN + ' pool:2', 1, 3)} down4_conv1 down4_conv2 {numbered(UP, 3, 1)} out"

Shape = tuple[int, tuple[int, ...]]
NETWORKS: dict[str, list[tuple[str, Shape, str, Shape]]] = {
    "alexnet": [("alexnet", (3, (227, 227)), ALEXNET, (256, (6, 6)))],
    "cyclegan": [
        ("cyclegan-generator", (3, (256, 256)), CYCLEGAN, (3, (256, 256))),
        ("cyclegan-discriminator", (3, (256, 256)), numbered("conv#", 1, 5), (1, (35, 35))),
    ],
    "dcgan": [
        ("dcgan-generator", (1024, (4, 4)), numbered("deconv#", 1, 4), (3, (64, 64))),
        ("dcgan-discriminator", (3, (64, 64)), numbered("conv#", 1, 4), (1024, (4, 4))),
        ("dcgan-torch-generator", (100, (1, 1)), numbered("deconv#", 1, 5), (3, (64, 64))),
        ("dcgan-torch-discriminator", (3, (64, 64)), numbered("conv#", 1, 5), (1, (1, 1))),
    ],
    "enet": [("enet", (3, (512, 512)), ENET, (20, (512, 512)))],
    "fcn": [("fcn", (3, (500, 500)), f"{VGG.replace('POOL', 'pool:2^')} {FCN_HEADS}", (21, (500, 500)))],
    "fsrcnn": [
        (f"fsrcnn-{name}", (1, (low, low)), "feature shrink map*4 expand deconv", (1, (high, high)))
        for name, low, high in (("x2-train", 14, 19), ("x3-train", 11, 19), ("x4-train", 10, 21), ("x3-240", 240, 720))
    ],
    "hifigan": [
        ("hifigan-v1-generator", (80, (32,)), f"conv_pre {numbered(HIFIGAN_STAGE, 1, 4)} conv_post", (1, (8192,))),
        *(
            (
                f"hifigan-msd{n}",
                (1, (8192,)),
                "pool:4/2p2 " * (n - 1) + numbered("conv#", 1, 7) + " conv_post",
                (1, (left,)),
            )
            for n, left in ((1, 128), (2, 65), (3, 33))
        ),
        *(
            (f"hifigan-mpd{n}", (1, (8192,)), f"fold:{n} {numbered('conv#', 1, 5)} conv_post", (1, (left, n)))
            for n, left in ((2, 51), (3, 34), (5, 21), (7, 15), (11, 10))
        ),
    ],
    "mobilenet_v1": [("mobilenet_v1", (3, (224, 224)), MOBILENET, (1024, (7, 7)))],
    "pix2pix": [
        ("pix2pix-generator", (3, (256, 256)), PIX2PIX, (3, (256, 256))),
        (
            "pix2pix-discriminator",
            (6, (256, 256)),
            "conv1 pix2pix-generator/e2 pix2pix-generator/e3 conv4 conv5",
            (1, (30, 30)),
        ),
    ],
    "resnet50": [("resnet50", (3, (224, 224)), RESNET, (2048, (7, 7)))],
    "unet": [("unet", (1, (572, 572)), UNET, (2, (388, 388)))],
    "unet3d": [("unet3d", (3, (116, 132, 132)), UNET3D, (3, (28, 44, 44)))],
    "vgg16": [("vgg16", (3, (224, 224)), VGG.replace("POOL", "pool:2"), (512, (7, 7)))],
    "vnet": [("vnet", (1, (128, 128, 64)), VNET, (2, (128, 128, 64)))],
    "wavegan": [
        ("wavegan-generator", (1024, (16,)), numbered("upconv_#", 0, 4), (1, (16384,))),
        ("wavegan-discriminator", (1, (16384,)), numbered("downconv_#", 0, 4), (1024, (16,))),
    ],
}
"""Suite → its networks: name, input channels and size, steps, output channels and size."""


def walks(suite: str) -> dict[str, Walk]:
    """Network → the finished walk; raises AssertionError where a layer does not follow, or the output is another."""
    layers = read(suite)
    finished = {}
    for network, (channels, size), steps, output in NETWORKS[suite]:
        walk = Walk(layers, network, channels, size).follow(steps)
        assert (walk.channels, walk.size) == output, network
        finished[network] = walk
    return finished
