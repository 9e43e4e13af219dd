"""A fit that learned less than a constant says so."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning

from skwfm import (
    FieldTransformer,
    WeightedFFMClassifier,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
    _verdict,
)
from skwfm._losses import Huber, Logistic, Poisson, Softmax, Squared


def make_counts(n_rows=2000):
    """Books, and how many readers put each on which shelf."""
    rng = np.random.default_rng(0)
    cells = [
        dict(zip(rng.choice(50, 5, replace=False).tolist(), counts, strict=True))
        for counts in rng.pareto(1.0, (60, 5)) * 1000 + 1
    ]
    book = rng.integers(0, 60, n_rows)
    X = pd.DataFrame({"book": book.astype(str), "shelves": [cells[b] for b in book]})
    return X, rng.normal(size=60)[book] + rng.normal(size=n_rows)


def encoded(X, **params):
    return FieldTransformer(
        [
            ("book", WeightedMultiLabelEncoder(), ["book"]),
            ("shelves", WeightedMultiLabelEncoder(**params), ["shelves"]),
        ]
    ).fit_transform(X)


@pytest.mark.parametrize(
    ("model", "make_y"),
    [
        (WeightedFMRegressor(solver="adagrad"), lambda y: y),
        (WeightedFMRegressor(solver="adam", max_iter=5), lambda y: y),
        (WeightedFMRegressor(solver="adagrad", loss="huber"), lambda y: y),
        (WeightedFMClassifier(solver="adagrad"), lambda y: y > 0),
        (WeightedFMClassifier(solver="adagrad"), lambda y: np.digitize(y, [-1, 1])),
        (WeightedFFMClassifier(solver="sgd"), lambda y: y > 0),
    ],
)
def test_raw_counts_are_told(model, make_y):
    X, y = make_counts()
    y = make_y(y)
    model.set_params(random_state=0)
    match = (
        r"worse than a constant: its loss is [\d.e+]+, that of a constant [\d.]+\. "
        r"Field 'shelves' has weights of [\d.e+]+ per row \(root of the mean squared "
        r"norm\), where about 1 is usual: scale them"
    )
    with pytest.warns(ConvergenceWarning, match=match) as told:
        model.fit(encoded(X), y)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(encoded(X, normalize="l2"), y)


def test_steps_that_found_their_way_are_not_told():
    rng = np.random.default_rng(0)
    X, values = sp.csr_array(np.tile([10.0, 1.0], (50, 1))), rng.normal(size=50)
    target = Squared().encode(values, np.ones(50), center=True)
    told = 9.0, Squared(), target, None, X, np.array([0, 1]), ("a", "b")
    match = r"its loss is 9, that of a constant 0\.5\. Field 'a' has weights of 10 per"
    with pytest.warns(ConvergenceWarning, match=match):
        _verdict.warn_if_useless(*told)
    with pytest.warns(ConvergenceWarning, match="its loss is 2.5,"):
        _verdict.warn_if_useless(*told, lambda: target.values[:, None] + 5**0.5)
    _verdict.warn_if_useless(*told, lambda: target.values[:, None])


@pytest.mark.parametrize("solver", ["adagrad", "ftrl"])
@pytest.mark.parametrize(
    ("kind", "make_y"),
    [
        (WeightedFMRegressor, lambda y: 5000 + 300 * y),
        (WeightedFMRegressor, lambda y: 1e-9 * y),
        (WeightedFMClassifier, lambda y: y > 0),
        (WeightedFMClassifier, lambda y: np.digitize(y, [-1, 1])),
    ],
)
def test_a_stream_of_raw_counts_is_told(kind, make_y, solver):
    X, y = make_counts()
    raw, scaled, y = encoded(X), encoded(X, normalize="l2"), make_y(y)
    known = {"classes": np.unique(y)} if kind is WeightedFMClassifier else {}
    model = kind(solver=solver, random_state=0)
    for part in (slice(0, 1000), slice(1000, 2000)):
        with pytest.warns(ConvergenceWarning, match="Field 'shelves' has weights of"):
            model.partial_fit(raw[part], y[part], **known)
    model = kind(solver=solver, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for part in (slice(0, 1000), slice(1000, 2000)):
            model.partial_fit(scaled[part], y[part], **known)
        # Rows of one class have no constant, and few rows say too little.
        one = np.flatnonzero(y == y[0])[:300]
        model.partial_fit(scaled[one], y[one])
        model.partial_fit(raw[:1], y[:1])


def test_scaled_weights_are_not_blamed():
    """Whoever sets the rate knows where to look."""
    X, y = make_counts()
    X = encoded(X, normalize="l2")
    model = WeightedFMRegressor(
        solver="adagrad", learning_rate=100.0, max_iter=10, random_state=0
    )
    assert model.fit(X, y).history_["train_loss"][-1] > 1.5


def test_noise_is_not_told():
    """Neither much better than a constant, nor much worse."""
    rng = np.random.default_rng(0)
    for n_rows in (1, 2, 30, 3000):
        X = rng.normal(size=(n_rows, 5))
        for solver in ("auto", "adagrad", "sgd", "lbfgs", "mcmc", "als"):
            model = WeightedFMRegressor(solver=solver, max_iter=20, random_state=0)
            model.fit(X, rng.normal(size=n_rows))
        WeightedFMRegressor(loss="poisson", random_state=0).fit(
            X, 1 + rng.poisson(3, n_rows)
        )


@pytest.mark.parametrize("rows", [7, 2**16])
@pytest.mark.parametrize(
    "criterion", [Squared(), Huber(), Poisson(), Logistic(), Softmax(4)]
)
def test_the_constant_is_where_training_starts(criterion, rows, monkeypatch):
    monkeypatch.setattr(_verdict, "ROWS", rows)
    rng = np.random.default_rng(0)
    n_values = criterion.n_classes or 5
    y = rng.integers(0, n_values, 100).astype(float)
    weights = rng.uniform(0.5, 2, 100)
    for given in (weights, None):
        full = np.ones(100) if given is None else given
        target = criterion.encode(y, full, center=True)
        scores = torch.from_numpy(np.tile(target.start, (100, 1)))
        told = torch.from_numpy(target.values), torch.from_numpy(full / full.mean())
        expected = float(criterion(scores, told))
        found = _verdict._constant_loss(criterion, target, given)
        assert found == pytest.approx(expected, rel=1e-6)
