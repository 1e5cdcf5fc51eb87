"""Writes docs/findings.md: what convbench found in the torch at hand, each confirmed by plain torch in a fresh process.

`make findings`, or `python -m tests.findings`. Every snippet runs by itself under each setting that is named with it;
what it printed, or how it ended, is what the page says.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import torch

PAGE = Path(__file__).parent.parent / "docs" / "findings.md"
VERSION = f"torch {torch.__version__.split('+')[0]}"
OFF = "oneDNN off"
USUAL = "by itself"

SETTINGS: dict[str, Mapping[str, str]] = {
    USUAL: {},
    OFF: {},
    "without AMX": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16"},
    "AVX2 at most": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
}
"""How a snippet is run: the environment's variables; OFF is a line before it."""

LEAST_OF_50 = """def seconds(call):
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times)
"""
"""What the timings below are taken by; a reproducer stands alone, so that its code is put into each."""


@dataclass(frozen=True)
class Finding:
    """A snippet of plain torch that prints what is wrong, the settings to run it under, and what there is to say."""

    title: str
    said: str
    code: str
    right: str
    settings: tuple[str, ...] = field(default=(USUAL, OFF))


FINDINGS = [
    Finding(
        "bfloat16 convolutions with a wide kernel and padding are wrong on AMX",
        "oneDNN's kernels for AMX return other numbers: in 130 of 6,381 drawn convolutions with kernels nearly as wide "
        "as the image, nearly all of them padded, and in none of 3,122 without AMX. The explicit formula of a weight's "
        "gradient is such a convolution, so that `explicit` is `fail` there; the forward operation is wrong as well. "
        "float16 was right in 2,720. We know of no issue for it.",
        """import torch
from torch.nn.functional import conv1d

torch.manual_seed(0)
x, w = torch.randn(1, 4, 18).bfloat16(), torch.randn(16, 4, 16).bfloat16()
exact = conv1d(x.double(), w.double(), padding=1)
print("relative error", round(float((conv1d(x, w, padding=1) - exact).norm() / exact.norm()), 4))
""",
        "0.002",
        (USUAL, "without AMX", OFF),
    ),
    Finding(
        "A 16-bit convolution of nothing but padding ends the process",
        "Where along some axis no tap of any position meets an element (a dilated kernel that steps over the input), "
        "oneDNN's brgemm kernels end the process, in float16 and bfloat16 on CPUs with AVX-512: all 253 crashes among "
        "some 60,000 drawn convolutions were of this kind. The result should be zeros. convbench's rows say `crash`.",
        """import torch
from torch.nn.functional import conv1d

x, w = torch.ones(1, 1, 1).half(), torch.ones(1, 1, 1).half()
print(conv1d(x, w, stride=2, padding=1, dilation=2).tolist())
""",
        "[[[0.0, 0.0]]]",
        (USUAL, "AVX2 at most", OFF),
    ),
    Finding(
        "16-bit weight gradients are summed over the batch in 16 bits",
        "Where oneDNN has no 16-bit kernel (float16 without AVX-512; oneDNN switched off) torch adds the images' "
        "weight gradients one after the other, rounded to the dtype each time: the sum stops growing at 2048 in "
        "float16 and at 256 in bfloat16. Zero-mean data hide it, `fill=positive` and `fill=ones` show it: `fail`. The "
        "bias had the same fault (pytorch#68048, fixed).",
        """import torch
from torch.nn.functional import conv2d

for dtype in (torch.float16, torch.bfloat16):
    x = torch.ones(8192, 1, 1, 1, dtype=dtype)
    w = torch.ones(1, 1, 1, 1, dtype=dtype, requires_grad=True)
    conv2d(x, w).sum().backward()
    print(dtype, w.grad.item())
""",
        "8192 twice",
        (USUAL, "AVX2 at most", OFF),
    ),
    Finding(
        "float32 weight gradients lose three digits on positive data",
        "Long sums of one sign in a single float32 accumulator: the result is too small, by a part in 500 for four "
        "images of 1024×1024. `fill=normal` says `ok`, `fill=positive` does not (oneDNN#4489).",
        """import torch
from torch.nn.functional import conv2d

torch.set_num_threads(1)
torch.manual_seed(0)
x, gy = torch.rand(4, 16, 1024, 1024), torch.rand(4, 16, 1022, 1022)
w = torch.rand(16, 16, 3, 3, requires_grad=True)
(got,) = torch.autograd.grad(conv2d(x, w), w, gy)
exact = torch.einsum("nahw,nbhw->ab", gy.double(), x[:, :, :-2, :-2].double())
print("mean relative error", f"{float((got[:, :, 0, 0] / exact - 1).mean()):.1e}")
""",
        "below 1e-6",
        (USUAL, "AVX2 at most", OFF),
    ),
    Finding(
        "1×1, stride 2, channels_last, few channels, wrt=weight: crash, hang or wrong on AVX2",
        "oneDNN writes out of bounds (oneDNN#6035, open); the heap is damaged, so that the process may die later and "
        "elsewhere. convbench survives it: the configuration runs in a child process.",
        """import torch
from torch.nn.functional import conv2d

torch.manual_seed(0)
last = dict(memory_format=torch.channels_last)
for channels in (1, 2, 3, 4, 8):
    x = torch.randn(8, channels, 14, 14).contiguous(**last)
    w = torch.randn(8, channels, 1, 1).contiguous(**last).requires_grad_()
    gy = torch.randn(8, 8, 7, 7).contiguous(**last)
    (got,) = torch.autograd.grad(conv2d(x, w, stride=2), w, gy)
    exact = torch.einsum("nahw,nbhw->ab", gy.double(), x[:, :, ::2, ::2].double())
    error = float((got[:, :, 0, 0] - exact).norm() / exact.norm())
    print(channels, "ok" if error < 1e-5 else f"relative error {error:.2g}", end="; ")
""",
        "ok for all",
        (USUAL, "AVX2 at most", OFF),
    ),
    Finding(
        "bfloat16 depthwise gradients with stride 2 take tens of times as long as in float32",
        "The input's gradient of MobileNet's strided depthwise layers, on processors with bfloat16 instructions: "
        "oneDNN takes its general kernel (`brgconv_strided`) instead of the depthwise one (`jit_dw`). `upcast` "
        "computes it in float32 and rounds once. The least of 50 times; a timing, so that the figure varies.",
        """import time, torch
from torch.nn.functional import conv2d

torch.set_num_threads(1)

def seconds(dtype):
    last = dict(memory_format=torch.channels_last)
    x = torch.randn(1, 512, 14, 14).to(dtype).contiguous(**last).requires_grad_()
    y = conv2d(x, torch.randn(512, 1, 3, 3).to(dtype).contiguous(**last), stride=2, padding=1, groups=512)
    gy, times = torch.ones_like(y), []
    for _ in range(50):
        begun = time.perf_counter()
        torch.autograd.grad(y, x, gy, retain_graph=True)
        times.append(time.perf_counter() - begun)
    return min(times)

print(f"{seconds(torch.bfloat16) / seconds(torch.float32):.0f} times as long in bfloat16")
""",
        "about 1",
    ),
    Finding(
        "Strided 1×1 gradients of the input take several times as long as a matrix product",
        "ResNet's downsampling layers, and in three dimensions as well: one matrix product, its result written to "
        "every second place, is what `unfold` does. The least of 50 times; a timing, so that the figure varies.",
        """import time, torch
from torch.nn.functional import conv2d

torch.set_num_threads(1)
x, w = torch.randn(1, 256, 56, 56, requires_grad=True), torch.randn(512, 256, 1, 1)
y = conv2d(x, w, stride=2)
gy = torch.randn_like(y)

def product():
    out = torch.zeros(1, 256, 56, 56)
    out[0, :, ::2, ::2] = (w[:, :, 0, 0].T @ gy[0].flatten(1)).view(256, 28, 28)

"""
        + LEAST_OF_50
        + """
kernel = lambda: torch.autograd.grad(y, x, gy, retain_graph=True)
print(f"{seconds(kernel) / seconds(product):.1f} times as long")
""",
        "1 or less",
    ),
    Finding(
        "conv3d 1×1 with stride 4: the input's gradient takes longer than its explicit formula",
        "`explicit` calls `conv_transpose3d` forward, which is the same gradient by another kernel. The least of 50 "
        "times; a timing, so that the figure varies.",
        """import time, torch
from torch.nn.functional import conv3d, conv_transpose3d

torch.set_num_threads(1)
x, w = torch.randn(1, 16, 32, 32, 32, requires_grad=True), torch.randn(16, 16, 1, 1, 1)
y = conv3d(x, w, stride=4)
gy = torch.randn_like(y)

"""
        + LEAST_OF_50
        + """
kernel = lambda: torch.autograd.grad(y, x, gy, retain_graph=True)
explicit = lambda: conv_transpose3d(gy, w, stride=4, output_padding=3)
print(f"{seconds(kernel) / seconds(explicit):.1f} times as long")
""",
        "about 1",
    ),
]


