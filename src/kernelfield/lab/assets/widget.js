// The face of the lab for notebooks: what anywidget calls to show it.
import { mount } from "./lab.js";
import { createComm, unpack } from "./remote.js";

/** @import { Model } from "../types" */

/**
 * @param {{model: Model, el: HTMLElement}} context of anywidget
 * @param {(name: string) => string} asset the address of a file of the page
 */
export function render({ model, el }, asset) {
  const remote = createComm(model);
  const [before, after] = images(model);
  const kernel = model.get("_kernel");
  /** @param {"_kernel" | "_record"} name @param {object} value */
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
    onKernel: (changed) => put("_kernel", changed),
    onFit: (record) => put("_record", record),
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

/** @param {Model} model */
function images(model) {
  const pixels = model.get("_pixels");
  return model.get("_images").map((header, index) => {
    const { buffer, byteOffset, byteLength } = pixels[index];
    return unpack(header, new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength)));
  });
}
