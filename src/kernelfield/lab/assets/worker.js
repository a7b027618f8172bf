// The compiled engine in a thread of its own: it takes one message at a time and answers with plain numbers.

/** The boundaries in the order of the engine. */
const BORDERS = ["constant", "nearest", "reflect", "mirror", "wrap"];

let engine;

/** Copies numbers into the engine's memory and returns where they lie. */
function put(numbers, Kind = Float32Array) {
  const at = engine.reserve(numbers.length * Kind.BYTES_PER_ELEMENT);
  new Kind(engine.memory.buffer, at, numbers.length).set(numbers);
  return at;
}

/** Returns a copy of `n` numbers of the engine's memory. */
function take(at, n, Kind = Float32Array) {
  return new Kind(engine.memory.buffer, at, n).slice();
}

const operations = {
  /** The cross-correlation of every channel. */
  apply({ image, weights, anchor, mode, boundary, cval, stride = 1, dilation = 1, padding = null }) {
    const rows = weights.length, columns = weights[0].length;
    const spans = [(rows - 1) * dilation + 1, (columns - 1) * dilation + 1];
    const before = padding !== null ? [padding, padding] : mode === "valid" ? [0, 0] : mode === "full" ? spans.map((n) => n - 1) : anchor.map((a) => a * dilation);
    const more = spans.map((n) => (padding !== null ? 2 * padding + 1 - n : mode === "valid" ? 1 - n : mode === "full" ? n - 1 : 0));
    const height = Math.floor((image.height + more[0] - 1) / stride) + 1;
    const width = Math.floor((image.width + more[1] - 1) / stride) + 1;
    if (height < 1 || width < 1) return { width: 0, height: 0, channels: image.channels, data: new Float32Array(0) };
    const n = height * width * image.channels;
    const from = put(image.data), kernel = put(weights.flat()), to = engine.reserve(4 * n);
    const border = mode === "valid" && padding === null ? 0 : BORDERS.indexOf(boundary);
    engine.correlate(from, image.height, image.width, image.channels, kernel, rows, columns, before[0], before[1], stride,
      dilation, border, cval, to, height, width);
    const data = take(to, n);
    for (const at of [from, kernel, to]) engine.release(at);
    return { width, height, channels: image.channels, data };
  },

  /** The fit as 24 numbers and tables; `learn` in cpp/wasm.cpp says which. */
  learn({ before, after, size, most, low, high, step }) {
    const a = put(before.data), b = put(after.data);
    const at = engine.learn(a, before.height, before.width, b, after.height, after.width, size?.[0] ?? 0, size?.[1] ?? 0,
      most, low, high, step);
    const head = take(at, 24, Float64Array);
    const count = head[1] * head[2] * (2 + (head[11] > 0) + head[21]);
    const tables = take(at + 8 * 24, count, Float64Array);
    engine.release(a);
    engine.release(b);
    return { head, tables };
  },

  /** Begins a descent; answers with the rate below which it descends. */
  descend({ before, after, size, centred }) {
    const a = put(before.data), b = put(after.data);
    const largest = engine.descend(a, before.height, before.width, b, after.height, after.width, size[0], size[1], +centred);
    engine.release(a);
    engine.release(b);
    return largest > 0 ? 1 / largest : 1;
  },

  /** Steps of the descent: the losses before them, and the kernel after. */
  steps({ kernel, count, rate, momentum }) {
    const at = put(kernel, Float64Array), losses = [];
    for (let i = 0; i < count; i++) losses.push(engine.step(at, rate, momentum));
    const next = take(at, kernel.length, Float64Array);
    engine.release(at);
    return { losses, kernel: next };
  },
};

/** Starts the engine from the bytes of its module. */
async function start(bytes) {
  const { instance } = await WebAssembly.instantiate(bytes, {});
  engine = instance.exports;
  engine._initialize();
  return true;
}

self.onmessage = async ({ data: { id, op, args } }) => {
  try {
    const result = op === "start" ? await start(args.bytes) : operations[op](args);
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: error instanceof WebAssembly.RuntimeError ? "the engine ran out of memory: take a smaller image" : String(error.message ?? error) });
  }
};
