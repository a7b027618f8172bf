"""Rules of PyTorch's operations, by name; operations without a rule are decomposed by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.torch import arithmetic, axes, indexing, windows
from kernelfield.receptive.frontends.torch.call import Call
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
    (windows.unpooling, "max_unpool2d max_unpool3d"),
    (windows.sampled, "grid_sampler grid_sampler_2d grid_sampler_3d"),
    (windows.unfold_axis, "unfold"),
    (windows.im2col, "im2col"),
    (windows.col2im, "col2im"),
    (indexing.slice_, "slice"),
    (indexing.narrow, "narrow"),
    (indexing.select, "select"),
    (indexing.split, "split split_with_sizes chunk unsafe_chunk unsafe_split tensor_split unbind"),
    (indexing.concatenate, "cat concat concatenate"),
    (indexing.stack, "stack"),
    (
        indexing.pad,
        "pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d _pad_circular",
    ),
    (indexing.roll, "roll"),
    (indexing.flip, "flip"),
    (indexing.index_select, "index_select"),
    (indexing.index, "index _unsafe_index"),
    (indexing.moved, "gather take_along_dim take as_strided diagonal diagonal_copy tril triu masked_select diag_embed"),
    (indexing.scattered, "scatter scatter_add scatter_reduce index_add index_copy"),
    (indexing.embedding, "embedding"),
    (indexing.written, "slice_scatter select_scatter"),
    (indexing.repeat_interleave, "repeat_interleave"),
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
        arithmetic.same,
        "dropout feature_dropout alpha_dropout feature_alpha_dropout contiguous to clone alias detach _to_copy "
        "type_as lift_fresh_copy lift_fresh conj resolve_conj resolve_neg float double half bfloat16",
    ),
    (
        arithmetic.constant,
        "zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones new_full "
        "new_empty fill scalar_tensor bernoulli zero",
    ),
    (
        arithmetic.elementwise,
        "hardswish log_sigmoid prelu _prelu_kernel softsign multiply subtract divide real imag complex polar "
        "float_power floor_divide rrelu isclose sgn isreal copy absolute negative greater greater_equal less "
        "less_equal not_equal arctan2 fake_quantize_per_tensor_affine",
    ),
    (arithmetic.chosen, "where masked_fill"),
    (
        arithmetic.batch_normalisation,
        "batch_norm instance_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
        "cudnn_batch_norm",
    ),
    (arithmetic.layer_normalisation, "layer_norm native_layer_norm rms_norm _fused_rms_norm"),
    (arithmetic.group_normalisation, "group_norm native_group_norm"),
    (arithmetic.softmax, "softmax log_softmax _softmax _log_softmax _safe_softmax"),
    (
        arithmetic.reduction,
        "mean sum amax amin max min argmax argmin prod var std norm linalg_vector_norm logsumexp any all var_mean "
        "std_mean nansum nanmean median nanmedian count_nonzero mode aminmax",
    ),
    (arithmetic.cumulative, "cumsum cumprod cummax cummin logcumsumexp"),
    (
        arithmetic.whole_axes,
        "sort argsort topk kthvalue fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 "
        "fft_hfft fft_ihfft _fft_r2c _fft_c2r _fft_c2c",
    ),
    (arithmetic.gated_halves, "glu"),
    (arithmetic.linear, "linear"),
    (arithmetic.matmul, "matmul bmm mm mv dot"),
    (arithmetic.added_product, "addmm baddbmm addmv"),
    (arithmetic.einsum, "einsum"),
    (arithmetic.attention, "scaled_dot_product_attention"),
    (arithmetic.recurrence, "gru lstm rnn_tanh rnn_relu"),
)


def apply(call: Call, inline: Callable[[fx.GraphModule, Sequence[Any], str], Any]) -> Any:
    """Return the result of a call.

    Parameters
    ----------
    call : Call
    inline : callable
        ``inline(module, inputs, name)`` walks through a graph that replaces the call.
    """
    if not any(value.node is not None for value in call.values):
        return _constants(call)
    own = registered(call.operation)
    if own is not None:
        attributes = {key: value for key, value in call.given.items() if not isinstance(value, Value)}
        return own(call.builder, call.name, call.values, {**attributes, "shape": call.shape})
    handler = HANDLERS.get(call.operation) or HANDLERS.get(call.operation.rstrip("_"))
    if call.operation in ("aten::max", "aten::min") and call.overload == "other":
        handler = arithmetic.elementwise
    if handler is None and torch.Tag.pointwise in getattr(call.target, "tags", ()):
        handler = arithmetic.elementwise
    if handler is not None:
        return _checked(call, handler(call))
    if call.result is None:
        # Assertions on tensors, which return nothing.
        return None
    module = _decomposed(call)
    return call.unknown() if module is None else inline(module, call.values, call.name)


def _checked(call: Call, result: Any) -> Any:
    """Return the result of a rule, whose shapes must be those that PyTorch traced."""
    found = result if isinstance(result, (tuple, list)) else [result]
    traced = call.result if isinstance(call.result, (tuple, list)) else [call.result]
    for value, tensor in zip(found, traced, strict=False):
        if isinstance(value, Value) and isinstance(tensor, torch.Tensor) and value.shape != tuple(tensor.shape):
            raise ValueError(f"its result has the shape {tuple(tensor.shape)}, and {value.shape} by its rule")
    return result


def _constants(call: Call) -> Any:
    """Return constants in the shapes of a call's results."""

    def constant(result: Any) -> Any:
        if isinstance(result, (tuple, list)):
            return [constant(item) for item in result]
        return call.builder.constant(tuple(result.shape)) if isinstance(result, torch.Tensor) else result

    return constant(call.result)


def _decomposed(call: Call) -> fx.GraphModule | None:
    """Return PyTorch's decomposition of an operation, None where there is none."""
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
    except Exception:  # a decomposition that fails is not one for these arguments
        return None
    targets = {node.target for node in module.graph.nodes if node.op == "call_function"}
    return None if call.target in targets else module
