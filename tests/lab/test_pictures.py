"""Screenshots of the lab: against pictures that NumPy paints, and against each other before and after every act."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.static import ASSETS
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import kernelfield as kf

LAYOUT = Path(__file__).with_name("layout.json")
EDGE = np.ones((6, 8))
EDGE[:, 2:6] = 0
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
BRICK = np.asarray(Image.open(ASSETS / "photographs" / "brick.png"), float)
#: The diverging palette of docs/reference/lab.md at −1, −1/2, 0, 1/2, 1, and the accents of light and dark.
STOPS = np.array([[5, 60, 120], [66, 146, 198], [247, 247, 247], [253, 141, 60], [150, 45, 3]])
ACCENTS = {"light": (176, 19, 124), "dark": (255, 122, 200)}
SECONDS = 60


def coloured(values: np.ndarray, most: float = 1.0) -> np.ndarray:
    """Return values as the page colours them: signed about zero, or grey from zero to `most`."""
    if values.min() < 0:
        share = np.rint(256 * values / np.abs(values).max()) / 256
        return np.stack([np.interp(share, np.linspace(-1, 1, 5), stop) for stop in STOPS.T], axis=-1)
    return np.repeat(255 * np.clip(values / most, 0, 1)[..., None], 3, axis=-1)


def shot(target: Page | Locator, **how) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(target.screenshot(**how))).convert("RGB")).astype(int)


def until(holds: Callable[[], object], why: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, why
        time.sleep(0.05)


def below(page: Page) -> np.ndarray:
    """Return the picture of everything below the header, with nothing hovered or focused."""
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(1, 1)
    size = page.viewport_size
    top = page.locator(".panes").bounding_box()["y"]
    return shot(page, clip={"x": 0, "y": top, "width": size["width"], "height": size["height"] - top})


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether pictures are the same, but for the smoothing of corners."""
    return one.shape == other.shape and bool(np.abs(one - other).max() <= 8)


def hash_of(page: Page) -> str:
    return page.evaluate("location.hash.slice(1)")


def settled(page: Page) -> np.ndarray:
    """Return the picture once it stays."""
    shots = [below(page)]

    def rests() -> bool:
        shots.append(below(page))
        return same(*shots[-2:])

    until(rests, "it moves")
    return shots[-1]


def drawn(page: Page, name: str) -> np.ndarray:
    """Return the pixels of a canvas; the browser lays it on whole pixels."""
    canvas = page.locator(f".pane.{name} canvas").first
    box, (height, width) = canvas.bounding_box(), canvas.evaluate("e => [e.height, e.width]")
    return shot(page)[round(box["y"]) :, round(box["x"]) :][:height, :width]


def sampled(page: Page, name: str, shape: tuple[int, int], origin: tuple[int, int], pitch: int = 1) -> np.ndarray:
    """Return the colours of a canvas at the pixels of a picture, away from their numbers and from frames.

    The whole before fits into both canvases with three pixels to spare, centred on the same point, and `origin` is the
    first pixel's place on it.
    """
    pictures = {pane: drawn(page, pane) for pane in ("before", "after")}
    height, width = map(int, page.locator(".pane.before h2 small").inner_text().split(" × "))
    cell = min(
        72, *((side - 6) / n for picture in pictures.values() for side, n in zip(picture.shape, (height, width)))
    )
    picture = pictures[name]
    share = 0.5 if cell < 12 else 0.2
    rows = picture.shape[0] / 2 + (origin[0] + pitch * (np.arange(shape[0]) + share) - height / 2) * cell
    columns = picture.shape[1] / 2 + (origin[1] + pitch * (np.arange(shape[1]) + share) - width / 2) * cell
    return picture[np.floor(rows).astype(int)[:, None], np.floor(columns).astype(int)]


@pytest.fixture
def visit(watched, static) -> Iterator[Callable[..., Page]]:
    """Open a state in a page of its own, and return the page when the engine has drawn it."""

    def go(state: str, address: str = static, **how) -> Page:
        page = watched(**{"viewport": {"width": 1280, "height": 800}, **how})
        page.goto(f"{address}#{state}")
        expect(page.locator(".names option")).not_to_have_count(1)
        expect(page.locator(".pane.after h2 small")).not_to_be_empty()
        return page

    return go


