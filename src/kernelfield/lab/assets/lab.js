// The lab: three panes and a strip, in which a kernel slides, is learned, and a stack of layers grows its field.
import { createLocal, flipped, grey, recognised, short, tabled } from "./engine.js";
import { extents, growth, paths, reach } from "./fields.js";
import { csv, designed, download, fromNpy, npy, report } from "./files.js";
import { PICTURES, TARGETS, build, element } from "./page.js";
import { BOUNDARIES, History, readState, written } from "./state.js";
import { TOUR } from "./tour.js";
import { READABLE, View, drawing, inks, pictureOf, scaleOf, valueAt } from "./view.js";

/** @import { Catalogue, Descent, Fit, Image, Kernel, Options, Pair, Port, Result, Scale, State } from "../types" */
/** @typedef {keyof import("./page.js").Parts["drawn"]} Name */

/** The files of pictures, before and after. @type {Record<string, string[]>} */
const SHIPPED = { astronaut: ["photographs/astronaut.png", "photographs/astronaut-sharpened.png"], brick: ["photographs/brick.png"] };
/** Steps of the arrow keys. @type {Record<string, number[]>} */
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
/** @param {number} value @param {number} low @param {number} high */
const within = (value, low, high) => Math.max(low, Math.min(high, value));
/** The largest side of a kernel that has cells. */
const LARGEST = 15;
/** Milliseconds between places of the window that slides by itself. */
const PACE = 900;
/** The textbook's rate for its edge. */
const TEXTBOOK_RATE = 0.03;

/** The textbook's image: white, with a black band in the middle. @returns {Image} */
function edge() {
  const data = Float32Array.from({ length: 48 }, (_, i) => +(i % 8 < 2 || i % 8 > 5));
  return { width: 8, height: 6, channels: 1, data, depth: "float" };
}

/** Reads a number as people write it: 0.5, 1/9, −2. Returns null where it is none. @param {string} text */
function readNumber(text) {
  const [top, bottom, ...rest] = text.trim().replace(/−/g, "-").replace(",", ".").split("/");
  const value = rest.length || top === "" ? NaN : bottom === undefined ? Number(top) : Number(top) / Number(bottom);
  return Number.isFinite(value) ? value : null;
}

/** A number in a cell: as short as it stays the same. @param {number} value */
const plain = (value) => String(Number(value.toPrecision(7))).replace("-", "−");

export class Lab {
  /** @param {HTMLElement} root @param {Options} options */
  constructor(root, options) {
    this.root = root;
    this.options = options;
    this.local = createLocal(options.asset);
    this.remote = options.remote ?? null;
    this.hash = options.state !== null && options.state !== undefined;
    this.state = readState(options.state ?? "");
    this.history = new History(this.state);
    /** @type {Map<string, Pair>} */
    this.pictures = new Map([["edge", { before: edge() }]]);
    /** @type {Result} */
    this.result = { before: null, map: null, used: null, origin: [0, 0], pitch: 1, spread: 1, mode: "valid", after: null, afterOrigin: [0, 0], residual: null, fit: null, descent: null, losses: [] };
    /** @type {Catalogue} */
    this.catalogue = { kernels: [], version: "" };
    this.playing = !options.state && !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.ended = new AbortController();
    /** The running request of learning. @type {AbortController | null} */
    this.cancel = null;
    /** The cell that is typed in, @type {HTMLInputElement | null} */
    this.focused = null;
    /** and that of the product under the pointer. @type {number[] | null} */
    this.hovered = null;
    /** @type {MediaStream | null} */
    this.camera = null;
    /** @type {{accent: string, ink: string} | null} */
    this.style = null;
    /** @type {{target: string, text: string} | null} */
    this.code = null;
    this.cellShape = "";
    this.running = this.again = this.late = this.stepping = false;
    // Timers; 0 is none.
    this.frame = this.descending = this.writing = this.saying = 0;
    root.classList.add("kernelfield-lab");
    root.setAttribute("data-view", this.state.view);
    this.parts = build(this, root);
    const { before, after, residual } = this.parts.drawn;
    this.views = { before: new View(before.canvas), after: new View(after.canvas), residual: new View(residual.canvas) };
    /** @type {Port} */
    this.port = this.views.before.port;
    this.sizes = new ResizeObserver((entries) => {
      this.eachView((view) => { for (const entry of entries) if (entry.target === view.canvas) view.resize(entry); });
      this.draw();
    });
    this.sliding = window.setInterval(() => this.slideOn(), PACE);
    this.watch();
    this.address();
    this.begin();
  }

  /** @param {(view: View, name: Name) => void} act */
  eachView(act) {
    for (const name of /** @type {Name[]} */ (["before", "after", "residual"])) act(this.views[name], name);
  }

