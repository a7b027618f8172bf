"""Faults injected into the writing of results: processes killed at random moments, full disks, limits, damaged files.

python tests/faults.py SEED [--fast] prints survived / injected for each kind, and fails if they differ. A fault is
survived if nothing incomplete opens as complete, what is resumed has the bytes of an undisturbed run, and an error is
one line that leaves the old result as it was. `make faults` runs all of it, the tests a small part.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import kernelfield as kf
from kernelfield.errors import KernelfieldError
from kernelfield.images import read, write

SIDE = 1400
KERNEL = "gaussian:sigma=2"
#: Names of results, and whether their writing can be resumed.
RESULTS = {"out.zarr": True, "out.tif": True, "out.npy": True, "out.png": False, "out.json": False}
#: A program that filters in small tiles, so that there are many moments to be killed at.
PROGRAM = """
import sys, numpy as np, kernelfield as kf
source, target, resume = sys.argv[1:4]
print("ready", flush=True)
if target.endswith(".png"):
    from kernelfield.images import read, write
    write(target, kf.correlate(np.asarray(read(source).pixels), kf.kernels.gaussian(2.0), dtype="uint8"))
elif target.endswith(".json"):
    pixels = np.load(source)
    kf.learn(pixels[:200, :200], kf.correlate(pixels, kf.kernels.binomial(3))[:200, :200]).save(target)
else:
    kf.scale.apply(source, kf.kernels.gaussian(2.0), target, dtype="uint8", tile=(256, 256), resume=resume == "True")
"""


def digest(path: Path) -> str:
    """Return the hash of a file, or of the pixels of a store."""
    if path.is_dir():
        return kf.scale.verify(path).hash
    if path.suffix == ".tif":
        return hashlib.sha256(np.ascontiguousarray(read(path).pixels)).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def opens(path: Path) -> bool:
    """Return whether something opens as a complete result."""
    try:
        if path.is_dir():
            kf.scale.open_source(path)
        elif path.suffix == ".json":
            kf.Fit.load(path)
        else:
            read(path)
    except KernelfieldError:
        return False
    return True


def start(folder: Path, target: str, resume: bool) -> subprocess.Popen[str]:
    """Start the program in a folder."""
    words = [sys.executable, "-c", PROGRAM, "in.npy", target, str(resume)]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kills(seed: int, each: int) -> Iterator[tuple[str, bool]]:
    """Yield each kill: kill -9 at a random moment while a result is written, then resume."""
    chance = random.Random(seed)
    for name, resumable in RESULTS.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            np.save(folder / "in.npy", np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8))
            done = start(folder, name, False)
            done.stdout.readline()
            began = time.monotonic()
            _, message = done.communicate()
            assert done.returncode == 0, message
            seconds, expected = time.monotonic() - began, digest(folder / name)
            remove(folder / name)
            for _ in range(each):
                victim = start(folder, name, resumable)
                victim.stdout.readline()
                time.sleep(chance.uniform(0, seconds))
                victim.kill()
                victim.communicate()
                found = [path for path in folder.iterdir() if path.name != "in.npy" and opens(path)]
                # What opens is whole: the result, or the store that a file is put together from, all of it verified.
                sound = all(digest(path) == expected or (path.is_dir() and path.name != name) for path in found)
                again = start(folder, name, resumable)
                _, message = again.communicate()
                sound = sound and again.returncode == 0 and digest(folder / name) == expected
                left = sorted(path.name for path in folder.iterdir() if not path.name.endswith(".part"))
                sound = sound and left == sorted(["in.npy", name])
                yield f"kill -9 while {name} is written", sound
                if not sound:
                    print(f"  {name}: {[path.name for path in folder.iterdir()]} {message[-300:]}", file=sys.stderr)
                for path in folder.iterdir():
                    if path.name != "in.npy":
                        remove(path)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def small_disk(megabytes: float) -> Iterator[Path]:
    """Yield a folder on a file system of some size; raise, saying how, where none can be mounted."""
    with tempfile.TemporaryDirectory() as place:
        command = ["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", place]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(
                f"a full disk cannot be made: {done.stderr.strip()}; run as root (sudo make faults), in a container "
                "with --cap-add SYS_ADMIN"
            )
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


def command(*words: str, cwd: Path, limits: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "kernelfield", *words], cwd=cwd, capture_output=True, text=True, preexec_fn=limits
    )


def is_one_line(done: subprocess.CompletedProcess[str]) -> bool:
    """Return whether a command failed with one line that says why."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
    sound = done.returncode == 1 and len(lines) == 1 and lines[0].startswith("kernelfield: error:")
    if not sound:
        print(f"  status {done.returncode}: {done.stderr[-400:]}", file=sys.stderr)
    return sound