PICTURES = {
    "the textbook's edge": ("kernel=1,-1&anchor=0,0&at=0,0", EDGE, [[1, -1]], {"mode": "valid"}, (0, 0), 1),
    "a photograph, same": (
        "image=brick&kernel=-1,0,1;-2,0,2;-1,0,1&mode=same&border=mirror&at=0,127",
        BRICK,
        SOBEL,
        {"mode": "same", "boundary": "mirror"},
        (0, 0),
        1,
    ),
    "a blur over a divisor, full": (
        "image=brick&kernel=1,2,1;2,4,2;1,2,1&divisor=16&mode=full&border=wrap&at=0,129",
        BRICK,
        np.outer([1, 2, 1], [1, 2, 1]) / 16,
        {"mode": "full", "boundary": "wrap"},
        (-1, -1),
        1,
    ),
    "a stride": (
        "image=brick&kernel=0,1,0;1,-4,1;0,1,0&mode=same&stride=3&at=0,42",
        BRICK,
        np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        {"mode": "same", "boundary": "reflect"},
        (0, 0),
        3,
    ),
    "a dilation": (
        "image=brick&kernel=1,0,-1&mode=valid&dilation=5&at=0,117",
        BRICK,
        np.array([[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1]]),
        {"mode": "valid"},
        (0, 5),
        1,
    ),
}


@pytest.mark.parametrize(("case", "scheme"), [*((case, "light") for case in PICTURES), ("a stride", "dark")])
def test_pictures_are_those_that_numpy_paints(visit, case, scheme):
    state, image, kernel, how, origin, pitch = PICTURES[case]
    page = visit(state, color_scheme=scheme)
    most = 255.0 if image.max() > 1 else 1.0
    wanted = kf.correlate(image, np.asarray(kernel, float), **how)[::pitch, ::pitch]
    expect(page.locator(".pane.after h2 small")).to_have_text(" × ".join(map(str, wanted.shape)))
    settled(page)
    for name, values, first, step in (("before", image, (0, 0), 1), ("after", wanted, origin, pitch)):
        found = sampled(page, name, values.shape, first, step)
        inside = np.ones(values.shape, bool)
        if values.size > 100:
            # Without the frame at the upper edge, and the lens in a lower corner of the before.
            inside[: 4 if name == "after" else 8] = False
            inside[200 if name == "before" else len(values) :] = False
        difference = np.abs(found - coloured(values, most))[inside]
        assert difference.max() <= 2, (name, difference.max())


def test_the_exported_picture_has_the_same_colours(visit):
    page = visit("image=brick&kernel=-1,0,1;-2,0,2;-1,0,1&mode=same")
    page.locator("summary", has_text="export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Picture as PNG").click()
    found = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    assert np.abs(found - coloured(kf.correlate(BRICK, SOBEL.astype(float)))).max() <= 1


def cell(page: Page, value: str) -> None:
    page.get_by_label("row 1, column 2").fill(value)
    page.get_by_label("row 1, column 2").press("Enter")


def menu(page: Page, name: str, label: str) -> None:
    page.locator("summary", has_text=name).click()
    page.get_by_role("button", name=label, exact=True).click()


def layer(page: Page, label: str, value: str) -> None:
    page.get_by_label(label).fill(value)


def picked(page: Page, label: str, value: str) -> None:
    page.locator("label", has_text=label).locator("select").select_option(value)


def typed(page: Page, label: str, value: str) -> None:
    page.locator("label", has_text=label).locator("input").fill(value)
    page.locator("label", has_text=label).locator("input").press("Enter")


