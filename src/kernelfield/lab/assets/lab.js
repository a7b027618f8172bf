// A placeholder.
export function mount(root, { onKernel, onFit, remote, before, after }) {
  root.classList.add("kernelfield-lab");
  root.textContent = "kernelfield lab";
  let kernel = { weights: [[1, -1]], anchor: [0, 1] };
  const show = () => (root.textContent = `kernelfield lab ${JSON.stringify(kernel.weights)}`);
  root.addEventListener("click", async () => {
    kernel = { weights: [[2, -2]], anchor: [0, 1] };
    show();
    onKernel?.(kernel);
    if (remote && before && after) onFit?.(await remote.learn(before, after));
  });
  return { destroy() {}, setKernel(next) { kernel = next; show(); }, setImages() {} };
}
