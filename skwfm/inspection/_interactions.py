"""How strong the pairs of fields and of labels are, without a term for every row.

Strength of two fields: root mean square of their term over rows. From the sums over the
training rows (`skwfm._statistics`) it is ``sqrt(tr(M_fg M_gf))`` with ``M_fg`` the mean
of ``A[f, g] A[f, g]^T`` (of ``S_f S_f^T`` for an FM), as if fields were independent. In
``M`` the squares of weights are exact; products of two weights of one bag are taken in
proportion to the means of both, with the right total.

Storage: the mean products of each field, k^2 numbers, F k^2 of an FFM. Cost:
O(n_columns k^2), or O(n_columns F k^2); over rows that of their terms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from skwfm._inspection_validation import (
    check_finite_terms,
    inside_error,
    no_statistics_error,
)
from skwfm._statistics import Statistics
from skwfm.inspection._opened import Opened, open_model
from skwfm.inspection._terms import Model, field_pair_terms

__all__ = ["field_interactions", "mean_sums", "statistics_of", "strengths_of"]

Array = npt.NDArray[Any]
# Labels whose vectors are held in float64 at a time.
_PART = 2**14
# Terms of rows that are held at a time.
_PART_TERMS = 2**22


def field_interactions(estimator: Any, X: Any = None) -> npt.NDArray[np.float64]:
    """Return how much each pair of fields moves the score.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        Fitted.
    X : matrix, array or DataFrame of shape (n_rows, n_features), optional
        Rows to take the root mean square over. By default it is worked out from the
        sums over the training rows that the estimator keeps, as if fields were
        independent of each other. Then no row is needed, but the number is off where
        they are not: by tenths for the genres of a film and its year, by ten times
        for a user and their history.

    Returns
    -------
    array of float64, shape (n_fields, n_fields)
        Symmetric, in units of the score, in the order of ``field_names_``. The diagonal
        is 0 unless pairs inside a field count. With more than two classes the mean
        square is also over the classes. Of a model with draws: of `factors_`, their
        aligned mean.

    Raises
    ------
    TypeError
        If `estimator` is none of this package's, or a cell of `X` cannot be read.
    ValueError
        If `X` does not fit it; or is missing where it is needed, with pairs inside
        fields.
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.

    See Also
    --------
    FieldInteractionDisplay : The same as a heat map.
    top_interactions : The strongest pairs of labels.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm import WeightedFMRegressor
    >>> from skwfm.inspection import field_interactions
    >>> X = np.random.default_rng(0).choice([-1.0, 1.0], size=(400, 3))
    >>> fm = WeightedFMRegressor(random_state=0).fit(X, 2 * X[:, 0] * X[:, 1])
    >>> field_interactions(fm, X).round(1)
    array([[0. , 1.9, 0. ],
           [1.9, 0. , 0. ],
           [0. , 0. , 0. ]])
    >>> bool(np.allclose(field_interactions(fm), field_interactions(fm, X), atol=0.1))
    True
    """
    return strengths_of(open_model(estimator), X)


def strengths_of(opened: Opened, X: Any = None) -> npt.NDArray[np.float64]:
    """Return the strengths of a model that is open, see `field_interactions`."""
    model = opened.model
    squares = _from_sums(opened) if X is None else _over_rows(opened, X)
    check_finite_terms(squares)
    out = np.zeros((model.n_fields, model.n_fields))
    first, second = model.field_pairs.T
    out[first, second] = out[second, first] = np.sqrt(squares)
    return out


def _over_rows(opened: Opened, X: Any) -> Array:
    """Return the mean squares of the terms over rows."""
    rows = opened.rows(X)
    n_pairs, n_rows = len(opened.model.field_pairs), rows.shape[0]
    n_part = max(_PART_TERMS // max(n_pairs * opened.model.n_outputs, 1), 1)
    sums = np.zeros(n_pairs)
    for start in range(0, n_rows, n_part):
        terms = field_pair_terms(opened.model, rows[start : start + n_part]).mean
        with np.errstate(over="ignore"):
            sums += np.square(terms).sum(axis=(0, 2))
    return sums / (n_rows * opened.model.n_outputs)


def _from_sums(opened: Opened) -> Array:
    """Return the mean squares as if fields were independent."""
    model = opened.model
    if model.intra_field:
        raise ValueError(inside_error())
    moments = _bag_moments(model, mean_sums(opened))
    first, second = model.field_pairs.T
    if model.field_aware:
        left, right = moments[first, :, second], moments[second, :, first]
    else:
        left, right = moments[first], moments[second]
    squares: Array = np.einsum("pckl,pckl->p", left, right) / model.n_outputs
    return np.maximum(squares, 0)


def statistics_of(opened: Opened) -> Statistics:
    """Return the sums over the training rows."""
    if not hasattr(opened.estimator, "statistics_"):
        raise ValueError(no_statistics_error(opened.estimator))
    return opened.estimator.statistics_


def mean_sums(opened: Opened) -> dict[str, Array]:
    """Return the sums over the training rows, for the mean row."""
    sums = statistics_of(opened)
    return {
        key: np.asarray(value, dtype=np.float64) / sums["n_rows"]
        for key, value in sums.items()
    }


def _bag_moments(model: Model, means: dict[str, Array]) -> Array:
    """Return the mean outer products of bag sums, (F, C, [F,] k, k)."""
    mean, square, bag_square = (means[k] for k in ("weight", "square", "bag_square"))
    shape, k = model.factors.shape[1:-1], model.factors.shape[-1]
    out = np.zeros((model.n_fields, *shape, k, k))
    for f in range(model.n_fields):
        labels = np.flatnonzero(model.fields == f)
        own, ratio = mean[labels], 0.0
        products = own.sum() ** 2 - (own**2).sum()  # of the means of two labels
        if abs(products) > 1e-12 * (own**2).sum():
            ratio = (bag_square[f] - square[labels].sum()) / products
        diagonal = square[labels] - ratio * own**2
        centre = np.zeros((*shape, k))
        for start in range(0, len(labels), _PART):
            part = slice(start, start + _PART)
            vectors = model.vectors(labels[part])
            weighted = diagonal[part].reshape(-1, *[1] * (vectors.ndim - 1)) * vectors
            out[f] += np.einsum("j...k,j...l->...kl", weighted, vectors)
            centre += np.tensordot(own[part], vectors, axes=1)
        out[f] += ratio * np.einsum("...k,...l->...kl", centre, centre)
    return out
