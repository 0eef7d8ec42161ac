"""Builds the C core and the extension modules; everything else is in pyproject.toml.

The core, csrc/, is compiled once, into a static library that exists only while building. Each
extension module takes from it what it calls.

FASTCKPT_DEBUG=1     no optimisation, asserts on
FASTCKPT_SANITIZE=1  AddressSanitizer and UndefinedBehaviorSanitizer, for a Python run with
                     their runtime preloaded
"""

import os
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CORE = sorted(glob("csrc/*.c"))
HEADERS = sorted(glob("csrc/*.h"))
NEEDS_POSIX = {"_map"}

DIRECTIVES = {
    "language_level": 3,
    "auto_pickle": False,  # what can be pickled says how
    "autotestdict": False,  # doctests are found without Cython's help
    "freethreading_compatible": True,  # what threads share is changed in critical sections
}


def choose_flags() -> tuple[list[str], list[str]]:
    """The flags for the compiler and for the linker."""
    if sys.platform == "win32":
        return [], []
    # Sections and visibility: a module exports its init function only, and has no code of the core
    # that it does not call.
    compiling = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden"]
    compiling += ["-ffunction-sections", "-fdata-sections"]
    linking = ["-Wl,-dead_strip"] if sys.platform == "darwin" else ["-Wl,--gc-sections"]
    if os.environ.get("FASTCKPT_DEBUG"):
        compiling += ["-O0", "-g", "-UNDEBUG"]
    if os.environ.get("FASTCKPT_SANITIZE"):
        sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        compiling += [*sanitizers, "-g", "-O1"]
        linking += sanitizers
    return compiling, linking


def find_modules() -> list[Path]:
    """The .pyx files that this platform can build."""
    found = sorted(Path("fastckpt").rglob("*.pyx"))
    return [path for path in found if os.name == "posix" or path.stem not in NEEDS_POSIX]


class BuildExtensions(build_ext):
    """Builds the core first. Cython and NumPy are imported here, so that making an sdist or the
    metadata needs neither."""

    def run(self) -> None:
        import numpy
        from Cython.Build import cythonize

        if self.parallel is None:
            self.parallel = True  # as many compilers as there are processors
        self.run_command("build_clib")  # `build` does, `build_ext` alone does not
        self.include_dirs.append(numpy.get_include())
        # The C that Cython makes depends on NumPy's declarations: each version has its own.
        made = cythonize(
            self.extensions,
            build_dir=f"build/cython-{sys.implementation.cache_tag}-numpy-{numpy.__version__}",
            compiler_directives=DIRECTIVES,
        )
        for extension, translated in zip(self.extensions, made, strict=True):
            extension.sources = translated.sources
        super().run()


COMPILING, LINKING = choose_flags()

setup(
    cmdclass={"build_ext": BuildExtensions},
    libraries=[
        ("fastckpt_core", {"sources": CORE, "obj_deps": {"": HEADERS}, "cflags": COMPILING})
    ],
    ext_modules=[
        Extension(
            ".".join(path.with_suffix("").parts),
            [path.as_posix()],
            depends=[*CORE, *HEADERS],
            include_dirs=["csrc"],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_22_API_VERSION")],
            extra_compile_args=COMPILING,
            extra_link_args=LINKING,
        )
        for path in find_modules()
    ],
)