def outcome(code: str, setting: str) -> str:
    """What the snippet printed in a fresh process, or how that ended."""
    if setting == OFF:
        code = re.sub(r"^(import .*torch)$", r"\1\ntorch.backends.mkldnn.enabled = False", code, count=1, flags=re.M)
    without = {k: v for k, v in os.environ.items() if k != "ONEDNN_MAX_CPU_ISA"}
    try:
        done = subprocess.run(
            [sys.executable, "-u", "-c", code], env={**without, "OMP_NUM_THREADS": "1", **SETTINGS[setting]},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "hangs"
    printed = "; ".join(line.strip("; ") for line in done.stdout.strip().splitlines())
    if done.returncode == 0:
        return f"`{printed}`"
    ended = f"dies by signal {-done.returncode}" if done.returncode < 0 else "raises"
    return f"`{printed}`, then {ended}" if printed else ended


def processor() -> str:
    amx = "with" if torch.cpu._is_amx_tile_supported() else "without"
    return f"{torch.backends.cpu.get_cpu_capability()} {amx} AMX"


def rows_of_others(page: str, title: str) -> list[str]:
    """What the page says of a finding on other processors, of the same version of torch."""
    if VERSION not in page:
        return []
    lines = page.partition(f"## {title}\n")[2].partition("\n## ")[0].splitlines()
    return [row for row in lines if row.startswith("| AVX") and not row.startswith(f"| {processor()} |")]


def page(before: str) -> str:
    """docs/findings.md, measured now; of other processors what the page said before."""
    introduction = (
        f"What convbench found in {VERSION} on CPUs ({platform.machine()}), each confirmed by plain torch in fresh "
        f"processes, last on {datetime.now(timezone.utc).date().isoformat()}. `make findings` measures anew on the "
        "processor at hand and keeps what others had; other versions have other outcomes."
    )
    settings = (
        "*oneDNN off* is `torch.backends.mkldnn.enabled = False` (`onednn=false` in convbench), *without AMX* and "
        "*AVX2 at most* are `ONEDNN_MAX_CPU_ISA=AVX512_CORE_FP16` and `AVX2` in the environment."
    )
    parts = ["# Findings", wrapped(introduction), wrapped(settings)]
    for found in FINDINGS:
        own = [f"| {processor()} | {setting} | {outcome(found.code, setting)} |" for setting in found.settings]
        rows = "\n".join(rows_of_others(before, found.title) + own)
        table = f"| processor | run | outcome (right: {found.right}) |\n|---|---|---|\n{rows}"
        parts += [f"## {found.title}", wrapped(found.said), f"```python\n{found.code}```", table]
    return "\n\n".join(parts) + "\n"


def wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
