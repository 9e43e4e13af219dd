"""Build the compiled core, or do without: everything else is in pyproject.toml.

The extension is optional. Where it cannot be built, the installation succeeds all the
same and torch does the work, several times slower.
"""

import os
import shlex
import sys

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import setup

CPP = "skwfm/_kernels/cpp"
# Each instruction set is a file of its own, which tells the compiler what it may use.
NAMES = ("core", "core_batch", "core_text", "core_labels", "core_checks")
NAMES += ("core_gibbs",)
NAMES += ("isa_v2", "isa_v3", "isa_v4")
SOURCES = [f"{CPP}/{name}.cpp" for name in NAMES]
HEADERS = ["types.hpp", "arrays.hpp", "unique.hpp", "kernels.inc", "simd.hpp"]
HEADERS += ["rows.hpp", "fm.hpp", "pairs.hpp", "ffm.hpp", "loops.hpp", "batch.hpp"]
HEADERS += ["checks.hpp", "text.hpp", "labels.hpp", "replicas.hpp"]
HEADERS += ["normals.hpp", "conditional.hpp", "gibbs.hpp"]
FLAGS = (
    ["/O2"]
    if sys.platform == "win32"
    else ["-O3", "-g0", "-fno-math-errno", "-fopenmp-simd", "-Wno-psabi"]
)
LINK_FLAGS = [] if sys.platform == "win32" else ["-pthread"]
# The last word, to the compiler and the linker: sanitizers, or a quick build.
MORE_FLAGS = shlex.split(os.environ.get("SKWFM_CXXFLAGS", ""))

# One compiler process per file.
ParallelCompile("SKWFM_BUILD_JOBS", default=0).install()

setup(
    ext_modules=[
        Pybind11Extension(
            "skwfm._kernels._core",
            SOURCES,
            depends=[f"{CPP}/{name}" for name in HEADERS],
            cxx_std=17,
            extra_compile_args=FLAGS + MORE_FLAGS,
            extra_link_args=LINK_FLAGS + MORE_FLAGS,
            optional=True,
        )
    ]
)
