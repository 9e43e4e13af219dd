"""Sums over the training rows equal those of a dense table."""

import numpy as np
import pytest
import scipy.sparse as sp

from skwfm import ModelFileError, WeightedFFMClassifier, WeightedFMRegressor, load
from skwfm import _statistics as stats

FIELDS = {"sorted": [0, 0, 1, 2, 2], "mixed": [0, 1, 0, 2, 1]}


def dense_sums(A, weights, fields):
    return {
        "n_rows": weights.sum(),
        "count": weights @ (A != 0),
        "weight": weights @ A,
        "square": weights @ A**2,
        "bag_square": np.array(
            [weights @ A[:, fields == f].sum(axis=1) ** 2 for f in range(3)]
        ),
    }


def make(n_rows=50):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(n_rows, 5)) * (rng.random((n_rows, 5)) < 0.5)
    A[7] = 0
    return A, rng.random(n_rows) + 0.1


@pytest.mark.parametrize("part", [1, 16, 2**20])
@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("fields", FIELDS)
def test_equal_dense_sums(fields, uniform, part, monkeypatch):
    monkeypatch.setattr(stats, "_PART", part)
    A, weights = make()
    if uniform:
        weights = np.full(len(A), 2.0)
    ids = np.array(FIELDS[fields])
    found = stats.statistics_of(sp.csr_matrix(A), weights, ids, 3, np.float64)
    for key, value in dense_sums(A, weights, ids).items():
        np.testing.assert_allclose(found[key], value, err_msg=key)


@pytest.mark.parametrize("uniform", [True, False])
def test_of_many_rows_some_stand_for_all(uniform, monkeypatch):
    monkeypatch.setattr(stats, "MOST_ROWS", 20)
    A, weights = make()
    if uniform:
        weights = np.ones(len(A))
    ids = np.array(FIELDS["mixed"])
    found = stats.statistics_of(sp.csr_matrix(A), weights, ids, 3, np.float64)
    some = dense_sums(A[::3], weights[::3], ids)
    assert found["n_rows"] == pytest.approx(weights.sum())
    for key in ("count", "weight", "square", "bag_square"):
        mean = some[key] / some["n_rows"]
        np.testing.assert_allclose(found[key] / found["n_rows"], mean, err_msg=key)


def test_no_entry_at_all():
    found = stats.statistics_of(sp.csr_matrix((4, 2)), np.ones(4), np.array([0, 1]), 2)
    assert found["n_rows"] == 4 and not found["count"].any()


def test_fit_starts_anew_and_partial_fit_goes_on():
    A, weights = make()
    y = np.arange(len(A)) % 2
    fm = WeightedFMRegressor(2, fields=FIELDS["sorted"], max_iter=1, warm_start=True)
    fm.fit(A, y, sample_weight=weights).fit(A[:20], y[:20])
    assert fm.statistics_["n_rows"] == 20
    np.testing.assert_allclose(fm.statistics_["count"], (A[:20] != 0).sum(axis=0))
    fm.partial_fit(A[20:], y[20:])
    np.testing.assert_allclose(fm.statistics_["count"], (A != 0).sum(axis=0))


def test_a_partial_fit_that_fails_counts_nothing():
    A, _ = make()
    y = np.arange(len(A)) % 2
    fm = WeightedFMRegressor(2, fields=FIELDS["sorted"]).partial_fit(A, y)
    before = {key: np.copy(value) for key, value in fm.statistics_.items()}
    with pytest.raises(ValueError, match="NaN|nan"):
        fm.partial_fit(np.full((1, 5), np.nan), [1.0])
    for key, value in before.items():
        np.testing.assert_array_equal(fm.statistics_[key], value)


def test_are_in_the_model_file_and_checked(tmp_path):
    A, _ = make()
    model = WeightedFFMClassifier(2, fields=FIELDS["mixed"], max_iter=1)
    model.fit(A, np.arange(len(A)) % 2).save(tmp_path / "model")
    found = load(tmp_path / "model").statistics_
    assert found.keys() == model.statistics_.keys()
    for key, value in model.statistics_.items():
        np.testing.assert_array_equal(found[key], value)
    model.statistics_["count"] = model.statistics_["count"][:3]
    with pytest.raises(ModelFileError, match="statistics_ does not fit"):
        model.save(tmp_path / "model")


def test_a_model_of_before_they_were_kept_loads(tmp_path):
    A, _ = make()
    model = WeightedFMRegressor(2, max_iter=1).fit(A, np.arange(len(A)))
    del model.statistics_
    model.save(tmp_path / "model")
    assert not hasattr(load(tmp_path / "model"), "statistics_")