def old_result(folder: Path, name: str, pixels: np.ndarray) -> str:
    """Write an older result, small enough for any limit, and return its hash."""
    if name.endswith(".zarr"):
        kf.scale.apply(pixels[:64, :64], [[1.0]], folder / name, compression="none")
    else:
        write(folder / name, pixels[:64, :64])
    return digest(folder / name)


def refusals(seed: int) -> Iterator[tuple[str, bool]]:
    """Yield each fault of the system: a full disk, a target that is read-only, a limit of the size of files."""
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8)
    names = [name for name in RESULTS if name != "out.json"]
    for name in names:
        more = ("--overwrite", "--compression", "none") if name.endswith(".zarr") else ()
        with small_disk(6) as folder, tempfile.TemporaryDirectory() as other:
            source = Path(other) / "in.npy"
            np.save(source, pixels)
            before = old_result(folder, name, pixels)
            free = shutil.disk_usage(folder).free
            (folder / "filler").write_bytes(bytes(free - 200_000))
            done = command("apply", KERNEL, str(source), name, *more, cwd=folder)
            yield f"a full disk while {name} is written", is_one_line(done) and digest(folder / name) == before
        if name.endswith(".zarr"):
            with small_disk(6) as folder, tempfile.TemporaryDirectory() as other:
                source, words = Path(other) / "in.npy", ("--compression", "none")
                np.save(source, pixels)
                assert command("apply", KERNEL, str(source), name, *words, cwd=Path(other)).returncode == 0
                undisturbed = digest(Path(other) / name)
                (folder / "filler").write_bytes(bytes(shutil.disk_usage(folder).free - 200_000))
                failed = command("apply", KERNEL, str(source), name, *words, cwd=folder)
                (folder / "filler").unlink()
                done = command("apply", KERNEL, str(source), name, *words, "--resume", cwd=folder)
                sound = is_one_line(failed) and done.returncode == 0 and digest(folder / name) == undisturbed
                yield f"a full disk, then room: {name} resumed", sound
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            np.save(folder / "in.npy", pixels)
            before = old_result(folder, name, pixels)
            limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
            done = command("apply", KERNEL, "in.npy", name, *more, cwd=folder, limits=limit)
            yield (
                f"a limit of the size of files while {name} is written",
                is_one_line(done) and digest(folder / name) == before,
            )
        with small_disk(20) as folder:
            np.save(folder / "in.npy", pixels)
            before = old_result(folder, name, pixels)
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            done = command("apply", KERNEL, "in.npy", name, *more, cwd=folder)
            yield f"a read-only place for {name}", is_one_line(done) and digest(folder / name) == before


def damage(seed: int, each: int) -> Iterator[tuple[str, bool]]:
    """Yield each change of a bit of a result: it is found, or changes nothing that is read."""
    chance = random.Random(seed)
    pixels = np.random.default_rng(seed).random((300, 300), dtype=np.float32)
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "out.zarr"
        kf.scale.apply(pixels, np.ones((3, 3)), target, tile=(100, 100))
        whole = digest(target)
        files = [path for path in sorted(target.rglob("*")) if path.is_file()]
        for _ in range(each):
            path = chance.choice(files)
            kept = path.read_bytes()
            changed = bytearray(kept)
            changed[chance.randrange(len(kept))] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            try:
                sound = digest(target) == whole and np.array_equal(
                    kf.scale.open_source(target).read((slice(0, 300), slice(0, 300))),
                    kf.correlate(pixels, np.ones((3, 3))),
                )
            except KernelfieldError:
                sound = True
            yield "a bit of a store flipped", sound
            path.write_bytes(kept)


