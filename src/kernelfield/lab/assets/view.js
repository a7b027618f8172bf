// A picture on a canvas: cells with their numbers where they are large enough, else pixels; frames, zoom and pan.
import { short } from "./engine.js";

/** The diverging palette, from −1 to 1: blue and orange, which colour-blind people tell apart; zero in the middle. */
const STOPS = [[5, 60, 120], [66, 146, 198], [247, 247, 247], [253, 141, 60], [150, 45, 3]];
const LEVELS = 256;
const PALETTE = new Uint8Array(3 * (2 * LEVELS + 1));
for (let i = 0; i <= 2 * LEVELS; i++) {
  const t = (i / (2 * LEVELS)) * (STOPS.length - 1), k = Math.min(Math.floor(t), STOPS.length - 2);
  for (let j = 0; j < 3; j++) PALETTE[3 * i + j] = Math.round(STOPS[k][j] + (t - k) * (STOPS[k + 1][j] - STOPS[k][j]));
}
/** The side of a cell, in pixels of the page, from which it shows its number. */
export const READABLE = 26;

/**
 * How values become colours: signed about zero, or grey from low to high.
 * @typedef {{signed: boolean, low: number, high: number}} Scale
 */

/** Returns the colour of a value as [red, green, blue]. */
export function colourOf(value, scale) {
  if (!Number.isFinite(value)) return [200, 0, 200];
  if (scale.signed) {
    const i = Math.max(0, Math.min(2 * LEVELS, Math.round(LEVELS + (LEVELS * value) / scale.high)));
    return [PALETTE[3 * i], PALETTE[3 * i + 1], PALETTE[3 * i + 2]];
  }
  const level = Math.max(0, Math.min(255, Math.round((255 * (value - scale.low)) / (scale.high - scale.low || 1))));
  return [level, level, level];
}

/** Returns a colour for CSS and the one of black and white that has more contrast on it (WCAG 2, relative luminance). */
export function inks(value, scale) {
  const [r, g, b] = colourOf(value, scale), linear = (v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  return [`rgb(${r} ${g} ${b})`, light > 0.179 ? "#000" : "#fff"];
}

/** Returns the scale of values: signed where some are negative, else from 0 (or their least) to their largest. */
export function scaleOf(image, like = null) {
  let low = Infinity, high = -Infinity;
  for (const value of image.data) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!Number.isFinite(low) || !Number.isFinite(high)) return { signed: false, low: 0, high: 1 };
  const limit = Math.max(-low, high) || 1;
  if (low < -1e-4 * limit) return { signed: true, low: -limit, high: limit };
  if (like && !like.signed && high <= like.high * 1.001) return like;
  if (image.depth === 8) return { signed: false, low: 0, high: 255 };
  if (image.depth === 16) return { signed: false, low: 0, high: 65535 };
  return { signed: false, low: 0, high: limit };
}

/** Paints an image into pixels, a value a pixel. */
function painted(image, scale) {
  const { width, height, channels, data } = image, pixels = new ImageData(width, height), to = new Uint32Array(pixels.data.buffer);
  if (scale.signed && channels === 1) {
    const factor = LEVELS / scale.high;
    for (let i = 0; i < to.length; i++) {
      const v = data[i], k = 3 * (v === v ? Math.max(0, Math.min(2 * LEVELS, Math.round(LEVELS + v * factor))) : LEVELS);
      to[i] = 0xff000000 | (PALETTE[k + 2] << 16) | (PALETTE[k + 1] << 8) | PALETTE[k];
    }
  } else {
    const factor = 255 / (scale.high - scale.low || 1);
    const level = (v) => (v === v ? Math.max(0, Math.min(255, Math.round((v - scale.low) * factor))) : 0);
    for (let i = 0; i < to.length; i++) {
      const r = level(data[i * channels]);
      to[i] = channels < 3 ? 0xff000000 | (r << 16) | (r << 8) | r
        : 0xff000000 | (level(data[i * channels + 2]) << 16) | (level(data[i * channels + 1]) << 8) | r;
    }
  }
  return pixels;
}