SLIDE = "at=2,1&mode=same"
FIELDS = "view=fields&image=brick&layers=3,1,1,1;3,2,1,1&unit=20,20"
#: Acts that change the state, one after another: each changes the picture, is in the address, and is undone.
ACTS: dict[str, dict[str, Callable[[Page], None]]] = {
    SLIDE: {
        "edit a cell": lambda page: cell(page, "-1/2"),
        "click a pixel": lambda page: page.locator(".pane.after canvas").first.click(position={"x": 90, "y": 250}),
        "flip": lambda page: page.get_by_role("button", name="flip").click(),
        "a row more": lambda page: page.get_by_label("More rows").click(),
        "an arrow key": lambda page: page.locator(".pane.before canvas").first.press("ArrowRight"),
        "turn": lambda page: page.get_by_label("Turn").click(),
        "mode": lambda page: picked(page, "mode", "full"),
        "border": lambda page: picked(page, "border", "wrap"),
        "divide": lambda page: typed(page, "divide by", "4"),
        "dilation": lambda page: typed(page, "dilation", "3"),
        "stride": lambda page: typed(page, "stride", "2"),
        "zoom": lambda page: page.get_by_label("Zoom in").click(),
        "choose a kernel": lambda page: page.locator(".names select").select_option(label="binomial 3×3"),
        "a shipped picture": lambda page: menu(page, "picture", "Brick wall"),
        "another view": lambda page: page.locator("[data-view=fields]").last.click(),
    },
    FIELDS: {
        "a layer's kernel": lambda page: layer(page, "Layer 1, kernel", "7"),
        "a layer's dilation": lambda page: layer(page, "Layer 2, dilation", "4"),
        "another unit": lambda page: page.locator(".pane.after canvas").first.press("ArrowDown"),
        "a layer more": lambda page: page.get_by_role("button", name="Add a layer").click(),
        "learn": lambda page: page.locator("[data-view=learn]").last.click(),
        "step by step": lambda page: page.get_by_role("button", name="step by step").click(),
    },
}


@pytest.mark.parametrize("state", ACTS)
def test_acts_are_seen_shared_and_undone(visit, static, state):
    page, again = visit(state), visit(state)
    pictures, address = [settled(page)], state
    for act, perform in ACTS[state].items():
        perform(page)
        until(lambda: not same(pictures[-1], below(page)), f"{act}: nothing changed")
        until(lambda last=address: hash_of(page) != last, f"{act}: the address stayed")
        pictures.append(settled(page))
        address = hash_of(page)
        again.goto("about:blank")
        again.goto(f"{static}#{address}")
        until(lambda: same(pictures[-1], below(again)), f"{act}: the address shows another picture")
    for act, picture in zip(reversed(ACTS[state]), reversed(pictures[:-1])):
        page.get_by_label("Undo").click()
        until(lambda picture=picture: same(picture, below(page)), f"{act}: undo left something")
    for act, picture in zip(ACTS[state], pictures[1:]):
        page.get_by_label("Redo").click()
        until(lambda picture=picture: same(picture, below(page)), f"{act}: redo left something")


def canvases(page: Page) -> list[np.ndarray]:
    page.mouse.move(1, 1)
    page.evaluate("document.activeElement.blur()")
    return [drawn(page, name) for name in ("before", "after")]


def test_pointer_and_keys_reach_the_same_pixels(visit):
    page = visit("at=0,0")
    box = page.locator(".pane.after canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2 + 5)
    expect(page.locator(".bar .note")).to_have_text("row 4, column 5")
    pointed = canvases(page)
    strip = shot(page.locator(".strip"))
    keys = visit("at=0,0")
    keys.locator(".pane.before canvas").first.focus()
    for key in ["ArrowDown"] * 3 + ["ArrowRight"] * 4:
        keys.keyboard.press(key)
    expect(keys.locator(".bar .note")).to_have_text("row 4, column 5")
    for one, other in zip(pointed, canvases(keys)):
        assert same(one, other)
    assert same(strip, shot(keys.locator(".strip")))


def test_a_touch_shows_the_picture_of_the_same_state(visit):
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = visit("at=0,0", **phone)
    box = page.locator(".pane.after canvas").first.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2 + 4, box["y"] + box["height"] / 2 + 4)
    expect(page.locator("[aria-live=polite]")).to_contain_text("Row 4, column 5")
    # Undo, in the header, is for who has touched.
    top = round(page.locator(".panes").bounding_box()["y"])
    tapped = shot(page)[top:]
    other = visit("at=3,4", **phone)
    until(lambda: same(tapped, shot(other)[top:]), "the touched pixel looks different")


def test_zoom_and_pan_are_linked(visit):
    """The same rows and columns are seen on both sides: the after of the identity is the before."""
    page = visit("image=brick&kernel=1&mode=same&at=128,128")
    canvas = page.locator(".pane.before canvas").first
    for _ in range(4):
        canvas.press("+")
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 40, steps=4)
    page.mouse.up()
    settled(page)
    before, after = canvases(page)
    # Without the lens, in a lower corner of the before.
    upper = before.shape[0] * 2 // 3
    assert np.abs(before[:upper] - after[:upper]).max() <= 3
    canvas.press("0")
    until(lambda: "zoom" not in hash_of(page), "still zoomed")
    whole = visit(hash_of(page))
    until(lambda: same(below(whole), below(page)), "not whole again")


