"""Seeded pairs of every model, and a scorer of the model that `learn` chooses and of its intervals and ellipses.

``python -m learning.model_simulator 200`` in tests/ prints a table by model: `make calibrate`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.stats
from cases import colour_photograph
from helpers.compression import jpeg
from learning.simulator import filtered, levels, scene

SIDE = 88


@dataclass(frozen=True)
class Made:
    """A pair and the model that made it.

    Attributes
    ----------
    before, after : numpy.ndarray
    clean : numpy.ndarray
        The after before noise, rounding, clipping and compression.
    arguments : dict
        What a user who knows the model gives; the default call gives none.
    named : str or None
        The argument that the report of the default call is to name, where it cannot answer by itself.
    bank : numpy.ndarray or None
        The weights, shape (C_out, C_in / groups, kh, kw), for the fit with `arguments`; None where none are compared.
    model : str
        `Fit.model` of a right answer.
    noise : float
        Standard deviation of the noise.
    bars : bool
        Whether intervals are to cover: false after JPEG and clipping.
    """

    before: np.ndarray = field(repr=False)
    after: np.ndarray = field(repr=False)
    clean: np.ndarray = field(repr=False)
    arguments: dict[str, Any] = field(default_factory=dict)
    named: str | None = None
    bank: np.ndarray | None = field(default=None, repr=False)
    model: str = "shared"
    noise: float = 0.0
    bars: bool = True
    stride: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Result:
    """The grade of a problem: "right", "honest" or "wrong" (and confident) of the default call; what covered."""

    grade: str
    why: str
    given: bool
    covered: np.ndarray
    ellipses: np.ndarray


def _colour(rng: np.random.Generator) -> np.ndarray:
    image = colour_photograph(("china", "flower")[rng.integers(2)])
    while True:
        row, column = (int(rng.integers(0, n - SIDE)) for n in image.shape[:2])
        piece = image[row : row + SIDE, column : column + SIDE].astype(np.float64)
        if min(piece.reshape(-1, 3).std(axis=0)) > 20 and np.abs(np.diff(piece, axis=2)).mean() > 12:
            return piece


def _grey(rng: np.random.Generator) -> np.ndarray:
    return scene(rng, (SIDE, SIDE))


def _blur(rng: np.random.Generator) -> np.ndarray:
    weights = rng.random((3, 3)) ** 2 + 0.05
    return weights / weights.sum()


def _through(image: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Return the sums of a bank of shape (O, C, 3, 3) over the channels."""
    outputs = [
        sum(filtered(image[..., c], own[c], tuple(n // 2 for n in own[c].shape), "reflect") for c in range(len(own)))
        for own in bank
    ]
    return np.stack(outputs, axis=2)


def _done(rng: np.random.Generator, before: np.ndarray, clean: np.ndarray, **facts: Any) -> Made:
    """Return the pair with noise, sometimes rounded to 8 bits, and sometimes compressed."""
    noise = float(np.exp(rng.uniform(np.log(0.3), np.log(3.0))))
    after = clean + rng.normal(scale=noise, size=clean.shape)
    kind = rng.random()
    if kind < 0.5:
        return Made(before, after, clean, noise=noise, **facts)
    if kind < 0.9:
        held = bool(clean.min() > 4 * noise and clean.max() < 255 - 4 * noise)
        return Made(before.astype(np.uint8), levels(after), clean, noise=noise, bars=held, **facts)
    return Made(before.astype(np.uint8), jpeg(levels(clean), 95, subsampling=0), clean, noise=1.0, bars=False, **facts)


def plain(rng: np.random.Generator) -> Made:
    before, kernel = _grey(rng), _blur(rng)
    clean = filtered(before, kernel, (1, 1), "reflect")
    return _done(rng, before, clean, arguments={"size": 3}, bank=kernel[None, None])


def shared(rng: np.random.Generator) -> Made:
    before, kernel = _colour(rng), _blur(rng)
    clean = _through(before, np.eye(3)[:, :, None, None] * kernel)
    return _done(rng, before, clean, arguments={"size": 3, "channels": "shared"}, bank=kernel[None, None])


def separate(rng: np.random.Generator) -> Made:
    before, kernels = _colour(rng), [_blur(rng) for _ in range(3)]
    bank = np.zeros((3, 3, 3, 3))
    bank[range(3), range(3)] = kernels
    return _done(
        rng,
        before,
        _through(before, bank),
        arguments={"size": 3, "channels": "separate"},
        bank=np.stack(kernels)[:, None],
        model="separate",
    )


def mixed(rng: np.random.Generator) -> Made:
    before = _colour(rng)
    bank = rng.random((3, 3, 3, 3)) ** 2
    bank /= bank.sum(axis=(1, 2, 3), keepdims=True)
    facts = {"arguments": {"size": 3, "channels": "mixed"}, "bank": bank, "model": "mixed"}
    return _done(rng, before, _through(before, bank), **facts)


def matrix(rng: np.random.Generator) -> Made:
    before = _colour(rng)
    bank = (rng.uniform(0.3, 0.7) * np.eye(3) + rng.dirichlet([1, 1, 1], 3) * 0.3)[:, :, None, None]
    facts = {"arguments": {"size": 1, "channels": "mixed"}, "bank": bank, "model": "mixed"}
    return _done(rng, before, _through(before, bank), **facts)


def strided(rng: np.random.Generator) -> Made:
    before = _grey(rng)
    kernel = rng.random((4, 4)) + 0.2
    kernel /= kernel.sum()
    clean = filtered(before, kernel, (1, 1), "reflect")[::2, ::2]
    facts = {"arguments": {"size": 4, "stride": 2}, "bank": kernel[None, None], "stride": (2, 2)}
    return _done(rng, before, clean, **facts)


def light(rng: np.random.Generator) -> Made:
    gamma, before = float(rng.choice([1.8, 2.0, 2.2, 2.4])), _grey(rng)
    kernel = np.outer(*[np.array([1.0, 2.0, 3.0, 2.0, 1.0])] * 2) / 81
    clean = 255 * np.maximum(filtered((before / 255) ** gamma, kernel, (2, 2), "reflect"), 0.0) ** (1 / gamma)
    # Decoded noise is not alike everywhere, and biased near black.
    facts = {"arguments": {"size": 5, "light": gamma}, "bank": kernel[None, None], "named": "light="}
    return _done(rng, before, clean, **facts)


def curve_after(rng: np.random.Generator) -> Made:
    before, kernel = _grey(rng), _blur(rng)
    clean = _curve(rng)(filtered(before, kernel, (1, 1), "reflect"))
    return _done(rng, before, clean, arguments={"size": 3, "curve": "auto"}, named="curve=")


def curve_before(rng: np.random.Generator) -> Made:
    before, kernel = _grey(rng), _blur(rng)
    clean = filtered(_curve(rng)(before), kernel, (1, 1), "reflect")
    return _done(rng, before, clean, arguments={"size": 3, "curve": "auto"}, named="curve=")


def _curve(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Return a power, or an S: rising curves from 0 to 255."""
    if rng.random() < 0.6:
        gamma = float(rng.choice([0.45, 0.6, 1.7, 2.2]))
        return lambda a: 255 * np.clip(a / 255, 0, 1) ** gamma
    steep = rng.uniform(5.0, 8.0)
    low = 1 / (1 + np.exp(steep / 2))
    return lambda a: 255 * (1 / (1 + np.exp(-steep * (a / 255 - 0.5))) - low) / (1 - 2 * low)


def varying(rng: np.random.Generator) -> Made:
    before, degree = _grey(rng), int(rng.integers(1, 3))
    down, right = np.meshgrid(*(np.linspace(-1, 1, SIDE),) * 2, indexing="ij")
    clean, terms = np.zeros_like(before), [np.ones_like(down), down, right, down * right, down**2, right**2]
    for number, term in enumerate(terms[: 3 if degree == 1 else 6]):
        kernel = _blur(rng) if number == 0 else 0.25 * (_blur(rng) - _blur(rng))
        clean += term * filtered(before, kernel, (1, 1), "reflect")
    return _done(rng, before, clean, arguments={"size": 3, "varying": "auto"}, named="varying=")


def background(rng: np.random.Generator) -> Made:
    before, kernel = _grey(rng), _blur(rng)
    down, right = np.meshgrid(*(np.linspace(-1, 1, SIDE),) * 2, indexing="ij")
    a, b, c = rng.uniform(-15, 15, 3)
    clean = 0.8 * filtered(before, kernel, (1, 1), "reflect") + 25 + a * down + b * right + c * down * right
    return _done(
        rng, before, clean, arguments={"size": 3, "background": 2}, bank=0.8 * kernel[None, None], named="background="
    )


MODELS: dict[str, Callable[[np.random.Generator], Made]] = {
    "plain": plain,
    "shared": shared,
    "separate": separate,
    "mixed": mixed,
    "matrix": matrix,
    "strided": strided,
    "light": light,
    "curve after": curve_after,
    "curve before": curve_before,
    "varying": varying,
    "background": background,
}


def made(model: str, seed: int) -> Made:
    """Return the pair of a seed."""
    return MODELS[model](np.random.default_rng([seed, list(MODELS).index(model), 20261130]))


def graded(fit: Any, pair: Made) -> tuple[str, str]:
    """Return the grade of the default call, and why.

    Right: the model that made the pair, or the argument that learns it is named. Wrong: the verdict is exact or
    approximate, the model is another, what the fit leaves is more than the noise by half, and no word says so.
    """
    text = f"{fit.verdict} {fit.explanation} {' '.join(fit.notes)} {fit.errors_note}"
    sure = fit.verdict in ("exact", "approximate")
    rounding = 1 / 12 if pair.after.dtype == np.uint8 else 0.0
    as_good = fit.residual_sd**2 < 1.5**2 * (pair.noise**2 + rounding)
    if pair.named is None:
        if sure and (fit.model, fit.stride) == (pair.model, pair.stride):
            return "right", ""
    elif pair.named in text or as_good:
        return "right", ""
    what = f"{fit.verdict}, {fit.model}, stride {fit.stride[0]}: {fit.explanation[:120]}"
    said = "does not explain the picture completely" in text or "learned from the brightness" in text
    return ("wrong" if sure and not as_good and not said else "honest"), what


def covering(fit: Any, pair: Made) -> tuple[np.ndarray, np.ndarray]:
    """Return which 95 % intervals hold their weight, and which ellipses of neighbouring weights hold both."""
    none = np.zeros(0, bool)
    if pair.bank is None or not pair.bars or fit.verdict != "approximate" or fit.errors_note:
        return none, none
    bank, errors = (
        (fit.kernel.weights[None, None], fit.stderr[None, None]) if fit.bank is None else (fit.bank, fit.bank_stderr)
    )
    if bank.shape != pair.bank.shape:
        return none, none
    covered = np.abs(bank - pair.bank) <= scipy.stats.norm.ppf(0.975) * errors
    if fit.covariance is None or fit.bank is not None:
        return covered.ravel(), none
    off = (fit.kernel.weights - pair.bank[0, 0]).ravel()
    limit, held = scipy.stats.chi2.ppf(0.95, 2), []
    for i in range(off.size - 1):
        some = [i, i + 1]
        held.append(off[some] @ np.linalg.solve(fit.covariance[np.ix_(some, some)], off[some]) <= limit)
    return covered.ravel(), np.array(held)


def solved(pair: Made, learn: Callable[..., Any]) -> Result:
    """Return what `learn` says by default, and what it says with the model given."""
    try:
        grade, why = graded(learn(pair.before, pair.after, max_size=11), pair)
        fit = learn(pair.before, pair.after, **pair.arguments)
    except Exception as error:
        return Result("wrong", f"{type(error).__name__}: {error}"[:160], False, np.zeros(0, bool), np.zeros(0, bool))
    return Result(grade, why, fit.verdict in ("exact", "approximate"), *covering(fit, pair))


def table(results: dict[str, list[Result]]) -> str:
    """Return the counts by model as a table in Markdown."""
    lines = [
        "| model | problems | right by default | honest | wrong and confident | learned where given | 95 % intervals "
        "cover | ellipses cover |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for model, found in results.items():
        shares = []
        for values in ([one.covered for one in found], [one.ellipses for one in found]):
            each = np.array([one.mean() for one in values if one.size])
            error = each.std() / np.sqrt(max(1, each.size))
            shares.append(f"{100 * each.mean():.1f} ± {100 * error:.1f} % of {each.size}" if each.size else "")
        counts = [sum(one.grade == grade for one in found) for grade in ("right", "honest", "wrong")]
        given = sum(one.given for one in found)
        lines.append("| " + " | ".join(map(str, [model, len(found), *counts, given, *shares])) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and on stderr what was not answered rightly."""
    import kernelfield as kf

    words = sys.argv[1:]
    numbers = [int(word) for word in words if word.isdigit()]
    count, first = [*numbers, *(100, 0)[len(numbers) :]]
    results: dict[str, list[Result]] = {}
    for model in [name for name in MODELS if name in words] or MODELS:
        start = time.process_time()
        results[model] = [solved(made(model, seed), kf.learn) for seed in range(first, first + count)]
        for seed, one in enumerate(results[model], first):
            if one.grade != "right" or not one.given:
                print(f"{one.grade}, given {one.given}: {model}, seed {seed}: {one.why}", file=sys.stderr)
        print(f"{model}: {(time.process_time() - start) / max(1, count):.2f} s of the processor each", file=sys.stderr)
    print(table(results))


if __name__ == "__main__":
    main()
