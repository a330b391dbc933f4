"""A network with its frozen loss, its optimizer and its schedule, and how far it has come."""

from __future__ import annotations

from typing import Any

from micrograd_fast.engine import Value
from micrograd_fast.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge_loss,
    mse_loss,
)
from micrograd_fast.nn import MLP
from micrograd_fast.optim import SGD, Adagrad, Adam, AdamW, RMSprop, lr_scheduler
from micrograd_fast.program import compile as freeze
from micrograd_fast.tables import Index

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .encoding import Encoding

    _Floats = npt.NDArray[np.float64]

LOSSES = ("cross-entropy", "binary-cross-entropy", "hinge", "mse")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad")
SCHEDULES = ("constant", "step", "exponential", "cosine", "linear", "plateau")
RATES = {"sgd": 0.1, "adam": 0.01, "adamw": 0.01, "rmsprop": 0.01, "adagrad": 0.05}

#: What a history has for every epoch; the loss of the held-out rows only where there are some.
HISTORY = ("loss", "validation loss", "rate")


def build_model(encoding: Encoding, options: dict[str, Any]) -> MLP:
    """Make the network that the options describe, with the weights of its seed."""
    n_outputs = len(encoding.classes) if options["loss"] == "cross-entropy" else 1
    return MLP(
        len(encoding.features),
        [*options["layers"], n_outputs],
        activation=options["activation"],
        init=options["init"],
        seed=options["seed"],
    )


class Learner:
    """A network in training.

    Parameters
    ----------
    encoding : Encoding
        What its columns are.
    options : dict
        What ``train`` was asked for, by the names in ``model.json``.

    Attributes
    ----------
    model : MLP
    optimizer : Optimizer
    epoch : int
        How many epochs are done.
    history : dict of str to list of float
        A number for each of them.
    best_loss, best_epoch : float, int
        The lowest loss of the held-out rows, and when that was.
    """

    def __init__(self, encoding: Encoding, options: dict[str, Any]) -> None:
        self._options = options
        self._two_sided = options["loss"] == "hinge"
        self.model = build_model(encoding, options)
        parameters = self.model.parameters()
        self._program = self._freeze(len(encoding.features))
        self.optimizer = _optimizer(parameters, options)
        self._schedule = _schedule(self.optimizer, options)
        self.epoch = 0
        self.history: dict[str, list[float]] = {name: [] for name in HISTORY}
        self.best_loss, self.best_epoch = float("inf"), 0
        self.best = self._program.get_parameters()

    def _freeze(self, n_inputs: int) -> Any:
        inputs = [Value(0.0) for _ in range(n_inputs)]
        outputs = self.model(inputs)
        name = self._options["loss"]
        target = Index(0) if name == "cross-entropy" else Value(0.0)
        losses: dict[str, Any] = {
            "cross-entropy": lambda: cross_entropy(outputs, target),
            "binary-cross-entropy": lambda: binary_cross_entropy_with_logits([outputs], [target]),
            "hinge": lambda: hinge_loss([outputs], [target]),
            "mse": lambda: mse_loss([outputs], [target]),
        }
        return freeze(losses[name](), [*inputs, target], parameters=self.model.parameters())

    def rows(self, inputs: _Floats, targets: _Floats) -> _Floats:
        """Put inputs and targets side by side, as `train` and `loss` take them."""
        import numpy

        targets = 2.0 * targets - 1.0 if self._two_sided else targets
        return numpy.ascontiguousarray(numpy.column_stack([inputs, targets]))

    def loss(self, rows: _Floats) -> float:
        """The mean loss over rows."""
        return float(self._program(rows).mean())

    def train(self, rows: _Floats) -> float:
        """Take the steps of one epoch; give the mean of the losses before each step.

        The order of the rows depends on the seed and the number of the epoch alone, so that an
        epoch is the same wherever training was taken up again.
        """
        import numpy

        order = numpy.random.default_rng([self._options["seed"], self.epoch]).permutation(
            len(rows)
        )
        size, total = self._options["batch_size"], 0.0
        for start in range(0, len(rows), size):
            batch = rows[order[start : start + size]]
            self.optimizer.zero_grad()
            total += self._program.backward(batch) * len(batch)
            self.optimizer.step()
        return total / len(rows)

    def finish_epoch(self, loss: float, validation_loss: float | None) -> None:
        """Note an epoch and set the rate for the next."""
        self.epoch += 1
        self.history["loss"].append(loss)
        self.history["rate"].append(self.rate)
        judged = loss if validation_loss is None else validation_loss
        if validation_loss is not None:
            self.history["validation loss"].append(validation_loss)
        # Where nothing is held out, the last network is as good as is known.
        if validation_loss is None or judged < self.best_loss:
            self.best_loss, self.best_epoch = judged, self.epoch
            self.best = self._program.get_parameters()
        if self._options["schedule"] == "plateau":
            self._schedule.step(judged)
        elif self._schedule is not None:
            self._schedule.step()

    @property
    def rate(self) -> float:
        """The learning rate that steps take now."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        import numpy

        return bool(numpy.isfinite(self._program.get_parameters()).all())

    @property
    def has_stopped_early(self) -> bool:
        """Whether the held-out rows were served no better for as long as was asked for."""
        patience = self._options["patience"]
        return bool(patience) and self.epoch - self.best_epoch >= patience

    def use(self, parameters: _Floats) -> None:
        """Give the network other weights, such as its best."""
        self._program.set_parameters(parameters)

    def parameters(self) -> _Floats:
        """Copy the weights."""
        return self._program.get_parameters()  # type: ignore[no-any-return]

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is; the weights and the optimizer are kept beside it."""
        return {
            "epoch": self.epoch,
            "history": {name: list(numbers) for name, numbers in self.history.items()},
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "best": self.best.tolist(),
            "schedule": None if self._schedule is None else self._schedule.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave.

        Raises
        ------
        ValueError
            If something of it is missing.
        """
        import numpy

        try:
            taken = {name: state[name] for name in ("epoch", "history", "best_loss", "best_epoch")}
            best = numpy.array(state["best"], dtype=numpy.float64)
            if self._schedule is not None:
                self._schedule.load_state_dict(state["schedule"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"the state of the training is damaged: {error}") from None
        vars(self).update(taken)
        self.best = best


def _optimizer(parameters: list[Value], options: dict[str, Any]) -> Any:
    kind: Any = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "adagrad": Adagrad}[
        options["optimizer"]
    ]
    more = {"momentum": options["momentum"]} if options["momentum"] else {}
    if options["weight_decay"]:
        more["weight_decay"] = options["weight_decay"]
    return kind(parameters, lr=options["lr"], **more)


def _schedule(optimizer: Any, options: dict[str, Any]) -> Any:
    epochs = options["schedule_epochs"]
    makers: dict[str, Any] = {
        "constant": lambda: None,
        "step": lambda: lr_scheduler.StepLR(optimizer, max(1, epochs // 3), 0.3),
        "exponential": lambda: lr_scheduler.ExponentialLR(optimizer, 0.99),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, epochs),
        "linear": lambda: lr_scheduler.LinearLR(optimizer, 1.0, 0.01, epochs),
        "plateau": lambda: lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3),
    }
    return makers[options["schedule"]]()