def dropped(page: Page, **arrays: np.ndarray) -> None:
    """Drop arrays onto the page as files."""
    files = []
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array)
        files.append([f"{name}.npy", base64.b64encode(file.getvalue()).decode()])
    page.evaluate(
        """files => {
          const data = new DataTransfer();
          for (const [name, text] of files)
            data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
          const given = { bubbles: true, cancelable: true, dataTransfer: data };
          document.querySelector("main").dispatchEvent(new DragEvent("drop", given));
        }""",
        files,
    )


def test_a_dropped_pair_is_shown_learned_and_left_without_residual(visit):
    rng = np.random.default_rng(4)
    before = rng.integers(20, 200, (48, 64)).astype(np.uint8)
    after = np.rint(kf.correlate(before, np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 8, boundary="reflect"))
    page = visit("view=learn&at=0,0")
    dropped(page, after=after.astype(np.uint8), before=before)
    expect(page.locator(".pane.before h2 small")).to_have_text("48 × 64")
    for name, values in (("before", before), ("after", after)):
        found = sampled(page, name, values.shape, (0, 0))
        inner = np.abs(found - coloured(values.astype(float), 255.0))[:18]
        assert inner.max() <= 1, name
    page.locator("[data-learn]").click()
    expect(page.locator(".verdict strong")).to_have_text("exact")
    settled(page)
    weights = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]])
    papers = page.locator(".cells .cell").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    palette = coloured(np.concatenate([weights.ravel(), [-4]]))[:9]
    for paper, colour in zip(papers, palette):
        assert np.abs(np.array([int(n) for n in paper[4:-1].split(", ")]) - colour).max() <= 1
    residual = shot(page.locator("figure canvas[aria-label=Residual]"))
    middle = residual[residual.shape[0] // 2 - 20 : residual.shape[0] // 2 + 20, residual.shape[1] // 2 - 20 :][:, :40]
    # Rounding: no pixel is left beyond half a grey level, so the scale is small and both signs are seen.
    assert len(np.unique(middle.reshape(-1, 3), axis=0)) > 5
    assert page.locator("figure .legend").last.inner_text().split()[1] in ("0.5", "0.500")


def test_descent_moves_the_cells_and_restart_shows_the_first_picture_again(visit):
    page = visit("view=learn&how=steps&size=1,2&at=1,1")
    first = settled(page)
    for step in (1, 2, 3):
        page.locator("[data-step]").click()
        expect(page.locator(".descent output")).to_contain_text(f"step {step},")
    third = settled(page)
    fit = kf.descend(EDGE, kf.corr2d(EDGE, [[1, -1]]), size=(1, 2), steps=3, initial=np.zeros((1, 2)))
    papers = page.locator(".cells .cell").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    for paper, colour in zip(papers, coloured(fit.kernel.weights)[0]):
        assert np.abs(np.array([int(n) for n in paper[4:-1].split(", ")]) - colour).max() <= 3
    page.locator("[data-play]").click()
    expect(page.locator("[data-play]")).to_have_text("Pause")
    until(lambda: "step 6" in page.locator(".descent output").inner_text() or not same(third, below(page)), "no play")
    page.locator("[data-play]").click()
    expect(page.locator("[data-play]")).to_have_text("Play")
    page.locator("[data-restart]").click()
    until(lambda: same(first, below(page)), "restart left something")
    for step in (1, 2, 3):
        page.locator("[data-step]").click()
        expect(page.locator(".descent output")).to_contain_text(f"step {step},")
    until(lambda: same(third, below(page)), "the same three steps look different")


def test_the_field_is_framed_where_it_lies(visit):
    page = visit("view=fields&image=brick&layers=3,1,1,1;3,2,1,2;5,2,2,1&unit=30,30")
    expect(page.locator(".strip")).to_contain_text("sees 15×15 pixels")
    rows = {30}
    for kernel, stride, padding, dilation in ((5, 2, 2, 1), (3, 2, 1, 2), (3, 1, 1, 1)):
        rows = {i * stride - padding + t * dilation for i in rows for t in range(kernel)}
    settled(page)
    canvas = page.locator(".pane.before canvas").first
    box, picture = canvas.bounding_box(), shot(canvas)
    side = min((box["width"] - 6) / 256, (box["height"] - 6) / 256)
    at = [picture.shape[axis] / 2 + (np.array([min(rows), max(rows) + 1]) - 128) * side for axis in (0, 1)]
    accent = np.abs(picture - ACCENTS["light"]).max(axis=-1) <= 40
    found = np.argwhere(accent)
    low, high = found.min(axis=0), found.max(axis=0)
    for axis in (0, 1):
        assert abs(low[axis] - at[axis][0]) <= 3
        assert abs(high[axis] - at[axis][1]) <= 3


def test_answers_that_come_late_give_the_same_picture(visit, watched, static):
    late = watched(viewport={"width": 1280, "height": 800})
    late.add_init_script("""
      const post = Worker.prototype.postMessage;
      Worker.prototype.postMessage = function (...given) { setTimeout(() => post.apply(this, given), 120); };
    """)
    late.goto(f"{static}#{SLIDE}")
    expect(late.locator(".pane.after h2 small")).not_to_be_empty()
    quick = visit(SLIDE)
    for page in (late, quick):
        for value in ("2", "-3", "1/2"):
            cell(page, value)
        page.get_by_label("More rows").click()
    until(lambda: same(below(late), settled(quick)), "late answers leave another picture")


def test_the_served_page_looks_like_the_static_one(visit, lab):
    for state in (SLIDE, FIELDS, "view=learn&image=astronaut&mode=same&at=9,9"):
        static = settled(visit(state))
        page = visit(state, f"{lab.origin}/?token={lab.token}")
        until(lambda static=static, page=page: same(static, below(page)), f"{state}: another picture")


def test_each_step_of_the_tour_is_the_picture_of_its_address(visit):
    page = visit("tour=1&at=2,1")
    for step in range(1, 7):
        expect(page.locator(".tour .note")).to_have_text(f"{step} of 6")
        until(lambda step=step: f"tour={step}" in hash_of(page), "no address")
        shown = settled(page)
        again = visit(hash_of(page))
        until(lambda shown=shown, again=again: same(shown, below(again)), f"step {step} looks different")
        page.get_by_role("button", name="Next").click()


def test_colours_of_the_page_follow_the_system_and_pictures_do_not(visit):
    light, dark = (visit(SLIDE, color_scheme=scheme) for scheme in ("light", "dark"))
    papers = [
        page.evaluate("getComputedStyle(document.querySelector('main')).backgroundColor") for page in (light, dark)
    ]
    assert papers == ["rgb(255, 255, 255)", "rgb(22, 24, 28)"]
    light.emulate_media(color_scheme="dark")
    until(lambda: same(below(light), settled(dark)), "the change of the system is not followed")


#: What each window holds; boxes as x, y, width and height in shares of the window.
WINDOWS = {
    "laptop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "wide": {"viewport": {"width": 2560, "height": 1080}},
    "narrow": {"viewport": {"width": 320, "height": 640}},
}
PLACES = [
    "header",
    ".pane.before",
    ".pane.kernel",
    ".pane.after",
    ".pane.before canvas",
    ".pane.after canvas",
    "footer",
]


def boxes(page: Page) -> dict[str, list[float]]:
    size = page.viewport_size
    found = {}
    for name in PLACES:
        box = page.locator(name).first.bounding_box()
        found[name] = [
            round(box[key] / size[of], 3) for key, of in zip(("x", "y", "width", "height"), ("width", "height") * 2)
        ]
    return found


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("state", ["at=2,1", "view=learn&image=astronaut&mode=same", FIELDS])
def test_the_layout_is_that_of_reference(visit, window, state):
    """Fonts differ between machines: a box may be off by 4 % of the window's width, 6 % of its height."""
    page = visit(state, **WINDOWS[window])
    settled(page)
    found, wanted = boxes(page), json.loads(LAYOUT.read_text())[f"{window} {state.split('&')[0]}"]
    for name, box in found.items():
        assert box == pytest.approx(wanted[name], abs=0.06), name
        assert box[0] == pytest.approx(wanted[name][0], abs=0.04), name
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


@pytest.mark.parametrize("size", [3, 5, 7])
def test_all_products_are_in_view_on_a_phone(visit, size):
    kernel = ";".join([",".join(["-0.25"] * size)] * size)
    page = visit(f"image=brick&kernel={kernel}&mode=same&at=99,99", **WINDOWS["phone"])
    expect(page.locator(".strip .term")).to_have_count(size * size)
    strip = page.locator(".strip")
    assert strip.evaluate("e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth]") == [0, 0]
    assert strip.bounding_box()["y"] + strip.bounding_box()["height"] <= 844
