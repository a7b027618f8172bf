// The lab: three panes and a strip, in which a kernel slides, is learned, and a stack of layers grows its field.
import { createLocal, flipped, grey, recognised, short, tabled } from "./engine.js";
import { extents, growth, paths, reach } from "./fields.js";
import { csv, designed, download, fromNpy, npy, report } from "./files.js";
import { BOUNDARIES, History, readState, written } from "./state.js";
import { TOUR } from "./tour.js";
import { READABLE, View, inks, pictureOf, scaleOf } from "./view.js";

/** @typedef {import("./engine.js").Image} Image */

const VIEWS = { slide: "Slide", learn: "Learn", fields: "Fields" };
const TARGETS = { numpy: "NumPy", pytorch: "PyTorch", tensorflow: "TensorFlow", jax: "JAX", mxnet: "MXNet", opencv: "OpenCV", onnx: "ONNX" };
const PICTURES = { edge: "Textbook edge, 6×8", astronaut: "Astronaut, sharpened", brick: "Brick wall" };
const SHIPPED = { astronaut: ["photographs/astronaut.png", "photographs/astronaut-sharpened.png"], brick: ["photographs/brick.png"] };
/** The largest side of a kernel that has cells. */
const LARGEST = 15;
/** Milliseconds between places of the window that slides by itself. */
const PACE = 900;
/** The textbook's rate for its edge. */
const TEXTBOOK_RATE = 0.03;

/** The textbook's image: white, with a black band in the middle. */
function edge() {
  const data = Float32Array.from({ length: 48 }, (_, i) => +(i % 8 < 2 || i % 8 > 5));
  return { width: 8, height: 6, channels: 1, data, depth: "float" };
}

/** Returns an element; `on…` are listeners, `text` its text, others its attributes. */
function element(document, tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "text") made.textContent = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Reads a number as people write it: 0.5, 1/9, −2. Returns null where it is none. */
function readNumber(text) {
  const [top, bottom, ...rest] = text.trim().replace(/−/g, "-").replace(",", ".").split("/");
  const value = rest.length || top === "" ? NaN : bottom === undefined ? Number(top) : Number(top) / Number(bottom);
  return Number.isFinite(value) ? value : null;
}

/** A number in a cell: as short as it stays the same. */
const plain = (value) => String(Number(value.toPrecision(7))).replace("-", "−");

class Lab {
  constructor(root, options) {
    this.root = root;
    this.document = root.ownerDocument;
    this.window = this.document.defaultView;
    this.options = options;
    this.local = createLocal(options.asset);
    this.remote = options.remote ?? null;
    this.hash = options.state !== null && options.state !== undefined;
    this.state = readState(options.state ?? "");
    this.history = new History(this.state);
    this.pictures = new Map([["edge", { before: edge() }]]);
    this.result = {};
    this.catalogue = { kernels: [], version: "" };
    this.still = this.window.matchMedia("(prefers-reduced-motion: reduce)");
    this.playing = !options.state && !this.still.matches;
    this.ended = new AbortController();
    this.build();
    this.watch();
    this.begin();
  }

  /** Builds the page's elements. */
  build() {
    const el = (...given) => element(this.document, ...given);
    const { root } = this;
    root.classList.add("kernelfield-lab");
    root.setAttribute("data-view", this.state.view);
    this.parts = {};
    const part = (name, made) => (this.parts[name] = made);
    const button = (text, onclick, more = {}) => el("button", { type: "button", onclick, ...more, text });
    const choose = (label, choices, onchange) =>
      el("label", { class: "choose" }, el("span", { text: label }), el("select", { onchange: (e) => onchange(e.target.value) },
        ...Object.entries(choices).map(([value, text]) => el("option", { value, text }))));
    const menu = (name, label, ...children) => part(name, el("details", { class: "menu" }, el("summary", { text: label }), el("div", { class: "sheet" }, ...children)));

    part("open", el("input", { type: "file", accept: "image/*,.npy,.tif,.tiff,.exr,.fits", multiple: true, class: "hidden", "aria-label": "Open a picture, or a before and an after", onchange: (e) => { this.openFiles([...e.target.files]); e.target.value = ""; } }));
    const pictures = el("div", { class: "list" }, ...Object.entries(PICTURES).map(([key, text]) => button(text, () => { this.parts.photos.open = false; this.pick(key); }, { "data-picture": key })));
    const header = el("header", {},
      el("h1", { text: "kernelfield lab" }),
      part("tabs", el("nav", { class: "tabs", "aria-label": "View" }, ...Object.entries(VIEWS).map(([key, text]) => button(text, () => this.set({ view: key, tour: 0 }), { "data-view": key })))),
      el("div", { class: "tools" },
        button("↶", () => this.travel(-1), { "aria-label": "Undo", title: "Undo (Ctrl+Z)", "data-undo": true }),
        button("↷", () => this.travel(1), { "aria-label": "Redo", title: "Redo (Ctrl+Shift+Z)", "data-redo": true }),
        menu("photos", "picture", pictures, button("Open…", () => this.parts.open.click(), { title: "One picture, or a before and an after" }),
          part("camera", button("Camera", () => this.toggleCamera(), { hidden: !this.window.navigator.mediaDevices?.getUserMedia })),
          el("p", { class: "hint", text: "or drop or paste one picture, or a before and an after" })),
        part("share", button("share", () => this.share(), { title: "Copy the address of this state" })),
        button("?", () => this.set({ ...TOUR[0].state }), { "aria-label": "Guided tour", title: "Guided tour", "data-tour": true })));

    const canvas = (name, label) => part(name, el("canvas", { tabindex: 0, role: "application", "aria-label": label, "aria-roledescription": "picture", "aria-describedby": "kf-keys" }));
    const pane = (name, title, ...children) => part(name, el("section", { class: `pane ${name}`, "aria-label": title }, el("h2", {}, part(`${name}Title`, el("span", { text: title })), part(`${name}Note`, el("small"))), ...children));
    const legend = (name) => part(name, el("div", { class: "legend", role: "img" }, el("span"), el("canvas", { width: 128, height: 1, "aria-hidden": "true" }), el("span"), el("span")));

    part("names", el("select", { "aria-label": "Kernel of the catalogue", onchange: (e) => this.choose(e.target.value) }, el("option", { value: "", text: "own kernel" })));
    part("cells", el("div", { class: "cells", role: "group", "aria-label": "Weights of the kernel" }));
    const size = (axis, label) => el("span", { class: "size" }, el("span", { text: label }), button("−", () => this.resize(axis, -1), { "aria-label": `Fewer ${label}`, [`data-less-${label}`]: true }), part(`size${axis}`, el("output", { text: "1" })), button("+", () => this.resize(axis, 1), { "aria-label": `More ${label}`, [`data-more-${label}`]: true }));
    const slide = part("slideTools", el("div", { class: "tools-slide" },
      el("div", { class: "row" }, size(0, "rows"), size(1, "columns"), button("⇄", () => this.turn(), { title: "Turn: rows become columns", "aria-label": "Turn: rows become columns", "data-turn": true })),
      el("div", { class: "row" }, el("label", { class: "choose" }, el("span", { text: "divide by" }), part("divisor", el("input", { inputmode: "decimal", size: 5, onchange: (e) => this.divide(e.target) }))), part("sum", el("output", { class: "note" }))),
      el("div", { class: "row" }, part("flip", el("button", { type: "button", "aria-pressed": "false", onclick: () => this.set({ flip: !this.state.flip }), text: "flip ⇄" })), part("flipText", el("span", { class: "note" }))),
      part("slides", el("div", { class: "slides", hidden: true }, el("span", { class: "note", text: "slides as" }), el("div", { class: "mini", role: "img" }))),
      el("div", { class: "row" }, part("mode", choose("mode", { valid: "valid: inside only", same: "same size", full: "full: every overlap" }, (mode) => this.set({ mode, at: null }))), part("border", choose("border", Object.fromEntries(BOUNDARIES.map((b) => [b, b])), (border) => this.set({ border }))))));
    const learn = part("learnTools", el("div", { class: "tools-learn" },
      el("div", { class: "row" }, button("Learn", () => this.learn(), { class: "main", "data-learn": true }), part("how", el("div", { class: "tabs small", role: "group", "aria-label": "How" }, button("at once", () => this.set({ how: "once" }), { "data-how": "once" }), button("step by step", () => this.set({ how: "steps" }), { "data-how": "steps" })))),
      el("div", { class: "row" }, part("learnSize", choose("size", { "": "searched", "1,2": "1×2", "2,1": "2×1", "3,3": "3×3", "5,5": "5×5", "7,7": "7×7", "9,9": "9×9", "11,11": "11×11", "15,15": "15×15" }, (text) => this.set({ size: text ? text.split(",").map(Number) : null })))),
      part("descent", el("div", { class: "descent" },
        el("div", { class: "row" }, part("play", button("Play", () => this.playDescent(), { "data-play": true })), button("Step", () => this.stepDescent(1), { "data-step": true }), button("Restart", () => this.restart(), { "data-restart": true }), el("label", { class: "choose" }, el("span", { text: "rate" }), part("rate", el("input", { inputmode: "decimal", size: 7, onchange: (e) => this.setRate(e.target) })))),
        part("curve", el("canvas", { class: "curve", role: "img", "aria-label": "Loss of each step" })), part("loss", el("output", { class: "note" })))),
      part("verdict", el("div", { class: "verdict", role: "status" })),
      part("cancel", button("Cancel", () => this.cancel?.abort(), { hidden: true })), part("progress", el("progress", { hidden: true, "aria-label": "Learning" }))));
    const fields = part("fieldTools", el("div", { class: "tools-fields" }, part("layers", el("div", { class: "layers" })), el("div", { class: "row" }, button("Add a layer", () => this.setLayers([...this.state.layers, [3, 1, 1, 1]]), { "data-add": true })), part("fieldText", el("p", { class: "note" }))));
    const take = menu("take", "export",
      button("Kernel as JSON", () => this.take("json")), button("Kernel as CSV", () => this.take("csv")), button("Kernel as NPY", () => this.take("npy")),
      button("Report", () => this.take("txt")), button("Picture as PNG", () => this.take("png")),
      el("h3", { text: "Code" }), el("div", { class: "list codes" }, ...Object.entries(TARGETS).map(([key, text]) => button(text, () => this.showCode(key), { "data-code": key }))));
    take.classList.add("up");

    root.replaceChildren(header,
      part("tour", el("aside", { class: "tour", hidden: true, "aria-label": "Guided tour" }, el("h2"), el("p"), el("div", { class: "row" }, button("Back", () => this.tourStep(-1)), part("tourCount", el("span", { class: "note" })), button("Next", () => this.tourStep(1), { class: "main" }), button("Close", () => this.set({ tour: 0 }))))),
      el("div", { class: "panes" },
        pane("before", "Before", canvas("beforeCanvas", "Before"), legend("beforeLegend")),
        pane("kernel", "Kernel", el("div", { class: "row names" }, this.parts.names), this.parts.cells, slide, learn, fields),
        pane("after", "After", el("div", { class: "pictures" }, el("figure", {}, canvas("afterCanvas", "After"), legend("afterLegend")),
          part("residualFigure", el("figure", { hidden: true }, el("figcaption", { text: "Residual" }), canvas("residualCanvas", "Residual"), legend("residualLegend")))))),
      el("footer", {},
        el("div", { class: "row bar" }, part("slidePlay", button("Pause", () => this.togglePlay(), { "data-slide": true })), part("place", el("span", { class: "note" })),
          el("span", { class: "zoom" }, button("−", () => this.zoom(1 / 1.5), { "aria-label": "Zoom out", "data-zoom-out": true }), button("fit", () => this.set({ zoom: 1, centre: null }), { title: "Whole picture", "data-fit": true }), button("+", () => this.zoom(1.5), { "aria-label": "Zoom in", "data-zoom-in": true })), take),
        part("strip", el("div", { class: "strip", tabindex: 0, role: "group", "aria-label": "The sum of products" })),
        part("live", el("p", { class: "hidden", "aria-live": "polite" })),
        part("message", el("p", { class: "message", role: "alert", hidden: true })),
        el("p", { id: "kf-keys", class: "hidden", text: "Arrow keys move the window, with Shift by ten. Plus and minus zoom, zero shows the whole picture. Control and Z undoes." })),
      part("codeBox", el("dialog", { class: "code", "aria-label": "Code" }, el("h2"), el("pre", { tabindex: 0 }), el("div", { class: "row" }, button("Copy", () => this.copyCode(), { class: "main" }), button("Save", () => this.saveCode()), button("Close", () => this.parts.codeBox.close())))),
      this.parts.open);
    this.views = { before: new View(this.parts.beforeCanvas), after: new View(this.parts.afterCanvas), residual: new View(this.parts.residualCanvas) };
  }

