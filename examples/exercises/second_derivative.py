"""The second derivative: what it responds to.

    python examples/exercises/second_derivative.py [FOLDER]

Not to a constant, not to a ramp; to a step with a pair of opposite signs whose zero marks the edge; to a line with one
strong answer, where the derivative runs across it; and the sum of both directions, the Laplacian, to blobs: best to
those whose radius is sigma times the square root of 2.
"""

import numpy as np
import pictures

import kernelfield as kf

rows, columns = np.indices((72, 96)).astype(float)
image = np.clip((columns - 4) / 40, 0, 0.5) * (rows > 3) * (rows < 15)
image += 0.5 * ((rows > 20) & (rows < 33) & (columns > 24) & (columns < 88))
image += 0.9 * (np.abs(rows - 46) < 0.6) * (columns < 40)
image += 0.9 * (np.abs(columns - 60) < 0.6) * ((rows > 38) & (rows < 70))
for row, column, radius in ((60, 14, 2.0), (60, 30, 4.0), (54, 80, 8.0)):
    image += 0.9 * np.clip(radius + 0.5 - np.hypot(rows - row, columns - column), 0, 1)
image = np.clip(image, 0, 1)

derivative = kf.kernels.derivative
panels = [
    ("second derivative, horizontal [1, −2, 1]", derivative(order=2, axis=1)),
    ("second derivative, vertical", derivative(order=2, axis=0)),
    ("Laplacian", kf.kernels.laplacian()),
    ("Laplacian of a Gaussian, sigma 2.8", kf.kernels.log(2.8, scale=2.8**2)),
    ("line detector, horizontal", kf.kernels.line(0, scale=1 / 6)),
]
made = pictures.figure(9.4, 4.9, "What second derivatives respond to: a ramp, a step, lines, blobs")
axes = made.subplots(2, 3)
pictures.grey(axes[0, 0], image, "the image")
for place, (title, kernel) in zip(axes.flat[1:], panels):
    response = kf.correlate(image, kernel, boundary="nearest")
    pictures.signed(place, response, title)

second = derivative(order=2)
position = np.arange(9.0)
step = np.where(position >= 5, 1.0, 0.0)
line = np.where(position == 4, 1.0, 0.0)
for name, signal in (("constant", position * 0 + 1), ("ramp", position), ("step", step), ("line", line)):
    print(f"{name:>9}: {kf.corr2d(signal[None], second)[0]}")

# Of disks of all radii, the Laplacian of a Gaussian answers most to that of radius sqrt(2) sigma.
sigma = 4.0
radii = np.arange(3.0, 9.0, 0.02)
log = kf.kernels.log(sigma)
answers = []
for radius in radii:
    disk = kf.kernels.disk(radius)
    ring = (log.shape[0] - disk.shape[0]) // 2
    # Weights over the largest are 1 inside and the covered part of the pixels at the rim.
    covered = np.pad(disk.weights / disk.weights.max(), ring)
    answers.append(-float((log.weights * covered).sum()))
print(
    f"sigma {sigma}: strongest answer at radius {radii[np.argmax(answers)]:.2f}, sqrt(2) sigma = {2**0.5 * sigma:.2f}"
)
pictures.write(made, __file__)