  /** Listens to pointers, keys, files and sizes. */
  watch() {
    const { root } = this, { signal } = this.ended;
    this.eachView((view, name) => {
      const { canvas } = view;
      /** @type {Map<number, number[]>} */
      const touches = new Map();
      const spread = () => { const [a, b] = [...touches.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
      /** @type {{x: number, y: number, centre: number[], moved: boolean} | null} */
      let drag = null;
      canvas.addEventListener("pointerdown", (e) => {
        canvas.setPointerCapture?.(e.pointerId);
        touches.set(e.pointerId, [e.offsetX, e.offsetY]);
        drag = { x: e.offsetX, y: e.offsetY, centre: this.port.centre, moved: false };
        if (e.pointerType !== "mouse" || this.state.zoom === 1) this.point(view, name, e.offsetX, e.offsetY, true);
      });
      canvas.addEventListener("pointermove", (e) => {
        if (touches.size > 1 && touches.has(e.pointerId)) {
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
      const released = (/** @type {PointerEvent} */ e) => {
        touches.delete(e.pointerId);
        if (drag?.moved) this.remember("pan");
        drag = null;
      };
      canvas.addEventListener("pointerup", released);
      canvas.addEventListener("pointercancel", released);
      canvas.addEventListener("wheel", (e) => { e.preventDefault(); this.zoom(Math.exp(-e.deltaY / 400), view.place(e.offsetX, e.offsetY), true); }, { passive: false });
      canvas.addEventListener("keydown", (e) => this.key(e));
      canvas.addEventListener("focus", () => this.draw());
      this.sizes.observe(canvas);
    });
    root.addEventListener("keydown", (e) => {
      const command = e.ctrlKey || e.metaKey, letter = e.key.toLowerCase();
      const typing = e.target instanceof HTMLInputElement && e.target.value !== e.target.defaultValue;
      if (command && (letter === "y" || (letter === "z" && !typing))) {
        e.preventDefault();
        this.travel(letter === "y" || e.shiftKey ? 1 : -1);
      } else if (e.key === "Escape") for (const menu of this.menus) if (menu.open) { menu.open = false; menu.querySelector("summary")?.focus(); }
    }, { signal });
    /** Closes menus that neither the pointer nor the focus is in. @param {EventTarget | null} place */
    const close = (place) => { for (const menu of this.menus) if (!(place instanceof Node && menu.contains(place))) menu.open = false; };
    root.addEventListener("focusout", (e) => { if (e.relatedTarget) close(e.relatedTarget); }, { signal });
    root.addEventListener("pointerdown", (e) => close(e.target), { signal });
    root.addEventListener("dragover", (e) => { e.preventDefault(); root.classList.add("dropping"); }, { signal });
    root.addEventListener("dragleave", () => root.classList.remove("dropping"), { signal });
    root.addEventListener("drop", (e) => {
      e.preventDefault();
      root.classList.remove("dropping");
      const files = [...(e.dataTransfer?.files ?? [])];
      if (files.length) this.openFiles(files);
      else this.say("drop: expected the file of a picture; received a link or text; save the picture first");
    }, { signal });
    /** @param {ClipboardEvent} e */
    const pasted = (e) => {
      const files = [...(e.clipboardData?.files ?? [])];
      if (!files.length || e.defaultPrevented) return;
      e.preventDefault();
      this.openFiles(files);
    };
    root.addEventListener("paste", pasted, { signal });
    if (this.hash) {
      document.addEventListener("paste", pasted, { signal });
      window.addEventListener("hashchange", () => { if (location.hash.slice(1) !== written(this.state)) this.apply(readState(location.hash), "address"); }, { signal });
    }
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.style = null; this.draw(); }, { signal });
  }

  get menus() {
    return [this.parts.photos, this.parts.take];
  }

  async begin() {
    const { before, after } = this.options;
    if (before) this.setImages(before, after ?? null, false);
    this.refresh(true);
    try {
      this.catalogue = await this.local.catalogue();
      /** @type {Map<string, HTMLOptGroupElement>} */
      const groups = new Map();
      this.catalogue.kernels.forEach((entry, i) => {
        const group = groups.get(entry.group) ?? element("optgroup", { label: entry.group });
        group.append(element("option", { value: i, text: entry.text }));
        groups.set(entry.group, group);
      });
      this.parts.names.append(...groups.values());
      await this.local.ready;
    } catch (error) {
      this.say(`the engine did not start: ${messageOf(error)}`);
    }
    this.refresh();
  }

  /** Changes the state; `kind` joins changes of one control in the history. @param {Partial<State>} patch */
  set(patch, kind = "", remember = true) {
    this.apply({ ...this.state, ...patch }, kind, remember);
  }

  /** @param {State} state */
  apply(state, kind = "", remember = true) {
    const before = this.state;
    this.state = state;
    if (remember) this.remember(kind);
    const changed = (/** @type {(keyof State)[]} */ ...keys) => keys.some((key) => JSON.stringify(before[key]) !== JSON.stringify(state[key]));
    const slides = changed("rows", "divisor", "anchor", "flip", "mode", "border", "dilation");
    if (changed("view")) { this.playing = false; this.stopDescent(); }
    if (changed("image", "data", "size", "how") || (state.view === "learn" && slides)) this.forgetFit();
    if (slides || changed("view", "image", "data", "stride", "layers", "size", "how", "tour", "unit", "rate")) this.refresh(changed("rows", "divisor", "anchor"));
    else this.draw();
  }

  /** @param {string} kind */
  remember(kind) {
    this.history.push(this.state, kind);
    this.address();
  }

  /** Brings the address, and the buttons of the history, to the state. */
  address() {
    const { now, states } = this.history;
    this.parts.undo.disabled = now === 0;
    this.parts.redo.disabled = now === states.length - 1;
    if (!this.hash) return;
    clearTimeout(this.writing);
    this.writing = window.setTimeout(() => window.history.replaceState(null, "", `#${written(this.state)}`), 150);
  }

  /** @param {number} by */
  travel(by) {
    const state = this.history.step(by);
    if (!state) return;
    this.apply(state, "", false);
    this.address();
  }

  /** Shows a line, or none. @param {string} text */
  say(text) {
    const { message } = this.parts;
    message.textContent = text;
    message.hidden = !text;
    clearTimeout(this.saying);
    if (text) this.saying = window.setTimeout(() => this.say(""), 12_000);
  }

  /** The kernel as it is applied, weights divided, not flipped. */
  get kernel() {
    const { rows, divisor, anchor } = this.state;
    return { weights: rows.map((row) => row.map((v) => v / divisor)), anchor };
  }

  /** The pictures of the state, once they are there. @returns {Promise<Pair>} */
  async pair() {
    const { image, data } = this.state;
    if (image === "data" && data) return { before: { width: data[0].length, height: data.length, channels: 1, data: Float32Array.from(data.flat()), depth: "float" } };
    const known = this.pictures.get(image);
    if (known) return known;
    if (!SHIPPED[image]) {
      this.say(image === "own" || image === "camera" ? "the picture of this address stayed with its owner: open it, or take another" : `image: expected one of ${Object.keys(PICTURES).join(", ")}; received ${image}`);
      this.state = { ...this.state, image: "edge", at: null };
      this.controls();
      return { before: edge() };
    }
    const [before, after] = await Promise.all(SHIPPED[image].map(async (name) => this.local.open(await (await fetch(this.options.asset(name))).arrayBuffer(), name)));
    const pair = { before, after };
    this.pictures.set(image, pair);
    return pair;
  }

  /** Computes what the state asks for, and draws; calls while it runs are one more run. */
  async refresh(kernelChanged = false) {
    this.root.setAttribute("data-view", this.state.view);
    this.controls();
    if (kernelChanged) this.options.onKernel?.(this.kernel);
    if (this.running) {
      this.again = true;
      return;
    }
    this.running = true;
    try {
      do {
        this.again = false;
        await this.compute();
      } while (this.again);
    } catch (error) {
      this.say(messageOf(error));
    } finally {
      this.running = false;
    }
    // The controls of Slide show the state alone, the others what was computed too.
    if (this.state.view !== "slide") this.controls();
    this.draw();
  }

  async compute() {
    const given = await this.pair(), { state, result } = this, { before } = given, { mode, border, flip } = state;
    result.before = before;
    if (state.view === "fields") {
      result.map = await this.stacked(grey(before));
      return;
    }
    const learn = state.view === "learn", own = learn && mode === "full" ? "same" : mode;
    // Learning compares pixels of the same places.
    const pitch = learn ? 1 : state.stride, spread = state.dilation;
    const map = await this.local.apply(before, this.kernel, { mode: own, boundary: border, flip, stride: pitch, dilation: spread });
    const used = flip ? flipped(this.kernel) : this.kernel, [rows, columns] = [used.weights.length, used.weights[0].length];
    const shift = { valid: used.anchor, full: [used.anchor[0] + 1 - rows, used.anchor[1] + 1 - columns] }[own] ?? [0, 0];
    Object.assign(result, { map, used, mode: own, pitch, spread, origin: shift.map((n) => n * spread) });
    if (!learn) return;
    result.after = given.after ?? map;
    result.afterOrigin = given.after ? [0, 0] : result.origin;
    result.residual = result.fit && (await this.left(before, result.after, result.fit));
  }

  /** The units of the last layer, where each layer takes the mean of what it reads. @param {Image} image */
  async stacked(image) {
    let map = image;
    for (const [kernel, stride, padding, dilation] of this.state.layers) {
      const weights = Array.from({ length: kernel }, () => Array(kernel).fill(1 / kernel ** 2));
      map = await this.local.apply(map, { weights, anchor: [0, 0] }, { stride, padding, dilation, boundary: "constant" });
      if (!map.width || !map.height) break;
    }
    return map;
  }

  /**
   * What a fit leaves of the after: saturated at the ends of the range, or border pixels left as they were, as the producer did.
   * @param {Image} before @param {Image} after @param {Fit} fit
   * @returns {Promise<Image | null>}
   */
  async left(before, after, fit) {
    const same = after.height === before.height && after.width === before.width, boundary = BOUNDARIES.find((name) => name === fit.boundary) ?? "reflect";
    const source = grey(before), target = grey(after), offset = Array.isArray(fit.offset) ? fit.offset[0] : fit.offset;
    const predicted = await this.local.apply(source, { weights: fit.kernel, anchor: same ? fit.anchor : [0, 0] }, { mode: same ? "same" : "valid", boundary, cval: fit.cval });
    const { width, height } = target, data = new Float32Array(predicted.data.length);
    if (width !== predicted.width || height !== predicted.height) return null;
    const most = target.depth === "float" ? null : 2 ** target.depth - 1, [rows, columns] = fit.size, [top, left] = fit.anchor;
    for (let i = 0; i < data.length; i++) {
      const r = Math.floor(i / width), c = i % width;
      const copied = same && fit.boundary === "copy" && (r < top || c < left || r >= height - rows + 1 + top || c >= width - columns + 1 + left);
      const value = copied ? source.data[i] : predicted.data[i] + offset;
      data[i] = target.data[i] - (most === null ? value : within(value, 0, most));
    }
    return { ...predicted, data };
  }

  /** Brings every control to the state. */
  controls() {
    const { parts, state, result } = this;
    for (const tab of parts.tabs) tab.setAttribute("aria-current", tab.dataset.view === state.view ? "page" : "false");
    const slide = state.view === "slide", learn = state.view === "learn", fields = state.view === "fields";
    parts.slideTools.hidden = parts.nameRow.hidden = parts.slidePlay.hidden = !slide;
    parts.learnTools.hidden = !learn;
    parts.fieldTools.hidden = !fields;
    parts.cells.hidden = fields;
    parts.residualFigure.hidden = !learn || !result.residual;
    parts.beforeHead.name.textContent = fields ? "Image" : "Before (X)";
    parts.kernelHead.name.textContent = fields ? "Layers" : "Kernel (K)";
    parts.afterHead.name.textContent = fields ? "Units of the last layer" : learn && this.pictures.get(state.image)?.after ? "After (Y)" : "After (Y), feature map";
    parts.slidePlay.textContent = this.playing ? "Pause" : "Play";
    const listed = this.catalogue.kernels.findIndex((entry) => entry.divisor === state.divisor && JSON.stringify(entry.rows) === JSON.stringify(state.rows) && JSON.stringify(entry.anchor) === JSON.stringify(state.anchor));
    parts.names.value = listed < 0 ? "" : String(listed);
    parts.sizes.forEach((output, axis) => (output.textContent = String(axis ? state.rows[0].length : state.rows.length)));
    parts.divisor.value = plain(state.divisor);
    parts.stride.value = String(state.stride);
    parts.dilation.value = String(state.dilation);
    parts.sum.textContent = `sum ${short(state.rows.flat().reduce((a, b) => a + b, 0) / state.divisor)}`;
    parts.flip.setAttribute("aria-pressed", String(state.flip));
    parts.flipText.textContent = state.flip ? "strict convolution" : "cross-correlation";
    parts.mode.value = state.mode;
    parts.border.value = state.border;
    parts.borderBox.hidden = state.mode === "valid";
    parts.slides.hidden = !state.flip || !slide;
    if (!fields) this.fillCells();
    if (learn) this.learnControls();
    if (fields) this.layerControls();
    const step = TOUR[state.tour - 1];
    parts.tour.hidden = !step;
    if (step) {
      parts.tourTitle.textContent = step.title;
      parts.tourText.textContent = step.text;
      parts.tourCount.textContent = `${state.tour} of ${TOUR.length}`;
      parts.tourBack.disabled = state.tour === 1;
    }
    for (const button of parts.pictures) button.setAttribute("aria-pressed", String(button.dataset.picture === state.image));
  }

  /** The cells: editable ones of the kernel, or found ones with their errors. */
  fillCells() {
    const { parts, state } = this, learn = state.view === "learn", fit = learn ? this.result.fit : null;
    const rows = fit ? (fit.integers ?? fit.kernel) : learn ? null : state.rows;
    if (!rows) {
      parts.cells.replaceChildren();
      this.cellShape = "";
      return;
    }
    const [height, width] = [rows.length, rows[0].length], shape = `${height}×${width} ${learn}`, places = rows.flatMap((row, r) => row.map((value, c) => ({ r, c, value })));
    if (shape !== this.cellShape) {
      this.cellShape = shape;
      parts.cells.replaceChildren(...places.map(({ r, c }) => (learn ? element("div", { class: "cell", role: "img" }, element("b"), element("small")) : this.cell(r, c))));
      parts.cells.style.setProperty("--columns", String(width));
    }
    const most = Math.max(...rows.flat().map(Math.abs)) || 1, anchor = fit ? fit.anchor : state.anchor;
    /** @type {Scale} */
    const scale = { signed: true, low: -most, high: most }, units = fit?.integers ? (fit.divisor ?? 1) : 1;
    places.forEach(({ r, c, value }, i) => {
      const cell = parts.cells.children[i];
      if (!(cell instanceof HTMLElement)) return;
      paintCell(cell, value, scale);
      cell.classList.toggle("anchor", r === anchor[0] && c === anchor[1] && height * width > 1);
      if (cell instanceof HTMLInputElement) {
        if (cell !== this.focused) cell.value = plain(value);
      } else if (fit) {
        const error = (fit.stderr[r][c] ?? 0) * units, known = fit.stderr[r][c] !== null, text = fit.integers ? plain(value) : short(value, 3), told = known ? `±${short(error, 2)}` : "";
        [cell.children[0].textContent, cell.children[1].textContent] = [text, told];
        cell.setAttribute("aria-label", `row ${r + 1}, column ${c + 1}: ${text} ${told}`);
        cell.style.setProperty("--error", `${Math.min(100, (100 * error) / most)}%`);
      }
    });
    if (learn || !state.flip) return;
    const { mini } = parts, { weights } = flipped({ weights: state.rows, anchor: state.anchor });
    mini.style.setProperty("--columns", String(width));
    mini.setAttribute("aria-label", `slides as ${weights.map((row) => row.map(plain).join(" ")).join("; ")}`);
    mini.replaceChildren(...weights.flat().map((value) => paintCell(element("span", { text: plain(value) }), value, scale)));
  }

  /** A cell to type a weight in. @param {number} r @param {number} c */
  cell(r, c) {
    const input = element("input", {
      class: "cell", inputmode: "decimal", "aria-label": `row ${r + 1}, column ${c + 1}`, autocomplete: "off",
      onchange: () => { this.edit(r, c, input); }, oninput: () => { this.edit(r, c, input, true); },
      onfocus: () => { this.focused = input; input.select(); }, onblur: () => { this.focused = null; this.controls(); },
    });
    input.addEventListener("keydown", (e) => this.cellKey(e, input, r, c));
    return input;
  }

  /** Takes the weight that was typed; what is none yet is marked, and taken back at the end. @param {number} r @param {number} c @param {HTMLInputElement} input */
  edit(r, c, input, typing = false) {
    const value = readNumber(input.value), old = this.state.rows[r]?.[c];
    if (old === undefined) return;
    input.setAttribute("aria-invalid", String(value === null));
    if (value === null) {
      if (!typing) { input.value = plain(old); input.removeAttribute("aria-invalid"); }
      return;
    }
    if (value !== old) this.set({ rows: this.state.rows.map((row, i) => row.map((old, j) => (i === r && j === c ? value : old))) }, `cell ${r},${c}`);
  }

  /** @param {KeyboardEvent} e @param {HTMLInputElement} input @param {number} r @param {number} c */
  cellKey(e, input, r, c) {
    const move = ARROWS[e.key], { rows } = this.state;
    if (e.key === "Enter") this.edit(r, c, input);
    if (!move || e.altKey || e.ctrlKey || e.metaKey) return;
    const { selectionStart, selectionEnd, value } = input, all = selectionStart === 0 && selectionEnd === value.length, end = move[1] < 0 ? 0 : value.length;
    // Within a number the arrows move the caret.
    if (move[1] && !all && (selectionStart !== end || selectionEnd !== end)) return;
    const next = [r + move[0], c + move[1]];
    if (next[0] < 0 || next[1] < 0 || next[0] >= rows.length || next[1] >= rows[0].length) return;
    e.preventDefault();
    const cell = this.parts.cells.children[next[0] * rows[0].length + next[1]];
    if (cell instanceof HTMLElement) cell.focus();
  }

  /** @param {HTMLInputElement} input */
  divide(input) {
    const value = readNumber(input.value);
    if (value) this.set({ divisor: value });
    else input.value = plain(this.state.divisor);
  }

  /** Takes the stride or the dilation that was typed. @param {"stride" | "dilation"} key @param {HTMLInputElement} input */
  setWhole(key, input) {
    const value = Number(input.value);
    if (Number.isInteger(value) && value >= 1 && value <= LARGEST) return this.set({ [key]: value, at: null }, key);
    input.value = String(this.state[key]);
    this.say(`${key}: expected a whole number from 1 to ${LARGEST}`);
  }

  /** @param {number} index */
  choose(index) {
    const entry = this.catalogue.kernels[index];
    if (entry) this.set({ rows: entry.rows, divisor: entry.divisor, anchor: entry.anchor, at: null });
  }

  /** Adds or takes away a row or a column, at both ends in turn: the middle stays where it is. @param {number} axis @param {number} by */
  resize(axis, by) {
    const { rows, anchor } = this.state, n = axis ? rows[0].length : rows.length;
    if (n + by < 1 || n + by > LARGEST) return;
    const front = by > 0 ? n % 2 === 0 : n % 2 === 1;
    /** @template T @param {T[]} list @param {T} blank */
    const change = (list, blank) => (by > 0 ? (front ? [blank, ...list] : [...list, blank]) : front ? list.slice(1) : list.slice(0, -1));
    const next = axis ? rows.map((row) => change(row, 0)) : change(rows, rows[0].map(() => 0));
    const moved = anchor.map((a, i) => (i === axis && front ? a + by : a));
    this.set({ rows: next, anchor: [within(moved[0], 0, next.length - 1), within(moved[1], 0, next[0].length - 1)], at: null });
  }

  turn() {
    const { rows, anchor } = this.state;
    this.set({ rows: rows[0].map((_, c) => rows.map((row) => row[c])), anchor: [anchor[1], anchor[0]], at: null });
  }

  /** The output pixel that is looked at, in its own rows and columns. */
  get at() {
    const { map } = this.result;
    if (!map?.width || !map.height) return null;
    const [r, c] = this.state.at ?? [(map.height - 1) >> 1, (map.width - 1) >> 1];
    return [within(r, 0, map.height - 1), within(c, 0, map.width - 1)];
  }

  /** @param {View} view @param {Name} name @param {number} x @param {number} y @param {boolean} pressed */
  point(view, name, x, y, pressed) {
    if (!this.result.map?.width) return;
    const place = view.place(x, y), { origin, pitch } = this.result;
    if (this.state.view === "fields") {
      if (name === "after") this.moveUnit(place);
      else if (pressed) {
        const jump = growth(this.layers).at(-1)?.jump ?? 1;
        this.moveUnit(place.map((n) => Math.floor(n / jump)));
      }
      return;
    }
    this.pause();
    this.move(place.map((n, axis) => Math.floor((n - origin[axis]) / pitch)), pressed);
  }

  /** Looks at another output pixel. @param {number[]} at @param {boolean} remember */
  move(at, remember) {
    const { map } = this.result;
    if (!map?.width || !map.height) return;
    const next = [within(at[0], 0, map.height - 1), within(at[1], 0, map.width - 1)];
    /** @param {State | undefined} state */
    const there = (state) => state?.at?.[0] === next[0] && state.at[1] === next[1], moved = !there(this.state);
    if (moved) this.state = { ...this.state, at: next };
    // The pointer has come before it is pressed.
    if (remember && !there(this.history.states[this.history.now])) this.remember("at");
    if (moved) this.schedule();
  }

  /** Draws now, and after that once a frame. */
  schedule() {
    this.late = true;
    if (this.frame) return;
    this.late = false;
    this.frame = window.requestAnimationFrame(() => { this.frame = 0; if (this.late) this.schedule(); });
    this.draw();
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    const move = ARROWS[e.key], by = e.shiftKey ? 10 : 1;
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (move) {
      this.pause();
      if (this.state.view === "fields") this.moveUnit(this.unit.map((u, i) => u + by * move[i]));
      else if (this.at) this.move(this.at.map((a, i) => a + by * move[i]), true);
      this.follow();
    } else if (e.key === "+" || e.key === "=") this.zoom(1.5, this.focus);
    else if (e.key === "-") this.zoom(1 / 1.5, this.focus);
    else if (e.key === "0") this.set({ zoom: 1, centre: null });
    else if (e.key === " " && this.state.view === "slide") this.togglePlay();
    else return;
    e.preventDefault();
  }

  /** The place of the before that is looked at. */
  get focus() {
    const { at } = this, { origin, pitch } = this.result;
    return at && at.map((n, axis) => n * pitch + origin[axis] + 0.5);
  }

  /** Brings the place that is looked at back into view. */
  follow() {
    const { focus } = this, { cell, centre } = this.port, view = this.views.after;
    if (this.state.zoom === 1 || !focus || this.state.view === "fields") return;
    const outside = Math.abs(focus[0] - centre[0]) > view.height / 2 / cell - 1 || Math.abs(focus[1] - centre[1]) > view.width / 2 / cell - 1;
    if (outside) this.set({ centre: focus }, "pan");
  }

  /** @param {number} by @param {number[] | null} about */
  zoom(by, about = null, moved = false) {
    const { zoom } = this.state, next = within(zoom * by, 1, 256), { centre } = this.port;
    if (next === zoom) return;
    const middle = about ?? this.focus ?? centre, share = moved ? 1 - zoom / next : 1;
    this.set({ zoom: next, centre: next === 1 ? null : centre.map((v, i) => v + (middle[i] - v) * share) }, "zoom");
  }

  togglePlay() {
    this.playing = !this.playing;
    this.controls();
  }

  pause() {
    if (this.playing) this.togglePlay();
  }

  slideOn() {
    const { at } = this, { map } = this.result;
    if (!this.playing || this.state.view !== "slide" || !map || !at || document.hidden) return;
    const [r, c] = at, step = Math.max(1, Math.round(map.width / 24));
    const next = c + step < map.width ? [r, c + step] : [(r + step) % map.height, 0];
    this.state = { ...this.state, at: next };
    this.draw();
  }

  /** The colours of lines and of text, read once. */
  get colours() {
    if (!this.style) {
      const style = window.getComputedStyle(this.root);
      this.style = { accent: style.getPropertyValue("--accent").trim() || "#c026d3", ink: style.color };
    }
    return this.style;
  }

  /** Draws all views and the strip. */
  draw() {
    const { result, state, views, parts } = this, { before, used, map, origin, pitch, spread } = result;
    if (!before || !this.root.isConnected) return;
    const { accent, ink } = this.colours, learn = state.view === "learn";
    this.eachView((view) => { view.clear(); Object.assign(view, { accent, ink }); });
    if (state.view === "fields") {
      this.drawFields(before, accent);
      return;
    }
    const scale = scaleOfCached(before), small = Math.max(before.width, before.height) <= 40;
    const spans = used ? [used.weights.length, used.weights[0].length].map((n) => (n - 1) * spread + 1) : [1, 1];
    /** How far the window reaches beyond the image along an axis. @param {number} axis */
    const beyond = (axis) => {
      const n = spans[axis], a = (used?.anchor[axis] ?? 0) * spread;
      return result.mode === "valid" ? 0 : result.mode === "full" ? n - 1 : Math.max(a, n - 1 - a);
    };
    const margin = small && used && !learn ? Math.min(6, Math.max(beyond(0), beyond(1))) : 0;
    this.port = this.portOf(parts.residualFigure.hidden ? ["before", "after"] : ["before", "after", "residual"], before, margin);
    views.before.show(before, scale);
    const shown = learn ? result.after : map, place = learn ? result.afterOrigin : origin;
    if (shown) views.after.show(shown, scaleOfCached(shown, scale), place, pitch);
    if (learn && result.residual) views.residual.show(result.residual, symmetric(result.residual), place);
    const { at } = this;
    if (at && used && !learn) {
      const pixel = { row: at[0] * pitch + origin[0], column: at[1] * pitch + origin[1] };
      const under = { row: pixel.row - used.anchor[0] * spread, column: pixel.column - used.anchor[1] * spread, rows: spans[0], columns: spans[1] };
      const covers = (/** @type {number} */ r, /** @type {number} */ c) => r >= under.row && c >= under.column && r < under.row + under.rows && c < under.column + under.columns;
      views.before.outside = (r, c) => this.read(before, r, c);
      views.before.reached = (r, c) => margin > 0 && (covers(r, c) || (r >= -margin && c >= -margin && r < before.height + margin && c < before.width + margin));
      views.before.inside = (r, c) => (covers(r, c) ? used.weights[(r - under.row) / spread]?.[(c - under.column) / spread] : undefined);
      views.before.frames = [{ ...under, colour: accent, wide: 3 }];
      if (this.hovered) views.before.frames.push({ row: under.row + this.hovered[0] * spread, column: under.column + this.hovered[1] * spread, rows: 1, columns: 1, colour: accent, wide: 3 });
      views.after.frames = [{ ...pixel, rows: pitch, columns: pitch, colour: accent, wide: 3 }];
      this.fillStrip(before, used, [under.row, under.column], at);
    } else if (at && learn) {
      const frame = { row: at[0] + place[0], column: at[1] + place[1], rows: 1, columns: 1, colour: accent };
      this.eachView((view) => (view.frames = [frame]));
      this.fillValues(frame);
    }
    this.eachView((view, name) => {
      view.draw(this.port);
      if (name !== "residual" || !parts.residualFigure.hidden) this.legend(name, view.scale);
    });
    if (at && used && !learn && this.port.cell < READABLE && used.weights.length <= 9 && used.weights[0].length <= 9) this.lens(before, used, at, accent);
    parts.beforeHead.note.textContent = `${before.height} × ${before.width}`;
    parts.afterHead.note.textContent = shown ? `${shown.height} × ${shown.width}` : "";
    parts.kernelHead.note.textContent = learn || !used ? "" : `${used.weights.length} × ${used.weights[0].length}`;
    if (!at && !learn) this.nothing("The kernel does not fit into the image. Take a smaller kernel, or the mode same.");
  }

  /** Says in the strip why there is no output. @param {string} text */
  nothing(text) {
    const { strip, place, live } = this.parts;
    this.views.after.show(null, { signed: false, low: 0, high: 1 });
    this.views.after.clear();
    this.views.after.draw(this.port);
    strip.textContent = live.textContent = text;
    place.textContent = "";
  }

  /** Draws the window with its numbers in a corner of the before, where its pixels are too small for them. @param {Image} before @param {Kernel} used @param {number[]} at @param {string} accent */
  lens(before, used, at, accent) {
    const view = this.views.before, { origin, pitch, spread } = this.result, g = view.context, [kh, kw] = [used.weights.length, used.weights[0].length];
    const side = within(view.width / 2.4 / Math.max(kh, kw), READABLE, 44), [row, column] = at.map((n, axis) => n * pitch + origin[axis] - used.anchor[axis] * spread);
    if (Math.max((kw * side) / view.width, (kh * side) / view.height) > 0.5) return;
    // In the corner that is farther from the window.
    const x0 = column + kw / 2 < this.port.centre[1] ? view.width - kw * side - 4 : 4, y0 = view.height - kh * side - 4;
    used.weights.forEach((weights, r) => weights.forEach((weight, c) =>
      view.drawCell(x0 + c * side, y0 + r * side, side, this.read(before, row + r * spread, column + c * spread), weight, { paper: 1 })));
    g.strokeStyle = accent;
    g.lineWidth = 2;
    g.strokeRect(x0, y0, kw * side, kh * side);
  }

  /** The value that the window reads at a row and column, by the border beyond the image. @param {Image} image @param {number} r @param {number} c */
  read(image, r, c) {
    const { border } = this.state;
    /** @param {number} i @param {number} n */
    const place = (i, n) => {
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
    return y < 0 || x < 0 ? 0 : valueAt(image, y, x);
  }

  /** The port that shows an image whole in the smallest of some views, with a margin in pixels around it. @param {Name[]} names @param {Image} image @param {number} margin */
  portOf(names, image, margin) {
    let cell = Infinity;
    for (const name of names) {
      const view = this.views[name];
      if (view.seen) cell = Math.min(cell, (view.width - 6) / (image.width + 2 * margin), (view.height - 6) / (image.height + 2 * margin));
    }
    if (!Number.isFinite(cell) || cell <= 0) cell = 1;
    return { cell: Math.min(cell, 72) * this.state.zoom, centre: this.state.centre ?? [image.height / 2, image.width / 2] };
  }

  /** @param {Name} name @param {Scale} scale */
  legend(name, scale) {
    const { low, bar, high, zero } = this.parts.drawn[name], legend = bar.parentElement, key = JSON.stringify(scale);
    if (!legend || legend.dataset.scale === key) return;
    legend.dataset.scale = key;
    const g = drawing(bar);
    for (let i = 0; i < 128; i++) {
      g.fillStyle = inks(scale.low + ((scale.high - scale.low) * i) / 127, scale)[0];
      g.fillRect(i, 0, 1, 1);
    }
    low.textContent = short(scale.low, 3);
    high.textContent = short(scale.high, 3);
    zero.textContent = scale.signed ? "0 in the middle" : "";
    legend.setAttribute("aria-label", `scale from ${low.textContent} to ${high.textContent}${scale.signed ? ", zero in the middle" : ""}`);
  }

  /** The strip: every product in the colours of its cells, and the sum. @param {Image} before @param {Kernel} used @param {number[]} corner of the window @param {number[]} at */
  fillStrip(before, used, corner, at) {
    const { strip, live, place } = this.parts, { map, spread } = this.result, scale = scaleOfCached(before), most = Math.max(...used.weights.flat().map(Math.abs)) || 1;
    /** @type {Scale} */
    const signed = { signed: true, low: -most, high: most };
    let sum = 0;
    const terms = used.weights.flatMap((row, r) => row.map((weight, c) => {
      const pixel = this.read(before, corner[0] + r * spread, corner[1] + c * spread);
      sum += pixel * weight;
      const term = element("span", { class: "term", onpointerenter: () => { this.hovered = [r, c]; this.schedule(); }, onpointerleave: () => { this.hovered = null; this.schedule(); } },
        r || c ? "+ " : null, paintCell(element("i", { text: short(pixel) }), pixel, scale), " · ", paintCell(element("b", { text: weight < 0 ? `(${short(weight)})` : short(weight) }), weight, signed));
      return term;
    }));
    const value = map && map.channels < 3 ? valueAt(map, at[0], at[1]) : sum, total = paintCell(element("b", { class: "total", text: short(value, 5) }), value, this.views.after.scale);
    if (!this.hovered) strip.replaceChildren(...terms.flatMap((term) => [term, " "]), "= ", total);
    strip.style.setProperty("--columns", String(used.weights[0].length));
    place.textContent = `row ${at[0] + 1}, column ${at[1] + 1}`;
    if (!this.playing) {
      const words = terms.length <= 25 ? `${terms.map((term) => term.textContent).join("")}= ${short(value, 5)}` : `${terms.length} products, sum ${short(value, 5)}`;
      live.textContent = `Row ${at[0] + 1}, column ${at[1] + 1}: ${words}`;
    }
  }

  /** The strip of Learn: the values at a place of all pictures. @param {{row: number, column: number}} frame */
  fillValues({ row, column }) {
    const { strip, live, place } = this.parts;
    /** @type {string[]} */
    const values = [];
    this.eachView((view, name) => {
      const value = name !== "residual" || !this.parts.residualFigure.hidden ? view.value(row, column) : null;
      if (value !== null) values.push(`${name} ${short(value, 5)}`);
    });
    strip.textContent = values.join(", ");
    place.textContent = `row ${row + 1}, column ${column + 1}`;
    live.textContent = `Row ${row + 1}, column ${column + 1}: ${values.join(", ")}`;
  }

  // Learn

  forgetFit() {
    this.stopDescent();
    this.cancel?.abort();
    Object.assign(this.result, { fit: null, residual: null, descent: null, losses: [] });
  }

  learnControls() {
    const { parts, state } = this, { fit, losses, descent } = this.result, steps = state.how === "steps";
    for (const button of parts.ways) button.setAttribute("aria-pressed", String(button.dataset.how === state.how));
    parts.learn.hidden = steps;
    parts.descent.hidden = !steps;
    const size = state.size?.join() ?? "";
    if (![...parts.learnSize.options].some((option) => option.value === size)) parts.learnSize.append(element("option", { value: size, text: size.replace(",", "×") }));
    parts.learnSize.value = size;
    parts.play.textContent = this.descending ? "Pause" : "Play";
    const rate = state.rate ?? descent?.rate ?? (state.image === "edge" ? TEXTBOOK_RATE : null), root = this.root.getRootNode();
    if (!(root instanceof Document || root instanceof ShadowRoot) || parts.rate !== root.activeElement) parts.rate.value = rate === null ? "" : short(rate, 3);
    if (!fit) parts.verdict.replaceChildren(element("p", { class: "note", text: steps ? "Play or Step: the loss falls, and the weights change." : "Learn finds the kernel between the before and the after." }));
    else if (steps) parts.verdict.replaceChildren(element("p", {}, element("b", { text: fit.description })));
    else {
      const lines = {
        name: fit.description,
        size: fit.size.join("×") + (fit.divisor && fit.divisor > 1 ? `, over ${fit.divisor}` : ""),
        border: `${fit.boundary ?? "unknown"}: ${fit.boundary_reason}`,
        offset: short(Array.isArray(fit.offset) ? fit.offset[0] : fit.offset),
        residual: `${short(fit.residual_sd)} (standard deviation); R² ${Number(fit.r2.toPrecision(6))}`,
        pixels: `${fit.samples} used${fit.excluded ? `, ${fit.excluded} left out` : ""}`,
      };
      parts.verdict.replaceChildren(element("p", {}, element("strong", { text: fit.verdict }), `: ${fit.explanation}`),
        element("dl", {}, ...Object.entries(lines).flatMap(([term, text]) => [element("dt", { text: term }), element("dd", { text })])));
    }
    parts.loss.textContent = losses.length ? `step ${losses.length}, loss ${short(losses[losses.length - 1])}` : "";
    if (steps) this.drawCurve();
  }

  async learn() {
    const { before, after } = this.result, { working, progress, stage } = this.parts;
    if (!before || !after) return;
    this.cancel?.abort();
    const cancel = new AbortController(), { signal } = cancel;
    this.cancel = cancel;
    /** @param {number | null} share @param {string} text */
    const onProgress = (share, text) => {
      if (share === null) progress.removeAttribute("value");
      else progress.value = share;
      stage.textContent = text;
    };
    onProgress(null, "");
    working.hidden = false;
    try {
      const size = after.height === before.height && after.width === before.width ? this.state.size : null;
      const fit = await (this.remote ?? this.local).learn(before, after, { size }, { signal, onProgress });
      if (signal.aborted) return;
      this.result.fit = fit;
      this.options.onFit?.(fit);
      this.parts.live.textContent = `${fit.verdict}: ${fit.explanation}; ${fit.description}`;
      await this.refresh();
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) this.say(messageOf(error));
    } finally {
      if (this.cancel === cancel) working.hidden = true;
    }
  }

  /** Begins a descent. @returns {Promise<Descent | null>} */
  async startDescent() {
    const { before, after } = this.result, { rows, image } = this.state;
    if (!before || !after) return null;
    const same = after.height === before.height && after.width === before.width;
    const size = same ? (this.state.size ?? [rows.length, rows[0].length]) : [before.height - after.height + 1, before.width - after.width + 1];
    const small = before.width * before.height <= 4096;
    const begun = await this.local.descend(before, after, { size, momentum: small ? 0 : 0.95, centred: !small });
    const descent = { ...begun, rate: image === "edge" ? TEXTBOOK_RATE : begun.most * (small ? 0.9 : 0.5), size, anchor: size.map((n) => n >> 1), many: small ? 1 : 10 };
    Object.assign(this.result, { descent, losses: [] });
    return descent;
  }

  /** @param {number} count */
  async stepDescent(count) {
    if (this.stepping) return;
    this.stepping = true;
    try {
      const descent = this.result.descent ?? (await this.startDescent()), { after } = this.result;
      if (!descent || !after) return;
      const rate = this.state.rate ?? descent.rate, { losses, kernel } = await descent.steps(count, rate);
      if (descent !== this.result.descent) return;
      const all = [...this.result.losses, ...losses], loss = all[all.length - 1];
      this.result.losses = all;
      if (!Number.isFinite(loss) || loss > 1e6 * (all[0] || 1)) {
        this.stopDescent();
        this.say(`rate: expected at most ${short(descent.most, 3)}, below which the loss falls; received ${short(rate, 3)}`);
      }
      const target = grey(after).data, n = target.length, mean = target.reduce((a, b) => a + b, 0) / n, variation = target.reduce((a, b) => a + (b - mean) ** 2, 0);
      this.result.fit = {
        ...designed({ weights: kernel, anchor: descent.anchor }, null, null, this.catalogue.version),
        verdict: "approximate", explanation: `descent stopped after ${all.length} steps, at a squared error of ${short(loss)}`, description: "kernel learned by descent",
        stderr: kernel.map((row) => row.map(() => null)), boundary: null, boundary_candidates: [], boundary_reason: "not searched for in descent",
        r2: variation > 0 ? Math.max(0, 1 - loss / variation) : 0, residual_sd: Math.sqrt(Math.max(0, loss) / n), samples: n, notes: ["learned in the browser"], losses: all, layers: [kernel],
      };
      await this.refresh();
    } catch (error) {
      this.stopDescent();
      this.say(messageOf(error));
    } finally {
      this.stepping = false;
    }
  }

  playDescent() {
    if (this.descending) return this.stopDescent();
    const turn = async () => {
      await this.stepDescent(this.result.descent?.many ?? 1);
      const { losses, descent } = this.result, n = losses.length;
      const done = n >= 5000 || (n > 20 && losses[n - 11] - losses[n - 1] <= 1e-9 * losses[0]);
      if (!this.descending || done) return this.stopDescent();
      this.descending = window.setTimeout(turn, descent && descent.many > 1 ? 16 : 120);
    };
    this.descending = window.setTimeout(turn, 0);
    this.controls();
  }

  stopDescent() {
    clearTimeout(this.descending);
    if (!this.descending) return;
    this.descending = 0;
    if (this.state.view === "learn") this.controls();
  }

  restart() {
    this.forgetFit();
    this.refresh();
  }

  /** @param {HTMLInputElement} input */
  setRate(input) {
    const value = readNumber(input.value);
    if (value !== null && value > 0) this.set({ rate: value }, "rate");
    else input.value = short(this.state.rate ?? this.result.descent?.rate ?? 0, 3);
  }

  drawCurve() {
    const { curve } = this.parts, { losses } = this.result, ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = curve;
    if (!width) return;
    Object.assign(curve, { width: width * ratio, height: height * ratio });
    const g = drawing(curve), { accent, ink } = this.colours;
    g.scale(ratio, ratio);
    g.font = "11px system-ui, sans-serif";
    g.fillStyle = ink;
    if (!losses.length) return g.fillText("loss", 4, 12);
    const floor = losses[0] * 1e-9 || 1e-12, logs = losses.map((loss) => Math.log10(Math.max(loss, floor))), high = Math.max(...logs), low = Math.min(...logs, high - 1);
    g.strokeStyle = accent;
    g.lineWidth = 2;
    g.beginPath();
    logs.forEach((log, i) => g.lineTo(4 + ((width - 8) * i) / Math.max(1, logs.length - 1), 16 + ((height - 24) * (high - log)) / (high - low)));
    g.stroke();
    const [first, last] = [losses[0], losses[losses.length - 1]].map((loss) => short(loss, 3));
    g.fillText(`loss ${first} → ${last}, logarithmic`, 4, 12);
    curve.setAttribute("aria-label", `Loss of each step, from ${first} to ${last} in ${losses.length} steps`);
  }

  // Fields

  get layers() {
    return this.state.layers.map(([kernel, stride, padding, dilation]) => ({ kernel, stride, padding, dilation }));
  }

  /** The unit that is looked at: its row and column in the last layer. */
  get unit() {
    const { map } = this.result, [h, w] = [map?.height || 1, map?.width || 1], [r, c] = this.state.unit ?? [h >> 1, w >> 1];
    return [within(r, 0, h - 1), within(c, 0, w - 1)];
  }

  /** @param {number[]} unit */
  moveUnit(unit) {
    const { map } = this.result;
    if (!map?.width) return;
    const next = [within(unit[0], 0, map.height - 1), within(unit[1], 0, map.width - 1)];
    if (this.state.unit && next[0] === this.state.unit[0] && next[1] === this.state.unit[1]) return;
    this.state = { ...this.state, unit: next };
    this.remember("unit");
    this.schedule();
  }

  /** @param {number[][]} layers */
  setLayers(layers) {
    if (layers.length > 12) return this.say("layers: expected at most 12");
    this.set({ layers, unit: null }, "layers");
  }

  layerControls() {
    const { parts, state } = this, { before } = this.result, shape = String(state.layers.length), heads = ["kernel", "stride", "padding", "dilation"];
    if (shape !== parts.layers.dataset.shape) {
      parts.layers.dataset.shape = shape;
      /** @param {number} i @param {string} name @param {number} j */
      const input = (i, name, j) => {
        const made = element("input", { type: "number", min: name === "padding" ? 0 : 1, max: 31, "aria-label": `Layer ${i + 1}, ${name}`, oninput: () => { this.editLayer(i, j, made); } });
        return element("td", {}, made);
      };
      const row = (/** @type {number} */ i) => element("tr", {}, element("th", { scope: "row", text: i + 1 }), ...heads.map((name, j) => input(i, name, j)), element("td", { class: "note" }), element("td", { class: "note" }),
        element("td", {}, element("button", { type: "button", "aria-label": `Remove layer ${i + 1}`, onclick: () => { if (state.layers.length > 1) this.setLayers(this.state.layers.filter((_, k) => k !== i)); }, text: "×" })));
      parts.layers.replaceChildren(element("table", {},
        element("thead", {}, element("tr", {}, element("td"), ...[...heads, "map", "field"].map((name) => element("th", { scope: "col", text: name })), element("td"))),
        element("tbody", {}, ...state.layers.map((_, i) => row(i)))));
    }
    const rows = before ? extents(this.layers, before.height) : [], columns = before ? extents(this.layers, before.width) : [], grown = growth(this.layers);
    parts.layers.querySelectorAll("tbody tr").forEach((row, i) => {
      const [size, field] = row.querySelectorAll("td.note");
      row.querySelectorAll("input").forEach((input, j) => { if (!input.matches(":focus")) input.value = String(state.layers[i][j]); });
      size.textContent = rows[i + 1] > 0 && columns[i + 1] > 0 ? `${rows[i + 1]}×${columns[i + 1]}` : "none";
      field.textContent = String(grown[i].size);
    });
  }

  /** @param {number} i @param {number} j @param {HTMLInputElement} input */
  editLayer(i, j, input) {
    const value = Number(input.value), low = j === 2 ? 0 : 1, good = Number.isInteger(value) && value >= low && value <= 31 && input.value !== "";
    input.setAttribute("aria-invalid", String(!good));
    if (good) this.set({ layers: this.state.layers.map((layer, k) => (k === i ? layer.map((old, m) => (m === j ? value : old)) : layer)), unit: null }, `layer ${i},${j}`);
  }

  /** @param {Image} before @param {string} accent */
  drawFields(before, accent) {
    const { result, views, parts, layers } = this, { map } = result;
    views.before.show(before, scaleOfCached(before));
    parts.beforeHead.note.textContent = `${before.height} × ${before.width}`;
    parts.kernelHead.note.textContent = "";
    if (!map?.width || !map.height) {
      parts.fieldText.textContent = "";
      parts.afterHead.note.textContent = "none";
      this.port = this.portOf(["before"], before, 0);
      views.before.draw(this.port);
      this.nothing("No unit is left: the image is smaller than the field. Take a larger image, or fewer layers.");
      return;
    }
    const { unit } = this, down = reach(layers, unit[0]), along = reach(layers, unit[1]);
    // The unit's field, and in it that of the middle element of every earlier layer.
    const middle = (/** @type {number[]} */ range) => Math.floor((range[0] + range[1]) / 2);
    const frames = layers.map((_, k) => {
      const last = k === layers.length - 1, some = layers.slice(0, k + 1), [rows, columns] = [reach(some, middle(down[k + 1]))[0], reach(some, middle(along[k + 1]))[0]];
      return { row: rows[0], column: columns[0], rows: rows[1] - rows[0] + 1, columns: columns[1] - columns[0] + 1, colour: accent, wide: last ? 3 : 1.5, dash: last ? [] : [4, 3] };
    });
    const over = Math.max(0, -down[0][0], -along[0][0], down[0][1] - before.height + 1, along[0][1] - before.width + 1);
    this.port = this.portOf(["before"], before, over);
    views.before.frames = frames;
    const size = frames[frames.length - 1];
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
    parts.afterHead.note.textContent = `${map.height} × ${map.width}`;
    const inside = [[...down[0], before.height], [...along[0], before.width]].map(([a, b, n]) => Math.max(0, Math.min(b, n - 1) - Math.max(a, 0) + 1));
    const text = `The unit at row ${unit[0] + 1}, column ${unit[1] + 1} sees ${size.rows}×${size.columns} pixels: rows ${down[0][0] + 1} to ${down[0][1] + 1}, columns ${along[0][0] + 1} to ${along[0][1] + 1}${inside[0] < size.rows || inside[1] < size.columns ? `, of which ${inside[0]}×${inside[1]} lie in the image` : ""}.`;
    parts.fieldText.textContent = "Every layer here takes the mean of what it reads; the stronger the colour, the more paths lead from a pixel to the unit.";
    parts.place.textContent = `unit at row ${unit[0] + 1}, column ${unit[1] + 1}`;
    parts.strip.textContent = text.replace(/-(\d)/g, "−$1");
    parts.live.textContent = text;
  }

  // Pictures

  /** @param {string} image */
  pick(image) {
    this.stopCamera();
    this.set({ image, data: null, at: null, centre: null, zoom: 1, unit: null, mode: image === "edge" ? "valid" : "same", tour: 0 });
  }

  /** @param {File[]} files */
  async openFiles(files) {
    if (!files.length) return;
    if (files.length > 2) return this.say(`files: expected a picture, or a before and an after; received ${files.length}`);
    const ordered = files.length === 2 && /after/i.test(files[0].name) && !/after/i.test(files[1].name) ? [files[1], files[0]] : files;
    try {
      const images = await Promise.all(ordered.map((file) => this.openFile(file)));
      this.setImages(images[0], images[1] ?? null);
      this.say(images.map((image) => image.note).filter(Boolean)[0] ?? "");
    } catch (error) {
      this.say(messageOf(error));
    }
  }

  /** @param {File} file @returns {Promise<Image>} */
  async openFile(file) {
    const name = file.name || "the picture", bytes = await file.arrayBuffer().catch(() => { throw new Error(`${name}: expected a file that can be read; received a folder, or a file that has gone`); });
    const array = fromNpy(bytes, name);
    if (array) return array;
    if (!this.remote) return this.local.open(bytes, name);
    // Python reads the numbers as they are stored: a browser brings 16 bits to 8, and applies colour profiles.
    const image = await this.remote.open(bytes, name);
    return { ...image, note: image.notes.join("; ") };
  }

  /** Takes a before, and an after or null, as its pictures. @param {Image} before @param {Image | null} after */
  setImages(before, after, change = true) {
    this.stopCamera();
    this.pictures.set("own", after ? { before, after } : { before });
    const small = !after && before.channels === 1 && before.width <= 32 && before.height <= 32 && before.depth === "float" && before.data.every(Number.isFinite);
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

  /** @param {Kernel} kernel */
  setKernel({ weights, anchor }) {
    this.set({ rows: weights, divisor: 1, anchor, at: null });
  }

  async toggleCamera() {
    this.parts.photos.open = false;
    if (this.camera) return this.stopCamera();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 } }), video = element("video", { playsinline: true });
      video.muted = true;
      video.srcObject = stream;
      await video.play();
      this.camera = stream;
      this.parts.camera.textContent = "Stop the camera";
      const [width, height] = [video.videoWidth || 320, video.videoHeight || 240], g = drawing(new OffscreenCanvas(width, height), { willReadFrequently: true });
      const shot = async () => {
        if (this.camera !== stream) return;
        g.drawImage(video, 0, 0, width, height);
        const pixels = g.getImageData(0, 0, width, height).data, data = new Float32Array(width * height);
        for (let i = 0; i < data.length; i++) data[i] = Math.round(0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2]);
        this.pictures.set("camera", { before: { width, height, channels: 1, data, depth: 8 } });
        if (this.state.image !== "camera") this.set({ image: "camera", data: null, at: null, centre: null, zoom: 1, mode: "same" });
        else await this.refresh();
        window.requestAnimationFrame(shot);
      };
      shot();
    } catch (error) {
      this.say(`camera: ${error instanceof DOMException && error.name === "NotAllowedError" ? "the browser did not allow it" : messageOf(error)}`);
    }
  }

  stopCamera() {
    if (!this.camera) return;
    for (const track of this.camera.getTracks()) track.stop();
    this.camera = null;
    this.parts.camera.textContent = "Camera";
  }

  // Export

  /** The record of the kernel on the page: the learned one in Learn, else the one that slides. */
  get record() {
    const { fit } = this.result, { rows, divisor, flip, dilation } = this.state;
    if (this.state.view === "learn" && fit) return fit;
    const turned = spread(flip ? flipped(this.kernel) : this.kernel, dilation), whole = rows.flat().every(Number.isInteger) && Number.isInteger(divisor);
    const integers = spread(flip ? flipped({ weights: rows, anchor: [0, 0] }) : { weights: rows, anchor: [0, 0] }, dilation).weights;
    const known = recognised(turned, turned.weights.map((row) => row.map(() => 0)), this.catalogue.kernels);
    return designed(turned, known?.scale === 1 ? known.entry : null, whole ? { rows: integers, divisor } : null, this.catalogue.version);
  }

  /** @param {string} kind */
  async take(kind) {
    this.parts.take.open = false;
    const { record } = this, name = record.name ?? "kernel", { image, scale } = this.views.after;
    if (kind === "json") download(this.root, `${name}.json`, JSON.stringify(record, null, 1));
    else if (kind === "csv") download(this.root, `${name}.csv`, csv(record.kernel));
    else if (kind === "npy") download(this.root, `${name}.npy`, npy(record.kernel));
    else if (kind === "txt") download(this.root, `${name}.txt`, report(record));
    else if (image) download(this.root, "feature-map.png", await pictureOf(image, scale));
  }

  /** @param {string} target */
  async showCode(target) {
    const { codeBox, codeTitle, codeText, take } = this.parts, { kernel: weights, anchor } = this.record;
    take.open = false;
    try {
      const text = await (this.remote ?? this.local).code({ weights, anchor }, target);
      this.code = { target, text };
      codeTitle.textContent = TARGETS[target];
      codeText.textContent = text;
      codeBox.showModal();
    } catch (error) {
      this.say(messageOf(error));
    }
  }

  copyCode() {
    if (this.code) this.copy(this.code.text, "copied");
  }

  saveCode() {
    if (this.code) download(this.root, `kernel_${this.code.target}.py`, this.code.text);
  }

  /** @param {string} text @param {string} told */
  async copy(text, told) {
    try {
      await navigator.clipboard.writeText(text);
      this.parts.live.textContent = told;
      this.say(told);
    } catch {
      this.say(text);
    }
  }

  share() {
    const large = ["own", "camera"].includes(this.state.image), state = `#${written(this.state)}`;
    if (this.hash) window.history.replaceState(null, "", state);
    this.copy(this.hash ? `${location.origin}${location.pathname}${state}` : state, large ? "address copied, without your picture: it stays on this machine" : "address copied");
  }

  /** @param {number} by */
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

