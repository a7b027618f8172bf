"""PyTorch's own samples of its convolutions, right and wrong ones, run against `kf.correlate` and its gradient."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional

import kernelfield as kf
from kernelfield.errors import KernelfieldError
from kernelfield.torch.adapter import TorchAdapter

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
# The least number of samples: what PyTorch 2.13 gives.
FORWARD = {"conv1d": 10, "conv2d": 30, "conv3d": 20}
TRANSPOSED = {"conv_transpose1d": 10, "conv_transpose2d": 12, "conv_transpose3d": 10}

# What PyTorch says of a wrong call: the argument that our error names.
REFUSED = {
    r"bias type \(c10::complex<double>\) should be the same": "bias",
    "non-positive stride is not supported": "stride",
    "negative padding is not supported": "padding",
    "dilation should be greater than zero": "dilation",
    "expected weight to be at least 3 at dimension 0": "image",  # it lacks the channels of three groups
    "non-positive groups is not supported": "groups",
}

# What PyTorch says of a call that is none of ours, or a right one: why.
ACCEPTED = {
    r"bias type \(double\) should be the same": "tensors of integers are computed in float32, the bias too",
    "weight should have at least three dimensions": "(n, k) with a row axis of 1 is a bank of n kernels",
    "Expected 3-dimensional input for 3-dimensional weight": "three axes are a bank of kernels",
    "Expected 4-dimensional input for 4-dimensional weight": "four axes are a layer's, for images of any more",
    "padding='same' is not supported for strided": "padding is numbers here, and those go with any stride",
}


@cache
def operators():
    """Return PyTorch's descriptions of its operators by name."""
    # Seconds, so not while tests are collected.
    from torch.testing._internal.common_methods_invocations import op_db

    return {operator.name.removeprefix("nn.functional."): operator for operator in op_db}


def samples(name, dtype):
    torch.manual_seed(0)
    return list(operators()[name].sample_inputs("cpu", getattr(torch, dtype), requires_grad=False))


@cache
def mistakes(name):
    """Return wrong calls, each with what PyTorch says of it."""
    function, found = getattr(functional, name), []
    for case in operators()[name].error_inputs("cpu"):
        sample = case.sample_input
        with pytest.raises(case.error_type, match=case.error_regex) as raised:
            function(sample.input, *sample.args, **sample.kwargs)
        found.append((str(raised.value), sample))
    return found


def spread(value, axes):
    """Return a number, or a tuple of one, for every axis."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * axes if len(numbers) == 1 else numbers


def convolution(image, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Return what `torch.nn.functional.conv1d`, `conv2d` or `conv3d` does, by `kf.correlate`."""
    axes = weight.ndim - 2
    stride, dilation = spread(stride, axes), spread(dilation, axes)
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
        pads = [(total // 2, total - total // 2) for total in totals]
    else:
        pads = [(p, p) for p in spread(0 if padding == "valid" else padding, axes)]
    if axes == 1:
        image, weight = image.unsqueeze(-2), weight.unsqueeze(-2)
        stride, dilation, pads = (1, *stride), (1, *dilation), [(0, 0), *pads]
    if axes == 3:
        # Each output depth is an image whose channels are (channel, depth of the kernel).
        image = functional.pad(image, (0, 0, 0, 0, *pads[0]))
        reach = torch.arange(weight.shape[2]) * dilation[0]
        first = torch.arange(0, image.shape[-3] - int(reach[-1]), stride[0])
        image = image[..., first[:, None] + reach, :, :].movedim(-4, -5).flatten(-4, -3)
        weight = weight.flatten(1, 2)
    result = kf.correlate(
        image,
        weight,
        bias=bias,
        stride=stride[-2:],
        padding=pads[-2:],
        dilation=dilation[-2:],
        groups=groups,
        boundary="constant",
    )
    if axes == 1:
        return result.squeeze(-2)
    return result.movedim(-4, -3) if axes == 3 else result


def transposed(cotangent, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Return what `conv_transpose1d`, ``2d`` or ``3d`` does: the gradient of `convolution`'s image."""
    axes = weight.ndim - 2
    numbers = (spread(value, axes) for value in (stride, padding, dilation, output_padding))
    sizes = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + extra
        for n, k, s, p, d, extra in zip(cotangent.shape[-axes:], weight.shape[2:], *numbers)
    ]
    lead = cotangent.shape[: -axes - 1]
    image = torch.zeros(*lead, weight.shape[1] * groups, *sizes, dtype=weight.dtype, requires_grad=True)
    result = convolution(image, weight, None, stride, padding, dilation, groups)
    # An output padding of the stride or more has room for windows beyond the cotangent's.
    result = result[(..., *(slice(n) for n in cotangent.shape[-axes:]))]
    (gradient,) = torch.autograd.grad(result, image, cotangent)
    return gradient if bias is None else gradient + bias.reshape(-1, *[1] * axes)


@pytest.fixture
def engine_only(monkeypatch):
    """Make PyTorch's convolutions the oracle only: where ours would call them, it fails."""

    def refuse(*_):
        raise AssertionError("PyTorch's own convolution was called")

    monkeypatch.setattr(TorchAdapter, "native_with_bias", refuse)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.usefixtures("engine_only")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "least"), [*FORWARD.items(), *TRANSPOSED.items()])
def test_samples(name, least, dtype):
    found = samples(name, dtype)
    assert len(found) >= least
    ours, theirs = transposed if name in TRANSPOSED else convolution, getattr(functional, name)
    for sample in found:
        got = ours(sample.input, *sample.args, **sample.kwargs)
        expected = theirs(sample.input, *sample.args, **sample.kwargs).numpy()
        assert got.dtype == getattr(torch, dtype)
        # Sums of terms that cancel are as far off as their terms.
        tolerance = 32 * np.finfo(dtype).eps
        atol = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(got.detach(), expected, rtol=tolerance, atol=atol, err_msg=str(sample))


@pytest.mark.parametrize("message", REFUSED)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_mistakes_are_refused(name, message):
    found = [sample for said, sample in mistakes(name) if re.search(message, said)]
    assert found
    for sample in found:
        image, weight = sample.input, sample.args[0]
        if name == "conv3d":
            # The depth is the test's doing, not ours.
            image, weight = image[..., 0, :, :], weight[:, :, 0]
        with pytest.raises(KernelfieldError, match=f"^{REFUSED[message]}: "):
            convolution(image, weight, *sample.args[1:], **sample.kwargs)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_every_mistake_is_known(name):
    found = mistakes(name)
    assert len(found) >= 10
    for said, sample in found:
        assert sum(bool(re.search(message, said)) for message in (*REFUSED, *ACCEPTED)) == 1, (said, sample)
