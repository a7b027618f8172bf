// The local engine: the compiled module behind promises, and its answers in the words of kernelfield.

/** @import { Asked, Catalogue, Entry, Fit, Image, Kernel, Sent, Steps } from "../types" */

const VERDICTS = ["exact", "approximate", "undetermined", "not linear"];
const ROUNDINGS = ["nearest", "nearest even", "truncated"];
const RULES = ["constant", "nearest", "reflect", "mirror", "wrap", "copy", "renormalised"];
const ENDS = { 8: [0, 255], 16: [0, 65535], float: [-Infinity, Infinity] };
/** The largest side that the browser searches up to. */
export const MOST = 15;

/** Returns rows of a table from a flat list. @param {ArrayLike<number>} flat @param {number} rows @param {number} columns */
export function tabled(flat, rows, columns) {
  return Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => flat[r * columns + c]));
}

/** Returns a kernel turned by half a turn, with its anchor. @param {Kernel} kernel */
export function flipped(kernel) {
  return {
    weights: kernel.weights.map((row) => [...row].reverse()).reverse(),
    anchor: [kernel.weights.length - 1 - kernel.anchor[0], kernel.weights[0].length - 1 - kernel.anchor[1]],
  };
}

/** Returns a number with as many digits as help. @param {number} value */
export function short(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "∞").replace("-", "−");
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(Math.min(2, digits - 1)) : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

/** Returns the image in one channel: luminance as in Rec. ITU-R BT.601. @param {Image} image @returns {Image} */
export function grey(image) {
  if (image.channels === 1) return image;
  const n = image.width * image.height, data = new Float32Array(n), c = image.channels;
  for (let i = 0; i < n; i++) {
    const [r, g, b] = c < 3 ? [image.data[i * c], image.data[i * c], image.data[i * c]] : image.data.subarray(i * c, i * c + 3);
    const value = 0.299 * r + 0.587 * g + 0.114 * b;
    data[i] = image.depth === "float" ? value : Math.round(value);
  }
  return { ...image, channels: 1, data };
}

/**
 * Returns an entry of the catalogue that a kernel is within its errors, or null; differences in scale are named.
 * @param {Kernel} kernel @param {(number | null)[][]} stderr @param {Entry[]} entries
 */
export function recognised(kernel, stderr, entries) {
  const peak = Math.max(...kernel.weights.flat().map(Math.abs));
  if (!(peak > 0)) return null;
  // Weights beyond those that were found are smaller than their errors.
  const beyond = Math.max(2e-3 * peak, 5 * Math.max(...stderr.flat().map((error) => error ?? 0)));
  /** @param {number[][]} table @param {number[]} anchor @param {number} r @param {number} c */
  const at = (table, anchor, r, c) => table[r + anchor[0]]?.[c + anchor[1]] ?? 0;
  /** @param {Entry} entry @param {number} scale */
  const compare = (entry, scale) => {
    const up = Math.max(kernel.anchor[0], entry.anchor[0]), left = Math.max(kernel.anchor[1], entry.anchor[1]);
    const down = Math.max(kernel.weights.length - kernel.anchor[0], entry.rows.length - entry.anchor[0]);
    const right = Math.max(kernel.weights[0].length - kernel.anchor[1], entry.rows[0].length - entry.anchor[1]);
    for (let r = -up; r < down; r++)
      for (let c = -left; c < right; c++) {
        const error = stderr[r + kernel.anchor[0]]?.[c + kernel.anchor[1]];
        const allowed = error === undefined ? beyond : 5 * Math.max(error ?? 0, 1e-6 * peak);
        const miss = at(kernel.weights, kernel.anchor, r, c) - (scale * at(entry.rows, entry.anchor, r, c)) / entry.divisor;
        if (Math.abs(miss) > allowed) return false;
      }
    return true;
  };
  for (const entry of entries) if (compare(entry, 1)) return { entry, scale: 1 };
  for (const entry of entries) {
    let along = 0, own = 0;
    entry.rows.forEach((row, r) => row.forEach((w, c) => {
      along += (w / entry.divisor) * at(kernel.weights, kernel.anchor, r - entry.anchor[0], c - entry.anchor[1]);
      own += (w / entry.divisor) ** 2;
    }));
    if (along && compare(entry, along / own)) return { entry, scale: along / own };
  }
  return null;
}