/** Returns a picture as it is painted, a pixel a value, as a PNG. */
export async function pictureOf(image, scale) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(painted(image, scale), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/**
 * One view. Coordinates are rows and columns of the before: views that show the same region are linked by them.
 */
export class View {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.image = null;
    this.bitmap = null;
    this.origin = [0, 0];
    this.frames = [];
    this.shades = null;
    this.outside = null;
    this.inside = null;
  }

  /** Sets what is shown; `origin` is where its first value lies in the before. */
  show(image, scale, origin = [0, 0]) {
    this.origin = origin;
    if (image === this.image && this.scale && scale.high === this.scale.high && scale.low === this.scale.low && scale.signed === this.scale.signed) return;
    this.image = image;
    this.scale = scale;
    this.bitmap = null;
    if (!image || !image.width || !image.height) return;
    this.bitmap ??= new OffscreenCanvas(image.width, image.height);
    this.bitmap.getContext("2d").putImageData(painted(image, scale), 0, 0);
  }

  /** Takes the size of its element; returns whether there is any. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas, ratio = this.canvas.ownerDocument.defaultView.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    Object.assign(this, { width, height, ratio });
    return width > 0 && height > 0;
  }

  /** The value at a row and column of the before. */
  value(row, column) {
    const { image, origin } = this, r = row - origin[0], c = column - origin[1];
    if (!image || r < 0 || c < 0 || r >= image.height || c >= image.width) return this.outside ? this.outside(row, column) : null;
    const at = (r * image.width + c) * image.channels;
    if (image.channels < 3) return image.data[at];
    return 0.299 * image.data[at] + 0.587 * image.data[at + 1] + 0.114 * image.data[at + 2];
  }

  /** The row and column of the before under a point of the element. */
  place(x, y) {
    const { cell, centre } = this.port;
    return [Math.floor(centre[0] + (y - this.height / 2) / cell), Math.floor(centre[1] + (x - this.width / 2) / cell)];
  }

  /** Draws through a port: the side of a cell, and the point of the before in the middle. */
  draw(port) {
    this.port = port;
    if (!this.resize()) return;
    const { context: g, ratio, width, height, bitmap, image, origin } = this, { cell, centre } = port;
    const x = (column) => width / 2 + (column - centre[1]) * cell, y = (row) => height / 2 + (row - centre[0]) * cell;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    const [top, left] = [Math.floor(centre[0] - height / 2 / cell), Math.floor(centre[1] - width / 2 / cell)];
    const [bottom, right] = [Math.ceil(centre[0] + height / 2 / cell), Math.ceil(centre[1] + width / 2 / cell)];
    if (bitmap) {
      g.imageSmoothingEnabled = cell < 1;
      g.drawImage(bitmap, x(origin[1]), y(origin[0]), image.width * cell, image.height * cell);
    }
    if (cell >= 12 && image) {
      const text = cell >= READABLE, size = Math.max(9, Math.min(16, cell * 0.3));
      g.textAlign = "center";
      g.textBaseline = "middle";
      for (let r = top; r < bottom; r++)
        for (let c = left; c < right; c++) {
          const own = r >= origin[0] && c >= origin[1] && r < origin[0] + image.height && c < origin[1] + image.width;
          const value = this.value(r, c);
          if (value === null || (!own && !this.reached?.(r, c))) continue;
          const [paper, ink] = inks(value, this.scale);
          if (!own) {
            g.globalAlpha = 0.45;
            g.fillStyle = paper;
            g.fillRect(x(c), y(r), cell, cell);
          }
          g.strokeStyle = "rgb(128 128 128 / 45%)";
          g.lineWidth = 1;
          g.strokeRect(x(c) + 0.5, y(r) + 0.5, cell - 1, cell - 1);
          g.globalAlpha = 1;
          if (!text) continue;
          const weight = this.inside?.(r, c);
          g.fillStyle = own ? ink : this.ink;
          g.font = `${own ? "" : "italic "}${size}px system-ui, sans-serif`;
          g.fillText(short(value, 3), x(c + 0.5), y(r + (weight !== undefined && cell >= 40 ? 0.4 : 0.5)), cell - 4);
          if (weight !== undefined && cell >= 40) {
            g.font = `600 ${size * 0.75}px system-ui, sans-serif`;
            g.fillText(`×${short(weight, 3)}`, x(c + 0.5), y(r + 0.78), cell - 6);
          }
        }
    }
    if (this.shades) {
      for (const [r, c, alpha] of this.shades) {
        g.globalAlpha = alpha;
        g.fillStyle = this.accent;
        g.fillRect(x(c), y(r), cell, cell);
      }
      g.globalAlpha = 1;
    }
    for (const { row, column, rows, columns, colour, wide = 2, dash = [] } of this.frames) {
      // A light line beneath: the frame is seen on any picture.
      for (const [style, extra] of [["rgb(255 255 255 / 85%)", 2], [colour, 0]]) {
        g.strokeStyle = style;
        g.lineWidth = wide + extra;
        g.setLineDash(extra ? [] : dash);
        g.strokeRect(x(column), y(row), columns * cell, rows * cell);
      }
      g.setLineDash([]);
    }
  }
}
