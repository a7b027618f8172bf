"""How small can a kernel be for a derivative of order d, and why: d + 1 weights.

    python examples/exercises/minimum_size.py [FOLDER]

A kernel w on positions x gives the derivative of order d if it answers 0 to 1, x, ..., x^(d-1) and d! to x^d. With n
weights, n different positions make these n equations independent: if n is no more than d, they all say 0, so w is 0.
With n = d + 1 the last one says d!, and there is exactly one kernel.
"""

from math import factorial

import numpy as np
import pictures

import kernelfield as kf

for order in (1, 2, 3, 4):
    for n in (order, order + 1):
        x = np.arange(n) - n // 2
        conditions = np.vander(x.astype(float), order + 1, increasing=True).T
        wanted = np.eye(order + 1)[order] * factorial(order)
        weights, _, rank, _ = np.linalg.lstsq(conditions, wanted, rcond=None)
        left = np.abs(conditions @ weights - wanted).max()
        says = f"weights {np.rint(weights).astype(int)}" if left < 1e-9 else f"none: the conditions miss by {left:.2g}"
        print(f"order {order}, {n} weights: {says}")
    assert kf.kernels.minimum_size(order) == order + 1

made = pictures.figure(9.4, 5.0, "The smallest derivative kernels: d + 1 weights; centred, the next odd number")
axes = made.subplots(2, 4)
frequencies = np.linspace(0, 0.5, 200)
for column, order in enumerate((1, 2, 3, 4)):
    size = kf.kernels.minimum_size(order, centred=True)
    kernel = kf.kernels.derivative(order)
    assert kernel.shape == (1, size)
    top, bottom = axes[0, column], axes[1, column]
    weights = kernel.weights[0]
    colours = ["#b2182b" if weight > 0 else "#2166ac" for weight in weights]
    places = np.arange(size) - size // 2
    top.bar(places, weights, color=colours, width=0.6)
    top.axhline(0, color="0.3", linewidth=0.8)
    for place, weight in zip(places, weights):
        up = weight >= 0
        top.annotate(
            f"{weight:g}".replace("-", "−"),
            (place, weight),
            (0, 3 if up else -3),
            textcoords="offset points",
            ha="center",
            va="bottom" if up else "top",
            fontsize=8,
        )
    top.margins(y=0.22)
    top.set_xticks(places)
    top.set_yticks([])
    top.set_title(f"order {order}: {size} weights", **pictures.FONT)
    response = kernel.frequency_response([0], frequencies)[2][0] / 1j**order
    bottom.plot(frequencies, response.real, color="#b2182b", label="this kernel")
    exact = (2 * np.pi * frequencies) ** order
    bottom.plot(frequencies, exact, "k:", linewidth=1, label="exact: (2πf)$^d$")
    bottom.set_ylim(0, 1.9 * response.real.max())
    bottom.set_title("frequency response", **pictures.FONT)
    bottom.set_xlabel("cycles a pixel", fontsize=8)
    bottom.legend(fontsize=7, frameon=False, loc="upper left")
for place in axes.flat:
    place.tick_params(labelsize=7)
pictures.write(made, __file__)