/** Returns the sentence for a verdict. @param {string} verdict @param {Float64Array} head */
function explained(verdict, head) {
  const [r2, sd] = [head[9], head[10]];
  const share = `${Number((100 * r2).toPrecision(6))} % of the variance`;
  if (verdict === "exact") return "the filter explains the picture; only rounding is left";
  if (verdict === "undetermined")
    return "the pair does not determine the kernel: other kernels give the same picture; this is the one of least norm";
  const left = `the residual has a standard deviation of ${short(sd, 3)}`;
  if (verdict === "approximate")
    return head[20] ? `the kernel is larger than ${MOST}×${MOST}, where the search in the browser ends; this part of it accounts for ${share}; ${left}`
      : `the filter accounts for ${share}; ${left}`;
  let sign = "it is too large for a linear filter";
  if (!head[22] || (r2 < 0.5 && Math.abs(head[19]) > 0.3)) sign = "the after does not follow the before: another scene, resized, turned or shifted far";
  else if (head[17] > 0.15) sign = "it depends on the brightness, as after a tone curve or gamma";
  else if (head[18] > 3) sign = `it is ${short(head[18], 3)} times as large in busy parts as in calm ones: a filter that adapts to edges`;
  return `the filter does not explain the picture: it accounts for ${share}; ${left}; ${sign}`;
}

/** Returns the answer of the module as a record. @param {{head: Float64Array, tables: Float64Array}} answer @param {Catalogue} catalogue @returns {Fit} */
function recorded({ head, tables }, catalogue) {
  const [rows, columns] = [head[1], head[2]], size = rows * columns;
  const verdict = VERDICTS[head[0]], divisor = head[11] || null;
  let from = 0;
  const next = () => tabled(tables.subarray(from, (from += size)), rows, columns);
  const kernel = next();
  const stderr = next().map((row) => row.map((e) => (Number.isFinite(e) ? e : null)));
  const integers = divisor ? next() : null;
  const undetermined = Array.from({ length: head[21] }, next);
  const anchor = [head[3], head[4]];
  const known = verdict === "undetermined" ? null : recognised({ weights: kernel, anchor }, stderr, catalogue.kernels);
  const candidates = RULES.filter((_, i) => (head[15] >> i) & 1);
  const boundary = head[13] < 0 ? null : RULES[head[13]];
  const reasons = [
    "from the border pixels", `from the border pixels; the same result with ${candidates.filter((r) => r !== boundary).join(" and ")}`,
    "not needed: the windows of all pixels of the after lie inside the before", "unknown: the kernel does not reach beyond the image",
    "no known rule explains the border pixels", `unknown: ${candidates.join(", ")} explain the border equally well`,
  ];
  const times = known && Math.abs(known.scale - 1) > 1e-6 ? `, times ${short(known.scale, 6)}` : "";
  return {
    format: 1, version: catalogue.version, verdict, explanation: explained(verdict, head), name: known?.entry.name ?? null,
    description: known ? known.entry.text + times : "no known filter", parameters: known?.entry.parameters ?? {},
    size: [rows, columns], anchor, kernel, stderr, integers, divisor, offset: head[8], rounding: head[12] < 0 ? null : ROUNDINGS[head[12]],
    boundary, cval: head[14], boundary_candidates: candidates, boundary_reason: reasons[head[16]], rank: head[5], undetermined,
    r2: Math.min(1, head[9]), residual_sd: head[10], samples: head[6], excluded: head[7], channels: ["grey"],
    notes: ["learned in the browser"], losses: [], layers: [], ...{ gain: 1, scale: known?.scale ?? 1, outliers: 0, errors_note: "", frame: null },
  };
}

