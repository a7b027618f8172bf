// The face of the lab for notebooks: what anywidget calls to show it.
import { mount } from "./lab.js";
import { createComm } from "./remote.js";

/**
 * @param {{model: any, el: HTMLElement}} context of anywidget
 * @param {(name: string) => string} asset the address of a file of the page
 */
export function render({ model, el }, asset) {
  const remote = createComm(model);
  const [before, after] = images(model);
  const kernel = model.get("_kernel");
  /** @param {string} name @param {object} value */
  const put = (name, value) => {
    if (JSON.stringify(model.get(name)) === JSON.stringify(value)) return;
    model.set(name, value);
    model.save_changes();
  };
  const lab = mount(el, {
    asset,
    remote,
    state: null,
    before: before ?? null,
    after: after ?? null,
    onKernel: (/** @type {object} */ changed) => put("_kernel", changed),
    onFit: (/** @type {object} */ record) => put("_record", record),
  });
  const changed = () => {
    const wanted = model.get("_kernel");
    if (wanted) lab.setKernel(wanted);
  };
  if (kernel) lab.setKernel(kernel);
  model.on("change:_kernel", changed);
  return () => {
    model.off("change:_kernel", changed);
    remote.close();
    lab.destroy();
  };
}

/** @param {any} model */
function images(model) {
  /** @type {DataView[]} */
  const pixels = model.get("_pixels");
  return model.get("_images").map((/** @type {any} */ header, /** @type {number} */ index) => {
    const { buffer, byteOffset, byteLength } = pixels[index];
    const bytes = buffer.slice(byteOffset, byteOffset + byteLength);
    const kinds = { u1: Uint8Array, u2: Uint16Array, f4: Float32Array };
    const values = new kinds[/** @type {"u1" | "u2" | "f4"} */ (header.dtype)](bytes);
    return { ...header, data: Float32Array.from(values) };
  });
}
