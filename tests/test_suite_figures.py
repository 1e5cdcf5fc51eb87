"""The networks of sweeps/*.csv against published figures: parameters, operations, receptive fields.

The figures are those of the papers or of the named implementations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import pytest

from .networks import Layer, walks

pytestmark = pytest.mark.repo


def visited(suite: str, network: str) -> list[Layer]:
    return walks(suite)[network].visited


def multiply_adds(layers: Iterable[Layer]) -> int:
    """Multiply-adds for one image: outputs (inputs, where transposed) times the kernel's products."""
    total = 0
    for layer in layers:
        case = layer.case
        places = case.size if case.transposed else case.output_size
        total += math.prod(places) * layer.weights
    return total


def normalization(*channels: int) -> int:
    """Scale and shift of batch normalization."""
    return 2 * sum(channels)


def dense(*widths: int) -> int:
    """Weights and biases of fully connected layers."""
    return sum((a + 1) * b for a, b in itertools.pairwise(widths))


# What is stated, and what of it is not in the convolutions' weights and biases.
PARAMETERS = [
    # Weights only, biases and PReLU aside: the paper's table 1.
    ("fsrcnn", "fsrcnn-x2-train", "weights", 12_464, 0),
    ("fsrcnn", "fsrcnn-x3-240", "weights", 12_464, 0),
    # The paper, section 2. Its 3x3x3 layers have one parameter per channel beside the weights.
    ("unet3d", "unet3d", "biases", 19_069_955, 0),
    # Keras' VGG16 without its top.
    ("vgg16", "vgg16", "biases", 14_714_688, 0),
    # BVLC's CaffeNet/AlexNet, 60,965,224 with the three fully connected layers.
    ("alexnet", "alexnet", "biases", 60_965_224, dense(9216, 4096, 4096, 1000)),
    # torchvision's resnet50.
    ("resnet50", "resnet50", "normalized", 25_557_032, dense(2048, 1000)),
    # Keras' MobileNet, trainable.
    ("mobilenet_v1", "mobilenet_v1", "normalized", 4_231_976, dense(1024, 1000)),
    # The authors' pytorch-CycleGAN-and-pix2pix prints these (instance normalization without parameters).
    ("cyclegan", "cyclegan-generator", "biases", 11_378_179, 0),
    ("cyclegan", "cyclegan-discriminator", "biases", 2_764_737, 0),
    # The same for pix2pix (54.414 M and 2.769 M): biases only where no normalization follows.
    (
        *("pix2pix", "pix2pix-generator", "weights", 54_413_955),
        3 + normalization(128, 256, *[512] * 4, *[512] * 4, 256, 128, 64),
    ),
    ("pix2pix", "pix2pix-discriminator", "weights", 2_768_705, 64 + 1 + normalization(128, 256, 512)),
    # PyTorch's DCGAN example, which is the Torch version's architecture.
    ("dcgan", "dcgan-torch-generator", "biases", 3_576_704, normalization(512, 256, 128, 64)),
    ("dcgan", "dcgan-torch-discriminator", "biases", 2_765_568, normalization(128, 256, 512)),
    # zhixuhao/unet (Keras): its layer from 64 to 2 is 3x3 instead of 1x1, and a 1x1 layer from 2 to 1 follows.
    ("unet", "unet", "biases", 31_031_685, (64 * 9 * 2 + 2) + (2 * 1 + 1) - (64 * 2 + 2)),
]


@pytest.mark.parametrize(("suite", "network", "kind", "stated", "elsewhere"), PARAMETERS)
def test_parameters_are_those_stated(suite: str, network: str, kind: str, stated: int, elsewhere: int) -> None:
    layers = visited(suite, network)
    parameters = sum(layer.weights for layer in layers)
    if kind == "biases":
        parameters += sum(layer.biases for layer in layers)
    elif kind == "normalized":
        parameters += normalization(*(layer.case.out_channels for layer in layers))
    assert parameters + elsewhere == stated


def test_parameters_are_about_those_stated() -> None:
    def count(layers: Iterable[Layer]) -> int:
        return sum(layer.weights + layer.biases for layer in layers)

    # FCN paper, table 1: FCN-VGG16 has 134M; the frozen upsampling is not among them.
    scoring = [layer for layer in visited("fcn", "fcn") if layer.network == "fcn"]
    assert round(count(scoring) / 1e6) == 134
    # HiFi-GAN paper, table 1: V1 has 13.92M.
    assert count(visited("hifigan", "hifigan-v1-generator")) == pytest.approx(13.92e6, rel=1e-3)
    # ENet paper, table 3: 0.37M, PReLU and normalization included.
    enet = visited("enet", "enet")
    assert count(enet) + normalization(*(layer.case.out_channels for layer in enet)) == pytest.approx(0.37e6, rel=0.03)


OPERATIONS = [
    # ResNet paper, section 4.1 and table 1; VGG's figure has its fully connected layers.
    ("vgg16", "vgg16", 15.3e9, 0, 0.005),
    ("resnet50", "resnet50", 3.8e9, 2048 * 1000, 0.02),
    # MobileNet's own table: 569 million with its classifier.
    ("mobilenet_v1", "mobilenet_v1", 569e6, 1024 * 1000, 0.001),
    # Eyeriss (Chen et al. 2016), table: 666 million in AlexNet's convolutions.
    ("alexnet", "alexnet", 666e6, 0, 0.001),
]


@pytest.mark.parametrize(("suite", "network", "stated", "elsewhere", "tolerance"), OPERATIONS)
def test_operations_are_those_stated(suite: str, network: str, stated: float, elsewhere: int, tolerance: float) -> None:
    assert multiply_adds(visited(suite, network)) + elsewhere == pytest.approx(stated, rel=tolerance)


def test_wavegan_flattens_dcgan() -> None:
    """The paper, section 3.1: 25 taps and stride 4 instead of 5x5 and 2x2, with as many parameters and operations."""
    flat, square = visited("wavegan", "wavegan-generator")[:3], visited("dcgan", "dcgan-generator")[:3]
    assert [layer.weights for layer in flat] == [layer.weights for layer in square]
    assert multiply_adds(flat) == multiply_adds(square)


def test_vnet_sees_as_far_as_its_paper_says() -> None:
    """Receptive field after each stage: V-Net paper, table 1."""
    field, jump, seen = 1, 1, {}
    for layer in visited("vnet", "vnet"):
        kernel, stride = layer.case.kernel[0], layer.case.stride[0]
        if layer.case.transposed:
            jump //= stride
        field += (kernel - 1) * jump
        if not layer.case.transposed:
            jump *= stride
        seen[layer.name] = field
    stages = {**{f"left{n}_conv": n for n in range(1, 6)}, **{f"right{n}_conv": -n for n in (4, 3, 2, 1)}}
    assert {stages[name]: field for name, field in seen.items() if name in stages} == {
        **dict(zip(range(1, 6), (5, 22, 72, 172, 372), strict=True)),
        **dict(zip((-4, -3, -2, -1), (476, 528, 546, 551), strict=True)),
    }