  /** Listens to pointers, keys, files and sizes. */
  watch() {
    const { root, parts, views } = this, signal = this.ended.signal;
    const on = (target, kind, listen, more = {}) => target.addEventListener(kind, listen, { signal, ...more });
    for (const [name, view] of Object.entries(views)) {
      const { canvas } = view, touches = new Map();
      let drag = null;
      on(canvas, "pointerdown", (e) => {
        canvas.setPointerCapture?.(e.pointerId);
        touches.set(e.pointerId, [e.offsetX, e.offsetY]);
        drag = { x: e.offsetX, y: e.offsetY, centre: this.port.centre, moved: false };
        if (e.pointerType !== "mouse" || this.state.zoom === 1) this.point(view, name, e.offsetX, e.offsetY, true);
      });
      on(canvas, "pointermove", (e) => {
        if (touches.size > 1 && touches.has(e.pointerId)) {
          const spread = () => { const [a, b] = [...touches.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
          const first = spread();
          touches.set(e.pointerId, [e.offsetX, e.offsetY]);
          if (first > 0) this.zoom(spread() / first, view.place(e.offsetX, e.offsetY), true);
          return;
        }
        if (drag && touches.has(e.pointerId) && this.state.zoom > 1 && this.state.view !== "fields") {
          const { cell } = this.port, dx = e.offsetX - drag.x, dy = e.offsetY - drag.y;
          if (drag.moved || Math.hypot(dx, dy) > 4) {
            drag.moved = true;
            this.set({ centre: [drag.centre[0] - dy / cell, drag.centre[1] - dx / cell] }, "pan", false);
            return;
          }
        }
        this.point(view, name, e.offsetX, e.offsetY, false);
      });
      for (const kind of ["pointerup", "pointercancel"]) on(canvas, kind, (e) => { touches.delete(e.pointerId); if (drag?.moved) this.remember("pan"); drag = null; });
      on(canvas, "wheel", (e) => { e.preventDefault(); this.zoom(Math.exp(-e.deltaY / 400), view.place(e.offsetX, e.offsetY), true); }, { passive: false });
      on(canvas, "keydown", (e) => this.key(e, name));
      on(canvas, "focus", () => this.draw());
    }
    on(root, "keydown", (e) => {
      if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "z" && !(e.target.matches?.("input") && e.target.value !== e.target.defaultValue)) {
        e.preventDefault();
        this.travel(e.shiftKey ? 1 : -1);
      } else if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "y") {
        e.preventDefault();
        this.travel(1);
      } else if (e.key === "Escape") for (const open of root.querySelectorAll("details[open]")) { open.open = false; open.querySelector("summary").focus(); }
    });
    on(root, "focusout", (e) => { const menu = e.target.closest?.("details.menu"); if (menu && e.relatedTarget && !menu.contains(e.relatedTarget)) menu.open = false; });
    on(root, "pointerdown", (e) => { for (const menu of root.querySelectorAll("details.menu[open]")) if (!menu.contains(e.target)) menu.open = false; });
    on(root, "dragover", (e) => { e.preventDefault(); root.classList.add("dropping"); });
    on(root, "dragleave", () => root.classList.remove("dropping"));
    on(root, "drop", (e) => { e.preventDefault(); root.classList.remove("dropping"); this.openFiles([...e.dataTransfer.files]); });
    on(root, "paste", (e) => { if (e.clipboardData.files.length) { e.preventDefault(); this.openFiles([...e.clipboardData.files]); } });
    if (this.hash) {
      on(this.document, "paste", (e) => { if (!root.contains(e.target) && e.clipboardData.files.length) this.openFiles([...e.clipboardData.files]); });
      on(this.window, "hashchange", () => { if (this.window.location.hash.slice(1) !== written(this.state)) this.apply(readState(this.window.location.hash), "address"); });
    }
    on(this.window.matchMedia("(prefers-color-scheme: dark)"), "change", () => this.draw());
    this.sizes = new ResizeObserver(() => this.draw());
    for (const canvas of [parts.beforeCanvas, parts.afterCanvas, parts.residualCanvas]) this.sizes.observe(canvas);
    this.sliding = setInterval(() => this.slideOn(), PACE);
  }

  async begin() {
    const { before, after } = this.options;
    if (before) this.setImages(before, after ?? null, false);
    this.refresh(true);
    try {
      this.catalogue = await this.local.catalogue();
      const groups = new Map();
      this.catalogue.kernels.forEach((entry, i) => {
        if (!groups.has(entry.group)) groups.set(entry.group, element(this.document, "optgroup", { label: entry.group }));
        groups.get(entry.group).append(element(this.document, "option", { value: i, text: entry.text }));
      });
      this.parts.names.append(...groups.values());
      await this.local.ready;
    } catch (error) {
      this.say(`the engine did not start: ${error.message}`);
    }
    this.refresh();
  }

