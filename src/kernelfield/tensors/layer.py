"""The logic of a convolutional layer, shared by all frameworks: its settings, parameter shapes and operation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from kernelfield.errors import ArgumentError
from kernelfield.geometry import Boundary, Operation, Window, check_padding, positive_pair

#: A layer's padding mode -> the boundary: PyTorch's and SciPy's names, without "reflect", on which the two disagree.
PADDING_MODES: dict[str, Boundary] = {
    "zeros": "constant",
    "constant": "constant",
    "replicate": "nearest",
    "nearest": "nearest",
    "symmetric": "reflect",
    "mirror": "mirror",
    "circular": "wrap",
    "wrap": "wrap",
}


@dataclass(frozen=True)
class Settings:
    """The checked settings of a two-dimensional convolutional layer.

    Attributes
    ----------
    out_channels : int
    kernel_size, stride, dilation : (int, int)
        Along rows and columns.
    padding : "valid", "same" or ((int, int), (int, int))
        ``((top, bottom), (left, right))``. ``"same"`` keeps the size (stride 1) as the frameworks do: the extra row
        and column for an even kernel are at the bottom and on the right.
    groups : int
    bias : bool
    padding_mode : str
        One of `PADDING_MODES`.
    """

    out_channels: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: str | tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int
    bias: bool
    padding_mode: str

    def weight_shape(self, in_channels: int) -> tuple[int, int, int, int]:
        """Return the shape (C_out, C_in/groups, kh, kw) of the weights.

        Raises
        ------
        ArgumentError
            If the channels cannot be divided evenly among the groups.
        """
        if in_channels % self.groups:
            raise ArgumentError(f"in_channels: expected a multiple of groups={self.groups}; received {in_channels}")
        return (self.out_channels, in_channels // self.groups, *self.kernel_size)

    def operation(self) -> Operation:
        """Return the cross-correlation that the layer computes."""
        return self._operation

    @cached_property
    def _operation(self) -> Operation:
        windows = []
        for axis in (0, 1):
            size, stride, dilation = self.kernel_size[axis], self.stride[axis], self.dilation[axis]
            reach = dilation * (size - 1)
            if self.padding == "valid":
                before, after = 0, 0
            elif self.padding == "same":
                before, after = reach // 2, reach - reach // 2
            else:
                before, after = cast(tuple[tuple[int, int], tuple[int, int]], self.padding)[axis]
            windows.append(Window(size, before, after, stride, dilation))
        return Operation((windows[0], windows[1]), PADDING_MODES[self.padding_mode], 0.0, self.groups)

    def check_image(self, shape: tuple[int, ...], in_channels: int) -> None:
        """Raise ArgumentError unless the layer can be applied to an image of `shape`, (..., C, H, W)."""
        if len(shape) < 3 or shape[-3] != in_channels:
            raise ArgumentError(f"image: expected {in_channels} channels (..., C, H, W); received shape {shape}")
        for axis, window, size in zip(("rows", "columns"), self.operation().windows, shape[-2:]):
            if window.output_size(size) == 0 or size == 0:
                least = max(1, window.span - window.before - window.after)
                raise ArgumentError(f"image: expected at least {least} {axis}; received {size}")

    def describe(self, in_channels: int | None) -> str:
        """Return the settings as text, for a layer's repr."""
        parts = [str(in_channels) if in_channels else "?", str(self.out_channels), f"kernel_size={self.kernel_size}"]
        parts += [f"stride={self.stride}"] if self.stride != (1, 1) else []
        parts += [f"padding={self.padding!r}"] if self.padding not in ("valid", ((0, 0), (0, 0))) else []
        parts += [f"dilation={self.dilation}"] if self.dilation != (1, 1) else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += [] if self.bias else ["bias=False"]
        parts += [f"padding_mode={self.padding_mode!r}"] if self.padding_mode != "zeros" else []
        return ", ".join(parts)


def settings(
    out_channels: int,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: str = "zeros",
) -> Settings:
    """Return the settings that every framework's `Conv2d` takes, checked; raise ArgumentError for a wrong one.

    Examples
    --------
    >>> settings(8, 3, padding="same").weight_shape(3)
    (8, 3, 3, 3)
    """
    for value, name in ((out_channels, "out_channels"), (groups, "groups")):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{name}: expected a positive integer; received {value!r}")
    if out_channels % groups:
        raise ArgumentError(f"groups: expected a divisor of out_channels={out_channels}; received {groups}")
    if padding_mode == "reflect":
        raise ArgumentError(
            "padding_mode: 'reflect' means two things; use 'mirror' (PyTorch's reflect, the edge once) or 'symmetric' "
            "(SciPy's reflect, the edge twice)"
        )
    if padding_mode not in PADDING_MODES:
        raise ArgumentError(f"padding_mode: expected one of {', '.join(PADDING_MODES)}; received {padding_mode!r}")
    steps = positive_pair(stride, "stride")
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            raise ArgumentError(f"padding: expected 'valid', 'same' or integers; received {padding!r}")
        if padding == "same" and steps != (1, 1):
            raise ArgumentError(f"padding: expected integers beside stride={stride}; received 'same'")
    else:
        padding = check_padding(padding)
    return Settings(
        out_channels,
        positive_pair(kernel_size, "kernel_size"),
        steps,
        padding,
        positive_pair(dilation, "dilation"),
        groups,
        bool(bias),
        padding_mode,
    )
