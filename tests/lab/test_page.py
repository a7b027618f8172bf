"""The page of the lab as static files: what people do on it, in Chromium."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.browser import FLAGS, chromium
from helpers.static import ASSETS
from PIL import Image
from playwright.sync_api import Page, expect

import kernelfield as kf
from kernelfield.kernels import Kernel
from kernelfield.kernels.programs import program

EDGE = np.ones((6, 8))
EDGE[:, 2:6] = 0
SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "filter.schema.json"
SOBEL = "image=astronaut&kernel=-1,0,1;-2,0,2;-1,0,1&mode=same"


@pytest.fixture
def visit(page, static):
    """Open a state of the page, wait until the engine has drawn it, and return the page."""

    def go(state: str = "", on: Page = page) -> Page:
        on.goto("about:blank")
        on.goto(f"{static}#{state}" if state else static)
        expect(on.locator(".names option")).not_to_have_count(1)
        expect(on.locator(".pane.after h2 small")).not_to_be_empty()
        return on

    return go


def expect_sum(page: Page, text: str) -> None:
    expect(page.locator(".strip")).to_have_text(text.replace("-", "−"))


def cells(page: Page) -> list[str]:
    return page.locator(".cells .cell").evaluate_all("all => all.map(e => e.value ?? e.firstChild.textContent)")


def focus_after(page: Page) -> None:
    page.locator(".pane.after canvas").first.focus()


def taken(page: Page, name: str) -> bytes:
    page.locator("summary", has_text="export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    with open(download.value.path(), "rb") as file:
        return file.read()


def test_the_first_visit_slides_over_the_textbook_edge(visit):
    page = visit()
    expect(page.locator(".pane.before h2 small")).to_have_text("6 × 8")
    expect(page.locator(".pane.after h2 small")).to_have_text("6 × 7")
    first = page.locator(".bar .note").inner_text()
    expect(page.locator(".bar .note")).not_to_have_text(first)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_nothing_moves_by_itself_where_the_system_asks_for_none(watched, visit):
    page = visit(on=watched(reduced_motion="reduce"))
    expect(page.locator("[data-slide]")).to_have_text("Play")


def test_arrow_keys_show_every_product_and_the_sum(visit):
    page = visit("at=2,0")
    focus_after(page)
    page.keyboard.press("ArrowRight")
    expect_sum(page, "1 · 1 + 0 · (-1) = 1")
    expect(page.locator("[aria-live=polite]")).to_have_text(re.compile("Row 3, column 2: 1 · 1"))
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect_sum(page, "0 · 1 + 1 · (-1) = -1")


def test_hover_and_tap_choose_the_pixel_under_the_pointer(watched, visit):
    page = visit("at=0,0")
    box = page.locator(".pane.before canvas").first.bounding_box()
    # The middle is the corner of four pixels, and touches have no fractions: a little to the right and below it.
    middle = box["x"] + box["width"] / 2 + 4, box["y"] + box["height"] / 2 + 4
    page.mouse.move(*middle)
    expect(page.locator(".bar .note")).to_have_text("row 4, column 5")
    phone = visit("at=0,0", on=watched(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True))
    box = phone.locator(".pane.before canvas").first.bounding_box()
    phone.touchscreen.tap(box["x"] + box["width"] / 2 + 4, box["y"] + box["height"] / 2 + 4)
    expect(phone.locator("[aria-live=polite]")).to_have_text(re.compile("Row 4, column 5"))


def test_cells_are_edited_and_the_feature_map_follows(visit):
    page = visit("at=0,1")
    cell = page.get_by_label("row 1, column 2")
    cell.fill("-1/2")
    cell.press("Enter")
    focus_after(page)
    page.keyboard.press("ArrowLeft")
    expect_sum(page, "1 · 1 + 1 · (-0.5) = 0.5")
    expect(page.locator(".names select")).to_have_value("")
    cell.fill("nonsense")
    cell.press("Tab")
    expect(cell).to_have_value("−0.5")


def test_undo_and_redo_go_through_all_changes(visit):
    page = visit("at=0,1")
    page.get_by_label("More rows").click()
    expect(page.locator(".cells .cell")).to_have_count(4)
    page.get_by_role("button", name="flip").click()
    page.keyboard.press("Control+z")
    expect(page.get_by_role("button", name="flip")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".cells .cell")).to_have_count(2)
    page.get_by_role("button", name="Redo").click()
    expect(page.locator(".cells .cell")).to_have_count(4)


def test_a_kernel_of_the_catalogue_with_its_divisor(visit):
    page = visit("at=1,1&mode=same")
    page.locator(".names select").select_option(label="binomial 3×3")
    assert cells(page) == ["1", "2", "1", "2", "4", "2", "1", "2", "1"]
    expect(page.locator(".row output.note")).to_have_text("sum 1")


def test_sizes_grow_and_shrink_around_the_middle_and_turn(visit):
    page = visit("kernel=1,2,3&mode=same")
    page.get_by_label("More rows").click()
    page.get_by_label("More rows").click()
    assert cells(page) == ["0", "0", "0", "1", "2", "3", "0", "0", "0"]
    page.get_by_label("Fewer rows").click()
    page.get_by_label("Fewer rows").click()
    assert cells(page) == ["1", "2", "3"]
    page.get_by_label("Turn").click()
    expect(page.locator(".size output").first).to_have_text("3")


def test_flip_is_strict_convolution_and_shows_the_flipped_kernel(visit):
    page = visit("data=0,1,2;3,4,5;6,7,8&kernel=0,1;2,3&anchor=0,0&at=0,0&flip=1")
    expect(page.locator(".mini")).to_have_attribute("aria-label", "slides as 3 2; 1 0")
    expect(page.locator(".strip .total")).to_have_text("5")
    page.get_by_role("button", name="flip").click()
    expect(page.locator(".strip .total")).to_have_text("19")


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
def test_results_are_those_of_kernelfield(visit, mode):
    page = visit(f"kernel=1,2,1;0,-3,0;5,0,1&mode={mode}&border=mirror&at=0,0")
    kernel = [[1, 2, 1], [0, -3, 0], [5, 0, 1]]
    wanted = kf.correlate(EDGE, kernel, mode=mode, boundary="mirror")
    expect(page.locator(".pane.after h2 small")).to_have_text(f"{wanted.shape[0]} × {wanted.shape[1]}")
    focus_after(page)
    found = []
    for column in range(wanted.shape[1]):
        page.keyboard.press("ArrowRight" if column else "Home")
        expect(page.locator(".bar .note")).to_have_text(f"row 1, column {column + 1}")
        found.append(float(page.locator(".strip .total").inner_text().replace("−", "-")))
    np.testing.assert_allclose(found, wanted[0])


def test_the_whole_state_is_in_the_address(visit):
    page = visit("kernel=1,0,-1&divisor=2&flip=1&mode=full&border=wrap&at=1,2&zoom=2")
    page.get_by_label("More rows").click()
    expect(page).to_have_url(re.compile("kernel=1,0,-1;0,0,0&divisor=2&anchor=0,1&flip=1&mode=full&border=wrap"))
    state = page.url.split("#")[1]
    again = visit(state)
    assert cells(again) == ["1", "0", "−1", "0", "0", "0"]
    expect(again.get_by_role("button", name="flip")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(
    "state", ["kernel=1,x&at=a", "view=none&layers=0,0,0,0", "image=%ff", "kernel=" + "1," * 99 + "1"]
)
def test_addresses_that_are_not_understood_open_the_first_state(visit, state):
    page = visit(state)
    assert cells(page) == ["1", "−1"]


def test_a_dropped_pair_is_learned(visit):
    page = visit()
    pixels = np.random.default_rng(3).integers(40, 200, (64, 80)).astype(np.uint8)
    blurred = kf.correlate(pixels, np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16, boundary="nearest")
    page.locator("input[type=file]").set_input_files(
        [
            {"name": "after.npy", "mimeType": "", "buffer": _npy(blurred)},
            {"name": "before.npy", "mimeType": "", "buffer": _npy(pixels)},
        ]
    )
    expect(page.locator("[data-view=learn]").last).to_have_attribute("aria-current", "page")
    page.locator("[data-learn]").click()
    expect(page.locator(".verdict strong")).to_have_text("exact")
    expect(page.locator("dl")).to_contain_text("binomial 3×3")
    expect(page.locator("dl")).to_contain_text("reflect: from the border pixels; the same result with nearest")
    assert cells(page)[4] == "4"


def test_dropping_and_pasting_take_files(visit):
    page = visit()
    script = """([root, kind]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(window.picture), c => c.charCodeAt(0))], "mine.npy"));
      const given = kind === "paste" ? { clipboardData: data } : { dataTransfer: data };
      const Event = kind === "paste" ? ClipboardEvent : DragEvent;
      root.dispatchEvent(new Event(kind, { bubbles: true, cancelable: true, ...given }));
    }"""
    for kind, shape in (("drop", (50, 60)), ("paste", (70, 40))):
        picture = base64.b64encode(_npy(np.zeros(shape, np.uint8))).decode()
        page.evaluate("picture => { window.picture = picture; }", picture)
        page.evaluate(script, [page.locator("main").element_handle(), kind])
        expect(page.locator(".pane.before h2 small")).to_have_text(f"{shape[0]} × {shape[1]}")


def test_a_file_that_is_no_picture_is_refused_in_one_line(visit):
    page = visit()
    page.locator("input[type=file]").set_input_files({"name": "notes.txt", "mimeType": "", "buffer": b"not a picture"})
    expect(page.locator(".message")).to_contain_text("notes.txt: expected a picture")
    expect(page.locator(".pane.before h2 small")).to_have_text("6 × 8")


BROKEN = {
    "empty.png": b"",
    "short.npy": b"\x93NUMPY\x01",
    "cut.npy": lambda: _npy(np.zeros((50, 60)))[:-1],
    "headless.npy": lambda: _npy(np.zeros((50, 60)))[:40],
    "three axes.npy": lambda: _npy(np.zeros((5, 6, 3))),
    "fortran.npy": lambda: _npy(np.asfortranarray(np.zeros((5, 6)))),
    "words.npy": lambda: _npy(np.full((5, 6), "x")),
    "nothing.npy": lambda: _npy(np.zeros((0, 6))),
    "cut.png": lambda: (ASSETS / "photographs" / "brick.png").read_bytes()[:300],
}


def test_broken_files_are_refused_in_one_line_and_the_page_goes_on(visit):
    page = visit("at=2,1")
    for name, content in BROKEN.items():
        buffer = content if isinstance(content, bytes) else content()
        page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "", "buffer": buffer})
        expect(page.locator(".message")).to_contain_text(f"{name}: expected")
        expect(page.locator(".pane.before h2 small")).to_have_text("6 × 8")
    many = [{"name": f"{i}.png", "mimeType": "", "buffer": b""} for i in range(3)]
    page.locator("input[type=file]").set_input_files(many)
    expect(page.locator(".message")).to_contain_text("files: expected a picture, or a before and an after; received 3")
    numbers = np.ones((40, 50), np.float32)
    numbers[3:5] = [[np.nan], [np.inf]]
    page.locator("input[type=file]").set_input_files({"name": "a.npy", "mimeType": "", "buffer": _npy(numbers)})
    expect(page.locator(".pane.before h2 small")).to_have_text("40 × 50")
    cell = page.get_by_label("row 1, column 1")
    cell.fill("3")
    expect(page.locator(".strip .total")).to_have_text(re.compile(r"[0-9−]"))


def test_a_camera_that_is_refused_is_said_in_one_line(watched, visit):
    page = visit(on=watched(viewport={"width": 1280, "height": 800}, permissions=[]))
    page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("denied", "NotAllowedError"); };
    }""")
    page.locator("summary", has_text="picture").click()
    page.get_by_role("button", name="Camera").click()
    expect(page.locator(".message")).to_have_text("camera: the browser did not allow it")
    expect(page.locator(".pane.before h2 small")).to_have_text("6 × 8")


