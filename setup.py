"""Builds the extension modules; everything else about the package is in pyproject.toml.

FASTCKPT_DEBUG=1     no optimisation, asserts on
FASTCKPT_SANITIZE=1  AddressSanitizer and UndefinedBehaviorSanitizer, for a Python run with
                     their runtime preloaded
"""

import os
import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = [
    "csrc/fck.c",
    "csrc/wire.c",
    "csrc/sstable_read.c",
    "csrc/sstable_build.c",
    "csrc/entry.c",
    "csrc/string_payload.c",
]
HEADERS = [
    "csrc/fck.h",
    "csrc/wire.h",
    "csrc/sstable.h",
    "csrc/entry.h",
    "csrc/string_payload.h",
]
SOURCES = sorted(Path("fastckpt").rglob("*.pyx"))
if os.name != "posix":
    SOURCES = [path for path in SOURCES if path.name != "_map.pyx"]

compile_args = [] if sys.platform == "win32" else ["-std=c11", "-O3", "-g0"]
link_args = []
if os.environ.get("FASTCKPT_DEBUG"):
    compile_args += ["-O0", "-g", "-UNDEBUG"]
if os.environ.get("FASTCKPT_SANITIZE"):
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    compile_args += [*sanitizers, "-g", "-O1"]
    link_args += sanitizers

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts),
        [str(path), *CORE],
        depends=HEADERS,
        include_dirs=["csrc", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_22_API_VERSION")],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )
    for path in SOURCES
]

DIRECTIVES = {
    "language_level": 3,
    "auto_pickle": False,  # what can be pickled says how
    "autotestdict": False,  # doctests are found without Cython's help
    "freethreading_compatible": True,  # what threads share is changed in critical sections
}

# The C that Cython makes depends on NumPy's declarations, so each version has its own.
BUILD_DIR = f"build/cython-{sys.implementation.cache_tag}-numpy-{numpy.__version__}"

setup(ext_modules=cythonize(extensions, build_dir=BUILD_DIR, compiler_directives=DIRECTIVES))
