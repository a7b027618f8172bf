"""The description of an OME-Zarr image (versions 0.4 and 0.5): axes, levels, scales and translations.

The specification is at ngff.openmicroscopy.org. What is written is version 0.5, in Zarr v3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kernelfield.errors import FileError, received
from kernelfield.scale.stores import Place

_MOST_LEVELS, _MOST_AXES = 64, 5


@dataclass(frozen=True)
class Multiscale:
    """The levels of an image.

    Attributes
    ----------
    axes : tuple of str
        Names, such as t, c, z, y, x.
    paths : tuple of str
        Of the levels, finest first.
    scales, translations : tuple of tuple of float
        Of each level, one number an axis: size of a pixel, and place of the first one.
    described : tuple of dict
        The axes as they are described, with type and unit.
    rest : dict
        What else the image's attributes say: name, omero.
    """

    axes: tuple[str, ...]
    paths: tuple[str, ...]
    scales: tuple[tuple[float, ...], ...]
    translations: tuple[tuple[float, ...], ...]
    described: tuple[dict[str, Any], ...]
    rest: dict[str, Any]

    def moved(self, level: int, factors: tuple[float, ...], shifts: tuple[float, ...]) -> Multiscale:
        """Return a description of one level, "0", whose pixels are those of a level at other places.

        Parameters
        ----------
        factors : tuple of float
            Pixels of the level from one pixel to the next, along each axis.
        shifts : tuple of float
            The place of the first pixel, in pixels of the level.
        """
        scale, start = self.scales[level], self.translations[level]
        return replace(
            self,
            paths=("0",),
            scales=(tuple(s * f for s, f in zip(scale, factors)),),
            translations=(tuple(t + s * by for t, s, by in zip(start, scale, shifts)),),
        )

    def with_levels(self, levels: int, axes: tuple[int, int]) -> Multiscale:
        """Return the description with further levels, each half as fine along two axes as the one before.

        A pixel of a level is the mean of four of the finer one: its centre lies half a fine pixel further.
        """
        scales, translations = [self.scales[0]], [self.translations[0]]
        for _ in range(levels):
            last, start = scales[-1], translations[-1]
            scales.append(tuple(s * (2 if axis in axes else 1) for axis, s in enumerate(last)))
            translations.append(
                tuple(t + (s / 2 if axis in axes else 0) for axis, (t, s) in enumerate(zip(start, last)))
            )
        return replace(
            self,
            paths=tuple(map(str, range(levels + 1))),
            scales=tuple(scales),
            translations=tuple(translations),
        )

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the group, as version 0.5 has them."""
        datasets = [
            {
                "path": path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": list(scale)},
                    {"type": "translation", "translation": list(translation)},
                ],
            }
            for path, scale, translation in zip(self.paths, self.scales, self.translations)
        ]
        multiscale: dict[str, Any] = {"axes": [dict(axis) for axis in self.described], "datasets": datasets}
        if isinstance(self.rest.get("name"), str):
            multiscale["name"] = self.rest["name"]
        found: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
        if isinstance(self.rest.get("omero"), dict):
            found["omero"] = self.rest["omero"]
        return {"ome": found}


def read(place: Place) -> Multiscale | None:
    """Return the description of an OME-Zarr image; None for a node that is none."""
    attributes = place.attributes()
    inner = attributes.get("ome", attributes)
    images = inner.get("multiscales") if isinstance(inner, dict) else None
    if images is None:
        return None
    try:
        return _parsed(images, inner)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FileError(
            f"{received(place.name)}: the description of the OME-Zarr image is damaged ({type(error).__name__}); "
            "expected axes and datasets of version 0.4 or 0.5; copy it again"
        ) from error


def _parsed(images: Any, inner: dict[str, Any]) -> Multiscale:
    image = images[0]
    described = tuple(dict(axis) for axis in image["axes"])
    axes = tuple(axis["name"] for axis in described)
    datasets = image["datasets"]
    if not 2 <= len(axes) <= _MOST_AXES or not 1 <= len(datasets) <= _MOST_LEVELS or not {"y", "x"} <= {*axes}:
        raise ValueError
    overall = _transform(image.get("coordinateTransformations", []), len(axes))
    each = [_transform(one["coordinateTransformations"], len(axes)) for one in datasets]
    paths = tuple(one["path"] for one in datasets)
    if any(not isinstance(path, str) or ".." in path.split("/") or path.startswith("/") for path in paths):
        raise ValueError
    return Multiscale(
        axes,
        paths,
        tuple(tuple(a * b for a, b in zip(scale, overall[0])) for scale, _ in each),
        tuple(tuple(t * b + c for t, b, c in zip(start, *overall)) for _, start in each),
        described,
        {"name": image.get("name"), "omero": inner.get("omero")},
    )


def _transform(steps: Any, axes: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and translation of some coordinate transformations."""
    scale, translation = (1.0,) * axes, (0.0,) * axes
    for step in steps:
        if step["type"] == "scale":
            scale = tuple(map(float, step["scale"]))
        elif step["type"] == "translation":
            translation = tuple(map(float, step["translation"]))
        elif step["type"] != "identity":
            raise ValueError
    if len(scale) != axes or len(translation) != axes:
        raise ValueError
    return scale, translation
