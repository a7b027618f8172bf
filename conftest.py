"""What belongs to a framework is collected where that framework is asked for: see KERNELFIELD_FRAMEWORKS."""

import os

ASKED = os.environ.get("KERNELFIELD_FRAMEWORKS", "torch,tensorflow,jax").split(",")

collect_ignore_glob = [
    pattern
    for name in ("torch", "tensorflow", "jax", "mxnet")
    if name not in ASKED
    for pattern in (f"src/kernelfield/*/{name}*.py", f"tests/*/test_{name}.py")
]