  /** Changes the state; `kind` joins changes of one control in the history. */
  set(patch, kind = "", remember = true) {
    this.apply({ ...this.state, ...patch }, kind, remember);
  }

  apply(state, kind = "", remember = true) {
    const before = this.state;
    this.state = state;
    if (remember) this.remember(kind);
    const changed = (...keys) => keys.some((key) => JSON.stringify(before[key]) !== JSON.stringify(state[key]));
    if (changed("view")) { this.playing = false; this.stopDescent(); }
    if (changed("image", "data", "size", "how") || (state.view === "learn" && changed("rows", "divisor", "anchor", "flip", "mode", "border"))) this.forgetFit();
    if (changed("view", "image", "data", "rows", "divisor", "anchor", "flip", "mode", "border", "layers", "size", "how", "tour", "unit", "rate")) this.refresh(changed("rows", "divisor", "anchor"));
    else this.draw();
  }

  remember(kind) {
    this.history.push(this.state, kind);
    this.address();
  }

  address() {
    if (!this.hash) return;
    clearTimeout(this.writing);
    this.writing = setTimeout(() => this.window.history.replaceState(null, "", `#${written(this.state)}`), 150);
  }

  travel(by) {
    const state = this.history.step(by);
    if (!state) return;
    this.apply(state, "", false);
    this.address();
  }

  say(text) {
    const { message } = this.parts;
    message.textContent = text;
    message.hidden = !text;
    clearTimeout(this.saying);
    if (text) this.saying = setTimeout(() => this.say(""), 12_000);
  }

  /** The kernel as it is applied, weights divided, not flipped. */
  get kernel() {
    const { rows, divisor, anchor } = this.state;
    return { weights: rows.map((row) => row.map((v) => v / divisor)), anchor };
  }

  /** The pictures of the state, once they are there. */
  async pair() {
    const { image, data } = this.state;
    if (image === "data") {
      const flat = data.flat();
      return { before: { width: data[0].length, height: data.length, channels: 1, data: Float32Array.from(flat), depth: "float" } };
    }
    if (this.pictures.has(image)) return this.pictures.get(image);
    if (!SHIPPED[image]) {
      this.say(image === "own" || image === "camera" ? "the picture of this address stayed with its owner: open it, or take another" : `image: expected one of ${Object.keys(PICTURES).join(", ")}; received ${image}`);
      this.state = { ...this.state, image: "edge", at: null };
      return this.pictures.get("edge");
    }
    const images = await Promise.all(SHIPPED[image].map(async (name) => {
      const answer = await fetch(this.options.asset(name));
      return this.local.open(await answer.arrayBuffer(), name);
    }));
    this.pictures.set(image, { before: images[0], after: images[1] });
    return this.pictures.get(image);
  }

  /** Computes what the state asks for, and draws; calls while it runs are one more run. */
  async refresh(kernelChanged = false) {
    this.parts.tour.hidden = !this.state.tour;
    this.root.setAttribute("data-view", this.state.view);
    this.controls();
    if (kernelChanged) this.options.onKernel?.(this.kernel);
    if (this.running) return void (this.again = true);
    this.running = true;
    try {
      do {
        this.again = false;
        await this.compute();
      } while (this.again);
    } catch (error) {
      this.say(error.message);
    } finally {
      this.running = false;
    }
    this.controls();
    this.draw();
  }

  async compute() {
    const given = await this.pair(), { state } = this;
    const { before } = given, { mode, border, flip } = state;
    this.result.before = before;
    if (state.view === "fields") {
      let map = grey(before);
      for (const [kernel, stride, padding, dilation] of state.layers) {
        const side = Array.from({ length: kernel }, () => Array(kernel).fill(1 / kernel ** 2));
        map = await this.local.apply(map, { weights: side, anchor: [0, 0] }, { stride, padding, dilation, boundary: "constant" });
        if (!map.width || !map.height) break;
      }
      this.result.map = map;
      return;
    }
    const kernel = this.kernel;
    const own = state.view === "learn" && mode === "full" ? "same" : mode;
    const map = await this.local.apply(before, kernel, { mode: own, boundary: border, flip });
    const used = flip ? flipped(kernel) : kernel;
    this.result.map = map;
    this.result.used = used;
    this.result.origin = own === "valid" ? used.anchor : own === "full" ? used.anchor.map((a, i) => a - [used.weights.length, used.weights[0].length][i] + 1) : [0, 0];
    this.result.mode = own;
    if (state.view === "learn") {
      this.result.after = given.after ?? map;
      this.result.afterOrigin = given.after ? [0, 0] : this.result.origin;
      const { fit, after } = this.result;
      if (fit) {
        const same = after.height === before.height && after.width === before.width;
        const predicted = await this.local.apply(grey(before), { weights: fit.kernel, anchor: same ? fit.anchor : [0, 0] }, { mode: same ? "same" : "valid", boundary: BOUNDARIES.includes(fit.boundary) ? fit.boundary : "reflect", cval: fit.cval });
        const target = grey(after), data = new Float32Array(predicted.data.length), offset = Array.isArray(fit.offset) ? fit.offset[0] : fit.offset;
        if (target.width === predicted.width && target.height === predicted.height) {
          // As the producer did: saturated at the ends of the range, or border pixels left as they were.
          const ends = { 8: 255, 16: 65535 }[target.depth] ?? null, source = grey(before), [rows, columns] = fit.size, [top, left] = fit.anchor;
          for (let i = 0; i < data.length; i++) {
            const r = Math.floor(i / target.width), c = i % target.width;
            const outside = same && fit.boundary === "copy" && (r < top || c < left || r >= target.height - rows + 1 + top || c >= target.width - columns + 1 + left);
            const value = outside ? source.data[i] : predicted.data[i] + offset;
            data[i] = target.data[i] - (ends === null ? value : Math.max(0, Math.min(ends, value)));
          }
          this.result.residual = { ...predicted, data };
        }
      } else this.result.residual = null;
    }
  }

  /** Brings every control to the state. */
  controls() {
    const { parts, state } = this;
    for (const tab of parts.tabs.children) tab.setAttribute("aria-current", tab.dataset.view === state.view ? "page" : "false");
    this.root.querySelector("[data-undo]").disabled = this.history.now === 0;
    this.root.querySelector("[data-redo]").disabled = this.history.now === this.history.states.length - 1;
    const slide = state.view === "slide", learn = state.view === "learn", fields = state.view === "fields";
    parts.slideTools.hidden = !slide;
    parts.learnTools.hidden = !learn;
    parts.fieldTools.hidden = !fields;
    parts.names.parentElement.hidden = !slide;
    parts.cells.hidden = fields;
    parts.residualFigure.hidden = !learn || !this.result.residual;
    parts.beforeTitle.textContent = fields ? "Image" : "Before (X)";
    parts.kernelTitle.textContent = fields ? "Layers" : "Kernel (K)";
    parts.afterTitle.textContent = fields ? "Units of the last layer" : learn && this.pictures.get(state.image)?.after ? "After (Y)" : "After (Y), feature map";
    parts.slidePlay.hidden = !slide;
    parts.slidePlay.textContent = this.playing ? "Pause" : "Play";
    const listed = this.catalogue.kernels.findIndex((entry) => entry.divisor === state.divisor && JSON.stringify(entry.rows) === JSON.stringify(state.rows) && JSON.stringify(entry.anchor) === JSON.stringify(state.anchor));
    parts.names.value = listed < 0 ? "" : String(listed);
    parts.size0.textContent = state.rows.length;
    parts.size1.textContent = state.rows[0].length;
    if (parts.divisor !== this.focused) parts.divisor.value = plain(state.divisor);
    const total = state.rows.flat().reduce((a, b) => a + b, 0) / state.divisor;
    parts.sum.textContent = `sum ${short(total)}`;
    parts.flip.setAttribute("aria-pressed", String(state.flip));
    parts.flipText.textContent = state.flip ? "strict convolution" : "cross-correlation";
    parts.mode.lastChild.value = state.mode;
    parts.border.lastChild.value = state.border;
    parts.border.hidden = state.mode === "valid";
    parts.cells.classList.toggle("turned", state.flip && slide);
    parts.slides.hidden = !state.flip || !slide;
    if (!fields) this.fillCells();
    if (learn) this.learnControls();
    if (fields) this.layerControls();
    const step = TOUR[state.tour - 1];
    if (step) {
      parts.tour.querySelector("h2").textContent = step.title;
      parts.tour.querySelector("p").textContent = step.text;
      parts.tourCount.textContent = `${state.tour} of ${TOUR.length}`;
      parts.tour.querySelector("button").disabled = state.tour === 1;
    }
    for (const button of parts.photos.querySelectorAll("[data-picture]")) button.setAttribute("aria-pressed", String(button.dataset.picture === state.image));
  }

