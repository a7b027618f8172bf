"""The build backend: scikit-build-core, which compiles with ziglang from PyPI where the machine has no compiler.

An editable install is a path to src/, with the engine built beside its sources: modules may be added, moved and deleted
freely. After a change of the C++, ``python cmake/build_backend.py build`` (or ``make build``) brings it up to date;
what was compiled before is kept in build/. With ``--config-settings=engine=built`` it is there already, and an editable
install is the path alone. ``python cmake/build_backend.py sdist FOLDER`` writes the source distribution. Without words
it prints the requirement that stands in for a compiler, if there is none.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Not MSVC, which has no vectors as a type, and not GCC for Windows, whose stack is not aligned to AVX's.
COMPILERS = ("clang++",) if sys.platform == "win32" else ("c++", "g++", "clang++")
if sys.platform == "win32":
    os.environ.setdefault("CMAKE_GENERATOR", "Ninja")
Settings = dict[str, Any] | None


def description(readme: str) -> str:
    """Return README.md for a package index: links into this folder become names of files, pictures are left out."""
    here = r"\((?!\w+:)([^()\s]+)\)"
    readme = re.sub(rf"^!\[[^\]]*\]{here}\n\n", "", readme, flags=re.MULTILINE)
    return re.sub(
        rf"\[([^\]]+)\]{here}", lambda link: link[1] if link[1] == link[2] else f"{link[1]} (`{link[2]}`)", readme
    )


def compiler() -> str | None:
    """Return the machine's C++ compiler: CXX or one of the usual names."""
    asked = os.environ.get("CXX", "").split()
    return next(filter(None, map(shutil.which, asked[:1] or COMPILERS)), None)


def stand_in() -> list[str]:
    """Return the packages to install for a compiler, where the machine has none."""
    return [] if compiler() else ["ziglang>=0.15"]


def zig_target() -> str:
    """Return this machine in zig's words; the C library no newer than those of wheels that are installed widely."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform == "win32":
        return f"{machine}-windows-gnu"
    if sys.platform == "darwin":
        return f"{machine}-macos"
    musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    return f"{machine}-linux-musl" if musl else f"{machine}-linux-gnu.2.28"


def _write_description() -> None:
    made = ROOT / "build" / "description.md"
    made.parent.mkdir(exist_ok=True)
    made.write_text(description((ROOT / "README.md").read_text(encoding="utf-8")), encoding="utf-8")


def _with_compiler(settings: Settings) -> dict[str, Any]:
    settings = dict(settings or {})
    if "CMAKE_TOOLCHAIN_FILE" in os.environ:
        return settings
    if found := compiler():
        if sys.platform == "win32":
            settings["cmake.define.CMAKE_CXX_COMPILER"] = Path(found).as_posix()
        return settings
    try:
        import ziglang
    except ImportError:
        raise SystemExit("no C++ compiler (CXX, c++, g++, clang++), nor ziglang: pip install ziglang") from None
    zig = Path(ziglang.__file__).with_name("zig.exe" if sys.platform == "win32" else "zig")
    print("no C++ compiler on this machine: compiling with ziglang", flush=True)
    settings["cmake.define.CMAKE_TOOLCHAIN_FILE"] = (ROOT / "cmake" / "zig.cmake").as_posix()
    settings["cmake.define.ZIG"] = zig.as_posix()
    settings.setdefault("cmake.define.ZIG_TARGET", zig_target())
    return settings


def build_in_place(settings: Settings = None) -> None:
    """Compile the engine and lay it beside its sources."""
    import scikit_build_core.build as backend

    package = ROOT / "src" / "kernelfield"
    settings = {"build-dir": "build/{cache_tag}", **_with_compiler(settings)}
    with tempfile.TemporaryDirectory() as folder:
        wheel = zipfile.ZipFile(Path(folder) / backend.build_wheel(folder, settings))
        (engine,) = (name for name in wheel.namelist() if name.startswith("kernelfield/_core.") and name[-1] != "i")
        fresh = package / f"{Path(engine).name}.{os.getpid()}"
        fresh.write_bytes(wheel.read(engine))
        wheel.close()
    fresh.replace(package / Path(engine).name)  # processes that have the old one open keep it


def _path_only(settings: Settings) -> dict[str, Any]:
    settings = {**(settings or {}), "wheel.cmake": "false", "wheel.platlib": "true", "editable.mode": "inplace"}
    settings.pop("engine", None)
    return settings


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    import scikit_build_core.build as backend

    if (config_settings or {}).get("engine") != "built":
        build_in_place(config_settings)
    return backend.build_editable(wheel_directory, _path_only(config_settings), metadata_directory)


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Settings = None) -> str:
    import scikit_build_core.build as backend

    return backend.prepare_metadata_for_build_editable(metadata_directory, _path_only(config_settings))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    import scikit_build_core.build as backend

    return backend.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    import scikit_build_core.build as backend

    return backend.build_wheel(wheel_directory, _with_compiler(config_settings), metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    import scikit_build_core.build as backend

    return backend.build_sdist(sdist_directory, config_settings)


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    import scikit_build_core.build as backend

    return [*backend.get_requires_for_build_wheel(config_settings), *stand_in()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    import scikit_build_core.build as backend

    return backend.get_requires_for_build_sdist(config_settings)


get_requires_for_build_editable = get_requires_for_build_wheel
_write_description()  # what pyproject.toml names as the readme, whichever of these is called


if __name__ == "__main__":
    os.chdir(ROOT)
    if sys.argv[1:2] == ["sdist"]:
        build_sdist(*sys.argv[2:])
    elif sys.argv[1:2] == ["build"]:
        build_in_place(dict(argument.split("=", 1) for argument in sys.argv[2:]))
    elif needed := stand_in():
        print("no C++ compiler on this machine (CXX, c++, g++, clang++): ziglang is installed", file=sys.stderr)
        print(*needed)