def test_the_shipped_pair_is_learned_with_errors_name_border_and_verdict(visit):
    page = visit("view=learn&image=astronaut&mode=same")
    page.locator("[data-learn]").click()
    expect(page.locator(".verdict strong")).to_have_text("exact")
    assert cells(page) == ["−1"] * 4 + ["16"] + ["−1"] * 4
    expect(page.locator(".cells small").first).to_have_text(re.compile("±0.00"))
    expect(page.locator("dl")).to_contain_text("sharpen")
    expect(page.locator("dl")).to_contain_text("copy: from the border pixels")
    expect(page.locator("figcaption")).to_be_visible()
    record = json.loads(taken(page, "Kernel as JSON"))
    schema = json.loads(SCHEMA.read_text())
    jsonschema.validate(record, schema)
    assert b"verdict   exact" in taken(page, "Report")


def test_descent_plays_pauses_steps_and_restarts(visit):
    page = visit("view=learn&how=steps&size=1,2")
    loss = page.locator(".descent output")
    for step in (1, 2):
        page.locator("[data-step]").click()
        expect(loss).to_have_text(re.compile(f"step {step}, loss"))
    want = kf.descend(EDGE, kf.corr2d(EDGE, [[1, -1]]), size=(1, 2), steps=2, initial=np.zeros((1, 2)))
    assert float(loss.inner_text().split("loss ")[1]) == pytest.approx(want.losses[-1], rel=1e-3)
    np.testing.assert_allclose([float(c.replace("−", "-")) for c in cells(page)], want.kernel.weights[0], rtol=1e-2)
    page.locator("[data-restart]").click()
    expect(loss).to_be_empty()
    page.locator("[data-play]").click()
    expect(page.locator("[data-play]")).to_have_text("Pause")
    expect(loss).to_have_text(re.compile(r"step [3-9]"))
    page.locator("[data-play]").click()
    expect(page.locator("[data-play]")).to_have_text("Play")


