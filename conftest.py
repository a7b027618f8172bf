"""What belongs to a framework is collected where that framework is asked for: see KERNELFIELD_FRAMEWORKS."""

import os

ASKED = os.environ.get("KERNELFIELD_FRAMEWORKS", "torch,tensorflow,jax").split(",")

# Tests that need PyTorch without being named after it: it is their oracle.
WITH_TORCH = ("builder", "effective", "field", "halo", "onnx", "plan", "random", "same_network", "transformers")

collect_ignore_glob = [
    pattern
    for name in ("torch", "tensorflow", "jax", "mxnet")
    if name not in ASKED
    for pattern in (
        f"src/kernelfield/*/{name}*.py",
        f"src/kernelfield/*/*/{name}*.py",
        f"tests/*/test_{name}.py",
        f"tests/conformance/test_{name}_samples.py",
        f"tests/receptive/gradients/test_{name}.py",
        *(["tests/receptive/test_keras.py"] if name == "tensorflow" else []),
        *(f"tests/receptive/test_{test}.py" for test in WITH_TORCH if name == "torch"),
    )
]
