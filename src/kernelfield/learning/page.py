"""The report of a fit as one HTML file: pictures in linked views, the kernel with its errors, the MTF, the facts."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.errors import DataError, KernelfieldError, shortened
from kernelfield.figures import SIGNED
from kernelfield.kernels import Kernel
from kernelfield.kernels.html import colours_of, picture
from kernelfield.learning.null_space import null_space
from kernelfield.learning.plot import Compared, of_pair, shows_null_space, signed_peak, value_range
from kernelfield.learning.report import factor, facts, table
from kernelfield.learning.structure import structure_of
from kernelfield.learning.transfer import Transfer

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

# Pixels along the longer side of a picture, and weights along a side of a table of numbers.
_LONGEST, _MOST_NUMBERS = 1000, 11
# Kernels that change nothing which are drawn.
_NULL_KERNELS = 3
# The chart of the MTF, in pixels: width, height, and the room left of it and below.
_WIDE, _HIGH, _LEFT, _BELOW = 440, 240, 44, 40
_COLOURS = ("#4393c3", "#d6604d")
_VERDICTS = {"exact": "#1a7f37", "approximate": "#9a6700", "undetermined": "#8250df", "not linear": "#b2182b"}

_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--panel:#f5f6f8;--ink:#1b1e24;--quiet:#565d6b;--line:#d5d9e0}
@media (prefers-color-scheme:dark){:root{--paper:#16181c;--panel:#202329;--ink:#eceef2;--quiet:#a9b0bd;
--line:#3a3f49}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:20px;background:var(--paper);color:var(--ink);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:22px;margin:0 0 4px}h2{font-size:15px;margin:28px 0 8px}p{margin:4px 0;max-width:75ch}
.verdict{display:inline-block;padding:1px 10px;border-radius:10px;color:#fff;font-weight:600}
.quiet,figcaption{color:var(--quiet);font-size:13px}
.views{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(min(100%,270px),1fr))}
figure{margin:0;min-width:0}figcaption b{color:var(--ink)}
.view{overflow:hidden;background:repeating-conic-gradient(#9994 0 25%,#0000 0 50%) 0 0/16px 16px;
border:1px solid var(--line);
touch-action:none;cursor:grab}.view:focus-visible{outline:2px solid var(--quiet)}
.view img{display:block;width:100%;transform-origin:0 0;image-rendering:pixelated;user-select:none}
.bar{height:8px;border:1px solid var(--line);margin:4px 0 0}
.tools{display:flex;gap:6px;align-items:center;flex-wrap:wrap;margin:0 0 8px}
button{font:inherit;color:inherit;background:var(--panel);border:1px solid var(--line);border-radius:6px;min-width:34px;
min-height:30px}
.row{display:grid;gap:0 28px;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr))}
.row>*{min-width:0}
svg{max-width:100%;height:auto}.chart text{fill:var(--quiet);font-size:12px}
.scroll{overflow-x:auto}table{border-collapse:collapse}td,th{padding:3px 10px 3px 0;text-align:left;vertical-align:top}
th{font-weight:400;color:var(--quiet);white-space:nowrap}
.weights td{text-align:right;padding:3px 8px;white-space:nowrap}
.weights small{color:var(--quiet)}.weights .anchor{outline:2px solid var(--quiet)}
pre{background:var(--panel);padding:10px 12px;border-radius:6px;overflow-x:auto;margin:0}
"""

