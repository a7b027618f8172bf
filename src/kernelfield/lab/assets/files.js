// Tables and arrays as files.

/** @import { Entry, Fit, Image, Kernel } from "../types" */

/** Returns rows of numbers as CSV. @param {number[][]} rows */
export function csv(rows) {
  return rows.map((row) => row.join(",")).join("\n") + "\n";
}

/** Returns a table as a file of NumPy, version 1.0, float64. @param {number[][]} rows */
export function npy(rows) {
  const shape = `(${rows.length}, ${rows[0].length})`;
  let header = `{'descr': '<f8', 'fortran_order': False, 'shape': ${shape}, }`;
  header += " ".repeat((64 - ((10 + header.length + 1) % 64)) % 64) + "\n";
  const bytes = new Uint8Array(10 + header.length + 8 * rows.length * rows[0].length), view = new DataView(bytes.buffer);
  bytes.set([0x93, 78, 85, 77, 80, 89, 1, 0]);
  view.setUint16(8, header.length, true);
  bytes.set(new TextEncoder().encode(header), 10);
  rows.flat().forEach((value, i) => view.setFloat64(10 + header.length + 8 * i, value, true));
  return bytes;
}

const KINDS = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, u2: Uint16Array };

/**
 * Returns an array of a file of NumPy as an image, or null where it is none.
 * @param {ArrayBuffer} bytes @param {string} name
 * @returns {Image | null}
 */
export function fromNpy(bytes, name) {
  if (String.fromCharCode(...new Uint8Array(bytes.slice(0, 6))) !== "\x93NUMPY") return null;
  const view = new DataView(bytes.slice(0, 12)), wide = view.byteLength === 12 && view.getUint8(6) > 1, begin = wide ? 12 : 10;
  const length = view.byteLength < 12 ? 0 : wide ? view.getUint32(8, true) : view.getUint16(8, true), end = begin + length;
  const header = new TextDecoder("latin1").decode(bytes.slice(begin, end));
  const type = /'descr': '[<|](f4|f8|u1|u2)'/.exec(header), shape = /'shape': \(([1-9]\d*), ([1-9]\d*)\)/.exec(header);
  if (!type || !shape || /True/.test(header)) throw new Error(`${name}: expected an array of two axes of u1, u2, f4 or f8 in C order`);
  const kind = /** @type {keyof typeof KINDS} */ (type[1]), [height, width] = [+shape[1], +shape[2]], size = height * width * KINDS[kind].BYTES_PER_ELEMENT;
  if (bytes.byteLength < end + size) throw new Error(`${name}: expected ${size} bytes of numbers; received ${Math.max(0, bytes.byteLength - end)}`);
  return { height, width, channels: 1, data: Float32Array.from(new KINDS[kind](bytes.slice(end, end + size))), depth: kind === "u1" ? 8 : kind === "u2" ? 16 : "float" };
}

/**
 * Returns a record that holds a kernel that was not learned, as `kernelfield design --save` writes it.
 * @param {Kernel} kernel
 * @param {Entry | null} known
 * @param {{rows: number[][], divisor: number} | null} whole the weights as integers over a divisor
 * @param {string} version
 * @returns {Fit}
 */
export function designed(kernel, known, whole, version) {
  const { weights, anchor } = kernel;
  return {
    format: 1, version, verdict: "exact", explanation: "designed, not learned", name: known?.name ?? null,
    description: known?.text ?? "a kernel of the lab", parameters: known?.parameters ?? {},
    size: [weights.length, weights[0].length], anchor, kernel: weights, stderr: weights.map((row) => row.map(() => 0)),
    integers: whole?.rows ?? null, divisor: whole?.divisor ?? null, offset: 0, rounding: null, boundary: "reflect", cval: 0,
    boundary_candidates: ["reflect"], boundary_reason: "chosen", rank: weights.length * weights[0].length, undetermined: [], r2: 1,
    residual_sd: 0, samples: 0, excluded: 0, channels: ["grey"], notes: ["designed in the lab"], losses: [], layers: [],
  };
}

/** Returns a record as the lines of a report. @param {Fit} record */
export function report(record) {
  const rows = record.integers ?? record.kernel.map((row) => row.map((w) => Number(w.toPrecision(6))));
  const width = Math.max(...rows.flat().map((w) => String(w).length));
  const errors = record.stderr.flat().filter((e) => e !== null), { divisor } = record;
  return [
    `verdict   ${record.verdict}: ${record.explanation}`,
    `filter    ${record.description}`,
    `size      ${record.size.join("×")}, anchor (row ${record.anchor[0]}, column ${record.anchor[1]}) over the output pixel`,
    ...(record.integers && divisor && divisor > 1 ? [`integers  over ${divisor}`] : []),
    `offset    ${record.offset}`,
    `boundary  ${record.boundary ?? "none"}: ${record.boundary_reason}`,
    `rank      ${record.rank} of ${record.size[0] * record.size[1]} directions determined`,
    ...(errors.length ? [`errors    standard errors up to ${Math.max(...errors).toPrecision(2)}`] : []),
    `residual  standard deviation ${record.residual_sd.toPrecision(4)}, R² ${record.r2.toFixed(9)}`,
    `samples   ${record.samples} used, ${record.excluded} left out`,
    "kernel, as cross-correlation weights (flip both axes for strict convolution):",
    ...rows.map((row) => `  ${row.map((w) => String(w).padStart(width)).join(" ")}`),
  ].join("\n") + "\n";
}

/**
 * Gives a file to the browser to be saved.
 * @param {HTMLElement} root @param {string} name @param {BlobPart} content
 */
export function download(root, name, content) {
  const address = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
  const link = root.ownerDocument.createElement("a");
  Object.assign(link, { href: address, download: name, hidden: true });
  root.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
