// A picture on a canvas: cells with their numbers where they are large enough, else pixels; frames, zoom and pan.
import { short } from "./engine.js";

/** @import { Frame, Image, Port, Scale } from "../types" */

/** The diverging palette, from −1 to 1: blue and orange, which colour-blind people tell apart; zero in the middle. */
const STOPS = [[5, 60, 120], [66, 146, 198], [247, 247, 247], [253, 141, 60], [150, 45, 3]];
/** Levels of each sign. */
const LEVELS = 256;
/** Colours as they lie in a picture, from the least value on: those of signed values, and of grey ones. */
const SIGNED = Uint32Array.from({ length: 2 * LEVELS + 1 }, (_, i) => {
  const t = (i / (2 * LEVELS)) * (STOPS.length - 1), k = Math.min(Math.floor(t), STOPS.length - 2);
  const [r, g, b] = STOPS[k].map((from, j) => Math.round(from + (t - k) * (STOPS[k + 1][j] - from)));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
});
const GREYS = Uint32Array.from({ length: 256 }, (_, i) => ((255 << 24) | (i * 0x10101)) >>> 0);
/** The colour of what is no number. */
const NONE = 0xffc800c8;
/** The side of a cell, in pixels of the page, from which it shows its number. */
export const READABLE = 20;

/** Returns the colour of a value as it lies in a picture. @param {number} value @param {Scale} scale */
export function colourOf(value, scale) {
  const colours = scale.signed ? SIGNED : GREYS, last = colours.length - 1;
  if (value !== value) return NONE;
  return colours[Math.max(0, Math.min(last, Math.round((last * (value - scale.low)) / (scale.high - scale.low || 1))))];
}

/**
 * Returns a colour for CSS and the one of black and white that has more contrast on it (WCAG 2, relative luminance).
 * @param {number} value @param {Scale} scale
 */
