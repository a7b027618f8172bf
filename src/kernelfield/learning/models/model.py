"""The model that `learn` fits, and the arguments that every model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from kernelfield.errors import ArgumentError, received
from kernelfield.learning.models.regularise import Regularise
from kernelfield.learning.models.restriction import UNRESTRICTED, Restriction

#: How the channels of before and after belong together.
CHANNELS = ("shared", "separate", "mixed", "auto")


@dataclass(frozen=True)
class Asked:
    """The pair and the arguments of `kernelfield.learn` that every model takes, as they were given."""

    before: Any
    after: Any
    size: int | tuple[int, int] | None = None
    max_size: int = 255
    mask: ArrayLike | None = None
    clip: str | tuple[float, float] | None = "auto"
    channel_axis: int | str | None = "auto"
    noise: tuple[float, float] | None = None


@dataclass(frozen=True)
class Model:
    """The relation of after to before, where it is richer than a kernel and an offset a channel; checked when made.

    Attributes
    ----------
    channels : {"shared", "separate", "mixed", "auto"}
    varying : int, (int, int), "auto" or None
        Degree or grid of a kernel that varies over the field.
    background : int
        Degree of the background.
    weights : array_like or None
        Of squared residuals.
    regularise : Regularise or None
    restriction : Restriction
    stride : (int, int) or None
        None is found by the sizes of the pair.
    light : str, float or None
        The transfer function between stored numbers and light, or "auto".
    curve : "auto" or None
        A pointwise curve before or after the kernel.
    """

    channels: str = "shared"
    varying: int | tuple[int, int] | str | None = None
    background: int = 0
    weights: ArrayLike | None = None
    regularise: Regularise | None = None
    restriction: Restriction = UNRESTRICTED
    stride: tuple[int, int] | None = (1, 1)
    light: str | float | None = None
    curve: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.channels, str) or self.channels not in CHANNELS:
            raise ArgumentError(f"channels: expected one of {', '.join(CHANNELS)}; received {received(self.channels)}")
        if self.curve is not None and self.light is not None:
            raise ArgumentError("curve: expected none with light; received both; give one of them")
        if self.stride not in (None, (1, 1)) and self.channels == "mixed":
            raise ArgumentError(
                "channels: expected shared, separate or auto with a stride; received mixed; leave it out"
            )

    @property
    def over_field(self) -> bool:
        """Whether the kernel or the background varies over the field."""
        return self.varying is not None or self.background > 0

    @property
    def known(self) -> bool:
        """Whether something is known of the kernel or of the residual."""
        return self.weights is not None or self.regularise is not None or not self.restriction.none

    @property
    def plain(self) -> bool:
        """Whether one kernel for all channels and places is to be learned, from the numbers as they are."""
        numbers = self.light is None and self.curve is None and self.stride == (1, 1)
        return self.channels == "shared" and not self.over_field and not self.known and numbers
