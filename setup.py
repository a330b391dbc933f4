"""Build the extension ``micrograd_fast._core``; everything else is in pyproject.toml."""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# No flag may change a bit of a result: products and sums are never fused, nothing is
# re-associated, the instruction set is the platform's baseline, and errno stays meaningful.
# Nobody reads the processor's exception flags, so choices may become selections.
# Packing neighbouring fields of a struct into vector registers costs more than it saves here.
# Clang would warn of every loop over lanes that calls a function and so stays as it is; GCC lets
# pass what it does not know after -Wno-.
UNIX_FLAGS = [
    "-O3",
    "-std=c11",
    "-ffp-contract=off",
    "-fno-trapping-math",
    "-fno-tree-slp-vectorize",
    "-fvisibility=hidden",
    "-Wno-pass-failed",
]
MSVC_FLAGS = ["/O2", "/std:c11", "/fp:precise"]

# A warning stops our own builds and never a user's.
STRICT = os.environ.get("MICROGRAD_FAST_WERROR") == "1"
UNIX_STRICT_FLAGS = ["-Wall", "-Wextra", "-Werror"]
MSVC_STRICT_FLAGS = ["/W3", "/WX"]


class BuildExtension(build_ext):
    """Build with the flags of the compiler that is at hand."""

    def build_extensions(self):
        """Choose the flags, then build."""
        msvc = self.compiler.compiler_type == "msvc"
        flags = MSVC_FLAGS if msvc else UNIX_FLAGS
        strict_flags = MSVC_STRICT_FLAGS if msvc else UNIX_STRICT_FLAGS
        for extension in self.extensions:
            extension.define_macros.append(("MG_BUILD_FLAGS", '"{}"'.format(" ".join(flags))))
            extension.extra_compile_args = flags + (strict_flags if STRICT else [])
        super().build_extensions()


core = Extension(
    "micrograd_fast._core",
    sources=["micrograd_fast/_core.pyx", *sorted(glob("csrc/*.c"))],
    depends=sorted(
        glob("csrc/*.h")
        + glob("csrc/*.def")
        + glob("csrc/*.inc")
        + glob("micrograd_fast/*.pxi")
        + glob("micrograd_fast/*.pxd")
    ),
    include_dirs=["csrc"],
    # Named, so that the linker binds the current versions of the library's functions: an
    # unnamed library's symbols resolve to the oldest, slower ones.
    libraries=[] if os.name == "nt" else ["m"],
)

setup(
    ext_modules=cythonize([core], build_dir="build/cython", language_level=3),
    cmdclass={"build_ext": BuildExtension},
)
