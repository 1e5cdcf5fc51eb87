"""grad_input of every convolution by OpenVINO on a CPU: is it the framework or the hardware?

    pip install openvino
    python -m convbench methods=[autograd,explicit,examples.openvino_dgrad:grad_input]

OpenVINO infers only; the gradient is written down as a model with one operation: ConvolutionBackpropData for a
convolution, Convolution for a transposed one. What a method of another engine has to see to:

- its operands change between calls. Both are inputs of the model, in the memory of torch's tensors; a weight that was
  compiled in as a constant would be that of before, and its packing free (fixed_weight=true allows it);
- it is compiled in its preparation;
- a call waits for its result, and returns memory of its own in which nothing is written afterwards;
- threads are OpenVINO's own: INFERENCE_NUM_THREADS says how many;
- float32 means float32: where there are units for bfloat16, OpenVINO takes them unless told not to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import convbench

try:
    import openvino
    from openvino import opset13 as ops
except ImportError as error:
    raise convbench.Unsupported("openvino is not installed; pip install openvino") from error


def grad_input(problem: Any) -> Callable[[], Tensor]:
    """Covers wrt=input, order 1, float32, on a CPU. A tensor in channels_last is copied in each call."""
    case = problem.case
    covered = problem.wrt == "input" and problem.order == 1 and problem.dtype == torch.float32 and case.batch > 0
    if not covered or problem.device.type != "cpu":
        raise convbench.Unsupported(
            "openvino_dgrad covers wrt=input, order=1, float32, batch ≥ 1, on device=cpu; "
            f"not wrt={problem.wrt}, order={problem.order}, {problem.dtype}, batch={case.batch}, {problem.device}"
        )
    settings = {
        "INFERENCE_NUM_THREADS": problem.spec.switches.threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(model(case), "CPU", settings).create_infer_request()
    sides = (problem.grad_output, problem.weight)

    def call() -> Tensor:
        for number, side in enumerate(sides):
            request.set_input_tensor(number, shared(side.contiguous()))
        result = torch.empty(case.input_shape)
        request.set_output_tensor(0, shared(result))
        request.infer()
        return result

    call()
    return call


def shared(tensor: Tensor) -> Any:
    """OpenVINO's view of the tensor's memory."""
    return openvino.Tensor(tensor.detach().numpy(), shared_memory=True)


def model(case: Any) -> Any:
    """The gradient as a model of grad_output and the weight."""
    gy = ops.parameter(case.output_shape, openvino.Type.f32)
    w = ops.parameter(case.weight_shape, openvino.Type.f32)
    groups = case.groups
    kernels = w
    if groups > 1:
        a, *rest = case.weight_shape
        kernels = ops.reshape(w, ops.constant([groups, a // groups, *rest]), special_zero=False)
    geometry = {"strides": case.stride, "pads_begin": case.padding, "pads_end": case.padding}
    if case.transposed:
        conv = ops.convolution if groups == 1 else ops.group_convolution
        found = conv(gy, kernels, **geometry, dilations=case.dilation)
        # One more than there are inputs where output_padding ≥ stride.
        axes = list(range(2, 2 + case.dims))
        found = ops.slice(found, *map(ops.constant, ([0] * case.dims, list(case.size), [1] * case.dims, axes)))
    else:
        backward = ops.convolution_backprop_data if groups == 1 else ops.group_convolution_backprop_data
        rows = zip(case.size, case.output_size, case.kernel, case.stride, case.padding, case.dilation, strict=True)
        # What the stride of conv left over.
        extra = [size - ((o - 1) * s - 2 * p + d * (k - 1) + 1) for size, o, k, s, p, d in rows]
        found = backward(gy, kernels, **geometry, dilations=case.dilation, output_padding=extra)
    return openvino.Model([found], [gy, w], "grad_input")
