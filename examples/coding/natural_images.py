"""Field's argument on photographs: amplitude spectra, sparseness by bandwidth, and what a code tells of an image.

    python examples/coding/natural_images.py

prints the tables of docs/explanation/coding.md. The photographs come with scikit-image and scikit-learn.
"""

from __future__ import annotations

import numpy as np
import skimage.data
from sklearn.datasets import load_sample_images

import kernelfield as kf

BANDWIDTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
BANKS = ((6, 2, 8, False), (6, 2, 8, True), (6, 2, 4, True), (12, 3, 4, True), (16, 4, 3, True), (24, 4, 3, True))


def photographs() -> dict[str, np.ndarray]:
    """Return the luminance of photographs by name."""
    china, flower = load_sample_images().images
    colours = {name: getattr(skimage.data, name)() for name in ("camera", "astronaut", "coffee", "rocket", "chelsea")}
    return {name: kf.coding.luminance(image) for name, image in {**colours, "china": china, "flower": flower}.items()}


def main() -> None:
    """Print three tables."""
    images = photographs()
    print("slope of the amplitude spectrum")
    for name, image in images.items():
        found = kf.coding.amplitude_spectrum(image)
        print(f"  {name:10} {found.slope:6.2f} ± {found.slope_error:.2f}")
    print("bandwidth, octaves" + "".join(f"{octaves:8g}" for octaves in BANDWIDTHS))
    found = kf.coding.by_bandwidth(list(images.values()), BANDWIDTHS)
    for title, values in (
        ("kurtosis", found.kurtosis),
        ("strongest tenth", found.relative_response),
        ("sparseness", found.sparseness),
    ):
        print(f"{title:18}" + "".join(f"{value:8.2f}" for value in values))
    print("channels  scales  finest  low-pass  numbers/pixel   error (20 iterations)   error (60)")
    image = images["camera"]
    for channels, scales, wavelength, low in BANKS:
        bank = kf.coding.bank(channels, scales=scales, wavelength=wavelength, lowpass=low)
        code = kf.coding.code(image, bank)
        errors = [np.std(image - code.reconstruct(iterations)) / image.std() for iterations in (20, 60)]
        print(
            f"{channels:8}  {scales:6}  {wavelength:3} px  {'yes' if low else 'no':>8}  "
            f"{code.samples / image.size:13.2f}  {errors[0]:22.4f}  {errors[1]:11.4f}"
        )


if __name__ == "__main__":
    main()