  /** The cells: editable ones of the kernel, or found ones with their errors. */
  fillCells() {
    const { parts, state } = this, learn = state.view === "learn", fit = learn ? this.result.fit : null;
    const rows = fit ? (fit.integers ?? fit.kernel) : learn ? null : state.rows;
    parts.cells.parentElement.classList.toggle("empty", !rows);
    if (!rows) {
      parts.cells.replaceChildren();
      this.cellShape = "";
      return;
    }
    const [height, width] = [rows.length, rows[0].length], shape = `${height}×${width} ${learn}`;
    if (shape !== this.cellShape) {
      this.cellShape = shape;
      const made = [];
      for (let r = 0; r < height; r++)
        for (let c = 0; c < width; c++) {
          const label = `row ${r + 1}, column ${c + 1}`;
          if (learn) made.push(element(this.document, "div", { class: "cell", role: "img" }, element(this.document, "b"), element(this.document, "small")));
          else made.push(element(this.document, "input", { class: "cell", inputmode: "decimal", "aria-label": label, autocomplete: "off", onchange: (e) => this.edit(r, c, e.target), onkeydown: (e) => this.cellKey(e, r, c), onfocus: (e) => { this.focused = e.target; e.target.select(); }, onblur: () => { this.focused = null; this.controls(); }, oninput: (e) => this.edit(r, c, e.target, true) }));
        }
      parts.cells.replaceChildren(...made);
      parts.cells.style.setProperty("--columns", width);
      parts.cells.style.setProperty("--rows", height);
    }
    const most = Math.max(...rows.flat().map(Math.abs)) || 1, scale = { signed: true, low: -most, high: most };
    [...parts.cells.children].forEach((cell, i) => {
      const r = Math.floor(i / width), c = i % width, value = rows[r][c];
      const [paper, ink] = inks(value, scale);
      cell.style.backgroundColor = paper;
      cell.style.color = ink;
      const anchor = learn ? fit.anchor : state.anchor;
      cell.classList.toggle("anchor", r === anchor[0] && c === anchor[1] && height * width > 1);
      if (learn) {
        const error = fit.stderr[r][c], text = fit.integers ? plain(value) : short(value, 3);
        cell.firstChild.textContent = text;
        cell.lastChild.textContent = error === null ? "" : `±${short(error * (fit.integers ? fit.divisor : 1), 2)}`;
        cell.setAttribute("aria-label", `row ${r + 1}, column ${c + 1}: ${text} ${cell.lastChild.textContent}`);
        cell.style.setProperty("--error", `${error === null ? 0 : Math.min(100, (100 * error * (fit.integers ? fit.divisor : 1)) / most)}%`);
      } else if (cell !== this.focused) cell.value = plain(value);
    });
    if (!learn && state.flip) {
      const mini = parts.slides.lastChild, { weights } = flipped({ weights: state.rows, anchor: state.anchor });
      mini.style.setProperty("--columns", width);
      mini.setAttribute("aria-label", `slides as ${weights.map((row) => row.map(plain).join(" ")).join("; ")}`);
      mini.replaceChildren(...weights.flat().map((value) => {
        const cell = element(this.document, "span", { text: plain(value) }), [paper, ink] = inks(value, scale);
        cell.style.backgroundColor = paper;
        cell.style.color = ink;
        return cell;
      }));
    }
  }

  edit(r, c, input, typing = false) {
    const value = readNumber(input.value);
    input.setAttribute("aria-invalid", String(value === null));
    if (value === null) {
      if (!typing) { input.value = plain(this.state.rows[r][c]); input.removeAttribute("aria-invalid"); }
      return;
    }
    if (value === this.state.rows[r][c]) return;
    this.set({ rows: this.state.rows.map((row, i) => row.map((old, j) => (i === r && j === c ? value : old))) }, `cell ${r},${c}`);
  }

