"""Sparse derivatives put together from products with a few vectors.

A plan is what the engine made of a program's graph: whether rows are coloured instead of columns,
how many colours there are, the colour of each row or column, the matrix's row starts and column
indices, and for each entry the product and the place in it where it stands.
"""

from __future__ import annotations

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    import numpy as np
    import numpy.typing as npt

    _Numbers: TypeAlias = npt.NDArray[np.int32]
    _Plan: TypeAlias = tuple[bool, int, _Numbers, _Numbers, _Numbers, _Numbers, _Numbers]

__all__ = ["matrices", "sums_of_unit_vectors"]


def _scipy_sparse() -> Any:
    try:
        import scipy.sparse
    except ImportError as error:
        raise ImportError(
            'sparse=True needs SciPy: pip install "micrograd_fast[sparse]"'
        ) from error
    return scipy.sparse


def sums_of_unit_vectors(plan: _Plan) -> npt.NDArray[np.float64]:
    """What to multiply with: for each colour 1.0 for its rows or columns, 0.0 for the others."""
    import numpy

    _scipy_sparse()  # before the work is done
    _, n_colours, colours, *_ = plan
    vectors = numpy.zeros((n_colours, len(colours)))
    vectors[colours, numpy.arange(len(colours))] = 1.0
    return vectors


def matrices(plan: _Plan, products: Any, shape: tuple[int, int]) -> Any:
    """A matrix of products of shape (colours, m), or a list of those of (rows, colours, m)."""
    sparse = _scipy_sparse()
    _, _, _, starts, indices, colours, places = plan
    found = [
        sparse.csr_array((part[colours, places], indices.copy(), starts.copy()), shape=shape)
        for part in (products if products.ndim == 3 else products[None])
    ]
    return found if products.ndim == 3 else found[0]
