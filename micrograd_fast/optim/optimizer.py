"""What all optimizers share: groups of parameters, their state, and how a step is taken."""

from __future__ import annotations

from .._core import (
    KEPT_COLUMNS,
    Updates,
    first_repeated,
    require_shown,
    take_states,
    take_step,
)
from ..engine import Value

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    _Parameters: TypeAlias = Iterable[Value] | Iterable[dict[str, Any]]
    _Group: TypeAlias = dict[str, Any]

__all__ = ["LARGEST", "MEANS", "SQUARES", "VELOCITIES", "Optimizer"]

# The columns of numbers that a group keeps for its parameters.
VELOCITIES, SQUARES, MEANS, LARGEST = KEPT_COLUMNS


class Optimizer:
    """What all optimizers share: groups of parameters and their state.

    Attributes
    ----------
    param_groups : list of dict
        Each with its ``params``, which must stay as they are, and options, which may be changed.
    """

    def __init__(self, params: _Parameters, defaults: _Group) -> None:
        if not hasattr(params, "__iter__") or isinstance(params, (set, frozenset)):
            raise TypeError(
                "params must be a list of Values, such as model.parameters(), found"
                f" {type(params).__name__}"
            )
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("params must be one Value or more, found an empty list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.param_groups: list[_Group] = []
        self._groups: list[Updates] = []
        for group in groups:
            self._add(group)

    def _add(self, group: Any) -> None:
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f"a group must be a dict with params, found {type(group).__name__}")
        parameters = group["params"]
        if isinstance(parameters, Value):
            parameters = [parameters]
        known = Updates(parameters)
        group = {**self.defaults, **group, "params": known.values}
        self._check_group(group)
        repeated = first_repeated([own.values for own in (*self._groups, known)])
        if repeated is not None:
            raise ValueError(f"a parameter appears twice in the optimizer: {repeated!r}")
        self._groups.append(known)
        self.param_groups.append(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train some more parameters, from the next step on.

        Parameters
        ----------
        param_group : dict
            With ``params`` and options of its own; the others are those of the optimizer.

        Raises
        ------
        TypeError
            If a parameter is no Value, or an option no number.
        ValueError
            If a parameter was computed or is in the optimizer already, or an option is out of
            range.
        """
        self._add(param_group)

    def _checked_groups(self) -> list[Updates]:
        """The groups, if they still have the parameters that `param_groups` shows."""
        require_shown(self._groups, self.param_groups)
        return self._groups

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for group in self._checked_groups():
            group.zero_grad()

    def step(self) -> None:
        """Update every parameter from its gradient.

        Raises
        ------
        OverflowError
            If the square of a gradient is too large for a float. No parameter has changed then,
            in any group.
        TypeError
            If an option has become something else than a number. Likewise.
        ValueError
            If the parameters of a group have been exchanged for others. Likewise.
        """
        groups = self._checked_groups()
        for known, group in zip(groups, self.param_groups):
            self._tell(known, group)
        take_step(groups)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers, in PyTorch's layout.

        Returns
        -------
        dict
            ``state``, by the running number of the parameter, and ``param_groups``.
        """
        state: dict[int, _Group] = {}
        groups: list[_Group] = []
        for known, group in zip(self._checked_groups(), self.param_groups):
            numbers = range(len(state), len(state) + len(known.values))
            for number, *kept in zip(numbers, *known.columns(), strict=True):
                state[number] = self._entry(group, known.n_steps, kept)
            groups.append({**group, "params": list(numbers)})
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave.

        Parameters
        ----------
        state_dict : dict
            Of an optimizer of this kind, for as many parameters.

        Raises
        ------
        ValueError
            If it is of other groups than these or of another kind of optimizer. Nothing is taken
            over then.
        """
        known = self._checked_groups()
        saved = self._part(state_dict, "param_groups")
        found = [len(self._part(group, "params")) for group in saved]
        wanted = [len(group.values) for group in known]
        if found != wanted:
            raise ValueError(f"the state must be of groups of {wanted} parameters, found {found}")
        options, states = [], []
        for own, group in zip(self.param_groups, saved):
            merged = {**own, **group, "params": own["params"]}
            self._check_group(merged)
            options.append(merged)
            entries = [self._entry_of(state_dict, i) for i in group["params"]]
            states.append(self._state(merged, entries))
        take_states(known, states)
        for own, merged in zip(self.param_groups, options):
            own.update(merged)

    def _check_group(self, group: _Group) -> None:
        """Raise for an option that is out of range."""
        raise NotImplementedError

    def _tell(self, known: Updates, group: _Group) -> None:
        """Tell a group what its next step is."""
        raise NotImplementedError

    def _kept(self, group: _Group) -> dict[str, int]:
        """PyTorch's names of what is kept for a parameter, with their columns."""
        raise NotImplementedError

    def _start(self, group: _Group) -> dict[int, float]:
        """What columns are before the first step, if not 0."""
        return {}

    def _entry(self, group: _Group, n_steps: int, kept: list[float]) -> dict[str, float]:
        """The state of a parameter, by PyTorch's names."""
        return {"step": n_steps, **{name: kept[c] for name, c in self._kept(group).items()}}

    def _state(self, group: _Group, entries: list[_Group]) -> tuple[int, list[list[float]], bool]:
        """The way back: the steps, the columns, and whether the first is a velocity."""
        starts = self._start(group)
        columns = [[starts.get(c, 0.0)] * len(entries) for c in KEPT_COLUMNS]
        if not any(entries):  # PyTorch's, before the first step
            return 0, columns, False
        steps = self._column(entries, "step")
        if any(step != steps[0] for step in steps):
            raise ValueError(f"step must be the same in a group, found {steps}")
        for name, c in self._kept(group).items():
            columns[c] = self._column(entries, name)
        return steps[0], columns, False

    def _part(self, whole: dict[str, Any], name: str) -> Any:
        if name not in whole:
            raise ValueError(f"the state of {type(self).__name__} must have {name!r}, found none")
        return whole[name]

    def _column(self, entries: list[_Group], name: str) -> list[Any]:
        """One number of each entry."""
        return [self._part(entry, name) for entry in entries]

    def _entry_of(self, state_dict: dict[str, Any], number: Any) -> _Group:
        """What a state says of a parameter; JSON has made text of the numbers."""
        state = self._part(state_dict, "state")
        entry: _Group = state.get(number, state.get(str(number), {}))
        return entry
