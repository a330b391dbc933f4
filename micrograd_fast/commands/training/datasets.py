"""Small data sets that need no file."""

from __future__ import annotations

import math

from ..options import require

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    import numpy as np
    import numpy.typing as npt

    Made: TypeAlias = tuple[list[str], npt.NDArray[np.float64], list[str]]

NAMES = ("moons", "circles", "xor", "spiral", "digits")


def make(name: str, n_samples: int, noise: float, seed: int) -> Made:
    """Make the rows of a data set.

    Parameters
    ----------
    name : str
        One of `NAMES`. "digits" is scikit-learn's 1,797 images, whatever the other arguments.
    n_samples : int
        How many rows.
    noise : float
        Standard deviation of what is added to each coordinate.
    seed : int
        Decides the rows.

    Returns
    -------
    features : list of str
        The names of the columns.
    rows : numpy.ndarray of float64, shape (n, len(features))
    classes : list of str
        One for each row.
    """
    if name == "digits":
        digits = require("sklearn.datasets", "the data set digits", "train").load_digits()
        pixels = [f"row {i} column {j}" for i in range(8) for j in range(8)]
        return pixels, digits.data, [str(digit) for digit in digits.target]
    if name in ("moons", "circles"):
        datasets = require("sklearn.datasets", f"the data set {name}", "train")
        function = datasets.make_moons if name == "moons" else datasets.make_circles
        options: dict[str, Any] = {"factor": 0.5} if name == "circles" else {}
        points, classes = function(n_samples, noise=noise, random_state=seed, **options)
        names = ("upper", "lower") if name == "moons" else ("outer", "inner")
        return ["x", "y"], points, [names[c] for c in classes]
    import numpy

    generator = numpy.random.default_rng(seed)
    if name == "xor":
        points = generator.uniform(-1.0, 1.0, size=(n_samples, 2))
        classes = ["same" if x * y > 0 else "different" for x, y in points.tolist()]
    else:
        arms = numpy.arange(n_samples) % 3
        radius = generator.uniform(0.1, 1.0, size=n_samples)
        angle = 2.0 * math.pi * arms / 3 + 4.0 * radius
        points = radius[:, None] * numpy.column_stack([numpy.cos(angle), numpy.sin(angle)])
        classes = [f"arm {arm + 1}" for arm in arms.tolist()]
    return ["x", "y"], points + noise * generator.normal(size=points.shape), classes