export function inks(value, scale) {
  const colour = colourOf(value, scale), [r, g, b] = [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
  const linear = (/** @type {number} */ v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  return [`rgb(${r} ${g} ${b})`, light > 0.179 ? "#000" : "#fff"];
}

/**
 * Returns the scale of values: signed where some are negative, else from 0 to the largest, or as `like` where that holds them.
 * @param {Image} image @param {Scale | null} like
 * @returns {Scale}
 */
export function scaleOf(image, like = null) {
  let low = Infinity, high = -Infinity;
  const { data } = image;
  for (let i = 0; i < data.length; i++) {
    if (data[i] < low) low = data[i];
    if (data[i] > high) high = data[i];
  }
  if (!Number.isFinite(low) || !Number.isFinite(high)) return { signed: false, low: 0, high: 1 };
  const limit = Math.max(-low, high) || 1;
  if (low < -1e-4 * limit) return { signed: true, low: -limit, high: limit };
  if (like && !like.signed && high <= like.high * 1.001) return like;
  if (image.depth === 8) return { signed: false, low: 0, high: 255 };
  if (image.depth === 16) return { signed: false, low: 0, high: 65535 };
  return { signed: false, low: 0, high: limit };
}

/** The value at a row and column: of colours their luminance. @param {Image} image @param {number} row @param {number} column */
export function valueAt({ width, channels, data }, row, column) {
  const at = (row * width + column) * channels;
  return channels < 3 ? data[at] : 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
}

/** Paints an image into pixels, a value a pixel. @param {ImageData} pixels @param {Image} image @param {Scale} scale */
function paint(pixels, image, scale) {
  const { channels, data } = image, to = new Uint32Array(pixels.data.buffer);
  const colours = scale.signed ? SIGNED : GREYS, last = colours.length - 1, { low } = scale, factor = last / (scale.high - low || 1);
  if (channels < 3) {
    for (let i = 0, j = 0; i < to.length; i++, j += channels) {
      const level = (data[j] - low) * factor + 0.5;
      to[i] = level >= last ? colours[last] : level >= 0 ? colours[level | 0] : level < 0 ? colours[0] : NONE;
    }
    return;
  }
  // Channels of signed results share a scale, whose middle is grey.
  const bytes = pixels.data, step = 255 / (scale.high - low || 1);
  for (let i = 0, j = 0; i < bytes.length; i += 4, j += channels) {
    bytes[i] = (data[j] - low) * step;
    bytes[i + 1] = (data[j + 1] - low) * step;
    bytes[i + 2] = (data[j + 2] - low) * step;
    bytes[i + 3] = 255;
  }
}

/** Returns a picture as it is painted, a pixel a value, as a PNG. @param {Image} image @param {Scale} scale */
export async function pictureOf(image, scale) {
  const canvas = new OffscreenCanvas(image.width, image.height), pixels = new ImageData(image.width, image.height);
  paint(pixels, image, scale);
  drawing(canvas).putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/**
 * Returns the context in which a canvas is drawn.
 * @template {HTMLCanvasElement | OffscreenCanvas} C
 * @param {C} canvas
 * @param {CanvasRenderingContext2DSettings} [how]
 */
export function drawing(canvas, how) {
  const context = /** @type {ReturnType<C["getContext"]>} */ (canvas.getContext("2d", how));
  if (!context) throw new Error("the browser draws no canvas");
  return /** @type {C extends HTMLCanvasElement ? CanvasRenderingContext2D : OffscreenCanvasRenderingContext2D} */ (context);
}

/**
 * One view. Coordinates are rows and columns of the before: views that show the same region are linked by them.
 */
export class View {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = drawing(canvas);
    /** @type {Image | null} */
    this.image = null;
    /** @type {Scale} */
    this.scale = { signed: false, low: 0, high: 1 };
    /** @type {OffscreenCanvas | null} */
    this.bitmap = null;
    this.pixels = new ImageData(1, 1);
    this.origin = [0, 0];
    this.pitch = 1;
    /** @type {Port} */
    this.port = { cell: 1, centre: [0, 0] };
    this.width = this.height = this.wide = this.high = 0;
    this.ratio = 1;
    this.accent = this.ink = "";
    /** @type {Frame[]} */
    this.frames = [];
    /** Row, column and strength of shaded pixels. @type {number[][]} */
    this.shades = [];
    /** The value beyond the image, @type {((row: number, column: number) => number) | null} */
    this.outside = null;
    /** whether it is drawn, @type {((row: number, column: number) => boolean) | null} */
    this.reached = null;
    /** and the weight of the kernel over a pixel. @type {((row: number, column: number) => number | undefined) | null} */
    this.inside = null;
  }

  /** Takes away all that lies over the image. */
  clear() {
    Object.assign(this, { frames: [], shades: [], outside: null, reached: null, inside: null });
  }

  /** Sets the image; `origin` is where its first value lies in the before, `pitch` how far apart they lie. @param {Image | null} image @param {Scale} scale */
  show(image, scale, origin = [0, 0], pitch = 1) {
    Object.assign(this, { origin, pitch });
    if (image === this.image && scale.high === this.scale.high && scale.low === this.scale.low && scale.signed === this.scale.signed) return;
    this.image = image;
    this.scale = scale;
    if (!image || !image.width || !image.height) {
      this.bitmap = null;
      return;
    }
    const { width, height } = image;
    const bitmap = this.bitmap?.width === width && this.bitmap.height === height ? this.bitmap : new OffscreenCanvas(width, height);
    if (bitmap !== this.bitmap) this.pixels = new ImageData(width, height);
    this.bitmap = bitmap;
    paint(this.pixels, image, scale);
    drawing(bitmap).putImageData(this.pixels, 0, 0);
  }

  /** Takes the size of its element in the screen's own pixels, where the browser tells it: others would be blurred. @param {ResizeObserverEntry} entry */
  resize({ devicePixelContentBoxSize: [size] = [] }) {
    const ratio = window.devicePixelRatio || 1, { clientWidth, clientHeight } = this.canvas;
    this.wide = size?.inlineSize ?? Math.round(clientWidth * ratio);
    this.high = size?.blockSize ?? Math.round(clientHeight * ratio);
    Object.assign(this, { ratio, width: this.wide / ratio, height: this.high / ratio });
  }

  /** Whether there is room to draw. */
  get seen() {
    return this.width > 0 && this.height > 0;
  }

  /** The value at a row and column of the before. @param {number} row @param {number} column */
  value(row, column) {
    const { image, origin } = this, r = row - origin[0], c = column - origin[1];
    return !image || r < 0 || c < 0 || r >= image.height || c >= image.width ? null : valueAt(image, r, c);
  }

  /** The row and column of the before under a point of the element. @param {number} x @param {number} y */
  place(x, y) {
    const { cell, centre } = this.port;
    return [Math.floor(centre[0] + (y - this.height / 2) / cell), Math.floor(centre[1] + (x - this.width / 2) / cell)];
  }

  /** Draws through a port. @param {Port} port */
  draw(port) {
    this.port = port;
    if (!this.seen) return;
    const { context: g, width, height, wide, high, ratio, bitmap, image, origin, pitch } = this, { cell, centre } = port;
    if (this.canvas.width !== wide || this.canvas.height !== high) Object.assign(this.canvas, { width: wide, height: high });
    /** @param {number} column */
    const x = (column) => width / 2 + (column - centre[1]) * cell;
    /** @param {number} row */
    const y = (row) => height / 2 + (row - centre[0]) * cell;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    const side = cell * pitch;
    if (bitmap && image) {
      g.imageSmoothingEnabled = side < 1;
      g.drawImage(bitmap, x(origin[1]), y(origin[0]), image.width * side, image.height * side);
    }
    if (side >= 12 && image) this.drawCells(image, x, y, side);
    for (const [r, c, alpha] of this.shades) {
      g.globalAlpha = alpha;
      g.fillStyle = this.accent;
      g.fillRect(x(c), y(r), cell, cell);
    }
    g.globalAlpha = 1;
    for (const { row, column, rows, columns, colour, wide = 2, dash = [] } of this.frames) {
      // A light line beneath: the frame is seen on any picture.
      for (const [style, extra] of /** @type {[string, number][]} */ ([["rgb(255 255 255 / 85%)", 2], [colour, 0]])) {
        g.strokeStyle = style;
        g.lineWidth = wide + extra;
        g.setLineDash(extra ? [] : dash);
        g.strokeRect(x(column), y(row), columns * cell, rows * cell);
      }
      g.setLineDash([]);
    }
  }

  /**
   * Draws a cell with its number, and the weight over it where there is one and room.
   * @param {number} x @param {number} y @param {number} side @param {number} value @param {number | undefined} weight
   * @param {{paper?: number, ghost?: boolean}} how `paper` is how strong its colour is laid over the picture
   */
  drawCell(x, y, side, value, weight, { paper = 0, ghost = false } = {}) {
    const g = this.context, [colour, ink] = inks(value, this.scale), both = weight !== undefined && side >= 34, size = Math.max(9, Math.min(16, side * 0.32));
    g.textAlign = "center";
    g.textBaseline = "middle";
    g.globalAlpha = paper;
    g.fillStyle = colour;
    if (paper) g.fillRect(x, y, side, side);
    g.globalAlpha = ghost ? 0.45 : 1;
    g.lineWidth = 1;
    g.strokeStyle = "rgb(128 128 128 / 45%)";
    g.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
    g.globalAlpha = 1;
    if (side < READABLE) return;
    g.fillStyle = ghost ? this.ink : ink;
    g.font = `${ghost ? "italic " : ""}${size}px system-ui, sans-serif`;
    g.fillText(short(value, 3), x + side / 2, y + side * (both ? 0.38 : 0.5), side - 4);
    if (!both) return;
    g.font = `600 ${size * 0.75}px system-ui, sans-serif`;
    g.fillText(`×${short(weight, 3)}`, x + side / 2, y + side * 0.76, side - 4);
  }

  /**
   * Draws the cells in view: the image's own, and those that the window reads beyond it.
   * @param {Image} image @param {(column: number) => number} x @param {(row: number) => number} y @param {number} side
   */
  drawCells(image, x, y, side) {
    const { origin, pitch, outside, inside } = this, [top, left] = this.place(0, 0), [bottom, right] = this.place(this.width, this.height);
    /** The rows or columns of the image that are in view. @param {number} axis @param {number} from @param {number} to @param {number} n */
    const seen = (axis, from, to, n) => [Math.max(0, Math.floor((from - origin[axis]) / pitch)), Math.min(n - 1, Math.floor((to - origin[axis]) / pitch))];
    const [first, last] = seen(0, top, bottom, image.height), [begin, end] = seen(1, left, right, image.width);
    for (let i = first; i <= last; i++)
      for (let j = begin; j <= end; j++) {
        const [r, c] = [origin[0] + i * pitch, origin[1] + j * pitch];
        this.drawCell(x(c), y(r), side, valueAt(image, i, j), inside?.(r, c));
      }
    if (!outside) return;
    for (let r = top; r <= bottom; r++)
      for (let c = left; c <= right; c++)
        if ((r < 0 || c < 0 || r >= image.height || c >= image.width) && this.reached?.(r, c)) this.drawCell(x(c), y(r), side, outside(r, c), inside?.(r, c), { paper: 0.45, ghost: true });
  }
}
