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
from kernelfield.figures import SMALL, panel_title

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

made = pictures.figure(9.4, 5.4, "The smallest kernels of a derivative of order d have d + 1 weights")
axes = made.subplots(2, 4)
frequencies = np.linspace(0, 0.5, 200)
for column, order in enumerate((1, 2, 3, 4)):
    top, bottom = axes[0, column], axes[1, column]
    places = np.arange(order + 1) - (order + 1) // 2
    weights = [float(weight) for weight in kf.kernels.stencil(order, places.tolist())]
    top.bar(places, weights, color=["#b2182b" if weight > 0 else "#2166ac" for weight in weights], width=0.6)
    top.axhline(0, color="0.3", linewidth=0.8)
    for place, weight in zip(places, weights):
        above = weight > 0
        where = {"ha": "center", "va": "bottom" if above else "top", "fontsize": SMALL}
        text = f"{weight:g}".replace("-", "−")
        top.annotate(text, (place, weight), (0, 3 if above else -3), textcoords="offset points", **where)
    top.margins(y=0.22)
    top.set_xticks(places)
    top.set_yticks([])
    panel_title(top, f"order {order}: {len(weights)} weights")
    smallest = kf.kernels.Kernel([weights]).frequency_response([0], frequencies)[2][0]
    bottom.plot(frequencies, np.abs(smallest), color="#b2182b", label="the smallest kernel")
    if kf.kernels.minimum_size(order, centred=True) > order + 1:
        centred = kf.kernels.derivative(order).frequency_response([0], frequencies)[2][0]
        bottom.plot(frequencies, np.abs(centred), "--", color="#2166ac", label="centred on a pixel: one weight more")
    bottom.plot(frequencies, (2 * np.pi * frequencies) ** order, "k:", linewidth=1, label="exact: (2πf)$^d$")
    bottom.set_ylim(0, 1.4 * np.abs(smallest).max())
    panel_title(bottom, "response, magnitude")
    bottom.set_xlabel("cycles per pixel", fontsize=SMALL)
for place in axes.flat:
    place.tick_params(labelsize=SMALL)
handles, labels = axes[1, 0].get_legend_handles_labels()
made.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False)
pictures.write(made, __file__)
