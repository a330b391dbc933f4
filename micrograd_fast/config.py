"""What runs here: versions, build, instruction set, threads."""

from __future__ import annotations

from . import _core
from ._version import __version__

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, overload

__all__ = ["show_config"]

if TYPE_CHECKING:

    @overload
    def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
    @overload
    def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Show the versions, the build, the instruction set in use and the threads.

    ``python -m micrograd_fast info`` prints the same: what a report about a problem should say.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, optional
        Whether to print it or to return it.

    Returns
    -------
    dict or None
        None if it is printed. Otherwise ``versions`` by name, with NumPy's where it is installed;
        ``platform``; ``build`` with ``compiler`` and ``flags``; ``instruction_set`` with the one
        ``in_use`` and the list of those ``available`` on this machine, best first; and ``threads``
        with the number that one call uses (``per_call``).

    Raises
    ------
    ValueError
        If the mode is another.

    Notes
    -----
    The best instruction set is in use, unless the environment variable ``MICROGRAD_FAST_KERNELS``
    names another of them when the package is loaded. All give the same bits, except in programs
    that were made with ``fast=True``.

    A call runs in the thread that makes it. A program lets other Python threads run while it
    computes, so several threads may call programs, also the same one, at once.

    Examples
    --------
    >>> import micrograd_fast
    >>> config = micrograd_fast.show_config(mode="dicts")
    >>> config["versions"]["micrograd_fast"] == micrograd_fast.__version__
    True
    >>> config["instruction_set"]["in_use"] in config["instruction_set"]["available"]
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f'mode must be "stdout" or "dicts", found {mode!r}')
    config = _config()
    if mode == "dicts":
        return config
    facts = {
        **config["versions"],
        "platform": config["platform"],
        **config["build"],
        "instruction_set": config["instruction_set"]["in_use"],
        "available": " ".join(config["instruction_set"]["available"]),
        "threads": f"{config['threads']['per_call']} per call",
    }
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(f"{name:{width}}  {fact}")
    return None


def _config() -> dict[str, Any]:
    # Imported here because nothing else needs them, and they take longer than the rest.
    import contextlib
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = {
        "micrograd_fast": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    # Only arrays, programs and predict want it.
    with contextlib.suppress(PackageNotFoundError):
        versions["numpy"] = version("numpy")
    in_use, *available = _core.kernels()
    return {
        "versions": versions,
        "platform": platform.platform(),
        "build": dict(_core.build_info()),
        "instruction_set": {"in_use": in_use, "available": available},
        "threads": {"per_call": 1},
    }