  cellKey(e, r, c) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }, move = moves[e.key];
    if (e.key === "Enter") return void this.edit(r, c, e.target);
    if (!move || e.altKey || e.ctrlKey || e.metaKey) return;
    if (move[1] && !(e.target.selectionStart === 0 && e.target.selectionEnd === e.target.value.length)) {
      const end = move[1] < 0 ? 0 : e.target.value.length;
      if (e.target.selectionStart !== end || e.target.selectionEnd !== end) return;
    }
    const width = this.state.rows[0].length, next = [r + move[0], c + move[1]];
    if (next[0] < 0 || next[1] < 0 || next[0] >= this.state.rows.length || next[1] >= width) return;
    e.preventDefault();
    this.parts.cells.children[next[0] * width + next[1]].focus();
  }

  divide(input) {
    const value = readNumber(input.value);
    if (value) this.set({ divisor: value });
    else input.value = plain(this.state.divisor);
  }

  choose(index) {
    const entry = this.catalogue.kernels[index];
    if (entry) this.set({ rows: entry.rows, divisor: entry.divisor, anchor: entry.anchor, at: null });
  }

  /** Adds or takes away a row or a column, at both ends in turn: the middle stays where it is. */
  resize(axis, by) {
    const { rows, anchor } = this.state, n = axis ? rows[0].length : rows.length;
    if (n + by < 1 || n + by > LARGEST) return;
    const front = by > 0 ? n % 2 === 0 : n % 2 === 1;
    const change = (list, blank) => (by > 0 ? (front ? [blank(), ...list] : [...list, blank()]) : front ? list.slice(1) : list.slice(0, -1));
    const next = axis ? rows.map((row) => change(row, () => 0)) : change(rows, () => Array(rows[0].length).fill(0));
    const moved = anchor.map((a, i) => (i === axis && front ? a + by : a));
    this.set({ rows: next, anchor: [Math.max(0, Math.min(next.length - 1, moved[0])), Math.max(0, Math.min(next[0].length - 1, moved[1]))], at: null });
  }

  turn() {
    const { rows, anchor } = this.state;
    this.set({ rows: rows[0].map((_, c) => rows.map((row) => row[c])), anchor: [anchor[1], anchor[0]], at: null });
  }

  /** The output pixel that is looked at, in its own rows and columns. */
  get at() {
    const { map } = this.result;
    if (!map?.width) return null;
    const [r, c] = this.state.at ?? [Math.floor((map.height - 1) / 2), Math.floor((map.width - 1) / 2)];
    return [Math.max(0, Math.min(map.height - 1, r)), Math.max(0, Math.min(map.width - 1, c))];
  }

  point(view, name, x, y, pressed) {
    if (!this.port || !this.result.map?.width) return;
    const [r, c] = view.place(x, y);
    if (this.state.view === "fields") {
      if (name === "after") this.moveUnit([r, c]);
      else if (pressed) {
        const jumps = growth(this.layers).at(-1)?.jump ?? 1;
        this.moveUnit([Math.floor(r / jumps), Math.floor(c / jumps)]);
      }
      return;
    }
    this.pause();
    const origin = this.result.origin ?? [0, 0];
    this.move([r - origin[0], c - origin[1]], pressed);
  }

  move(at, speak) {
    const { map } = this.result;
    const next = [Math.max(0, Math.min(map.height - 1, at[0])), Math.max(0, Math.min(map.width - 1, at[1]))];
    if (this.state.at && next[0] === this.state.at[0] && next[1] === this.state.at[1]) return;
    this.state = { ...this.state, at: next };
    if (speak) this.remember("at");
    this.schedule();
  }

  schedule() {
    this.frame ??= this.window.requestAnimationFrame(() => { this.frame = null; this.draw(); });
  }

  key(e, name) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }, move = moves[e.key];
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (move) {
      e.preventDefault();
      this.pause();
      const by = e.shiftKey ? 10 : 1;
      if (this.state.view === "fields") this.moveUnit(this.unit.map((u, i) => u + by * move[i]));
      else if (this.at) this.move(this.at.map((a, i) => a + by * move[i]), true);
      this.follow();
    } else if (e.key === "+" || e.key === "=") this.zoom(1.5, this.focus);
    else if (e.key === "-") this.zoom(1 / 1.5, this.focus);
    else if (e.key === "0") this.set({ zoom: 1, centre: null });
    else if (e.key === " " && this.state.view === "slide") { e.preventDefault(); this.togglePlay(); }
    else return;
    e.preventDefault();
  }

  /** The place of the before that is looked at. */
  get focus() {
    const { at } = this, origin = this.result.origin ?? [0, 0];
    return at && [at[0] + origin[0] + 0.5, at[1] + origin[1] + 0.5];
  }

  /** Brings the place that is looked at back into view. */
  follow() {
    const focus = this.focus;
    if (this.state.zoom === 1 || !focus || this.state.view === "fields") return;
    const { cell, centre } = this.port, view = this.views.after;
    const outside = Math.abs(focus[0] - centre[0]) > view.height / 2 / cell - 1 || Math.abs(focus[1] - centre[1]) > view.width / 2 / cell - 1;
    if (outside) this.set({ centre: focus }, "pan");
  }

  zoom(by, about = null, moved = false) {
    const { zoom } = this.state, next = Math.max(1, Math.min(256, zoom * by));
    if (next === zoom) return;
    const centre = this.port?.centre ?? null, middle = about ?? this.focus ?? centre;
    const share = moved ? 1 - zoom / next : 1;
    this.set({ zoom: next, centre: next === 1 || !middle ? null : centre.map((v, i) => v + (middle[i] - v) * share) }, "zoom");
  }

  togglePlay() {
    this.playing = !this.playing;
    this.controls();
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.controls();
  }

  slideOn() {
    const { map } = this.result;
    if (!this.playing || this.state.view !== "slide" || !map?.width || this.document.hidden) return;
    const [r, c] = this.at, step = Math.max(1, Math.round(map.width / 24));
    const next = c + step < map.width ? [r, c + step] : [(r + step) % map.height, 0];
    this.state = { ...this.state, at: next };
    this.draw();
  }

  /** Draws all views and the strip. */
  draw() {
    const { result, state, views, parts } = this;
    if (!result.before || !this.root.isConnected) return;
    const style = this.window.getComputedStyle(this.root), accent = style.getPropertyValue("--accent").trim() || "#c026d3", ink = style.color;
    for (const view of Object.values(views)) Object.assign(view, { accent, ink, frames: [], shades: null, outside: null, inside: null, reached: null });
    if (state.view === "fields") return this.drawFields(accent);
    const { before, used, map, origin } = result;
    const scale = scaleOfCached(before), small = Math.max(before.width, before.height) <= 40;
    const [kh, kw] = used ? [used.weights.length, used.weights[0].length] : [1, 1];
    const beyond = { valid: () => 0, same: (n, a) => Math.max(a, n - 1 - a), full: (n) => n - 1 }[result.mode ?? "valid"];
    const margin = small && used && state.view === "slide" ? Math.min(6, Math.max(beyond(kh, used.anchor[0]), beyond(kw, used.anchor[1]))) : 0;
    this.port = this.portOf(["before", "after", ...(parts.residualFigure.hidden ? [] : ["residual"])], before, margin);
    views.before.show(before, scale);
    const shown = state.view === "learn" ? result.after : map, place = state.view === "learn" ? (result.afterOrigin ?? [0, 0]) : origin;
    if (shown) views.after.show(shown, scaleOfCached(shown, scale), place ?? [0, 0]);
    if (result.residual && state.view === "learn") views.residual.show(result.residual, { signed: true, low: -1, high: 1, ...symmetric(result.residual) }, place);
    const at = this.at;
    if (at && used && state.view === "slide") {
      const window = { row: at[0] + origin[0] - used.anchor[0], column: at[1] + origin[1] - used.anchor[1], rows: kh, columns: kw };
      const within = (r, c) => r >= window.row && c >= window.column && r < window.row + kh && c < window.column + kw;
      views.before.outside = (r, c) => this.read(before, r, c);
      views.before.reached = (r, c) => margin > 0 && (within(r, c) || (r >= -margin && c >= -margin && r < before.height + margin && c < before.width + margin));
      views.before.inside = (r, c) => (within(r, c) ? used.weights[r - window.row][c - window.column] : undefined);
      views.before.frames = [{ ...window, colour: accent, wide: 3 }, ...(this.hovered ? [{ row: window.row + this.hovered[0], column: window.column + this.hovered[1], rows: 1, columns: 1, colour: accent, wide: 3 }] : [])];
      views.after.frames = [{ row: at[0] + origin[0], column: at[1] + origin[1], rows: 1, columns: 1, colour: accent, wide: 3 }];
      this.fillStrip(before, used, window, at);
    } else if (at && state.view === "learn") {
      const frame = { row: at[0] + place[0], column: at[1] + place[1], rows: 1, columns: 1, colour: accent };
      for (const view of [views.before, views.after, views.residual]) view.frames = [frame];
      this.fillValues(frame);
    }
    for (const [name, view] of Object.entries(views)) {
      view.draw(this.port);
      if (name !== "residual" || !parts.residualFigure.hidden) this.legend(name, view.scale);
    }
    if (at && used && state.view === "slide" && this.port.cell < READABLE && kh <= 9 && kw <= 9) this.lens(used, at, accent);
    parts.beforeNote.textContent = `${before.height} × ${before.width}`;
    parts.afterNote.textContent = shown ? `${shown.height} × ${shown.width}` : "";
    parts.kernelNote.textContent = state.view === "slide" ? `${kh} × ${kw}` : "";
  }

  /** Draws the window with its numbers in a corner of the before, where its pixels are too small for them. */
  lens(used, at, accent) {
    const view = this.views.before, { result } = this, g = view.context, [kh, kw] = [used.weights.length, used.weights[0].length];
    const side = Math.max(20, Math.min(44, view.width / 2.4 / Math.max(kh, kw))), [row, column] = [at[0] + result.origin[0] - used.anchor[0], at[1] + result.origin[1] - used.anchor[1]];
    const x0 = 4, y0 = view.height - kh * side - 4;
    g.textAlign = "center";
    g.textBaseline = "middle";
    for (let r = 0; r < kh; r++)
      for (let c = 0; c < kw; c++) {
        const value = this.read(result.before, row + r, column + c), [paper, ink] = inks(value, view.scale);
        g.fillStyle = paper;
        g.fillRect(x0 + c * side, y0 + r * side, side, side);
        g.fillStyle = ink;
        g.font = `${side * 0.34}px system-ui, sans-serif`;
        g.fillText(short(value, 3), x0 + (c + 0.5) * side, y0 + (r + (side >= 34 ? 0.36 : 0.5)) * side, side - 2);
        if (side >= 34) {
          g.font = `600 ${side * 0.27}px system-ui, sans-serif`;
          g.fillText(`×${short(used.weights[r][c], 3)}`, x0 + (c + 0.5) * side, y0 + (r + 0.74) * side, side - 2);
        }
      }
    g.strokeStyle = accent;
    g.lineWidth = 2;
    g.strokeRect(x0, y0, kw * side, kh * side);
  }

  /** The value that the window reads at a row and column, by the border beyond the image. */
  read(image, r, c) {
    const { border } = this.state, place = (i, n) => {
      if (i >= 0 && i < n) return i;
      if (border === "nearest") return i < 0 ? 0 : n - 1;
      if (border === "wrap") return ((i % n) + n) % n;
      if (border === "constant") return -1;
      const period = border === "reflect" ? 2 * n : 2 * n - 2;
      if (!period) return 0;
      const j = ((i % period) + period) % period;
      return j < n ? j : border === "reflect" ? period - 1 - j : period - j;
    };
    const [y, x] = [place(r, image.height), place(c, image.width)];
    if (y < 0 || x < 0) return 0;
    const at = (y * image.width + x) * image.channels;
    return image.channels < 3 ? image.data[at] : 0.299 * image.data[at] + 0.587 * image.data[at + 1] + 0.114 * image.data[at + 2];
  }

  portOf(names, image, margin) {
    let cell = Infinity;
    for (const name of names) {
      const view = this.views[name];
      if (view.resize()) cell = Math.min(cell, (view.width - 6) / (image.width + 2 * margin), (view.height - 6) / (image.height + 2 * margin));
    }
    if (!Number.isFinite(cell) || cell <= 0) cell = 1;
    return { cell: Math.min(cell, 72) * this.state.zoom, centre: this.state.centre ?? [image.height / 2, image.width / 2] };
  }

  legend(name, scale) {
    const legend = this.parts[`${name}Legend`];
    if (!scale) return;
    const key = JSON.stringify(scale);
    if (legend.dataset.scale === key) return;
    legend.dataset.scale = key;
    const [low, bar, high, zero] = legend.children, g = bar.getContext("2d");
    for (let i = 0; i < 128; i++) {
      g.fillStyle = inks(scale.low + ((scale.high - scale.low) * i) / 127, scale)[0];
      g.fillRect(i, 0, 1, 1);
    }
    low.textContent = short(scale.low, 3);
    high.textContent = short(scale.high, 3);
    zero.textContent = scale.signed ? "0 in the middle" : "";
    legend.setAttribute("aria-label", `scale from ${low.textContent} to ${high.textContent}${scale.signed ? ", zero in the middle" : ""}`);
  }

  /** The strip: every product in the colours of its cells, and the sum. */
  fillStrip(before, used, window, at) {
    const { strip, live, place } = this.parts, [kh, kw] = [window.rows, window.columns];
    const scale = scaleOfCached(before), most = Math.max(...used.weights.flat().map(Math.abs)) || 1, signed = { signed: true, low: -most, high: most };
    const el = (...given) => element(this.document, ...given), terms = [];
    let sum = 0;
    for (let r = 0; r < kh; r++)
      for (let c = 0; c < kw; c++) {
        const pixel = this.read(before, window.row + r, window.column + c), weight = used.weights[r][c];
        sum += pixel * weight;
        const a = el("i", { text: short(pixel) }), b = el("b", { text: weight < 0 ? `(${short(weight)})` : short(weight) });
        [a.style.backgroundColor, a.style.color] = inks(pixel, scale);
        [b.style.backgroundColor, b.style.color] = inks(weight, signed);
        const term = el("span", { class: "term" }, ...(terms.length ? [this.document.createTextNode("+ ")] : []), a, this.document.createTextNode(" · "), b);
        term.addEventListener("pointerenter", () => { this.hovered = [r, c]; this.schedule(); });
        term.addEventListener("pointerleave", () => { this.hovered = null; this.schedule(); });
        terms.push(term, this.document.createTextNode(" "));
      }
    const { map } = this.result, value = map.channels < 3 ? map.data[at[0] * map.width + at[1]] : sum, total = el("b", { class: "total", text: short(value, 5) });
    const [paper, ink] = inks(value, this.views.after.scale ?? signed);
    total.style.backgroundColor = paper;
    total.style.color = ink;
    if (!this.hovered) strip.replaceChildren(...terms, this.document.createTextNode("= "), total);
    place.textContent = `row ${at[0] + 1}, column ${at[1] + 1}`;
    if (!this.playing) {
      const words = kh * kw <= 25 ? `${terms.map((term) => term.textContent).join("")}= ${short(value, 5)}` : `${kh * kw} products, sum ${short(value, 5)}`;
      live.textContent = `Row ${at[0] + 1}, column ${at[1] + 1}: ${words}`;
    }
  }

  fillValues(frame) {
    const { strip, live, place } = this.parts, values = Object.entries(this.views).filter(([name]) => name !== "residual" || !this.parts.residualFigure.hidden)
      .map(([name, view]) => [name, view.value(frame.row, frame.column)]).filter(([, value]) => value !== null);
    const text = values.map(([name, value]) => `${name} ${short(value, 5)}`).join(", ");
    strip.replaceChildren(this.document.createTextNode(text));
    place.textContent = `row ${frame.row + 1}, column ${frame.column + 1}`;
    live.textContent = `Row ${frame.row + 1}, column ${frame.column + 1}: ${text}`;
  }

  // Learn

  forgetFit() {
    this.stopDescent();
    this.cancel?.abort();
    Object.assign(this.result, { fit: null, residual: null, descent: null, losses: null });
  }

  learnControls() {
    const { parts, state } = this, { fit, losses, descent } = this.result;
    for (const button of parts.how.children) button.setAttribute("aria-pressed", String(button.dataset.how === state.how));
    parts.descent.hidden = state.how !== "steps";
    parts.learnSize.lastChild.value = state.size ? state.size.join(",") : "";
    if (!parts.learnSize.lastChild.value && state.size) parts.learnSize.lastChild.append(element(this.document, "option", { value: state.size.join(","), text: state.size.join("×"), selected: true }));
    parts.play.textContent = this.descending ? "Pause" : "Play";
    const rate = state.rate ?? descent?.rate ?? (state.image === "edge" ? TEXTBOOK_RATE : null);
    if (parts.rate !== this.root.getRootNode().activeElement) parts.rate.value = rate === null ? "" : short(rate, 3);
    const el = (...given) => element(this.document, ...given);
    if (!fit) parts.verdict.replaceChildren(el("p", { class: "note", text: state.how === "once" ? "Learn finds the kernel between the before and the after." : "Play or Step: the loss falls, and the weights change." }));
    else if (state.how === "steps") parts.verdict.replaceChildren(el("p", {}, el("b", { text: fit.description })));
    else
      parts.verdict.replaceChildren(
        el("p", {}, el("strong", { text: fit.verdict }), this.document.createTextNode(`: ${fit.explanation}`)),
        el("dl", {}, ...[["name", fit.description], ["size", fit.size.join("×") + (fit.divisor > 1 ? `, over ${fit.divisor}` : "")], ["border", `${fit.boundary ?? "unknown"}: ${fit.boundary_reason}`], ["offset", short(Array.isArray(fit.offset) ? fit.offset[0] : fit.offset)], ["residual", `${short(fit.residual_sd)} (standard deviation); R² ${Number(fit.r2.toPrecision(6))}`], ["pixels", `${fit.samples} used${fit.excluded ? `, ${fit.excluded} left out` : ""}`]]
          .flatMap(([term, text]) => [el("dt", { text: term }), el("dd", { text })])));
    parts.loss.textContent = losses?.length ? `step ${losses.length}, loss ${short(losses.at(-1))}` : "";
    if (state.how === "steps") this.drawCurve();
  }

  async learn() {
    if (this.state.how === "steps") return this.playDescent();
    const { before, after } = this.result;
    if (!before || !after) return;
    this.cancel?.abort();
    const cancel = (this.cancel = new AbortController()), { cancel: button, progress } = this.parts;
    button.hidden = progress.hidden = false;
    progress.removeAttribute("value");
    try {
      const size = after.height === before.height && after.width === before.width ? this.state.size : null;
      const onProgress = (share) => { if (share === null) progress.removeAttribute("value"); else progress.value = share; };
      const fit = await (this.remote ?? this.local).learn(before, after, { size }, { signal: cancel.signal, onProgress });
      if (cancel.signal.aborted) return;
      this.result.fit = fit;
      this.options.onFit?.(fit);
      this.parts.live.textContent = `${fit.verdict}: ${fit.explanation}; ${fit.description}`;
      await this.refresh();
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message);
    } finally {
      if (this.cancel === cancel) button.hidden = progress.hidden = true;
    }
  }

  async startDescent() {
    const { before, after } = this.result;
    if (!before || !after) return null;
    const same = after.height === before.height && after.width === before.width;
    const size = same ? (this.state.size ?? [this.state.rows.length, this.state.rows[0].length]) : [before.height - after.height + 1, before.width - after.width + 1];
    const small = before.width * before.height <= 4096;
    const descent = await this.local.descend(before, after, { size, momentum: small ? 0 : 0.95, centred: !small });
    descent.rate = this.state.image === "edge" ? TEXTBOOK_RATE : descent.most * (small ? 0.9 : 0.5);
    Object.assign(this.result, { descent, losses: [], descentSize: size, descentAnchor: same ? size.map((n) => n >> 1) : size.map((n) => n >> 1), many: small ? 1 : 10 });
    return descent;
  }

  async stepDescent(count) {
    if (this.stepping) return;
    this.stepping = true;
    try {
      const descent = this.result.descent ?? (await this.startDescent());
      if (!descent) return;
      const { losses, kernel } = await descent.steps(count, this.state.rate ?? descent.rate);
      if (descent !== this.result.descent) return;
      this.result.losses.push(...losses);
      const loss = this.result.losses.at(-1), lost = !Number.isFinite(loss) || loss > 1e6 * (this.result.losses[0] || 1);
      if (lost) {
        this.stopDescent();
        this.say(`rate: expected at most ${short(descent.most, 3)}, below which the loss falls; received ${short(this.state.rate ?? descent.rate, 3)}`);
      }
      const [rows, columns] = this.result.descentSize, target = grey(this.result.after).data, n = target.length;
      const mean = target.reduce((a, b) => a + b, 0) / n, spread = target.reduce((a, b) => a + (b - mean) ** 2, 0);
      this.result.fit = {
        format: 1, version: this.catalogue.version, verdict: "approximate", explanation: `descent stopped after ${this.result.losses.length} steps, at a squared error of ${short(loss)}`,
        name: null, description: "kernel learned by descent", parameters: {}, size: [rows, columns], anchor: this.result.descentAnchor, kernel, stderr: kernel.map((row) => row.map(() => null)), integers: null, divisor: null,
        offset: 0, rounding: null, boundary: null, cval: 0, boundary_candidates: [], boundary_reason: "not searched for in descent", rank: rows * columns, undetermined: [],
        r2: spread > 0 ? Math.max(0, 1 - loss / spread) : 0, residual_sd: Math.sqrt(Math.max(0, loss) / n), samples: n, excluded: 0, channels: ["grey"], notes: ["learned in the browser"], losses: [...this.result.losses], layers: [kernel],
      };
      await this.refresh();
    } catch (error) {
      this.stopDescent();
      this.say(error.message);
    } finally {
      this.stepping = false;
    }
  }

  playDescent() {
    if (this.descending) return this.stopDescent();
    const turn = async () => {
      await this.stepDescent(this.result.many ?? 1);
      const { losses } = this.result, n = losses?.length ?? 0;
      const done = n >= 5000 || (n > 20 && losses[n - 11] - losses[n - 1] <= 1e-9 * losses[0]);
      if (!this.descending || done) return void this.stopDescent();
      this.descending = setTimeout(turn, this.result.many > 1 ? 16 : 120);
    };
    this.descending = setTimeout(turn, 0);
    this.controls();
  }

  stopDescent() {
    clearTimeout(this.descending);
    if (this.descending) { this.descending = null; if (this.state.view === "learn") this.controls(); }
  }

  restart() {
    this.forgetFit();
    this.refresh();
  }

  setRate(input) {
    const value = readNumber(input.value);
    if (value > 0) this.set({ rate: value }, "rate");
    else input.value = short(this.state.rate ?? this.result.descent?.rate ?? 0, 3);
  }

  drawCurve() {
    const { curve } = this.parts, { losses } = this.result, ratio = this.window.devicePixelRatio || 1;
    const [width, height] = [curve.clientWidth, curve.clientHeight];
    if (!width) return;
    Object.assign(curve, { width: width * ratio, height: height * ratio });
    const g = curve.getContext("2d"), style = this.window.getComputedStyle(this.root);
    g.scale(ratio, ratio);
    g.font = "11px system-ui, sans-serif";
    g.fillStyle = style.color;
    if (!losses?.length) return void g.fillText("loss", 4, 12);
    const floor = losses[0] * 1e-9 || 1e-12, y = (loss) => Math.log10(Math.max(loss, floor)), high = Math.max(...losses.map(y)), low = Math.min(...losses.map(y), high - 1);
    const px = (i) => 4 + ((width - 8) * i) / Math.max(1, losses.length - 1), py = (loss) => 16 + ((height - 24) * (high - y(loss))) / (high - low);
    g.strokeStyle = style.getPropertyValue("--accent");
    g.lineWidth = 2;
    g.beginPath();
    losses.forEach((loss, i) => g.lineTo(px(i), py(loss)));
    g.stroke();
    g.fillText(`loss ${short(losses[0], 3)} → ${short(losses.at(-1), 3)}, logarithmic`, 4, 12);
    curve.setAttribute("aria-label", `Loss of each step, from ${short(losses[0], 3)} to ${short(losses.at(-1), 3)} in ${losses.length} steps`);
  }

  // Fields

  get layers() {
    return this.state.layers.map(([kernel, stride, padding, dilation]) => ({ kernel, stride, padding, dilation }));
  }

  get unit() {
    const { map } = this.result, [h, w] = [map?.height ?? 1, map?.width ?? 1];
    const [r, c] = this.state.unit ?? [h >> 1, w >> 1];
    return [Math.max(0, Math.min(h - 1, r)), Math.max(0, Math.min(w - 1, c))];
  }

  moveUnit(unit) {
    const { map } = this.result;
    if (!map?.width) return;
    const next = [Math.max(0, Math.min(map.height - 1, unit[0])), Math.max(0, Math.min(map.width - 1, unit[1]))];
    if (this.state.unit && next[0] === this.state.unit[0] && next[1] === this.state.unit[1]) return;
    this.state = { ...this.state, unit: next };
    this.remember("unit");
    this.schedule();
  }

  setLayers(layers) {
    if (layers.length > 12) return this.say("layers: expected at most 12");
    this.set({ layers, unit: null }, "layers");
  }

  layerControls() {
    const { parts, state } = this, shape = String(state.layers.length), el = (...given) => element(this.document, ...given);
    if (shape !== parts.layers.dataset.shape) {
      parts.layers.dataset.shape = shape;
      const heads = ["kernel", "stride", "padding", "dilation"];
      const row = (i) => el("tr", {}, el("th", { scope: "row", text: i + 1 }),
        ...heads.map((name, j) => el("td", {}, el("input", { type: "number", min: name === "padding" ? 0 : 1, max: 31, "aria-label": `Layer ${i + 1}, ${name}`, oninput: (e) => this.editLayer(i, j, e.target) }))),
        el("td", { class: "note" }), el("td", { class: "note" }),
        el("td", {}, el("button", { type: "button", "aria-label": `Remove layer ${i + 1}`, onclick: () => this.state.layers.length > 1 && this.setLayers(this.state.layers.filter((_, k) => k !== i)), text: "×" })));
      parts.layers.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, el("td"), ...heads.map((name) => el("th", { scope: "col", text: name })), el("th", { scope: "col", text: "map" }), el("th", { scope: "col", text: "field" }), el("td"))), el("tbody", {}, ...state.layers.map((_, i) => row(i)))));
    }
    const before = this.result.before, rows = before ? extents(this.layers, before.height) : [], columns = before ? extents(this.layers, before.width) : [], grown = growth(this.layers);
    [...parts.layers.querySelectorAll("tbody tr")].forEach((row, i) => {
      const inputs = row.querySelectorAll("input"), [size, field] = row.querySelectorAll("td.note");
      state.layers[i].forEach((value, j) => { if (inputs[j] !== this.root.getRootNode().activeElement) inputs[j].value = value; });
      size.textContent = rows[i + 1] > 0 && columns[i + 1] > 0 ? `${rows[i + 1]}×${columns[i + 1]}` : "none";
      field.textContent = grown[i].size;
    });
  }

  editLayer(i, j, input) {
    const value = Number(input.value), low = j === 2 ? 0 : 1, good = Number.isInteger(value) && value >= low && value <= 31 && input.value !== "";
    input.setAttribute("aria-invalid", String(!good));
    if (good) this.set({ layers: this.state.layers.map((layer, k) => (k === i ? layer.map((old, m) => (m === j ? value : old)) : layer)), unit: null }, `layer ${i},${j}`);
  }

  drawFields(accent) {
    const { result, views, parts } = this, { before, map } = result, layers = this.layers;
    views.before.show(before, scaleOfCached(before));
    parts.beforeNote.textContent = `${before.height} × ${before.width}`;
    if (!map?.width || !map.height) {
      parts.fieldText.textContent = "No unit is left: the image is smaller than the field. Take a larger image, or fewer layers.";
      parts.afterNote.textContent = "none";
      this.port = this.portOf(["before"], before, 0);
      views.before.draw(this.port);
      views.after.show(null);
      views.after.draw(this.port);
      return;
    }
    const unit = this.unit, down = reach(layers, unit[0]), along = reach(layers, unit[1]);
    const frame = (rows, columns, more) => ({ row: rows[0], column: columns[0], rows: rows[1] - rows[0] + 1, columns: columns[1] - columns[0] + 1, ...more });
    // The unit's field, and in it that of the middle element of every earlier layer.
    const middle = (range) => Math.floor((range[0] + range[1]) / 2);
    const frames = layers.map((_, k) => frame(reach(layers.slice(0, k + 1), middle(down[k + 1]))[0], reach(layers.slice(0, k + 1), middle(along[k + 1]))[0], { colour: accent, wide: k === layers.length - 1 ? 3 : 1.5, dash: k === layers.length - 1 ? [] : [4, 3] }));
    const over = Math.max(0, -down[0][0], -along[0][0], down[0][1] - before.height + 1, along[0][1] - before.width + 1);
    this.port = this.portOf(["before"], before, over);
    views.before.frames = frames;
    const size = frames.at(-1);
    if (size.rows * size.columns <= 20_000) {
      const counts = [paths(layers, unit[0], extents(layers, before.height)), paths(layers, unit[1], extents(layers, before.width))];
      const most = counts.map((m) => Math.max(...m.values()));
      views.before.shades = [...counts[0]].flatMap(([r, a]) => [...counts[1]].map(([c, b]) => [r, c, (0.55 * a * b) / most[0] / most[1]]));
    }
    views.before.draw(this.port);
    views.after.show(map, scaleOfCached(map, scaleOfCached(before)));
    views.after.frames = [{ row: unit[0], column: unit[1], rows: 1, columns: 1, colour: accent, wide: 3 }];
    const port = this.portOf(["after"], map, 0);
    views.after.draw({ cell: port.cell / this.state.zoom, centre: [map.height / 2, map.width / 2] });
    this.legend("before", views.before.scale);
    this.legend("after", views.after.scale);
    parts.afterNote.textContent = `${map.height} × ${map.width}`;
    parts.kernelNote.textContent = "";
    const inside = [[down[0], before.height], [along[0], before.width]].map(([[a, b], n]) => Math.max(0, Math.min(b, n - 1) - Math.max(a, 0) + 1));
    const text = `The unit at row ${unit[0] + 1}, column ${unit[1] + 1} sees ${size.rows}×${size.columns} pixels: rows ${down[0][0] + 1} to ${down[0][1] + 1}, columns ${along[0][0] + 1} to ${along[0][1] + 1}${inside[0] < size.rows || inside[1] < size.columns ? `, of which ${inside[0]}×${inside[1]} lie in the image` : ""}.`;
    parts.fieldText.textContent = "Every layer here takes the mean of what it reads; the stronger the colour, the more paths lead from a pixel to the unit.";
    parts.place.textContent = `unit at row ${unit[0] + 1}, column ${unit[1] + 1}`;
    parts.strip.replaceChildren(this.document.createTextNode(text.replace(/-(\d)/g, "−$1")));
    parts.live.textContent = text;
  }

  // Pictures

  pick(image) {
    this.stopCamera();
    this.set({ image, data: null, at: null, centre: null, zoom: 1, unit: null, mode: image === "edge" ? "valid" : "same", tour: 0 });
  }

  async openFiles(files) {
    if (!files.length) return;
    if (files.length > 2) return this.say(`files: expected a picture, or a before and an after; received ${files.length}`);
    const ordered = files.length === 2 && /after/i.test(files[0].name) && !/after/i.test(files[1].name) ? [files[1], files[0]] : files;
    try {
      const images = await Promise.all(ordered.map((file) => this.openFile(file)));
      this.setImages(images[0], images[1] ?? null);
      this.say(images.map((image) => image.note).filter(Boolean)[0] ?? "");
    } catch (error) {
      this.say(error.message);
    }
  }

  async openFile(file) {
    const bytes = await file.arrayBuffer(), array = bytes.byteLength > 10 ? fromNpy(bytes) : null;
    if (array) return array;
    const name = file.name || "the picture";
    if (!this.remote) return this.local.open(bytes, name);
    // Python reads the numbers as they are stored: a browser brings 16 bits to 8, and applies colour profiles.
    const image = await this.remote.open(bytes, name);
    return { ...image, note: image.notes.join("; ") };
  }

  /** Takes a before, and an after or null, as its pictures. */
  setImages(before, after, change = true) {
    this.stopCamera();
    this.pictures.set("own", after ? { before, after } : { before });
    const small = !after && before.channels === 1 && before.width <= 32 && before.height <= 32 && before.depth === "float";
    const patch = { at: null, centre: null, zoom: 1, unit: null, mode: "same", image: small ? "data" : "own", data: small ? tabled(before.data, before.height, before.width) : null, view: after ? "learn" : this.state.view, tour: 0 };
    this.forgetFit();
    this.playing = false;
    if (change) {
      this.set(patch);
      this.refresh();
    } else {
      this.state = { ...this.state, ...patch, image: "own", data: null };
      this.history = new History(this.state);
    }
  }

  setKernel({ weights, anchor }) {
    this.set({ rows: weights, divisor: 1, anchor, at: null });
  }

  async toggleCamera() {
    this.parts.photos.open = false;
    if (this.camera) return this.stopCamera();
    try {
      const stream = await this.window.navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 } });
      const video = element(this.document, "video", { playsinline: true });
      video.muted = true;
      video.srcObject = stream;
      await video.play();
      this.camera = stream;
      this.parts.camera.textContent = "Stop the camera";
      const [width, height] = [video.videoWidth || 320, video.videoHeight || 240], canvas = new OffscreenCanvas(width, height), g = canvas.getContext("2d", { willReadFrequently: true });
      const shot = async () => {
        if (this.camera !== stream) return;
        g.drawImage(video, 0, 0, width, height);
        const pixels = g.getImageData(0, 0, width, height).data, data = new Float32Array(width * height);
        for (let i = 0; i < data.length; i++) data[i] = Math.round(0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2]);
        this.pictures.set("camera", { before: { width, height, channels: 1, data, depth: 8 } });
        if (this.state.image !== "camera") this.set({ image: "camera", data: null, at: null, centre: null, zoom: 1, mode: "same" });
        else await this.refresh();
        this.window.requestAnimationFrame(shot);
      };
      shot();
    } catch (error) {
      this.say(`camera: ${error.name === "NotAllowedError" ? "the browser did not allow it" : error.message}`);
    }
  }

  stopCamera() {
    if (!this.camera) return;
    for (const track of this.camera.getTracks()) track.stop();
    this.camera = null;
    this.parts.camera.textContent = "Camera";
  }

  // What is taken away

  get record() {
    const { fit } = this.result;
    if (this.state.view === "learn" && fit) return fit;
    const { rows, divisor, flip } = this.state, kernel = flip ? flipped(this.kernel) : this.kernel;
    const whole = rows.flat().every(Number.isInteger) && Number.isInteger(divisor) ? { rows: flip ? flipped({ weights: rows, anchor: [0, 0] }).weights : rows, divisor } : null;
    const known = recognised(kernel, kernel.weights.map((row) => row.map(() => 0)), this.catalogue.kernels);
    return designed(kernel, known?.scale === 1 ? known.entry : null, whole, this.catalogue.version);
  }

  async take(kind) {
    this.parts.take.open = false;
    const { record } = this, name = record.name ?? "kernel";
    if (kind === "json") download(this.root, `${name}.json`, JSON.stringify(record, null, 1), "application/json");
    else if (kind === "csv") download(this.root, `${name}.csv`, csv(record.kernel), "text/csv");
    else if (kind === "npy") download(this.root, `${name}.npy`, npy(record.kernel));
    else if (kind === "txt") download(this.root, `${name}.txt`, report(record), "text/plain");
    else if (this.views.after.image) download(this.root, "feature-map.png", await pictureOf(this.views.after.image, this.views.after.scale), "image/png");
  }

  async showCode(target) {
    const { codeBox, take } = this.parts, { kernel: weights, anchor } = this.record;
    take.open = false;
    try {
      const text = await (this.remote ?? this.local).code({ weights, anchor }, target);
      this.code = { target, text };
      codeBox.querySelector("h2").textContent = TARGETS[target];
      codeBox.querySelector("pre").textContent = text;
      codeBox.showModal();
    } catch (error) {
      this.say(error.message);
    }
  }

  async copyCode() {
    await this.copy(this.code.text, "copied");
  }

  saveCode() {
    download(this.root, `kernel_${this.code.target}.py`, this.code.text, "text/x-python");
  }

  async copy(text, told) {
    try {
      await this.window.navigator.clipboard.writeText(text);
      this.parts.live.textContent = told;
      this.say(told);
    } catch {
      this.say(text);
    }
  }

  share() {
    const { location } = this.window, large = ["own", "camera"].includes(this.state.image);
    const address = this.hash ? `${location.origin}${location.pathname}#${written(this.state)}` : `#${written(this.state)}`;
    if (this.hash) this.window.history.replaceState(null, "", `#${written(this.state)}`);
    return this.copy(address, large ? "address copied, without your picture: it stays on this machine" : "address copied");
  }

  tourStep(by) {
    const next = this.state.tour + by;
    if (next < 1) return;
    if (next > TOUR.length) return this.set({ tour: 0 });
    this.set({ ...TOUR[next - 1].state });
  }

  destroy() {
    this.ended.abort();
    this.sizes.disconnect();
    this.stopCamera();
    this.stopDescent();
    clearInterval(this.sliding);
    clearTimeout(this.saying);
    this.local.close();
    this.root.replaceChildren();
  }
}

const scales = new WeakMap();
/** The scale of an image, found once. */
function scaleOfCached(image, like = null) {
  const known = scales.get(image);
  if (known && known.like === like) return known.scale;
  const scale = scaleOf(image, like);
  scales.set(image, { scale, like });
  return scale;
}

/** The scale of a residual: as far as it reaches, about zero. */
function symmetric(image) {
  let high = 0;
  for (const value of image.data) high = Math.max(high, Math.abs(value));
  return { low: -(high || 1), high: high || 1 };
}

/**
 * Puts the lab into an element.
 * @param {HTMLElement} root
 * @param {{asset: (name: string) => string, remote?: object | null, state?: string | null, before?: Image, after?: Image,
 *   onKernel?: (kernel: object) => void, onFit?: (record: object) => void}} options
 */
export function mount(root, options) {
  const lab = new Lab(root, options);
  return { destroy: () => lab.destroy(), setKernel: (kernel) => lab.setKernel(kernel), setImages: (before, after) => lab.setImages(before, after ?? null) };
}
