"""Models in files: safetensors, which hold numbers and text and are never executed."""

from __future__ import annotations

import json
import os

from ._state import assign, check_arrays, to_arrays

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .nn import Module

__all__ = ["load_model", "save_model"]

_FORMAT = "micrograd_fast model 1"
_OPTIMIZER = "optimizer."


def save_model(
    path: str | os.PathLike[str],
    model: Module,
    optimizer: Any = None,
    schedule: Any = None,
) -> None:
    """Write the parameters of a model to a file, and what training needs to go on.

    Parameters
    ----------
    path : str or os.PathLike
        Where to. A file that is there is replaced when the new one is complete.
    model : Module
    optimizer : SGD, Adam, ..., optional
        Whose state goes into the file, too.
    schedule : StepLR, ..., optional
        Likewise.

    Raises
    ------
    ImportError
        Without the package safetensors: ``pip install "micrograd_fast[io]"``.
    TypeError
        If a parameter is not in an attribute of the model.
    OSError
        If the file cannot be written.

    Notes
    -----
    The file has an array for each entry of ``model.state_dict()``, under the same name, so that
    other programs can read it.

    Examples
    --------
    >>> import tempfile
    >>> from micrograd_fast import MLP
    >>> from micrograd_fast.io import load_model, save_model
    >>> model, other = MLP(2, [3, 1]), MLP(2, [3, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(f"{folder}/model.safetensors", model)
    ...     load_model(f"{folder}/model.safetensors", other)
    >>> other([1.0, 2.0]).data == model([1.0, 2.0]).data
    True
    """
    safetensors = _safetensors()
    arrays = to_arrays(model)
    about: dict[str, Any] = {}
    if optimizer is not None:
        about["optimizer"], columns = _apart(optimizer.state_dict())
        arrays.update(columns)
    if schedule is not None:
        about["schedule"] = schedule.state_dict()
    metadata = {"format": _FORMAT, "training": json.dumps(about)}
    content = safetensors.save(arrays, metadata)
    # Beside the target, so that renaming is one step.
    path = os.fspath(path)
    partial = f"{path}.{os.getpid()}.part"
    try:
        with open(partial, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise


def load_model(
    path: str | os.PathLike[str],
    model: Module,
    optimizer: Any = None,
    schedule: Any = None,
) -> None:
    """Read the parameters of a model from a file, and what training needs to go on.

    Everything is checked before anything is changed: after an error model, optimizer and schedule
    are what they were.

    Parameters
    ----------
    path : str or os.PathLike
        A file of `save_model`, or another safetensors file with the names and shapes of
        ``model.state_dict()``.
    model : Module
    optimizer, schedule : optional
        Of the kinds that were saved. Training goes on as it would have without a stop, to the
        last bit.

    Raises
    ------
    ImportError
        Without the package safetensors: ``pip install "micrograd_fast[io]"``.
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged or no such file, its names or shapes are others, or it holds no state of
        an optimizer or schedule where one is wanted.
    """
    safetensors = _safetensors()
    with open(os.fspath(path), "rb") as file:
        content = file.read()
    try:
        arrays = safetensors.load(content)
        about = json.loads(_metadata_of(content).get("training", "{}"))
    # A damaged file fails with whatever the damage is first met by.
    except Exception as error:
        raise ValueError(f"{os.fspath(path)} is no model: {error}") from error
    of_model = {name: a for name, a in arrays.items() if not name.startswith(_OPTIMIZER)}
    pairs = check_arrays(model, of_model)
    states = []
    for what, owner in (("optimizer", optimizer), ("schedule", schedule)):
        if owner is None:
            continue
        if what not in about:
            raise ValueError(f"{os.fspath(path)} holds no state of the {what}")
        state = about[what]
        states.append((owner, _together(state, arrays) if what == "optimizer" else state))
    befores = []
    try:
        for owner, state in states:
            before = owner.state_dict()
            owner.load_state_dict(state)
            befores.append((owner, before))
        assign(pairs)
    except BaseException:
        for owner, before in befores:
            owner.load_state_dict(before)
        raise


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            'models are written and read by safetensors: pip install "micrograd_fast[io]"'
        ) from None
    return safetensors.numpy


def _metadata_of(content: bytes) -> dict[str, str]:
    """The text in a safetensors file: its header is JSON, behind eight bytes of length."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata: dict[str, str] = header.get("__metadata__", {})
    return metadata


def _apart(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of an optimizer as groups, and an array for each number that parameters have.

    What only some of them have, by the options of their group, is told: ``owners``.
    """
    import numpy

    entries = state["state"]
    numbers = sorted(entries)
    keys = sorted({key for entry in entries.values() for key in entry})
    columns, owners = {}, {}
    for key in keys:
        having = [i for i in numbers if key in entries[i]]
        column = [entries[i][key] for i in having]
        columns[f"{_OPTIMIZER}{key}"] = numpy.array(column, dtype=numpy.float64)
        if len(having) < len(numbers):
            owners[key] = having
    about = {"numbers": numbers, "keys": keys, "owners": owners}
    return {"param_groups": state["param_groups"], **about}, columns


def _together(about: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    """The way back from `_apart`."""
    try:
        entries: dict[int, dict[str, Any]] = {int(i): {} for i in about["numbers"]}
        for key in about["keys"]:
            column = arrays[f"{_OPTIMIZER}{key}"].tolist()
            owners = about.get("owners", {}).get(key, entries)
            for i, number in zip(owners, column, strict=True):
                entries[i][key] = int(number) if key == "step" else number
        return {"state": entries, "param_groups": about["param_groups"]}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the state of the optimizer is damaged: {error}") from None
