// The receptive field of a unit of a stack of layers, by intervals (Dumoulin and Visin, A guide to convolution
// arithmetic for deep learning, 2016).

/** @import { Layer } from "../types" */

/**
 * Returns the side of every layer's output along an axis of `n`; below 1 there is none.
 * @param {Layer[]} layers @param {number} n
 */
export function extents(layers, n) {
  const sides = [n];
  for (const { kernel, stride, padding, dilation } of layers)
    sides.push(Math.floor((sides[sides.length - 1] + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1);
  return sides;
}

/**
 * Returns, from the first layer on, [first, last] of the elements that unit `i` of the last layer reads, at each layer's input.
 * @param {Layer[]} layers @param {number} i
 */
export function reach(layers, i) {
  const ranges = [[i, i]];
  for (const { kernel, stride, padding, dilation } of [...layers].reverse()) {
    const [low, high] = ranges[0];
    ranges.unshift([low * stride - padding, high * stride - padding + dilation * (kernel - 1)]);
  }
  return ranges;
}

/** Returns the size and the jump of the field after every layer. @param {Layer[]} layers */
export function growth(layers) {
  let size = 1, jump = 1;
  return layers.map(({ kernel, stride, dilation }) => {
    size += (kernel - 1) * dilation * jump;
    jump *= stride;
    return { size, jump };
  });
}

/**
 * Returns how many paths lead from each element of the field of unit `i` to it, along an axis whose sides are `sides`.
 * @param {Layer[]} layers @param {number} i @param {number[]} sides
 */
export function paths(layers, i, sides) {
  let counts = new Map([[i, 1]]);
  for (let k = layers.length - 1; k >= 0; k--) {
    const { kernel, stride, padding, dilation } = layers[k];
    /** @type {Map<number, number>} */
    const next = new Map();
    for (const [at, count] of counts)
      for (let t = 0; t < kernel; t++) {
        const place = at * stride - padding + t * dilation;
        // Padding of a hidden layer is no element of the image.
        if (k > 0 && (place < 0 || place >= sides[k])) continue;
        next.set(place, (next.get(place) ?? 0) + count);
      }
    counts = next;
  }
  return counts;
}
