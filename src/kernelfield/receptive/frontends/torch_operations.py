"""What reads what, for each of PyTorch's operations; those without an entry are taken apart by PyTorch itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends import torch_axes as axes
from kernelfield.receptive.frontends import torch_places as places
from kernelfield.receptive.frontends import torch_values as values
from kernelfield.receptive.frontends import torch_windows as windows
from kernelfield.receptive.frontends.torch_call import Call
from kernelfield.receptive.registry import registered

Handler = Callable[[Call], Any]


def _table(*rows: tuple[Handler, str]) -> dict[str, Handler]:
    return {f"aten::{name}": handler for handler, names in rows for name in names.split()}


HANDLERS = _table(
    (
        windows.convolution,
        "conv1d conv2d conv3d convolution _convolution conv_transpose1d conv_transpose2d conv_transpose3d",
    ),
    (
        windows.pooling,
        "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices "
        "avg_pool1d avg_pool2d avg_pool3d",
    ),
    (
        windows.adaptive_pooling,
        "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d "
        "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
    ),
    (
        windows.resize,
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d "
        "upsample_trilinear3d upsample_bicubic2d _upsample_nearest_exact1d _upsample_nearest_exact2d "
        "_upsample_nearest_exact3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa",
    ),
    (windows.unfold_axis, "unfold"),
    (windows.im2col, "im2col"),
    (windows.col2im, "col2im"),
    (places.slice_, "slice"),
    (places.narrow, "narrow"),
    (places.select, "select"),
    (places.split, "split split_with_sizes chunk unsafe_chunk unsafe_split tensor_split unbind"),
    (places.concatenate, "cat concat concatenate"),
    (places.stack, "stack"),
    (
        places.pad,
        "pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d _pad_circular",
    ),
    (places.roll, "roll"),
    (places.flip, "flip"),
    (places.index_select, "index_select"),
    (places.index, "index _unsafe_index"),
    (places.embedding, "embedding"),
    (places.written, "slice_scatter select_scatter"),
    (places.repeat_interleave, "repeat_interleave"),
    (axes.reshape, "view reshape _unsafe_view _reshape_alias flatten unflatten squeeze unsqueeze view_as reshape_as"),
    (axes.permute, "permute"),
    (axes.transpose, "transpose t swapaxes swapdims mT adjoint"),
    (axes.movedim, "movedim moveaxis"),
    (axes.reverse, "numpy_T"),
    (axes.expand, "expand expand_as repeat tile broadcast_to"),
    (axes.depth_to_space, "pixel_shuffle"),
    (axes.space_to_depth, "pixel_unshuffle"),
    (axes.channel_shuffle, "channel_shuffle native_channel_shuffle"),
    (axes.two_parts, "view_as_real"),
    (axes.one_part, "view_as_complex"),
    (
        values.same,
        "dropout feature_dropout alpha_dropout feature_alpha_dropout contiguous to clone alias detach _to_copy "
        "type_as lift_fresh_copy lift_fresh conj resolve_conj resolve_neg float double half bfloat16",
    ),
    (
        values.constant,
        "zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones new_full "
        "new_empty fill scalar_tensor bernoulli zero",
    ),
    (
        values.elementwise,
        "hardswish log_sigmoid prelu _prelu_kernel softsign multiply subtract divide real imag complex polar "
        "float_power floor_divide rrelu isclose sgn isreal copy absolute negative greater greater_equal less "
        "less_equal not_equal arctan2 fake_quantize_per_tensor_affine",
    ),
    (values.chosen, "where masked_fill"),
    (
        values.batch_normalisation,
        "batch_norm instance_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
        "cudnn_batch_norm",
    ),
    (values.layer_normalisation, "layer_norm native_layer_norm rms_norm _fused_rms_norm"),
    (values.group_normalisation, "group_norm native_group_norm"),
    (values.softmax, "softmax log_softmax _softmax _log_softmax _safe_softmax"),
    (
        values.reduction,
        "mean sum amax amin max min argmax argmin prod var std norm linalg_vector_norm logsumexp any all var_mean "
        "std_mean nansum nanmean median nanmedian count_nonzero mode aminmax",
    ),
    (values.cumulative, "cumsum cumprod cummax cummin logcumsumexp"),
    (
        values.whole_axes,
        "sort argsort topk kthvalue fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 "
        "fft_hfft fft_ihfft _fft_r2c _fft_c2r _fft_c2c",
    ),
    (values.gated_halves, "glu"),
    (values.linear, "linear"),
    (values.matmul, "matmul bmm mm mv dot"),
    (values.added_product, "addmm baddbmm addmv"),
    (values.einsum, "einsum"),
    (values.attention, "scaled_dot_product_attention"),
    (values.recurrence, "gru lstm rnn_tanh rnn_relu"),
)

# What PyTorch's own decompositions must not open: they would say less.
_WHOLE = frozenset({"aten::grid_sampler_2d", "aten::grid_sampler_3d", "aten::grid_sampler"})


def apply(call: Call, inline: Callable[[fx.GraphModule, Sequence[Any], str], Any]) -> Any:
    """Return what a call gives.

    Parameters
    ----------
    call : Call
    inline : callable
        ``inline(module, inputs, name)`` walks through a graph that stands for the call.
    """
    if not any(value.node is not None for value in call.values):
        return _constants(call)
    own = registered(call.operation)
    if own is not None:
        attributes = {key: value for key, value in call.given.items() if not isinstance(value, Value)}
        return own(call.builder, call.name, call.values, {**attributes, "shape": call.shape})
    handler = HANDLERS.get(call.operation) or HANDLERS.get(call.operation.rstrip("_"))
    if call.operation in ("aten::max", "aten::min") and call.overload == "other":
        handler = values.elementwise
    if handler is None and torch.Tag.pointwise in getattr(call.target, "tags", ()):
        handler = values.elementwise
    if handler is not None:
        return handler(call)
    if call.result is None:
        # Checks and notes on tensors, which give nothing.
        return None
    module = None if call.operation in _WHOLE else _decomposed(call)
    return call.unknown() if module is None else inline(module, call.values, call.name)


def _constants(call: Call) -> Any:
    """Return constants in the shapes that a call gives."""

    def constant(result: Any) -> Any:
        if isinstance(result, (tuple, list)):
            return [constant(item) for item in result]
        return call.builder.constant(tuple(result.shape)) if isinstance(result, torch.Tensor) else result

    return constant(call.result)


def _decomposed(call: Call) -> fx.GraphModule | None:
    """Return the operation as PyTorch takes it apart, None where it does not."""
    from torch._decomp import core_aten_decompositions
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    if not isinstance(call.target, torch._ops.OpOverload):
        return None
    nodes: list[fx.Node] = []
    fx.node.map_arg((call.node.args, call.node.kwargs), nodes.append)

    def run(*tensors: torch.Tensor) -> Any:
        given = dict(zip(nodes, tensors, strict=True))
        arguments, keywords = fx.node.map_arg((call.node.args, call.node.kwargs), given.__getitem__)
        return call.target(*arguments, **keywords)

    examples = [node.meta["val"] for node in nodes]
    if len(examples) != len(call.values) or not all(isinstance(e, torch.Tensor) for e in examples):
        return None
    mode = next((e.fake_mode for e in examples if hasattr(e, "fake_mode")), None) or FakeTensorMode()
    try:
        with mode, torch.no_grad():
            module = make_fx(run, decomposition_table=core_aten_decompositions())(*examples)
    except Exception:  # whatever the decomposition raises: it is not one for these arguments
        return None
    targets = {node.target for node in module.graph.nodes if node.op == "call_function"}
    return None if call.target in targets else module
