"""The exact decomposition of scores: a factorization machine is a polynomial.

``score = b + sum_j w_ij a_j + sum of the terms of all pairs of fields``; nothing is
sampled or fitted, as it has to be for a forest or a network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from skwfm._inspection_validation import check_finite_terms, too_many_terms_error
from skwfm._memory import memory_limit
from skwfm.inspection._explanation import Explanation
from skwfm.inspection._opened import Opened, open_model
from skwfm.inspection._terms import (
    Terms,
    field_pair_terms,
    label_pair_terms,
    linear_terms,
    n_label_pairs,
    over_draws,
)

__all__ = ["explain", "explained_by"]

Array = npt.NDArray[Any]


def explain(
    estimator: Any, X: Any, *, label_pairs: bool = False, feature_names: Any = None
) -> Explanation:
    """Decompose the score of every row into the terms that it is the sum of.

    ``score = b + sum_j w_ij a_j + sum of the pairs``, the polynomial of a factorization
    machine [1]_: exact, in float64. A term says by how much it raises the prediction:
    a rating, log-odds. Of a model with draws of its parameters, those of
    ``solver="mcmc"``, every term is the mean over the draws, with the standard
    deviation over them beside it.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        Fitted.
    X : matrix, array or DataFrame of shape (n_rows, n_features)
        Rows as for `predict`; for a Pipeline raw columns.
    label_pairs : bool, default=False
        Also take the pairs of fields apart into pairs of labels: as many as half the
        square of the labels of a row.
    feature_names : array-like of str, shape (n_columns,), optional
        Names of the columns, where `estimator` was given a matrix: those of
        ``encoder.get_feature_names_out()``.

    Returns
    -------
    Explanation
        The terms, and what they are called.

    Raises
    ------
    TypeError
        If `estimator` is none of this package's, or a cell of `X` cannot be read.
    ValueError
        If `X` or `feature_names` do not fit it.
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.
    MemoryError
        If the terms cannot fit in memory.

    See Also
    --------
    ContributionDisplay : The terms of one row as a picture.
    field_interactions : How strong the pairs of fields are over all rows.

    Notes
    -----
    Time and memory: O(n_rows n_fields^2 k), 8 bytes per row and pair of fields. With
    draws it takes the time of each of them, but memory only for means and deviations.

    With draws the terms sum to the mean score. That is what a regressor predicts; with
    ``loss="ordinal"`` it is the mean latent score, and of two classes the mean of the
    log-odds, while ``decision_function`` gives the log-odds of the mean probability:
    near, but not equal.

    References
    ----------
    .. [1] Rendle (2010), "Factorization Machines", ICDM.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skwfm import WeightedFMRegressor
    >>> from skwfm.inspection import explain
    >>> films = pd.DataFrame(
    ...     {"user": ["ann", "bob"] * 20, "genres": [["War"], ["Art", "War"]] * 20}
    ... )
    >>> fm = WeightedFMRegressor(random_state=0).fit(films, [1.0, 3.0] * 20)
    >>> explained = explain(fm, films)
    >>> explained
    Explanation(n_rows=40, n_linear=100, n_field_pairs=1)
    >>> table = explained.to_frame(row=1)
    >>> table["term"].tolist()
    ['intercept', 'linear', 'linear', 'linear', 'pair']
    >>> table["label"][1:4].tolist()
    ['Art', 'War', 'bob']
    >>> bool(np.isclose(table["contribution"].sum(), fm.predict(films[1:2])[0]))
    True
    >>> fm = WeightedFMRegressor(2, solver="mcmc", max_iter=40, random_state=0)
    >>> table = explain(fm.fit(films, [1.0, 3.0] * 20), films).to_frame(row=1)
    >>> table.columns[-2:].tolist(), bool((table["std"] > 0).all())
    (['contribution', 'std'], True)
    """
    return explained_by(open_model(estimator, feature_names), X, label_pairs)


def explained_by(opened: Opened, X: Any, label_pairs: bool = False) -> Explanation:
    """Explain rows of a model that is open already, see `explain`."""
    rows, model, draws = opened.rows(X), opened.model, opened.draws
    n_numbers = model.n_outputs * (2 if draws else 1)
    what = " and their spread" if draws else ""
    n_pairs = rows.shape[0] * len(model.field_pairs) * n_numbers
    _check_room(f"pairs of fields{what}", n_pairs)
    entries, label_terms = None, Terms(None)
    if label_pairs:
        _check_room(f"pairs of labels{what}", (2 + n_numbers) * n_label_pairs(rows))
        entries, label_terms = label_pair_terms(model, rows, draws)
    bias = over_draws(lambda one: one.bias.astype(np.float64), model, draws)
    linear = over_draws(lambda one: linear_terms(one, rows), model, draws)
    check_finite_terms(linear.mean)
    several = model.n_outputs > 1
    if not several:
        bias = Terms(*(None if part is None else float(part[0]) for part in bias))
    linear, pairs, label_terms = (
        part if several else _squeezed(part)
        for part in (linear, field_pair_terms(model, rows, draws), label_terms)
    )
    return Explanation(
        rows,
        bias.mean,
        linear.mean,
        pairs.mean,
        model.field_pairs,
        opened.feature_names,
        opened.field_names,
        opened.estimator.classes_ if several else None,
        entries,
        label_terms.mean,
        bias.std,
        linear.std,
        pairs.std,
        label_terms.std,
    )


def _squeezed(terms: Terms) -> Terms:
    """Leave out the axis of a single score."""
    return Terms(*(None if part is None else part[..., 0] for part in terms))


def _check_room(what: str, n_terms: int) -> None:
    limit = memory_limit()
    if limit is not None and 8 * n_terms > limit:
        raise MemoryError(too_many_terms_error(what, n_terms, limit))