_SCRIPT = """
const views=[...document.querySelectorAll('.view')],where=document.querySelector('#where');
let s=1,x=0,y=0,held=null;
function draw(){const w=views[0].clientWidth,h=views[0].clientHeight;
s=Math.min(64,Math.max(1,s));x=Math.min(0,Math.max(w-w*s,x));y=Math.min(0,Math.max(h-h*s,y));
for(const v of views){const k=v.clientWidth/w;v.firstElementChild.style.transform=
`translate(${x*k}px,${y*k}px) scale(${s})`}}
function zoom(f,cx,cy){const old=s;s=Math.min(64,Math.max(1,s*f));f=s/old;x=cx-(cx-x)*f;y=cy-(cy-y)*f;draw()}
function at(v,e){const r=v.getBoundingClientRect(),k=views[0].clientWidth/v.clientWidth;
return[(e.clientX-r.left-v.clientLeft)*k,(e.clientY-r.top-v.clientTop)*k]}
for(const v of views){
v.addEventListener('wheel',e=>{e.preventDefault();zoom(Math.exp(-e.deltaY/300),...at(v,e))},{passive:false});
v.addEventListener('pointerdown',e=>{held=at(v,e);v.setPointerCapture(e.pointerId)});
v.addEventListener('pointerup',()=>held=null);
v.addEventListener('pointermove',e=>{const p=at(v,e);
if(held){x+=p[0]-held[0];y+=p[1]-held[1];held=p;draw()}
const w=views[0].clientWidth,h=views[0].clientHeight,c=Math.floor((p[0]-x)/s/w*COLUMNS),r=Math.floor((p[1]-y)/s/h*ROWS);
where.textContent=`row ${r}, column ${c}`});
v.addEventListener('dblclick',()=>{s=1;draw()});
v.addEventListener('keydown',e=>{const w=v.clientWidth/2,h=v.clientHeight/2,d={ArrowLeft:[40,0],ArrowRight:[-40,0],
ArrowUp:[0,40],ArrowDown:[0,-40]}[e.key];
if(d){x+=d[0];y+=d[1];draw()}else if(e.key=='+'||e.key=='=')zoom(1.5,w,h);else if(e.key=='-')zoom(1/1.5,w,h);
else if(e.key=='0'){s=1;draw()}else return;e.preventDefault()})}
document.querySelector('#in').onclick=()=>zoom(1.5,views[0].clientWidth/2,views[0].clientHeight/2);
document.querySelector('#out').onclick=()=>zoom(1/1.5,views[0].clientWidth/2,views[0].clientHeight/2);
document.querySelector('#all').onclick=()=>{s=1;draw()};
"""


def report_page(fit: Fit, before: Any, after: Any, command: str, channel_axis: int | str | None) -> str:
    """Return the page; arguments as in `Fit.report`."""
    pair = of_pair(fit, before, after, channel_axis)
    heading = f"{fit.description[:1].upper()}{fit.description[1:]}"
    linear = fit.verdict != "not linear"
    parts = [
        f"<h1>{_text(heading)}</h1>",
        f'<p><span class="verdict" style="background:{_VERDICTS[fit.verdict]}">{fit.verdict}</span></p>',
        f"<p>{_text(fit.explanation, 2000)}</p>",
        _views(fit, pair.before, pair.after, pair.residual),
    ]
    if linear:
        parts.append(f'<div class="row">{_kernel(fit)}{_mtf(fit)}</div>' if fit.one_kernel else _kernels(fit))
    if shows_null_space(fit):
        parts.append(_null_space(fit))
    parts.append(_found(fit, before, after, pair, channel_axis))
    if command:
        parts.append(f"<h2>Made by</h2><pre>{_text(command, 2000)}</pre>")
    rows, columns = pair.after.shape[:2]
    script = _SCRIPT.replace("ROWS", str(rows)).replace("COLUMNS", str(columns))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{_text(heading)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + f"\n<script>{script}</script>\n</body></html>\n"
    )


def _text(text: str, longest: int = 400) -> str:
    """Return text for HTML, of a bounded length."""
    return escape(shortened(text, longest))