def test_a_rate_at_which_the_loss_rises_is_said(visit):
    page = visit("view=learn&how=steps&size=1,2&rate=5")
    for step in range(1, 6):
        page.locator("[data-step]").click()
        if step < 5:
            expect(page.locator(".descent output")).to_have_text(re.compile(f"step {step},"))
    expect(page.locator(".message")).to_contain_text("rate: expected at most")


def test_fields_are_those_of_kernelfield(visit):
    page = visit("view=fields&image=brick&layers=3,1,1,1;3,2,1,2;5,2,2,1&unit=0,3")
    rows = page.locator(".layers tbody tr")
    expect(rows.nth(2).locator("td.note").last).to_have_text("15")
    expect(page.locator(".strip")).to_contain_text("sees 15×15 pixels")
    rows_read = {0}
    for kernel, stride, padding, dilation in ((5, 2, 2, 1), (3, 2, 1, 2), (3, 1, 1, 1)):
        rows_read = {i * stride - padding + t * dilation for i in rows_read for t in range(kernel)}
    expect(page.locator(".strip")).to_contain_text(f"rows −{-min(rows_read) - 1} to {max(rows_read) + 1}")
    page.get_by_label("Layer 1, kernel").fill("5")
    expect(rows.nth(2).locator("td.note").last).to_have_text("17")
    page.get_by_role("button", name="Add a layer").click()
    expect(rows).to_have_count(4)
    page.get_by_label("Remove layer 4").click()
    expect(rows).to_have_count(3)
    focus_after(page)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".bar .note")).to_contain_text("row")


