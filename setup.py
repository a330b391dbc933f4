"""Build the extension ``micrograd_fast._core``; everything else is in pyproject.toml.

The C files are compiled side by side, and only those that have changed since the last time, or
that include something that has.
"""

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

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


def is_set(variable):
    """Whether an environment variable asks for something."""
    return os.environ.get(variable, "") not in ("", "0")


# A warning stops our own builds and never a user's.
STRICT = is_set("MICROGRAD_FAST_WERROR")
UNIX_STRICT_FLAGS = ["-Wall", "-Wextra", "-Werror"]
MSVC_STRICT_FLAGS = ["/W3", "/WX"]

# Five sixths of the library would be debug information, which a user's install does without.
DEBUG = is_set("MICROGRAD_FAST_DEBUG")

FOLDERS = ["base", "ops", "loops", "nodes", "layer", "graph", "program"]
OBJECTS = "build/objects-{}-{}".format(
    sys.implementation.cache_tag, "debug" if DEBUG else "release"
)


class BuildExtension(build_ext):
    """Build with the flags of the compiler that is at hand, several files at a time."""

    def finalize_options(self):
        """Keep objects in a place of their own, so that the next build finds them."""
        super().finalize_options()
        self.build_temp = OBJECTS
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        """Choose the flags, then build."""
        msvc = self.compiler.compiler_type == "msvc"
        flags = MSVC_FLAGS if msvc else UNIX_FLAGS
        strict_flags = MSVC_STRICT_FLAGS if msvc else UNIX_STRICT_FLAGS
        debug_flags = [] if msvc else ["-g" if DEBUG else "-g0"]
        for extension in self.extensions:
            extension.define_macros.append(("MG_BUILD_FLAGS", '"{}"'.format(" ".join(flags))))
            extension.extra_compile_args = (
                flags + debug_flags + (strict_flags if STRICT else []) + ([] if msvc else ["-MMD"])
            )
        compile_together(self.compiler, self.parallel)
        super().build_extensions()


def compile_together(compiler, n_jobs):
    """Let a compiler object of setuptools work on several sources at once, and on stale ones."""
    compile_one = compiler.compile

    def compile_all(sources, output_dir=None, **options):
        objects = compiler.object_filenames(sources, output_dir=output_dir)

        def compile_if_stale(source, target):
            if is_stale(Path(target)):
                compile_one([source], output_dir=output_dir, **options)

        with ThreadPoolExecutor(n_jobs) as pool:
            # The longest first; its length decides when all are done.
            jobs = sorted(zip(sources, objects), key=lambda pair: -os.path.getsize(pair[0]))
            for job in [pool.submit(compile_if_stale, *pair) for pair in jobs]:
                job.result()
        return objects

    compiler.compile = compile_all


def is_stale(target):
    """Whether an object is older than something it was made of, or this is not known."""
    rule = target.with_suffix(".d")
    if not target.exists() or not rule.exists():
        return True
    made_of = re.sub(r"\\\n", " ", rule.read_text()).partition(":")[2].split()
    age = target.stat().st_mtime
    parts = [Path(part) for part in [*made_of, __file__]]
    return any(not part.exists() or part.stat().st_mtime > age for part in parts)


core = Extension(
    "micrograd_fast._core",
    sources=[
        "micrograd_fast/_core/core.pyx",
        *sorted(path for folder in FOLDERS for path in glob(f"csrc/{folder}/*.c")),
    ],
    depends=sorted(
        path
        for pattern in (
            "csrc/*/*.h",
            "csrc/*/*.def",
            "csrc/*/*.inc",
            "micrograd_fast/_core/**/*.px*",
        )
        for path in glob(pattern, recursive=True)
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
