"""Builds the files that the page of the lab takes from the rest: the engine as WebAssembly, kernels, and programs.

    python cmake/wasm.py               builds kernelfield.wasm.gz by ziglang, and writes kernels.json.gz, code.json.gz
    python cmake/wasm.py --catalogue   kernels.json.gz and code.json.gz only

`kernelfield.wasm.json` beside the module says by which sources and compiler it was built; the tests hold it to them.
"""

import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "src" / "kernelfield" / "lab" / "assets"
SOURCES = ("array.h", "direct.h", "finish.h", "kernels.cpp", "lags.h", "rows.h", "simd.h", "small_fit.cpp",
           "small_fit.h", "wasm.cpp")  # fmt: skip
FLAGS = [
    *("-target", "wasm32-wasi", "-std=c++20", "-msimd128", "-fno-exceptions", "-fno-rtti", "-ffp-contract=off"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffunction-sections", "-fdata-sections", "-g0"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unused-function"),
    *("-DKF_SET=baseline", "-DKF_BYTES=16", "-DKF_FLOATS_ONLY"),
]
LINK = ["-target", "wasm32-wasi", "-O2", "-mexec-model=reactor", "-Wl,--gc-sections,--strip-all"]
# Objects, their sources, and how they are optimised: what slides over pixels for speed, the rest for size.
PARTS = (
    ("direct", "kernels.cpp", ("-O2", "-DKF_PART=0")),
    ("lags", "kernels.cpp", ("-O2", "-DKF_PART=3")),
    ("small_fit", "small_fit.cpp", ("-Os",)),
    ("wasm", "wasm.cpp", ("-Os",)),
)
# Beside the defaults of every family: members that people look for by name.
MORE = (
    ("difference", {"axis": 1, "scheme": "backward"}),
    ("difference", {"axis": 0, "scheme": "backward"}),
    ("box", {"size": 5}),
    ("gaussian", {"sigma": 0.5}),
    ("gaussian", {"sigma": 1.5}),
    ("gaussian", {"sigma": 2.0}),
    ("binomial", {"size": 5}),
    ("sobel", {"axis": 0}),
    ("prewitt", {"axis": 0}),
    ("scharr", {"axis": 0}),
    ("laplacian", {"neighbours": 8}),
    ("sharpen", {"neighbours": 8}),
    ("sharpen", {"amount": 0.125, "neighbours": 8}),  # Pillow's SHARPEN
    ("sharpen", {"amount": 0.5, "neighbours": 4}),
    ("sharpen", {"amount": 0.5, "neighbours": 8}),
    ("smooth", {"centre": 1, "neighbours": 4}),
    ("shift", {"rows": 0, "columns": 1}),
    ("shift", {"rows": 1, "columns": 0}),
)
GROUPS = {
    "smoothing": "Blur",
    "blurs": "Blur",
    "polynomials": "Blur",
    "resampling": "Blur",
    "optics": "Blur",
    "differences": "Edges",
    "edges": "Edges",
    "directional": "Lines and corners",
    "masks": "Lines and corners",
    "steerable": "Lines and corners",
    "gabor": "Waves",
    "sharpening": "Sharpen",
}
# Of a larger side the page has no cells.
LARGEST = 15


def digest() -> str:
    """Return the digest of the module's sources and flags."""
    total = hashlib.sha256(repr((FLAGS, LINK, PARTS)).encode())
    for name in SOURCES:
        total.update((ROOT / "cpp" / name).read_bytes())
    return total.hexdigest()


def build(to: Path) -> None:
    """Compile and link the module by the Clang of ziglang."""
    zig = (sys.executable, "-m", "ziglang", "c++")
    with tempfile.TemporaryDirectory() as folder:
        objects = [str(Path(folder, f"{name}.o")) for name, _, _ in PARTS]
        for path, (_, source, flags) in zip(objects, PARTS):
            subprocess.run([*zig, *FLAGS, *flags, "-c", source, "-o", path], cwd=ROOT / "cpp", check=True)
        linked = Path(folder, "kernelfield.wasm")
        subprocess.run([*zig, *LINK, *objects, "-o", str(linked)], check=True)
        to.write_bytes(packed(linked.read_bytes()))


def packed(data: bytes) -> bytes:
    """Return bytes as the page takes them: without a time of its own, the same content is the same file."""
    return gzip.compress(data, 9, mtime=0)


def catalogue() -> str:
    """Return the kernels of the catalogue that the page shows, as JSON: a kernel a line."""
    from kernelfield import __version__
    from kernelfield.kernels.catalogue import CATALOGUE, design, parameters_of
    from kernelfield.kernels.descriptions import describe

    wanted = [(name, {}) for name in CATALOGUE if all(p.default is not p.empty for p in parameters_of(name).values())]
    order = list(CATALOGUE)
    lines = []
    seen = []
    for name, given in sorted([*wanted, *MORE], key=lambda one: order.index(one[0])):
        kernel = design(name, **given)
        if max(kernel.shape) > LARGEST or kernel in seen:
            continue
        seen.append(kernel)
        whole = kernel.integers()
        rows = kernel.weights if whole is None else whole[0]
        plain = [[float(f"{value:.9g}") if whole is None else int(value) for value in row] for row in rows.tolist()]
        lines.append(
            {
                "group": GROUPS[CATALOGUE[name].__module__.rpartition(".")[2]],
                "text": describe(kernel),
                "name": name,
                "parameters": {k: list(v) if isinstance(v, tuple) else v for k, v in kernel.parameters.items()},
                "anchor": list(kernel.anchor),
                "divisor": 1 if whole is None else whole[1],
                "rows": plain,
            }
        )
    text = ",\n".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in lines)
    return f'{{"version":{json.dumps(__version__)},"kernels":[\n{text}\n]}}\n'


def main() -> None:
    """Build what was asked for."""
    from kernelfield.kernels.programs import TEMPLATES

    ASSETS.mkdir(parents=True, exist_ok=True)
    if "--catalogue" not in sys.argv:
        from importlib.metadata import version

        module = ASSETS / "kernelfield.wasm.gz"
        build(module)
        about = {"sources": digest(), "ziglang": version("ziglang"), "bytes": module.stat().st_size}
        (ASSETS / "kernelfield.wasm.json").write_text(json.dumps(about) + "\n")
    (ASSETS / "kernels.json.gz").write_bytes(packed(catalogue().encode()))
    (ASSETS / "code.json.gz").write_bytes(packed(json.dumps(TEMPLATES).encode()))


if __name__ == "__main__":
    main()