/** The line of an error. @param {unknown} error */
const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** Colours an element by a value, and returns it. @template {HTMLElement} E @param {E} cell @param {number} value @param {Scale} scale */
function paintCell(cell, value, scale) {
  [cell.style.backgroundColor, cell.style.color] = inks(value, scale);
  return cell;
}

/** A kernel with zeros between its weights, as dilation spreads it. @param {Kernel} kernel @param {number} by */
function spread({ weights, anchor }, by) {
  const sides = [weights.length, weights[0].length].map((n) => (n - 1) * by + 1);
  const table = Array.from({ length: sides[0] }, (_, r) => Array.from({ length: sides[1] }, (_, c) => (r % by || c % by ? 0 : weights[r / by][c / by])));
  return { weights: table, anchor: anchor.map((n) => n * by) };
}

/** @type {WeakMap<Image, {scale: Scale, like: Scale | null}>} */
const scales = new WeakMap();
/** The scale of an image, found once. @param {Image} image @param {Scale | null} like */
function scaleOfCached(image, like = null) {
  const known = scales.get(image);
  if (known && known.like === like) return known.scale;
  const scale = scaleOf(image, like);
  scales.set(image, { scale, like });
  return scale;
}

/** The scale of a residual: as far as it reaches, about zero. @param {Image} image @returns {Scale} */
function symmetric({ data }) {
  let high = 0;
  for (let i = 0; i < data.length; i++) high = Math.max(high, Math.abs(data[i]));
  return { signed: true, low: -(high || 1), high: high || 1 };
}

/** Puts the lab into an element. @param {HTMLElement} root @param {Options} options */
export function mount(root, options) {
  const lab = new Lab(root, options);
  return {
    destroy: () => lab.destroy(),
    setKernel: (/** @type {Kernel} */ kernel) => lab.setKernel(kernel),
    setImages: (/** @type {Image} */ before, /** @type {Image | null} */ after = null) => lab.setImages(before, after),
  };
}
