// The elements of the page: built once, each with its name.
import { BOUNDARIES } from "./state.js";
import { TOUR } from "./tour.js";

/** @typedef {import("./lab.js").Lab} Lab */
/** @typedef {ReturnType<typeof build>} Parts */
/** Attributes; `on…` are listeners, `text` is the text. @typedef {Record<string, string | number | boolean | null | undefined | (() => void)>} Given */

const VIEWS = { slide: "Slide", learn: "Learn", fields: "Fields" };
const SIDES = [[1, 2], [2, 1], [3, 3], [5, 5], [7, 7], [9, 9], [11, 11], [15, 15]];
/** The languages of code by their names in Python. @type {Record<string, string>} */
export const TARGETS = { numpy: "NumPy", scipy: "SciPy", pytorch: "PyTorch", tensorflow: "TensorFlow", jax: "JAX", mxnet: "MXNet", opencv: "OpenCV", onnx: "ONNX" };
/** The pictures that come with the page. @type {Record<string, string>} */
export const PICTURES = { edge: "Textbook edge, 6×8", astronaut: "Astronaut, sharpened", brick: "Brick wall" };

/**
 * Returns an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Given} given @param {...(Node | string | null)} children
 */
export function element(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (key === "text") made.textContent = String(value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** @param {string} text @param {() => void} onclick @param {Given} [more] */
const button = (text, onclick, more) => element("button", { type: "button", onclick, ...more, text });

/** A list to choose from, with its label. @param {string} label @param {Record<string, string>} choices @param {(value: string) => void} chosen */
function choose(label, choices, chosen) {
  const select = element("select", { onchange: () => { chosen(select.value); } }, ...Object.entries(choices).map(([value, text]) => element("option", { value, text })));
  return { box: element("label", { class: "choose" }, element("span", { text: label }), select), select };
}

/** A field for a number, with its label. @param {string} label @param {Given} given @param {(input: HTMLInputElement) => void} changed */
function field(label, given, changed) {
  const input = element("input", { inputmode: "decimal", ...given, onchange: () => { changed(input); } });
  return { box: element("label", { class: "choose" }, element("span", { text: label }), input), input };
}

/** A menu that opens. @param {string} name @param {string} label @param {...Node} children */
const menu = (name, label, ...children) => element("details", { class: `menu ${name}` }, element("summary", { text: label }), element("div", { class: "sheet" }, ...children));

/** A picture with the scale of its colours. @param {string} label */
const picture = (label) => ({
  canvas: element("canvas", { tabindex: 0, role: "application", "aria-label": label, "aria-roledescription": "picture", "aria-describedby": "kf-keys" }),
  low: element("span"),
  bar: element("canvas", { width: 128, height: 1, "aria-hidden": "true" }),
  high: element("span"),
  zero: element("span"),
});
/** @param {ReturnType<typeof picture>} of */
const scaled = ({ canvas, low, bar, high, zero }) => [canvas, element("div", { class: "legend", role: "img" }, low, bar, high, zero)];

/** The head of a pane. @param {string} title */
function heading(title) {
  const name = element("span", { text: title }), note = element("small");
  return { box: element("h2", {}, name, note), name, note };
}

/** Builds the page in its root. @param {Lab} lab @param {HTMLElement} root */
export function build(lab, root) {
  const open = element("input", {
    type: "file", accept: "image/*,.npy,.tif,.tiff,.exr,.fits", multiple: true, class: "hidden", tabindex: -1, "aria-label": "Open a picture, or a before and an after",
    onchange: () => { lab.openFiles([...(open.files ?? [])]); open.value = ""; },
  });
  const tabs = Object.entries(VIEWS).map(([view, text]) => button(text, () => lab.set({ view, tour: 0 }), { "data-view": view }));
  const undo = button("↶", () => lab.travel(-1), { "aria-label": "Undo", title: "Undo (Ctrl+Z)" });
  const redo = button("↷", () => lab.travel(1), { "aria-label": "Redo", title: "Redo (Ctrl+Shift+Z)" });
  const pictures = Object.entries(PICTURES).map(([key, text]) => button(text, () => { photos.open = false; lab.pick(key); }, { "data-picture": key }));
  const camera = button("Camera", () => lab.toggleCamera(), { hidden: !navigator.mediaDevices?.getUserMedia });
  const photos = menu("photos", "picture", element("div", { class: "list" }, ...pictures), button("Open…", () => open.click(), { title: "One picture, or a before and an after" }), camera,
    element("p", { class: "hint", text: "or drop or paste one picture, or a before and an after" }));
  const header = element("header", {}, element("h1", { text: "kernelfield lab" }), element("nav", { class: "tabs", "aria-label": "View" }, ...tabs),
    element("div", { class: "tools" }, undo, redo, photos, button("share", () => lab.share(), { title: "Copy the address of this state" }),
      button("?", () => lab.set({ ...TOUR[0].state }), { "aria-label": "Guided tour", title: "Guided tour" })));

  const tourTitle = element("h2"), tourText = element("p"), tourBack = button("Back", () => lab.tourStep(-1)), tourCount = element("span", { class: "note" });
  const tour = element("aside", { class: "tour", hidden: true, "aria-label": "Guided tour" }, tourTitle, tourText,
    element("div", { class: "row" }, tourBack, tourCount, button("Next", () => lab.tourStep(1), { class: "main" }), button("Close", () => lab.set({ tour: 0 }))));

  // The kernel: cells that are edited, or found
  const names = element("select", { "aria-label": "Kernel of the catalogue", onchange: () => { lab.choose(Number(names.value)); } }, element("option", { value: "", text: "own kernel" }));
  const nameRow = element("div", { class: "row names" }, names);
  const cells = element("div", { class: "cells", role: "group", "aria-label": "Weights of the kernel" });
  const sizes = [element("output"), element("output")];
  /** @param {number} axis @param {string} label */
  const size = (axis, label) => element("span", { class: "size" }, element("span", { text: label }), button("−", () => lab.resize(axis, -1), { "aria-label": `Fewer ${label}` }), sizes[axis],
    button("+", () => lab.resize(axis, 1), { "aria-label": `More ${label}` }));
  const divisor = field("divide by", { size: 5 }, (input) => lab.divide(input)), sum = element("output", { class: "note" });
  const flip = button("flip ⇄", () => lab.set({ flip: !lab.state.flip }), { "aria-pressed": "false" }), flipText = element("span", { class: "note" });
  const mini = element("div", { class: "mini", role: "img" }), slides = element("div", { class: "slides", hidden: true }, element("span", { class: "note", text: "slides as" }), mini);
  const mode = choose("mode", { valid: "valid: inside only", same: "same size", full: "full: every overlap" }, (chosen) => lab.set({ mode: chosen, at: null }));
  const border = choose("border", Object.fromEntries(BOUNDARIES.map((b) => [b, b])), (chosen) => lab.set({ border: chosen }));
  const number = { type: "number", inputmode: "numeric", min: 1, max: 15, size: 3 };
  const stride = field("stride", number, (input) => lab.setWhole("stride", input)), dilation = field("dilation", number, (input) => lab.setWhole("dilation", input));
  const slideTools = element("div", { class: "tools-slide" },
    element("div", { class: "row" }, size(0, "rows"), size(1, "columns"), button("⇄", () => lab.turn(), { title: "Turn: rows become columns", "aria-label": "Turn: rows become columns" })),
    element("div", { class: "row" }, divisor.box, sum), element("div", { class: "row" }, flip, flipText), slides,
    element("div", { class: "row" }, mode.box, border.box), element("div", { class: "row" }, stride.box, dilation.box));

  // Learning
  const learn = button("Learn", () => lab.learn(), { class: "main", "data-learn": true });
  const ways = Object.entries({ once: "at once", steps: "step by step" }).map(([how, text]) => button(text, () => lab.set({ how }), { "data-how": how }));
  const learnSize = choose("size", { "": "searched", ...Object.fromEntries(SIDES.map((side) => [side.join(), side.join("×")])) }, (text) => lab.set({ size: text ? text.split(",").map(Number) : null }));
  const play = button("Play", () => lab.playDescent(), { class: "main", "data-play": true }), rate = field("rate", { size: 7 }, (input) => lab.setRate(input));
  const curve = element("canvas", { class: "curve", role: "img", "aria-label": "Loss of each step" }), loss = element("output", { class: "note" });
  const descent = element("div", { class: "descent" }, element("div", { class: "row" }, play, button("Step", () => lab.stepDescent(1), { "data-step": true }), button("Restart", () => lab.restart(), { "data-restart": true }), rate.box), curve, loss);
  const verdict = element("div", { class: "verdict", role: "status" });
  const progress = element("progress", { "aria-label": "Learning" }), stage = element("span", { class: "note" });
  const working = element("div", { class: "row working", hidden: true }, button("Cancel", () => lab.cancel?.abort()), stage, progress);
  const learnTools = element("div", { class: "tools-learn" }, element("div", { class: "row" }, learn, element("div", { class: "tabs small", role: "group", "aria-label": "How" }, ...ways)),
    element("div", { class: "row" }, learnSize.box), descent, working, verdict);

  // Fields
  const layers = element("div", { class: "layers" }), fieldText = element("p", { class: "note" });
  const fieldTools = element("div", { class: "tools-fields" }, layers, element("div", { class: "row" }, button("Add a layer", () => lab.setLayers([...lab.state.layers, [3, 1, 1, 1]]))), fieldText);

  const before = picture("Before"), after = picture("After"), residual = picture("Residual");
  const beforeHead = heading("Before"), kernelHead = heading("Kernel"), afterHead = heading("After");
  /** @param {string} name @param {string} title @param {...Node} children */
  const pane = (name, title, ...children) => element("section", { class: `pane ${name}`, "aria-label": title }, ...children);
  const residualFigure = element("figure", { hidden: true }, element("figcaption", { text: "Residual" }), ...scaled(residual));

  const slidePlay = button("Pause", () => lab.togglePlay(), { "data-slide": true }), place = element("span", { class: "note" });
  const take = menu("take up", "export", button("Kernel as JSON", () => lab.take("json")), button("Kernel as CSV", () => lab.take("csv")), button("Kernel as NPY", () => lab.take("npy")),
    button("Report", () => lab.take("txt")), button("Picture as PNG", () => lab.take("png")), element("h3", { text: "Code" }),
    element("div", { class: "list codes" }, ...Object.entries(TARGETS).map(([key, text]) => button(text, () => lab.showCode(key), { "data-code": key }))));
  const strip = element("div", { class: "strip", tabindex: 0, role: "group", "aria-label": "The sum of products" });
  const live = element("p", { class: "hidden", "aria-live": "polite" }), message = element("p", { class: "message", role: "alert", hidden: true });
  const codeTitle = element("h2"), codeText = element("pre", { tabindex: 0 });
  const codeBox = element("dialog", { class: "code", "aria-label": "Code" }, codeTitle, codeText, element("div", { class: "row" }, button("Copy", () => lab.copyCode(), { class: "main" }), button("Save", () => lab.saveCode()), button("Close", () => codeBox.close())));

  root.replaceChildren(header, tour,
    element("div", { class: "panes" },
      pane("before", "Before", beforeHead.box, ...scaled(before)),
      pane("kernel", "Kernel", kernelHead.box, nameRow, cells, slideTools, learnTools, fieldTools),
      pane("after", "After", afterHead.box, element("div", { class: "pictures" }, element("figure", {}, ...scaled(after)), residualFigure))),
    element("footer", {},
      element("div", { class: "row bar" }, slidePlay, place, element("span", { class: "zoom" },
        button("−", () => lab.zoom(1 / 1.5), { "aria-label": "Zoom out" }), button("fit", () => lab.set({ zoom: 1, centre: null }), { title: "Whole picture" }), button("+", () => lab.zoom(1.5), { "aria-label": "Zoom in" })), take),
      strip, live, message, element("p", { id: "kf-keys", class: "hidden", text: "Arrow keys move the window, with Shift by ten. Plus and minus zoom, zero shows the whole picture. Control and Z undoes." })),
    codeBox, open);
  return {
    open, tabs, undo, redo, pictures, camera, photos, tour, tourTitle, tourText, tourBack, tourCount, names, nameRow, cells, sizes, divisor: divisor.input, sum, flip, flipText, mini, slides,
    mode: mode.select, border: border.select, borderBox: border.box, stride: stride.input, dilation: dilation.input, slideTools, learn, ways, learnSize: learnSize.select, play, rate: rate.input, curve, loss, descent, verdict,
    progress, stage, working, learnTools, layers, fieldText, fieldTools, drawn: { before, after, residual }, beforeHead, kernelHead, afterHead, residualFigure, slidePlay, place, take, strip, live, message,
    codeBox, codeTitle, codeText,
  };
}
