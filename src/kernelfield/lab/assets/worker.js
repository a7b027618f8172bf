// The compiled engine in a thread of its own: it takes one message at a time and answers with plain numbers.

/** The boundaries in the order of the engine. */
const BORDERS = ["constant", "nearest", "reflect", "mirror", "wrap"];

/** @import { Engine, Image, Sent, Thread } from "../types" */

/** @type {Engine} */
let engine;

/** Copies numbers into the engine's memory and returns where they lie. @param {ArrayLike<number>} numbers */
function put(numbers, Kind = /** @type {Float32ArrayConstructor | Float64ArrayConstructor} */ (Float32Array)) {
  const at = engine.reserve(numbers.length * Kind.BYTES_PER_ELEMENT);
  new Kind(engine.memory.buffer, at, numbers.length).set(numbers);
  return at;
}

/** Returns a copy of `n` float64 numbers of the engine's memory. @param {number} at @param {number} n */
function take(at, n) {
  return new Float64Array(engine.memory.buffer, at, n).slice();
}

/** Images that stay in the engine's memory, by their keys; the page says which to forget. @type {Map<number, number>} */
const held = new Map();

/** Returns where an image lies: it comes with its pixels once. @param {Sent} image */
function place({ key, data, forget }) {
  if (forget) {
    engine.release(held.get(forget) ?? 0);
    held.delete(forget);
  }
  const at = held.get(key) ?? put(data ?? []);
  held.set(key, at);
  return at;
}

const operations = {
  /** Starts the engine from the bytes of its module. @param {{bytes: ArrayBuffer}} given */
  async start({ bytes }) {
    const { instance } = await WebAssembly.instantiate(bytes, {});
    engine = /** @type {Engine} */ (/** @type {unknown} */ (instance.exports));
    engine._initialize();
  },

  /**
   * The cross-correlation of every channel.
   * @param {{image: Sent, weights: number[][], anchor: number[], mode: string, boundary: string, cval: number, stride: number,
   *   dilation: number, padding: number | null}} given
   */
  apply({ image, weights, anchor, mode, boundary, cval, stride, dilation, padding }) {
    const from = place(image), rows = weights.length, columns = weights[0].length;
    const spans = [(rows - 1) * dilation + 1, (columns - 1) * dilation + 1];
    const before = padding !== null ? [padding, padding] : mode === "valid" ? [0, 0] : mode === "full" ? spans.map((n) => n - 1) : anchor.map((a) => a * dilation);
    const more = spans.map((n) => (padding !== null ? 2 * padding + 1 - n : mode === "valid" ? 1 - n : mode === "full" ? n - 1 : 0));
    const height = Math.floor((image.height + more[0] - 1) / stride) + 1;
    const width = Math.floor((image.width + more[1] - 1) / stride) + 1;
    if (height < 1 || width < 1) return { width: 0, height: 0, channels: image.channels, data: new Float32Array(0) };
    const n = height * width * image.channels;
    const kernel = put(weights.flat()), to = engine.reserve(4 * n);
    const border = mode === "valid" && padding === null ? 0 : BORDERS.indexOf(boundary);
    engine.correlate(from, image.height, image.width, image.channels, kernel, rows, columns, before[0], before[1], stride,
      dilation, border, cval, to, height, width);
    const data = new Float32Array(engine.memory.buffer, to, n).slice();
    for (const at of [kernel, to]) engine.release(at);
    return { width, height, channels: image.channels, data };
  },

  /**
   * The fit as 24 numbers and tables; `learn` in cpp/wasm.cpp says which.
   * @param {{before: Image, after: Image, size: number[] | null, most: number, low: number, high: number, step: number}} given
   */
  learn({ before, after, size, most, low, high, step }) {
    const a = put(before.data), b = put(after.data);
    const at = engine.learn(a, before.height, before.width, b, after.height, after.width, size?.[0] ?? 0, size?.[1] ?? 0,
      most, low, high, step);
    const head = take(at, 24);
    const count = head[1] * head[2] * (2 + +(head[11] > 0) + head[21]);
    const tables = take(at + 8 * 24, count);
    engine.release(a);
    engine.release(b);
    return { head, tables };
  },

  /**
   * Begins a descent; answers with the rate below which it descends.
   * @param {{before: Image, after: Image, size: number[], centred: boolean}} given
   */
  descend({ before, after, size, centred }) {
    const a = put(before.data), b = put(after.data);
    const largest = engine.descend(a, before.height, before.width, b, after.height, after.width, size[0], size[1], +centred);
    engine.release(a);
    engine.release(b);
    return largest > 0 ? 1 / largest : 1;
  },

  /**
   * Steps of the descent: the losses before them, and the kernel after.
   * @param {{kernel: Float64Array, count: number, rate: number, momentum: number}} given
   */
  steps({ kernel, count, rate, momentum }) {
    const at = put(kernel, Float64Array), losses = /** @type {number[]} */ ([]);
    for (let i = 0; i < count; i++) losses.push(engine.step(at, rate, momentum));
    const next = take(at, kernel.length);
    engine.release(at);
    return { losses, kernel: next };
  },
};

/** @typedef {{id: number, op: keyof typeof operations, args: object}} Message */
const thread = /** @type {Thread<Message>} */ (/** @type {unknown} */ (self));

/** @param {MessageEvent<Message>} event */
thread.onmessage = async ({ data: { id, op, args } }) => {
  try {
    const perform = /** @type {(args: object) => object} */ (operations[op]), result = await perform(args);
    thread.postMessage({ id, result }, result instanceof Object && "data" in result && result.data instanceof Float32Array ? [result.data.buffer] : []);
  } catch (error) {
    const full = error instanceof WebAssembly.RuntimeError;
    thread.postMessage({ id, error: full ? "the engine ran out of memory: take a smaller image" : error instanceof Error ? error.message : String(error) }, []);
  }
};