def test_the_kernel_is_taken_away_in_every_form(visit):
    page = visit("kernel=1,2;3,4&divisor=10&mode=same")
    want = np.array([[0.1, 0.2], [0.3, 0.4]])
    record = json.loads(taken(page, "Kernel as JSON"))
    np.testing.assert_array_equal(record["kernel"], want)
    np.testing.assert_array_equal(np.load(io.BytesIO(taken(page, "Kernel as NPY"))), want)
    np.testing.assert_array_equal(np.loadtxt(io.BytesIO(taken(page, "Kernel as CSV")), delimiter=","), want)
    assert Image.open(io.BytesIO(taken(page, "Picture as PNG"))).size == (8, 6)


def test_code_is_that_of_kernelfield(visit):
    page = visit("kernel=-1,0,1;-2,0,2;-1,0,1&mode=same")
    for target in ("numpy", "scipy", "pytorch", "tensorflow", "jax", "mxnet", "opencv", "onnx"):
        page.locator("summary", has_text="export").click()
        page.locator(f"[data-code={target}]").click()
        expect(page.locator("dialog")).to_be_visible()
        assert page.locator("dialog pre").text_content() == program(
            Kernel([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]), target
        )
        page.get_by_role("button", name="Close").last.click()
        expect(page.locator("dialog")).to_be_hidden()