def _views(fit: Fit, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> str:
    """Return before, after, prediction and residual, each a picture in a view of its own."""
    if before.shape[:2] != after.shape[:2] and fit.stride == (1, 1):
        before = _under_after(before, fit.frame or fit.anchor, after.shape)
    low, high = value_range(before)
    grey = f"{_number(low)} black, {_number(high)} white"
    predicted = after - left
    step = max(1, -(-max(after.shape[:2]) // _LONGEST))
    peak = signed_peak(left, after)
    shown = left if left.ndim == 2 else _largest(left)
    pictures = [
        ("Before", _grey(before, low, high, step), grey),
        ("After", _grey(after, low, high, step), grey),
        ("Predicted", _grey(predicted, low, high, step), "the filtered before, on the same scale"),
        (
            "Residual",
            _signed(shown, peak, step),
            f"after less predicted{', largest of the channels' if left.ndim == 3 else ''}: "
            f"−{_number(peak)} blue, +{_number(peak)} red",
        ),
    ]
    scale = f'<div class="bar" style="background:linear-gradient(90deg,{",".join(SIGNED)})"></div>'
    figures = "".join(
        f'<figure><div class="view" tabindex="0" role="group" aria-label="{name}: plus, minus and arrows move it">'
        f'<img alt="{name}" draggable="false" src="data:image/png;base64,{data}"></div>'
        f"<figcaption><b>{name}</b> {escape(note)}</figcaption>" + (scale if name == "Residual" else "") + "</figure>"
        for name, data, note in pictures
    )
    reduced = f" Each pixel shown is the mean of {step}×{step}." if step > 1 else ""
    return (
        '<h2>Pictures</h2><div class="tools"><button id="in" aria-label="Zoom in">+</button>'
        '<button id="out" aria-label="Zoom out">−</button><button id="all">All</button>'
        f'<span class="quiet" id="where" aria-live="off"></span></div><div class="views">{figures}</div>'
        f'<p class="quiet">Wheel or + and − zoom, dragging or arrows move, all four together.{reduced} '
        "Chequered: not known.</p>"
    )


def _under_after(before: np.ndarray, first: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of the before below an after whose first pixel is at a row and a column; NaN outside."""
    found = np.full((*shape[:2], *before.shape[2:]), np.nan)
    start = [max(0, -a) for a in first]
    stop = [min(n, m - a) for a, n, m in zip(first, shape, before.shape)]
    inside = tuple(slice(a, b) for a, b in zip(start, stop))
    found[inside] = before[tuple(slice(a + f, b + f) for a, b, f in zip(start, stop, first))]
    return found


def _largest(left: np.ndarray) -> np.ndarray:
    """Return the largest residual of the channels."""
    which = np.argmax(np.abs(np.nan_to_num(left)), axis=2)
    found: np.ndarray = np.take_along_axis(left, which[..., None], axis=2)[..., 0]
    return found


def _reduced(image: np.ndarray, step: int) -> np.ndarray:
    """Return the means of squares of pixels."""
    if step == 1:
        return image.astype(np.float64)
    rows, columns = (n // step * step for n in image.shape[:2])
    blocks = image[:rows, :columns].astype(np.float64).reshape(rows // step, step, columns // step, step, -1)
    means: np.ndarray = blocks.mean(axis=(1, 3))
    return means.reshape(rows // step, columns // step, *image.shape[2:])


def _grey(image: np.ndarray, low: float, high: float, step: int) -> str:
    """Return a picture in grey, or in colour for three channels, as PNG in base64."""
    pixels = _reduced(image, step)
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        pixels = pixels[..., 0]
    known = np.isfinite(pixels) if pixels.ndim == 2 else np.isfinite(pixels).all(axis=2)
    shades = np.rint(np.clip((np.nan_to_num(pixels) - low) / (high - low), 0.0, 1.0) * 255.0).astype(np.uint8)
    return _png(shades, known)


def _signed(image: np.ndarray, peak: float, step: int) -> str:
    """Return a picture blue below zero and red above as PNG in base64."""
    pixels = _reduced(image, step)
    share = np.clip(np.nan_to_num(pixels) / peak, -1.0, 1.0)
    # The colours are relative to the largest value, which one more pixel makes the peak.
    colours = colours_of(np.append(share.ravel(), 1.0))[:-1].reshape(*share.shape, 3)
    return _png(colours, np.isfinite(pixels))


def _png(colours: np.ndarray, known: np.ndarray) -> str:
    """Return colours as PNG in base64, transparent where they are not known."""
    from PIL import Image

    # Images of a channel and transparency are mode LA.
    pixels = colours if known.all() else np.dstack([colours, np.where(known, 255, 0).astype(np.uint8)])
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=False)
    return base64.b64encode(buffer.getvalue()).decode()


def _kernel(fit: Fit) -> str:
    """Return the kernel as a picture, and as numbers with their errors where there are few."""
    cells = table(fit)
    over = f", each {factor(fit)}" if factor(fit) else ""
    numbers = ""
    if max(fit.size) <= _MOST_NUMBERS:
        lines = []
        for i, row in enumerate(fit.kernel.weights.tolist()):
            line = "".join(
                f"<td{' class=anchor' if (i, j) == fit.anchor else ''}>{value:.5g}<br>"
                f"<small>± {_number(float(fit.stderr[i, j]))}</small></td>"
                for j, value in enumerate(row)
            )
            lines.append(f"<tr>{line}</tr>")
        numbers = f'<div class="scroll"><table class="weights">{"".join(lines)}</table></div>'
    elif np.isfinite(fit.stderr).all():
        numbers = f'<p class="quiet">Errors</p>{picture(Kernel(fit.stderr, anchor=fit.anchor))}'
    return (
        f"<section><h2>Kernel</h2>{picture(fit.kernel, [cells])}"
        f'<p class="quiet">Cross-correlation weights{_text(over)}; the one over the output pixel is framed. Below, '
        f"weights ± standard errors.</p>{numbers}</section>"
    )


def _kernels(fit: Fit) -> str:
    """Return the kernels of a fit of more than one kernel for all channels and places: their pictures, row by row."""
    bank = fit.varying.bank[None] if fit.varying is not None else fit.bank
    rows = [[fit.kernel.weights]] if bank is None else bank
    pictures = "".join(
        f'<div class="row" style="grid-template-columns:repeat({len(row)},max-content);overflow-x:auto">'
        + "".join(picture(Kernel(weights, anchor=fit.anchor)) for weights in row)
        + "</div>"
        for row in rows
    )
    what = "a row for each channel of the after, a column for each of the before"
    if fit.varying is not None:
        what = "the fixed kernels whose sum, weighted over the field, is the kernel of a place"
    elif bank is None:
        what = f"one for all channels{f', at every {fit.stride[0]}×{fit.stride[1]} pixels' * (fit.stride != (1, 1))}"
    return f'<h2>Kernel</h2>{pictures}<p class="quiet">Cross-correlation weights: {_text(what)}.</p>'


def _null_space(fit: Fit) -> str:
    """Return what the pair does not tell of the kernel: a share of each weight, and kernels that change nothing."""
    found = null_space(fit.undetermined, _NULL_KERNELS)
    tables = [found.share, *found.kernels]
    drawn = "".join(f"<div>{picture(Kernel(table, anchor=fit.anchor))}</div>" for table in tables)
    what = "a kernel that changes" if len(found.kernels) == 1 else "kernels that change"
    return (
        f'<h2>Not determined</h2><div class="views">{drawn}</div><p class="quiet">{found.count} of {found.share.size} '
        f"directions of the kernel. First the share of each weight that the pair does not tell; then {what} nothing in "
        "it: any multiple may be added.</p>"
    )


def _mtf(fit: Fit) -> str:
    """Return the chart of the MTF along rows and columns, or why there is none."""
    try:
        found = [fit.mtf(angle) for angle in (0.0, 90.0)]
    except DataError:
        return (
            "<section><h2>MTF</h2><p class=quiet>None: the weights sum to 0, so that a uniform picture vanishes and "
            "contrast has nothing to be relative to.</p></section>"
        )
    words = []
    for name, colour, one in zip(("right", "down"), _COLOURS, found):
        half = "never below 0.5" if one.mtf50 is None else f"MTF50 {one.mtf50:.4g}"
        if one.mtf50_error:
            half += f" ± {one.mtf50_error:.2g}"
        words.append(f'<span style="color:{colour}">■</span> {name}: {half}')
    band = "; bands are 95 %" if found[0].error is not None else ""
    return (
        f'<section><h2>Modulation transfer</h2>{_chart(found)}<p class="quiet">{", ".join(words)}; cycles per '
        f"pixel{band}.</p></section>"
    )


def _chart(found: Sequence[Transfer]) -> str:
    """Return curves with bands as SVG."""
    top = max(1.05, 1.05 * max(float(one.value.max()) for one in found))
    right = max(float(one.frequencies[-1]) for one in found)

    def place(f: float, value: float) -> str:
        return f"{_LEFT + f / right * (_WIDE - _LEFT - 8):.1f},{(1 - value / top) * (_HIGH - _BELOW):.1f}"

    lines = []
    for value in (0.0, 0.5, 1.0) if top < 1.5 else np.unique(np.rint(np.linspace(0.0, top - 0.5, 4))).tolist():
        (x0, y0), (x1, _) = (place(f, value).split(",") for f in (0.0, right))
        lines.append(f'<line x1="{x0}" x2="{x1}" y1="{y0}" y2="{y0}" stroke="var(--line)"/>')
        lines.append(f'<text x="{_LEFT - 6}" y="{float(y0) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for f in np.linspace(0.0, right, 6):
        x, y = place(float(f), 0.0).split(",")
        lines.append(f'<text x="{x}" y="{float(y) + 18:.1f}" text-anchor="middle">{f:.1f}</text>')
    lines.append(f'<text x="{(_LEFT + _WIDE) / 2}" y="{_HIGH - 4}" text-anchor="middle">cycles per pixel</text>')
    for colour, one in zip(_COLOURS, found):
        points = list(zip(one.frequencies.tolist(), one.value.tolist()))
        if one.error is not None and one.error.any():
            errors = (1.96 * one.error).tolist()
            upper = [place(f, min(value + e, top)) for (f, value), e in zip(points, errors)]
            lower = [place(f, max(value - e, 0.0)) for (f, value), e in zip(points, errors)]
            lines.append(f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{colour}" opacity="0.25"/>')
        # Equal curves lie on each other.
        dashes = ' stroke-dasharray="7 5"' if one is found[-1] else ""
        curve = " ".join(place(*point) for point in points)
        lines.append(f'<polyline points="{curve}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>')
    return (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{_HIGH}" viewBox="0 0 {_WIDE} '
        f'{_HIGH}" role="img"><title>Modulation transfer function</title>{"".join(lines)}</svg>'
    )


def _found(fit: Fit, before: Any, after: Any, pair: Compared, channel_axis: int | str | None) -> str:
    """Return the facts as a table, with what the pair says of them."""
    lines = [(label, text) for label, text in facts(fit) if label not in ("verdict", "filter")]
    if (fit.one_kernel or fit.varying is not None) and fit.verdict != "not linear":
        try:
            held = fit.held_out_r2(before, after, channel_axis=channel_axis)
            lines.append(("held out", f"R² {held:.6f} of tiles, by kernels of this size learned from the other tiles"))
        except KernelfieldError as error:
            lines.append(("held out", f"not known: {error}"))
    if fit.verdict != "exact":
        found = str(structure_of(pair)).replace("no structure: ", "none: ").removeprefix("structure: ")
        lines.append(("structure", found))
    rows = "".join(f"<tr><th>{_text(label)}</th><td>{_text(text, 2000)}</td></tr>" for label, text in lines)
    return f'<h2>Found</h2><div class="scroll"><table>{rows}</table></div>'


def _number(value: float) -> str:
    """Return a number in few characters."""
    return "not determined" if np.isinf(value) else f"{value:.3g}"
