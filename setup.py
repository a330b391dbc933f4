"""Build the extension ``micrograd_fast._core``; everything else is in pyproject.toml.

Cython runs and the C files are compiled side by side. A file is made again only if what it is made
of has changed since: contents count, not dates. What was made with other flags, by another
compiler or for another Python has a folder of its own.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

import Cython
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
# A short loop that lies across two lines of the instruction cache takes twice the time.
ENGINE_FLAGS = {"gcc": ["-falign-loops=32"], "clang": [], "msvc": []}
# The loops call nothing whose errno is read, and a root in lanes can set none.
LOOPS_FLAGS = {"gcc": ["-fno-math-errno"], "clang": ["-fno-math-errno"], "msvc": []}
MSVC_FLAGS = ["/O2", "/std:c11", "/fp:precise"]
# The crossing is large and has no loops to speak of: with -O2 it is compiled in four fifths of the
# time, and as fast as long as GCC inlines what it is asked to, as with -O3. Every label at the
# start of a line would take a fiftieth of the library, and what is computed once for several paths
# another, as are functions split in two: those of the crossing are too many for it to pay.
CROSSING_FLAGS = {
    "gcc": [
        "-O2",
        "--param=max-inline-insns-single=200",
        "-fno-align-functions",
        "-fno-align-jumps",
        "-fno-align-labels",
        "-fno-gcse",
        "-fno-tree-pre",
        "-fno-partial-inlining",
    ],
    "clang": ["-O2"],
    "msvc": [],
}


def is_set(variable):
    """Whether an environment variable asks for something."""
    return os.environ.get(variable, "") not in ("", "0")


# A warning stops our own builds and never a user's.
STRICT = is_set("MICROGRAD_FAST_WERROR")
UNIX_STRICT_FLAGS = ["-Wall", "-Wextra", "-Werror"]
# The checks that a sanitizer puts between a value and its use hide from GCC that it was set.
SANITIZED_STRICT_FLAGS = ["-Wno-maybe-uninitialized"]
MSVC_STRICT_FLAGS = ["/W3", "/WX"]

# Five sixths of the library would be debug information, which a user's install does without.
DEBUG = is_set("MICROGRAD_FAST_DEBUG")

# Let the extension stop at the first wrong access to memory and the first undefined operation;
# a Python that loads it needs the sanitizer's library before all others, see the Makefile.
SANITIZE = is_set("MICROGRAD_FAST_SANITIZE")
SANITIZE_FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

FOLDERS = ["base", "ops", "loops", "nodes", "layer", "graph", "program"]
CROSSING = "micrograd_fast/_core/core.pyx"
CROSSING_PARTS = [CROSSING, *sorted(glob("micrograd_fast/_core/**/*.px[di]", recursive=True))]


class BuildExtension(build_ext):
    """Make what is not up to date, several files at a time."""

    def build_extension(self, extension):
        """Compile and link one extension, the only one."""
        if not getattr(self.compiler, "initialized", True):
            self.compiler.initialize()
        self.choose_flags(extension)
        with ThreadPoolExecutor(self.parallel or os.cpu_count()) as pool:
            # What takes longest begins first.
            c_files = sorted(extension.sources[1:], key=lambda path: -os.path.getsize(path))
            jobs = [pool.submit(self.make_crossing_object, extension)]
            for path in c_files:
                flags = [*self.engine_flags]
                if Path(path).parent.name == "loops":
                    flags += self.loops_flags
                jobs.append(pool.submit(self.make_object, extension, path, flags))
            objects = [job.result() for job in jobs]
        library = Path(self.build_temp, Path(self.get_ext_fullpath(extension.name)).name)
        make(library, objects, lambda: self.link(extension, objects, library))
        self.mkpath(os.path.dirname(self.get_ext_fullpath(extension.name)))
        # Whatever is there: it may be newer, and built with other flags.
        shutil.copy(library, self.get_ext_fullpath(extension.name))

    def choose_flags(self, extension):
        """Take the flags of the compiler that is at hand, and the folder of what they make."""
        msvc = self.compiler.compiler_type == "msvc"
        command = [self.compiler.cc] if msvc else self.compiler.compiler_so
        version = "" if msvc else subprocess.check_output([*command, "--version"], text=True)
        kind = "msvc" if msvc else "clang" if "clang" in version else "gcc"
        self.crossing_flags = CROSSING_FLAGS[kind]
        self.engine_flags = ENGINE_FLAGS[kind]
        self.loops_flags = LOOPS_FLAGS[kind]
        flags = MSVC_FLAGS if msvc else UNIX_FLAGS
        if SANITIZE:
            # Not -O3 and the crossing's flags, which would take minutes.
            flags = [*flags, *SANITIZE_FLAGS, "-O1"]
            self.crossing_flags = []
            extension.extra_link_args += SANITIZE_FLAGS
        extension.define_macros.append(("MG_BUILD_FLAGS", '"{}"'.format(" ".join(flags))))
        extension.extra_compile_args = list(flags)
        with_symbols = DEBUG or SANITIZE
        if not msvc:
            # Nothing unwinds C; the tables for it are a twentieth of the file.
            without = ["-g0", "-fno-asynchronous-unwind-tables"]
            extension.extra_compile_args += ["-g"] if with_symbols else without
        if not with_symbols and sys.platform.startswith("linux"):
            # The names of functions are a tenth of the file.
            extension.extra_link_args.append("-Wl,--strip-all")
        if STRICT:
            extension.extra_compile_args += MSVC_STRICT_FLAGS if msvc else UNIX_STRICT_FLAGS
            if SANITIZE and not msvc:
                extension.extra_compile_args += SANITIZED_STRICT_FLAGS
        circumstances = [
            sys.version,
            command,
            version,
            getattr(self.compiler, "linker_so", None),
            extension.extra_compile_args,
            self.crossing_flags,
            extension.extra_link_args,
            self.engine_flags,
            self.loops_flags,
            extension.libraries,
        ]
        name = hashlib.sha256(repr(circumstances).encode()).hexdigest()[:8]
        self.build_temp = f"build/objects-{sys.implementation.cache_tag}-{name}"

    def make_crossing_object(self, extension):
        """Let Cython write the crossing in C, and compile that."""
        c_file = Path("build/cython", CROSSING).with_suffix(".c")
        crossing = Extension(extension.name, [CROSSING])
        make(
            c_file,
            CROSSING_PARTS,
            lambda: cythonize(
                [crossing], build_dir="build/cython", language_level=3, force=True, quiet=True
            ),
            Cython.__version__,
        )
        return self.make_object(extension, str(c_file), self.crossing_flags)

    def make_object(self, extension, c_file, more_flags=()):
        """Compile a C file."""
        [target] = self.compiler.object_filenames([c_file], output_dir=self.build_temp)
        options = {
            "output_dir": self.build_temp,
            "macros": extension.define_macros,
            "include_dirs": extension.include_dirs,
            "extra_postargs": [*extension.extra_compile_args, *more_flags],
        }
        make(target, files_in(c_file), lambda: self.compiler.compile([c_file], **options))
        return target

    def link(self, extension, objects, library):
        """Link the objects."""
        self.compiler.link_shared_object(
            objects,
            str(library),
            libraries=self.get_libraries(extension),
            extra_postargs=extension.extra_link_args,
            export_symbols=self.get_export_symbols(extension),
            build_temp=self.build_temp,
            target_lang="c",
        )


def make(target, parts, action, maker=""):
    """Do what makes a file, unless it has been made by the same maker of the same parts before."""
    digest = hashlib.sha256(maker.encode())
    for part in parts:
        digest.update(f"{part}\n".encode() + Path(part).read_bytes())
    made_of = Path(f"{target}.made-of")
    if Path(target).exists() and made_of.exists() and made_of.read_text() == digest.hexdigest():
        return
    made_of.unlink(missing_ok=True)
    action()
    made_of.write_text(digest.hexdigest())


def files_in(c_file):
    """List a C file and the files of csrc that it includes, and so on."""
    found = [c_file]
    for path in found:
        # Cython packs its texts, so that the quotes of some may have anything between them.
        for name in re.findall(r'"([\w./]+\.(?:h|inc|def))"', Path(path).read_text()):
            if f"csrc/{name}" not in found and Path("csrc", name).is_file():
                found.append(f"csrc/{name}")
    return found


core = Extension(
    "micrograd_fast._core",
    sources=[CROSSING, *sorted(path for folder in FOLDERS for path in glob(f"csrc/{folder}/*.c"))],
    depends=[
        *CROSSING_PARTS,
        *(path for suffix in ("h", "def", "inc") for path in sorted(glob(f"csrc/*/*.{suffix}"))),
    ],
    include_dirs=["csrc"],
    # Named, so that the linker binds the current versions of the library's functions: an
    # unnamed library's symbols resolve to the oldest, slower ones.
    libraries=[] if os.name == "nt" else ["m"],
)

setup(ext_modules=[core], cmdclass={"build_ext": BuildExtension})