MOSAIC = """
import resource, sys
import numpy as np
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
import kernelfield as kf
n, path = int(sys.argv[1]), sys.argv[2]
how = {"compression": "none", "memory": 200 << 20}
done = kf.scale.apply(path + "/in.zarr", kf.kernels.gaussian(1.0), path + "/out.zarr", **how)
print(done.shape, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def mosaics(side: int) -> Iterator[tuple[str, bool]]:
    """Yield an image larger than a limit of a gibibyte of address space, filtered."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("KERNELFIELD_FAULTS_DISK")) as place:
        # Read through a store: a memory map takes address space.
        import zarr

        array = zarr.create_array(
            f"{place}/in.zarr", shape=(side, side), dtype="float32", chunks=(512, 512), shards=(2048, 2048),
            compressors=zarr.codecs.ZstdCodec(level=1),
        )  # fmt: skip
        strip = np.random.default_rng(0).integers(0, 9, (2048, side)).astype(np.float32)
        for top in range(0, side, 2048):
            array[top : top + 2048] = strip[: min(2048, side - top)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "KERNELFIELD_THREADS": "2"}
        done = subprocess.run(
            [sys.executable, "-c", MOSAIC, str(side), place], capture_output=True, text=True, env=environment
        )
        print(f"  {side}² float32 under 1 GiB of address space: {done.stdout.strip()} MB {done.stderr[-300:]}")
        part = slice(side // 2 - 40, side // 2 + 40)
        sound = done.returncode == 0
        if sound:
            found = kf.scale.open_source(f"{place}/out.zarr").read((part, part))
            around = kf.scale.open_source(f"{place}/in.zarr").read((slice(part.start - 9, part.stop + 9),) * 2)
            sound = np.allclose(found, kf.correlate(around, kf.kernels.gaussian(1.0))[9:-9, 9:-9], rtol=1e-5)
        yield f"{side}² in a gibibyte", sound


FUZZ = """
import atheris, sys, io
with atheris.instrument_imports(include=["kernelfield.images", "kernelfield.scale"]):
    from kernelfield.images import read
from kernelfield.errors import KernelfieldError
def one(data):
    try:
        read(io.BytesIO(data), max_pixels=1 << 20)
    except KernelfieldError as error:
        if "\\n" in str(error): raise RuntimeError("two lines")
atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""


def fuzzing(seed: int, runs: int) -> Iterator[tuple[str, bool]]:
    """Yield a run of atheris over the reader of files, from small files of each format."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("  atheris is not installed: the file gate is not fuzzed here; pip install atheris", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place) / "corpus"
        corpus.mkdir()
        pixels = np.random.default_rng(seed).integers(0, 256, (9, 8), np.uint8)
        for suffix in (".png", ".tif", ".npy", ".npz", ".bmp", ".gif", ".pgm", ".webp", ".jpg"):
            write(corpus / f"a{suffix}", pixels)
        options = [f"-seed={seed}", f"-runs={runs}", "-max_len=4096", "-rss_limit_mb=2000", "-timeout=20"]
        done = subprocess.run(
            [sys.executable, "-c", FUZZ, *options, str(corpus)], capture_output=True, text=True, cwd=place
        )
        if done.returncode:
            print(done.stderr[-1500:], file=sys.stderr)
        yield f"{runs} inputs of atheris to the file gate", done.returncode == 0


def run(kinds: Iterator[tuple[str, bool]]) -> tuple[int, int]:
    """Print survived / injected of each kind, and return the sums."""
    counts: dict[str, list[int]] = {}
    for name, sound in kinds:
        count = counts.setdefault(name, [0, 0])
        count[0] += sound
        count[1] += 1
    for name, (survived, injected) in counts.items():
        print(f"{survived} / {injected} {name}", flush=True)
    return sum(one[0] for one in counts.values()), sum(one[1] for one in counts.values())


def main() -> int:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    every = [kills(seed, 10), refusals(seed), damage(seed, 300), mosaics(20_000), fuzzing(seed, 100_000)]
    if "--fast" in sys.argv:
        every = [kills(seed, 2), refusals(seed), damage(seed, 20), mosaics(3000)]
    survived, injected = map(sum, zip(*(run(kinds) for kinds in every)))
    print(json.dumps({"seed": seed, "survived": survived, "injected": injected}))
    print(f"{survived} / {injected} survived")
    return survived != injected


if __name__ == "__main__":
    sys.exit(main())
