"""The lab as a widget of notebooks: the page's modules in one, and its operations in the notebook's own process."""

from __future__ import annotations

import base64
import json
import os
import re
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import anywidget
import traitlets

from kernelfield.arrays import as_array
from kernelfield.errors import ArgumentError, KernelfieldError, received
from kernelfield.images import read
from kernelfield.kernels import Kernel
from kernelfield.lab.images import pack, size_of
from kernelfield.lab.operations import kernel_of
from kernelfield.lab.pages import assets
from kernelfield.lab.worker import answer
from kernelfield.learning import Fit
from kernelfield.learning.record import build

_IMPORT = re.compile(r'(?:from|import)\s*"\./([\w-]+\.js)"')
#: The files that a notebook does not need: those that make a page of its own.
_OF_THE_PAGE = {"/", "/index.html", "/page.css", "/start.js"}
_MOST_PENDING, _REMEMBERED = 8, 256


class LabWidget(anywidget.AnyWidget):
    """The lab in a notebook; see `kernelfield.Lab`.

    Attributes
    ----------
    kernel : Kernel or None
        The kernel on the page; None before the page is shown, if none was given. It can be set.
    fit : Fit or None
        The filter that was learned last.

    Examples
    --------
    >>> import kernelfield as kf
    >>> lab = kf.Lab(kernel=kf.kernels.sobel())
    >>> lab.kernel.shape
    (3, 3)
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    _kernel = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    _record = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    _images: Any = traitlets.List().tag(sync=True)
    _pixels: Any = traitlets.List().tag(sync=True)

    def __init__(self, before: Any = None, after: Any = None, *, kernel: Any = None) -> None:
        if before is None and after is not None:
            raise ArgumentError("before: expected an image beside the after; received none; give both")
        packed = [_packed(image, name) for image, name in ((before, "before"), (after, "after")) if image is not None]
        super().__init__(
            _esm=module(),
            _css=assets()["/lab.css"].data.decode(),
            _kernel=None if kernel is None else _described(kernel),
            _images=[header for header, _ in packed],
            _pixels=[bytes(data) for _, data in packed],
        )
        self._coming: dict[int, _Request] = {}
        self._done: deque[int] = deque(maxlen=_REMEMBERED)
        self.on_msg(self._receive)

    @property
    def kernel(self) -> Kernel | None:
        """The kernel on the page; setting it changes the page."""
        return None if self._kernel is None else kernel_of(self._kernel)

    @kernel.setter
    def kernel(self, value: Any) -> None:
        self._kernel = _described(value)

    @property
    def fit(self) -> Fit | None:
        """The filter that was learned last."""
        return None if self._record is None else build(Fit, self._record, "fit")

    def _receive(self, _: Any, content: Any, buffers: Sequence[Any]) -> None:
        """Take a request of the page, or a piece of one: they come in any order. Answer when it is whole."""
        number, op = (content.get(key) if isinstance(content, dict) else None for key in ("id", "op"))
        if type(number) is not int or not isinstance(op, str) or number in self._done:
            return
        if op == "cancel":
            self._forget(number)
            return
        try:
            request = self._coming.get(number)
            if request is None:
                if len(self._coming) >= _MOST_PENDING:
                    raise ArgumentError(f"{op}: expected at most {_MOST_PENDING} requests at a time; wait")
                request = self._coming[number] = _Request(content)
            if buffers:
                request.fill(content.get("piece"), bytes(buffers[0]))
            if request.left:
                return
            header, results = answer(
                op,
                request.args,
                list(zip(request.headers, request.parts)),
                lambda share, stage: self.send({"id": number, "progress": share, "text": stage}),
            )
        except KernelfieldError as error:
            header, results = {"error": str(error)}, []
        self._forget(number)
        self.send({"id": number, **header}, [bytes(data) for data in results])

    def _forget(self, number: int) -> None:
        """Take no more pieces of a request."""
        self._coming.pop(number, None)
        self._done.append(number)


class _Request:
    """A request of the page, and the bytes of its images as far as they have come."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        args, headers = content.get("args"), content.get("images")
        self.args: dict[str, Any] = args if isinstance(args, dict) else {}
        self.headers: list[dict[str, Any]] = headers if isinstance(headers, list) else []
        self.parts = [bytearray(size_of(header)) for header in self.headers]
        self.left = sum(map(len, self.parts))

    def fill(self, place: Any, piece: bytes) -> None:
        """Put a piece into its image, at its place in bytes."""
        index, start = place if isinstance(place, list) and len(place) == 2 else (None, None)
        if type(index) is not int or type(start) is not int or not 0 <= index < len(self.parts):
            raise ArgumentError(f"piece: expected an image and a place in it; received {received(place)}")
        if start < 0 or start + len(piece) > len(self.parts[index]):
            raise ArgumentError(
                f"piece: expected at most {len(self.parts[index])} bytes; received {len(piece)} at {start}"
            )
        self.parts[index][start : start + len(piece)] = piece
        self.left -= len(piece)


@cache
def module() -> str:
    """Return the modules of the page and its other files as one module, which anywidget's pages load.

    The modules are texts in it. Each becomes an address of its own (a blob) in the order of imports, with the names of
    the modules that it imports replaced by theirs: nothing is rewritten but those names.
    """
    found = {path[1:]: asset for path, asset in assets().items() if path not in _OF_THE_PAGE}
    modules = {name: asset.data.decode() for name, asset in found.items() if name.endswith(".js")}
    others = {
        name: [asset.type, base64.b64encode(asset.data).decode()]
        for name, asset in found.items()
        if not name.endswith((".js", ".css", ".html"))
    }
    ordered = {name: modules[name] for name in _in_order(modules)}
    return _BOOTSTRAP.replace("$MODULES", json.dumps(ordered)).replace("$OTHERS", json.dumps(others))


_BOOTSTRAP = """\
const modules = $MODULES;
const others = $OTHERS;
const urls = {};
const address = (parts, type) => URL.createObjectURL(new Blob(parts, { type }));
for (const [name, [type, text]] of Object.entries(others)) {
  urls[name] = address([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], type);
}
const imported = /((?:from|import)\\s*)"\\.\\/([\\w-]+\\.js)"/g;
for (const [name, text] of Object.entries(modules)) {
  const whole = text.replace(imported, (all, word, other) => `${word}"${urls[other]}"`);
  urls[name] = address([whole], "text/javascript");
}
const widget = import(urls["widget.js"]);
export default {
  async render(context) {
    return (await widget).render(context, (name) => urls[name]);
  },
};
"""


def _in_order(modules: Mapping[str, str]) -> list[str]:
    """Return the names of modules, each after those that it imports.

    Examples
    --------
    >>> _in_order({"a.js": 'import { b } from "./b.js";', "b.js": ""})
    ['b.js', 'a.js']
    """
    from graphlib import TopologicalSorter

    return list(TopologicalSorter({name: _IMPORT.findall(text) for name, text in modules.items()}).static_order())


def _packed(image: Any, name: str) -> tuple[dict[str, Any], memoryview]:
    """Return the header and the bytes of an image that the user gave."""
    pixels = read(image).pixels if isinstance(image, str | os.PathLike) else as_array(image, name)
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "buif" or not pixels.size:
        raise ArgumentError(f"{name}: expected numbers of shape (H, W) or (H, W, C); received {received(pixels)}")
    return pack(pixels)


def _described(kernel: Any) -> dict[str, Any]:
    """Return a kernel that the user gave, as the page describes it."""
    whole = kernel if isinstance(kernel, Kernel) else Kernel(kernel)
    return {"weights": whole.weights.tolist(), "anchor": list(whole.anchor)}
