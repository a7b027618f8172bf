"""An edge kernel for a direction v: it answers to edges orthogonal to v, with the sign of the step along v.

    python examples/exercises/edge_direction.py [FOLDER]

The slope along a unit vector u is u·(slope down, slope right), so the kernel is that sum of the two Sobel kernels. A
disk has an edge in every direction: the answer around it is the cosine of the angle between the edge's normal and v.
"""

import math

import numpy as np
import pictures

import kernelfield as kf

rows, columns = np.indices((96, 96)) - 47.5
disk = np.clip(32.5 - np.hypot(rows, columns), 0, 1)

made = pictures.figure(9.0, 4.9, "Edge kernels for directions v = (down, right), on a disk")
axes = made.subplots(2, 4)
for column, v in enumerate([(0, 1), (1, 1), (1, 0), (1, -2)]):
    kernel = kf.kernels.edge(v)
    pictures.signed(axes[0, column], kernel.weights, f"edge({v})".replace("-", "−"), peak=0.105, bar=column == 3)
    pictures.signed(axes[1, column], kf.correlate(disk, kernel), "its response", peak=0.4, bar=column == 3)

# On a ramp of any direction the kernel gives exactly the slope along v.
v = np.array([3.0, -4.0])
ramp = 0.3 * rows + 0.7 * columns
found = kf.correlate(ramp, kf.kernels.edge(tuple(v)), mode="valid")
print(f"slope of 0.3 y + 0.7 x along (3, -4): {found.mean():.6f}, exactly {(0.3 * 3 - 0.7 * 4) / 5:.6f}")
assert np.allclose(found, (0.3 * 3 - 0.7 * 4) / 5)

# Around the disk the answer is the cosine, up to the grid.
response = kf.correlate(disk, kf.kernels.edge((1, 1)))
for degrees in (0, 45, 135, 225):
    i, j = (round(47.5 + 32.5 * part(math.radians(degrees))) for part in (math.sin, math.cos))
    print(f"  edge whose normal is at {degrees}°: {response[i, j]:+.2f}")
pictures.write(made, __file__)
