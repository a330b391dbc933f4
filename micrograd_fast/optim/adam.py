"""Adam and AdamW."""

from __future__ import annotations

from ._options import check, check_flag
from .optimizer import LARGEST, SQUARES, VELOCITIES, Optimizer

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import Updates
    from .optimizer import _Group, _Parameters

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam, after Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015).

    With g the gradient and t the number of the step::

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        p -= lr * (m / (1 - b1**t)) / ((v / (1 - b2**t)) ** 0.5 + eps)

    Parameters
    ----------
    params : iterable of Value, or of dict
        What to train; dicts are groups with ``params`` and options of their own.
    lr : float, optional
    betas : pair of float, optional
    eps : float, optional
    weight_decay : float, optional
        Added to the gradient as a multiple of the parameter.
    amsgrad : bool, optional
        Divide by the largest ``v`` of all steps until now: ``x = max(x, v)``, where x begins with
        0, stands in the place of ``v`` in the last line (Reddi, Kale and Kumar, "On the
        Convergence of Adam and Beyond", 2018).
    maximize : bool, optional
        Climb instead: every gradient g counts as -g, before anything else.

    Raises
    ------
    TypeError
        If a parameter is no Value, or an option no number.
    ValueError
        If there are no parameters, one was computed or appears twice, or an option is out of
        range.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> p = Value(1.0)
    >>> optimizer = Adam([p], lr=0.1)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> round(p.data, 6)
    0.9
    >>> q = Value(1.0)
    >>> optimizer = Adam([q], lr=0.1, amsgrad=True, maximize=True)
    >>> (4.0 * q - q * q).backward()
    >>> optimizer.step()
    >>> round(q.data, 6)
    1.1
    """

    _decoupled = False

    def __init__(
        self,
        params: _Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def _check_group(self, group: _Group) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check(name, group[name])
        betas = group["betas"]
        if not hasattr(betas, "__len__") or len(betas) != 2:
            raise ValueError(f"betas must be a pair of numbers, found {betas!r}")
        for beta in betas:
            check("a beta", beta, below=1.0)
        for name in ("amsgrad", "maximize"):
            check_flag(name, group[name])

    def _tell(self, known: Updates, group: _Group) -> None:
        beta1, beta2 = group["betas"]
        known.adam(
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            self._decoupled,
            group["amsgrad"],
            group["maximize"],
        )

    def _kept(self, group: _Group) -> dict[str, int]:
        names = {"exp_avg": VELOCITIES, "exp_avg_sq": SQUARES}
        if group["amsgrad"]:
            names["max_exp_avg_sq"] = LARGEST
        return names


class AdamW(Adam):
    """Adam with decoupled weight decay, after Loshchilov and Hutter (2019).

    Before the step of `Adam`, each parameter is multiplied by ``1 - lr * weight_decay``.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize
        As for `Adam`.
    weight_decay : float, optional

    Raises
    ------
    TypeError, ValueError
        As `Adam`.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> p = Value(1.0)
    >>> AdamW([p], lr=0.1, weight_decay=0.5).step()
    >>> p.data
    0.95
    """

    _decoupled = True

    def __init__(
        self,
        params: _Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
