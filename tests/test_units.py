import numpy as np
import pytest
import scipy.sparse as sp

from skwfm import FieldCSR, WeightedFMClassifier, WeightedFMRegressor, _units
from skwfm._units import units_of

STARTS = np.array([0, 4, 4, 9, 12])


def make_bags(seed=0, n_rows=200):
    """Three fields of bags in several units, one of them without columns beside."""
    X = sp.random_array(
        (n_rows, 12), density=0.4, rng=np.random.default_rng(seed), format="csr"
    )
    X.data += 0.5
    X.data[X.indices < 4] *= 300
    X.data[X.indices >= 9] *= 1e-3
    return X


def slowly(X, weights):
    out = np.ones(12)
    for first, end in zip(STARTS[:-1], STARTS[1:], strict=True):
        dense = X.toarray()[:, first:end]
        if not dense.any():
            continue
        squares = (dense**2).sum(axis=1)
        n_labels = weights @ (dense != 0).sum(axis=1)
        weight = np.sqrt(weights @ squares / n_labels)
        norm = np.sqrt(np.average(squares[squares > 0], weights=weights[squares > 0]))
        unit = weight if weight > 1 else norm if norm < 1 else 1.0
        out[first:end] = 2.0 ** np.round(np.log2(unit))
    return out


@pytest.mark.parametrize("entries", [1, 100, 2**16])
def test_units_lie_between_weights_and_norms(entries, monkeypatch):
    monkeypatch.setattr(_units, "ENTRIES", entries)
    X = make_bags()
    weights = np.random.default_rng(1).integers(1, 4, X.shape[0])
    units = units_of(X, STARTS, weights)
    assert sorted(set(units)) == [2.0**-10, 1.0, 256.0]
    np.testing.assert_array_equal(units, slowly(X, weights))
    rows = np.repeat(np.arange(X.shape[0]), weights)
    np.testing.assert_array_equal(units, units_of(X[rows], STARTS))


def test_columns_of_a_table_have_their_own():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 4)) * [1.0, 5000.0, 1e-6, 0.3]
    units = units_of(sp.csr_array(table), np.array([0, 4]), by_column=True)
    # A row of four norms of 0.3 has one of 0.6, of which 1 is the nearest power.
    assert units.tolist() == [1.0, 4096.0, 2.0**-19, 0.5]


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-300, 1.3e154, 1e300])
def test_no_unit_is_1(value):
    X = sp.csr_array(np.array([[value, 1.0, 0.0]]))
    starts = np.arange(4)
    assert units_of(X, starts, np.full(1, 5)).tolist() == [1.0, 1.0, 1.0]
    empty = sp.csr_array((3, 3))
    assert units_of(empty, np.array([0, 1, 3])).tolist() == [1.0, 1.0, 1.0]


def make_ratings(n_rows=600):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 12, (n_rows, 2))
    X = np.zeros((n_rows, 24))
    X[np.arange(n_rows)[:, None], labels + [0, 12]] = 1
    a, b = rng.normal(size=(2, 12, 2))
    y = (a[labels[:, 0]] * b[labels[:, 1]]).sum(axis=1) + 0.3 * rng.normal(size=n_rows)
    return X, y


PARAMS = {"n_factors": 2, "solver": "mcmc", "max_iter": 60, "random_state": 0}
UNITS = [2.0**-12, 2.0**10]


@pytest.mark.parametrize(
    ("kind", "params", "fields", "units"),
    [
        (WeightedFMRegressor, {}, [12, 12], UNITS),
        (WeightedFMRegressor, {"loss": "ordinal"}, [12, 12], UNITS),
        # All columns share their priors where they share their unit.
        (WeightedFMRegressor, {}, None, UNITS[1:] * 2),
        (WeightedFMClassifier, {}, [12, 12], UNITS),
        (
            WeightedFMRegressor,
            {"solver": "als", "l2_factors": 0, "l2_linear": 0},
            [12, 12],
            UNITS,
        ),
    ],
)
def test_predictions_do_not_depend_on_units(kind, params, fields, units):
    X, y = make_ratings()
    if kind is WeightedFMClassifier:
        y = y > 0
    elif "loss" in params:
        y = np.clip(np.round(y), -2, 2)
    predictions = []
    for matrix in (X, X * np.repeat(units, 12)):
        rows = matrix if fields is None else FieldCSR(matrix, fields=fields)
        model = kind(**{**PARAMS, **params}).fit(rows, y)
        score = getattr(model, "decision_function", model.predict)
        predictions.append(score(rows))
    assert predictions[0].std() > 0.1
    np.testing.assert_allclose(*predictions, rtol=1e-6, atol=1e-9)
