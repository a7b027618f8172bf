"""The wheel for Linux on Arm, built and tried on this machine: `make dist-arm`.

ziglang compiles the engine of the source distribution; apt unpacks Debian's own Python for arm64 in a folder, with
lists of its own; this machine's pip unpacks the wheel there with its dependencies for Arm (an emulated pip is slow).
Under qemu-aarch64 then run `kernelfield doctor`, the code in README.md and tests of the engine, the digests of results
among them: the bits are those of x86-64. Needs Debian or a system made from it, with qemu-user. The Python that runs
this must be of the version that Debian has: its headers serve Arm too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "arm-wheel"
DEBIAN, ENVIRONMENT = BUILD / "debian", BUILD / "environment"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = (f"{PYTHON}-minimal", f"lib{PYTHON}-stdlib", "libstdc++6", "libgomp1", "zlib1g", "ca-certificates")
TARGET = "aarch64-linux-gnu.2.28"
# Results of every method, dtype and border; SciPy on Arm, beside it.
TESTS = ("tests/engine/test_digests.py", "tests/engine/test_integers.py", "tests/dropin/test_ndimage.py")


def run(*command: object, folder: Path = ROOT, **variables: object) -> None:
    """Run a command, with these variables beside those of the environment, and stop where it fails."""
    words = [str(word) for word in command]
    print("$", *(Path(words[0]).name, *words[1:]), flush=True)
    subprocess.run(words, cwd=folder, env={**os.environ, **{n: str(v) for n, v in variables.items()}}, check=True)


def debian() -> None:
    """Unpack Debian's Python for arm64; the lists and packages of this machine are left alone."""
    state = BUILD / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "apt.conf").write_text(
        f'APT::Architecture "arm64"; APT::Architectures {{ "arm64"; }}; Dir::State "{state}"; Dir::Cache "{state}";\n'
        f'Dir::State::status "{state}/status"; APT::Sandbox::User "root";\n'
    )
    apt = ("apt-get", "--quiet=2", "--no-install-recommends")
    run(*apt, "update", APT_CONFIG=state / "apt.conf")
    try:
        run(*apt, "--yes", "--download-only", "install", *PACKAGES, APT_CONFIG=state / "apt.conf")
    except subprocess.CalledProcessError:
        words = f"apt has no {PYTHON} for arm64, or cannot reach it; another one: make dist-arm PYTHON=python3.N"
        raise SystemExit(words) from None
    for package in sorted((state / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, DEBIAN], check=True)


def environment() -> Path:
    """Make the environment. Its Python is a script: the emulator, which finds Arm's libraries in that folder."""
    python = ENVIRONMENT / "bin" / "python"
    python.parent.mkdir(parents=True)
    (ENVIRONMENT / "pyvenv.cfg").write_text(f"home = {DEBIAN}/usr/bin\ninclude-system-site-packages = false\n")
    python.write_text(f'#!/bin/sh\nexec qemu-aarch64 -L {DEBIAN} -0 {python} {DEBIAN}/usr/bin/{PYTHON} "$@"\n')
    python.chmod(0o755)
    return python


def wheel() -> Path:
    """Build the wheel of the source distribution with ziglang, and have auditwheel name it."""
    run(sys.executable, "cmake/build_backend.py", "sdist", "dist")
    (source,) = (ROOT / "dist").glob("kernelfield-*.tar.gz")
    settings = {"ZIG_TARGET": TARGET, "CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": "aarch64"}
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"),
        *("--wheel-dir", BUILD / "plain", source),
        *(f"--config-settings=cmake.define.{name}={value}" for name, value in settings.items()),
        CXX="none",
        _PYTHON_HOST_PLATFORM="linux-aarch64",
        SETUPTOOLS_EXT_SUFFIX=f".cpython-{sys.version_info.major}{sys.version_info.minor}-aarch64-linux-gnu.so",
    )
    run("auditwheel", "repair", "--wheel-dir", ROOT / "dist", *(BUILD / "plain").glob("*.whl"))
    (made,) = (ROOT / "dist").glob("kernelfield-*_aarch64.whl")
    run("auditwheel", "show", made)
    return made


def main() -> None:
    """Build the wheel and try it."""
    if not shutil.which("apt-get"):
        raise SystemExit("make dist-arm takes Python for arm64 from Debian: run it in Debian or a system made from it")
    if not shutil.which("qemu-aarch64"):
        raise SystemExit("make dist-arm runs Arm programs by qemu-aarch64: apt-get install qemu-user")
    shutil.rmtree(BUILD, ignore_errors=True)
    for made in (ROOT / "dist").glob("*_aarch64.whl"):
        made.unlink()
    BUILD.mkdir(parents=True)
    debian()
    python = environment()
    packages = ENVIRONMENT / "lib" / PYTHON / "site-packages"
    install = (sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", packages)
    arm = ("--only-binary", ":all:", "--python-version", PYTHON.removeprefix("python"))
    platforms = [
        f"--platform={name}_aarch64" for name in ("manylinux2014", *(f"manylinux_2_{n}" for n in range(17, 37)))
    ]
    for_tests = ("pytest", "hypothesis", "scikit-image")
    run(*install, *arm, *platforms, "--constraint", "constraints.txt", wheel(), *for_tests)
    trial = BUILD / "trial"
    shutil.copytree(ROOT / "examples", trial / "examples")
    run(python, "-m", "kernelfield", "doctor", folder=trial)
    run(python, ROOT / "tests/helpers/pages.py", ROOT / "README.md", folder=trial)
    run(python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *TESTS, KERNELFIELD_FRAMEWORKS="")


if __name__ == "__main__":
    main()