/** Returns the bytes of a packed file; a server may have unpacked it. @param {string} address */
async function unpacked(address) {
  const bytes = await (await fetch(address)).arrayBuffer();
  if (new Uint8Array(bytes, 0, 1)[0] !== 0x1f) return bytes;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** Returns the local engine; `asset` gives the address of a file of the page. @param {(name: string) => string} asset */
export function createLocal(asset) {
  const worker = new Worker(asset("worker.js"), { type: "module" });
  /** @type {Map<number, {resolve: (result: unknown) => void, reject: (error: Error) => void}>} */
  const waiting = new Map();
  let last = 0;
  /** @type {WeakMap<Image, number>} */
  const keys = new WeakMap();
  /** @type {Set<number>} */
  const there = new Set();
  /** An image as it is sent: with its pixels only if the worker has not got them; it keeps the last three. @param {Image} image @returns {Sent} */
  const sent = (image) => {
    const { width, height, channels } = image, key = keys.get(image) ?? ++last;
    keys.set(image, key);
    const known = there.delete(key), forget = !known && there.size > 2 ? [...there][0] : null;
    if (forget !== null) there.delete(forget);
    there.add(key);
    return known ? { key, width, height, channels, forget } : { key, width, height, channels, forget, data: image.data };
  };
  worker.onmessage = ({ data: { id, result, error } }) => {
    const request = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) request?.resolve(result);
    else request?.reject(new Error(error));
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message || "the worker did not start"));
    waiting.clear();
  };
  /** @template T @param {string} op @param {object} args @param {AbortSignal} [signal] @returns {Promise<T>} */
  const post = (op, args, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return void reject(new DOMException("cancelled", "AbortError"));
      const id = ++last;
      waiting.set(id, { resolve: (result) => resolve(/** @type {T} */ (result)), reject });
      signal?.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")), { once: true });
      worker.postMessage({ id, op, args: "image" in args ? { ...args, image: sent(/** @type {Image} */ (args.image)) } : args });
    });
  /** @param {string} name */
  const json = async (name) => JSON.parse(new TextDecoder().decode(await unpacked(asset(name))));
  /** @type {Promise<Catalogue>} */
  const catalogue = json("kernels.json.gz");
  /** @type {Record<string, string> | undefined} */
  let templates;
  const started = unpacked(asset("kernelfield.wasm.gz")).then((bytes) => post("start", { bytes }));
  /** @template T @param {string} op @param {object} args @param {AbortSignal} [signal] @returns {Promise<T>} */
  const call = (op, args, signal) => started.then(() => post(op, args, signal));
  started.then(async () => {
    // A small pair first: the browser compiles the code that a click will run.
    const data = Float32Array.from({ length: 2304 }, (_, i) => (i * 7919) % 251), image = { width: 48, height: 48, channels: 1, data, depth: "float" };
    await call("learn", { before: image, after: image, size: null, most: 7, low: -Infinity, high: Infinity, step: 1 });
  }).catch(() => {});
  const ready = Promise.all([started, catalogue]);

  return {
    ready,
    catalogue: () => catalogue,
    /**
     * @param {Image} image @param {Kernel} kernel
     * @param {{mode?: string, boundary?: string, cval?: number, flip?: boolean, stride?: number, dilation?: number, padding?: number | null}} how
     * @returns {Promise<Image>}
     */
    async apply(image, kernel, { mode = "same", boundary = "reflect", cval = 0, flip = false, stride = 1, dilation = 1, padding = null } = {}) {
      const { weights, anchor } = flip ? flipped(kernel) : kernel;
      /** @type {Omit<Image, "depth">} */
      const result = await call("apply", { image, weights, anchor, mode, boundary, cval, stride, dilation, padding });
      return { ...result, depth: "float" };
    },
    /** @param {Image} before @param {Image} after @param {{size?: number[] | null}} how @param {Asked} [options] */
    async learn(before, after, { size = null } = {}, { signal } = {}) {
      const [a, b] = [grey(before), grey(after)];
      if (a.height < b.height || a.width < b.width || ((a.height !== b.height || a.width !== b.width) && (a.height - b.height >= 2 * MOST || a.width - b.width >= 2 * MOST)))
        throw new Error(`after: expected the size of the before, or smaller by the kernel's reach; received ${b.height}×${b.width} beside ${a.height}×${a.width}`);
      const depth = a.depth === b.depth ? b.depth : "float";
      const [low, high] = ENDS[depth];
      /** @type {{head: Float64Array, tables: Float64Array}} */
      const answer = await call("learn", { before: a, after: b, size, most: MOST, low, high, step: depth === "float" ? 0 : 1 }, signal);
      return recorded(answer, await catalogue);
    },
    /**
     * Begins a descent.
     * @param {Image} before @param {Image} after @param {{size: number[], momentum?: number, centred?: boolean, initial?: number[][] | null}} how
     * @returns {Promise<Steps>}
     */
    async descend(before, after, { size, momentum = 0, centred = false, initial = null }) {
      const [a, b] = [grey(before), grey(after)];
      /** @type {number} */
      const most = await call("descend", { before: a, after: b, size, centred });
      let kernel = initial ? Float64Array.from(initial.flat()) : new Float64Array(size[0] * size[1]);
      return {
        most,
        async steps(count, rate) {
          /** @type {{losses: number[], kernel: Float64Array<ArrayBuffer>}} */
          const answer = await call("steps", { kernel, count, rate, momentum });
          kernel = answer.kernel;
          return { losses: answer.losses, kernel: tabled(kernel, size[0], size[1]) };
        },
      };
    },
    /** @param {Kernel} kernel @param {string} target */
    async code(kernel, target) {
      templates ??= await json("code.json.gz");
      const template = templates?.[target];
      if (!template) throw new Error(`target: expected one of ${Object.keys(templates ?? {}).join(", ")}; received ${target}`);
      const { weights, anchor } = kernel, rows = weights.length, columns = weights[0].length;
      const known = recognised(kernel, weights.map((row) => row.map(() => 0)), (await catalogue).kernels);
      /** @type {Record<string, string | number>} */
      const values = {
        weights: `[\n${weights.map((row) => `    [${row.map(String).join(", ")}],\n`).join("")}]`,
        name: known?.scale === 1 ? known.entry.text : `a kernel of ${rows}×${columns}`, rows, columns,
        top: anchor[0], left: anchor[1], bottom: rows - 1 - anchor[0], right: columns - 1 - anchor[1],
        down: anchor[0] - (rows >> 1), across: anchor[1] - (columns >> 1),
      };
      return template.replace(/\{(\w+)\}/g, (all, key) => String(values[key] ?? all));
    },
    /** @param {ArrayBuffer} bytes @param {string} name @returns {Promise<Image>} */
    async open(bytes, name) {
      let bitmap;
      try {
        bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" });
      } catch {
        throw new Error(`${name}: expected a picture that the browser reads, such as PNG, JPEG or WebP`);
      }
      const most = 4 << 20, shrink = Math.min(1, Math.sqrt(most / (bitmap.width * bitmap.height)));
      const width = Math.max(1, Math.floor(bitmap.width * shrink)), height = Math.max(1, Math.floor(bitmap.height * shrink));
      const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { willReadFrequently: true });
      if (!context) throw new Error(`${name}: the browser draws no canvas`);
      context.drawImage(bitmap, 0, 0, width, height);
      bitmap.close();
      const pixels = context.getImageData(0, 0, width, height).data, data = new Float32Array(3 * width * height);
      let colour = false;
      for (let i = 0, j = 0; i < pixels.length; i += 4, j += 3) {
        for (let k = 0; k < 3; k++) data[j + k] = pixels[i + k];
        colour ||= pixels[i] !== pixels[i + 1] || pixels[i] !== pixels[i + 2];
      }
      /** @type {Image} */
      const image = { width, height, channels: 3, data, depth: 8 };
      if (!colour) Object.assign(image, { channels: 1, data: data.filter((_, i) => i % 3 === 0) });
      return shrink < 1 ? { ...image, note: `shown at ${width}×${height}: \`kernelfield lab\` works at full size` } : image;
    },
    close: () => worker.terminate(),
  };
}
