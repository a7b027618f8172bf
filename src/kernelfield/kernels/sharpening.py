"""Sharpening kernels: the identity plus the difference between identity and blur; their weights sum to one."""

from typing import Literal

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import kernel_family, number, one_of
from kernelfield.kernels.edges import laplacian
from kernelfield.kernels.kernel import Kernel
from kernelfield.kernels.smoothing import Sigma, Size, binomial, box, gaussian, identity

Blur = Literal["gaussian", "box", "binomial"]


@kernel_family
def sharpen(amount: float = 1.0, neighbours: int = 4) -> Kernel:
    """Return the identity minus `amount` times the Laplacian.

    Parameters
    ----------
    amount : float
        Strength; negative values blur.
    neighbours : {4, 8}
        Number of neighbours in the Laplacian.

    References
    ----------
    R. C. Gonzalez and R. E. Woods, Digital Image Processing, section 3.6.2. Pillow's DETAIL is
    (1/6, 4), SHARPEN (1/8, 8), EDGE_ENHANCE (1/2, 8), EDGE_ENHANCE_MORE (1, 8).

    Examples
    --------
    >>> sharpen(1 / 8, neighbours=8)
    Kernel sharpen(amount=0.125, neighbours=8), 3×3, 1/8 ×
      -1 -1 -1
      -1 16 -1
      -1 -1 -1
    """
    amount = number("amount", amount)
    neighbours = one_of("neighbours", neighbours, (4, 8))
    kernel = identity() - amount * laplacian(neighbours)
    parameters = {"amount": amount, "neighbours": neighbours}
    source = "R. C. Gonzalez and R. E. Woods, Digital Image Processing, section 3.6.2"
    return Kernel(kernel.weights, "sharpen", parameters, source, kernel.anchor)


@kernel_family
def unsharp(
    sigma: Sigma | None = None, amount: float = 1.0, size: Size | None = None, blur: Blur = "gaussian"
) -> Kernel:
    """Return the unsharp mask: the identity plus `amount` times (the identity minus a blur).

    Parameters
    ----------
    sigma : float or pair of float, optional
        Standard deviation of the Gaussian, 1 if not given; not used by the other blurs.
    amount : float
        Strength.
    size : int or pair of int, optional
        Size of the blur, odd; required for box and binomial.
    blur : {"gaussian", "box", "binomial"}
        The blur that is subtracted. Binomial of size 5 and amount 1 is ffmpeg's ``unsharp=5:5:1``.

    References
    ----------
    W. F. Schreiber, Wirephoto quality improvement by unsharp masking, Pattern Recognition 2 (1970),
    117-121.

    Examples
    --------
    >>> unsharp(amount=2, size=3, blur="binomial")
    Kernel unsharp(amount=2, size=(3, 3), blur='binomial'), 3×3, 1/8 ×
      -1 -2 -1
      -2 20 -2
      -1 -2 -1
    """
    amount = number("amount", amount)
    blur = one_of("blur", blur, ("gaussian", "box", "binomial"))
    if blur == "gaussian":
        mask = gaussian(1.0 if sigma is None else sigma, size)
        sigma = mask.parameters["sigma"]
    elif sigma is not None or size is None:
        raise ArgumentError(f"size: expected a size and no sigma for blur {blur!r}, received {size}, {sigma}")
    else:
        mask = box(size) if blur == "box" else binomial(size)
    if any(n % 2 == 0 for n in mask.shape):
        raise ArgumentError(f"size: expected odd numbers, received {received(size)}; an even blur moves the image")
    kernel = (1 + amount) * identity() - amount * mask
    parameters = {"sigma": sigma, "amount": amount, "size": mask.shape, "blur": blur}
    if sigma is None:
        del parameters["sigma"]
    source = "W. F. Schreiber, Pattern Recognition 2 (1970), 117-121"
    return Kernel(kernel.weights, "unsharp", parameters, source, kernel.anchor)
