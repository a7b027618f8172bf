"""Blur, and why: derivatives amplify noise, and blurring first lets the edge stand out.

    python examples/exercises/blur.py [FOLDER]

White noise of standard deviation s becomes, through a kernel of weights w, noise of s times the square root of the sum
of w². The Gaussian takes high frequencies away evenly in all directions; the box lets some of them pass with the sign
turned, which is why lines through it may come out doubled.
"""

import numpy as np
import pictures

import kernelfield as kf

rows, columns = np.indices((80, 80))
clean = np.where(rows - 0.4 * columns > 24, 0.75, 0.25)
noisy = clean + np.random.default_rng(0).normal(0, 0.25, clean.shape)

slope = kf.kernels.derivative(axis=0)
blur = kf.kernels.gaussian(2.0)
both = blur.compose(slope)
after_blur = kf.correlate(kf.correlate(noisy, blur), slope)
at_once = kf.correlate(noisy, both)
inside = np.s_[12:-12, 12:-12]
assert np.allclose(after_blur[inside], at_once[inside])

print("noise of 1 becomes:")
for name, kernel in (("derivative", slope), ("blur, then derivative", both), ("box 5×5", kf.kernels.box(5))):
    print(f"  {name:<22} {np.sqrt((kernel.weights**2).sum()):.4f}")

made = pictures.figure(9.4, 6.2, "Blur, and why")
axes = made.subplots(2, 3)
pictures.grey(axes[0, 0], noisy, "an edge in noise")
pictures.signed(axes[0, 1], kf.correlate(noisy, slope), "derivative: mostly noise")
pictures.grey(axes[0, 2], kf.correlate(noisy, blur), "blurred, sigma 2")
pictures.signed(axes[1, 0], at_once, "derivative of the blurred")
frequencies = np.linspace(0, 0.5, 200)
plots = axes[1, 1], axes[1, 2]
blurs = (
    ("box 5×5", kf.kernels.box(5), "-"),
    ("disk, radius 2.8", kf.kernels.disk(2.8), "-"),
    ("binomial 9×9", kf.kernels.binomial(9), "-"),
    ("Gaussian, sigma 1.41", kf.kernels.gaussian(2**0.5), "--"),
)
for colour, (name, kernel, line) in zip(pictures.CURVES, blurs):
    response = kernel.frequency_response([0], frequencies)[2][0].real
    plots[0].plot(frequencies, response, line, color=colour, label=name, linewidth=1.3)
for colour, (name, kernel) in zip(pictures.CURVES, (("derivative", slope), ("blur, then derivative", both))):
    response = kernel.frequency_response(frequencies, [0])[2][:, 0]
    plots[1].plot(frequencies, response.imag, color=colour, label=name, linewidth=1.3)
plots[1].plot(frequencies, 2 * np.pi * frequencies, "k:", label="exact: 2πf", linewidth=1)
plots[1].set_ylim(-0.1, 1.6)
pictures.curves(plots[0], "frequency response of blurs")
pictures.curves(plots[1], "of derivatives (imaginary)")
pictures.write(made, __file__)