def test_the_tour_has_six_steps_each_a_state(visit):
    page = visit()
    page.get_by_label("Guided tour").first.click()
    titles = []
    for step in range(1, 7):
        expect(page.locator(".tour .note")).to_have_text(f"{step} of 6")
        titles.append(page.locator(".tour h2").inner_text())
        expect(page).to_have_url(re.compile(f"tour={step}"))
        page.get_by_role("button", name="Next").click()
    assert titles == ["Slide", "Edge", "Learn", "Flip", "Feature map", "Receptive field"]
    expect(page.locator(".tour")).to_be_hidden()


def test_zoom_is_linked_and_keeps_the_whole_picture_one_key_away(visit):
    page = visit(SOBEL)
    focus_after(page)
    for _ in range(8):
        page.keyboard.press("+")
    expect(page).to_have_url(re.compile(r"zoom=2\d"))
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("0")
    expect(page).not_to_have_url(re.compile("zoom="))


def test_everything_is_reached_by_the_keyboard(visit):
    page = visit("at=0,0")
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent")
        )
    for name in (
        "Learn",
        "Fields",
        "Before",
        "After",
        "row 1, column 1",
        "flip ⇄",
        "share",
        "export",
        "Zoom in",
        "Guided tour",
    ):
        assert name in seen, name


@pytest.mark.parametrize(
    ("scheme", "state"),
    [
        ("light", "at=2,1"),
        ("light", SOBEL + "&flip=1"),
        ("light", "view=learn&tour=3&how=steps"),
        ("light", "view=fields&image=brick"),
        ("dark", SOBEL + "&flip=1&tour=1"),
        ("dark", "view=learn&how=steps"),
    ],
)
def test_axe_finds_nothing_serious(watched, visit, scheme, state):
    page = visit(state, on=watched(viewport={"width": 1280, "height": 800}, color_scheme=scheme, bypass_csp=True))
    if "learn" in state:
        page.locator("[data-step]").click()
        expect(page.locator(".cells .cell")).not_to_have_count(0)
    found = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert not found, json.dumps(found, indent=1)[:3000]


@pytest.mark.parametrize("state", ["at=2,1", SOBEL, "view=learn&image=astronaut&mode=same", "view=fields&image=brick"])
def test_a_phone_has_no_sideways_scroll(watched, visit, state):
    page = visit(state, on=watched(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_with_its_server_the_page_learns_in_python_and_is_loaded_again(page, lab):
    page.goto(f"{lab.address}#view=learn&image=astronaut&mode=same")
    for _ in range(2):
        expect(page.locator(".pane.after h2 small")).to_have_text("256 × 256")
        assert "token" not in page.url
        page.locator("[data-learn]").click()
        expect(page.locator(".verdict strong")).to_have_text("exact", timeout=20_000)
        page.reload()
        expect(page.locator(".verdict strong")).to_have_count(0)
    page.locator("[data-learn]").click()
    expect(page.locator("dl")).to_contain_text("Pillow", timeout=20_000)  # which only Python names


def test_answers_that_come_late_are_those_of_the_last_kernel(watched, static, visit):
    late = watched(viewport={"width": 1280, "height": 800})
    late.add_init_script("""
      const post = Worker.prototype.postMessage;
      Worker.prototype.postMessage = function (...given) { setTimeout(() => post.apply(this, given), 150); };
    """)
    page = visit("at=0,1", on=late)
    cell = page.get_by_label("row 1, column 2")
    for value in ("2", "3", "4", "5", "6"):
        cell.fill(value)
    focus_after(page)
    page.keyboard.press("ArrowLeft")
    expect_sum(page, "1 · 1 + 1 · 6 = 7")


def test_the_camera_is_a_picture_that_moves(browser, static):
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    own = browser.browser_type.launch(executable_path=chromium(), args=[*FLAGS, *fake])
    page = own.new_page()
    page.goto(static)
    page.locator("summary", has_text="picture").click()
    page.get_by_role("button", name="Camera").click()
    expect(page.locator(".pane.before h2 small")).to_have_text("240 × 320")
    page.locator("summary", has_text="picture").click()
    page.get_by_role("button", name="Stop the camera").click()
    own.close()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
