"""What fit and predict compute: scores, objective, weights, targets, fields."""

import os
import pickle
import random
import signal
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils._param_validation import InvalidParameterError
from skorch.callbacks import Callback
from threadpoolctl import threadpool_info

import skwfm._base
import skwfm._held_out
import skwfm._scoring
from skwfm import (
    FieldCSR,
    FieldMap,
    FieldMapWarning,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    hstack,
    to_padded,
)
from skwfm._bags import to_flat
from skwfm._kernels import reference
from skwfm._kernels.checks import Faults
from skwfm._net import BagDataset

REGRESSORS = [WeightedFMRegressor, WeightedFFMRegressor]
CLASSIFIERS = [WeightedFMClassifier, WeightedFFMClassifier]
ALL = REGRESSORS + CLASSIFIERS
SIZES = [3, 4, 2]


def make_data(n_rows=120, seed=0, dtype=np.float64):
    """Return bags of three fields and a target with interactions of fields."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.2, 2.0, (n_rows, sum(SIZES))) * (rng.random((n_rows, 9)) < 0.5)
    y = 3 * X[:, 0] * X[:, 4] - 2 * X[:, 1] * X[:, 8] + X[:, 3] + 5
    return FieldCSR(X.astype(dtype), fields=SIZES, field_names=["a", "b", "c"]), y


def target_of(estimator_class, y):
    if estimator_class in REGRESSORS:
        return y
    return np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))


def fitted(estimator_class, n_rows=120, **params):
    X, y = make_data(n_rows)
    params = {"l2_factors": 0.1, "random_state": 0} | params
    return estimator_class(**params).fit(X, target_of(estimator_class, y)), X, y


def reference_scores(estimator, X):
    """Score by the float64 formulas, from the public attributes alone."""
    ffm = type(estimator) in (WeightedFFMRegressor, WeightedFFMClassifier)
    score = reference.ffm_score if ffm else reference.fm_score
    flat = to_flat(sp.csr_matrix(X), estimator.fields_, estimator.n_fields_)
    bags = (flat.indices, flat.offsets, flat.weights, flat.n_fields)
    intra_field = estimator.intra_field
    if estimator.coef_.ndim == 1:
        parts = (estimator.intercept_, estimator.coef_, estimator.factors_)
        return score(*parts, *bags, intra_field=intra_field)
    columns = [
        score(
            estimator.intercept_[c],
            estimator.coef_[c],
            estimator.factors_[:, c],
            *bags,
            intra_field=intra_field,
        )
        for c in range(len(estimator.coef_))
    ]
    return np.column_stack(columns)


def scores_of(estimator, X):
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(X)
    return estimator.predict(X)


# The scores.


@pytest.mark.parametrize("estimator_class", ALL)
@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("fields", ["auto", [0, 1, 2, 0, 1, 2, 0, 1, 2]])
def test_predictions_equal_the_formula(estimator_class, intra_field, fields):
    params = {"intra_field": intra_field, "fields": fields, "n_factors": 3}
    estimator, X, _ = fitted(estimator_class, **params)
    plain = sp.csr_matrix(X)
    assert_allclose(
        scores_of(estimator, plain), reference_scores(estimator, X), rtol=1e-10
    )
    assert np.abs(estimator.factors_).max() > 0.05  # the pairs do matter


def libffm_scores(X, fields, factors):
    """Score as libFFM does without normalization: all pairs of the values of a row.

    ``sum_{i < j} <V[i, f(j)], V[j, f(i)]> x_i x_j``, without linear terms.
    """
    scores = []
    for row in X.toarray():
        labels = np.flatnonzero(row)
        scores.append(
            sum(
                factors[i, fields[j]] @ factors[j, fields[i]] * row[i] * row[j]
                for at, i in enumerate(labels)
                for j in labels[at + 1 :]
            )
        )
    return np.array(scores)


@pytest.mark.parametrize("solver", ["lbfgs", "adagrad", "adam"])
@pytest.mark.parametrize("estimator_class", [WeightedFFMRegressor, WeightedFMRegressor])
def test_pairs_inside_a_field_are_those_of_libffm(estimator_class, solver):
    params = {"fit_linear": False, "fit_intercept": False, "intra_field": True}
    ffm, X, _ = fitted(estimator_class, n_factors=3, solver=solver, **params)
    factors = ffm.factors_
    if estimator_class is WeightedFMRegressor:  # one vector for all fields
        factors = np.repeat(factors[:, None], ffm.n_fields_, axis=1)
    expected = libffm_scores(X, ffm.fields_, factors)
    assert_allclose(ffm.predict(X), expected, rtol=1e-9, atol=1e-12)
    apart = estimator_class(n_factors=3, random_state=0).fit(X, expected)
    assert np.abs(apart.predict(X) - expected).max() > 0.1  # they do matter


def test_attributes_have_the_documented_shapes():
    fm, X, _ = fitted(WeightedFMRegressor, n_factors=3)
    assert (fm.coef_.shape, fm.factors_.shape) == ((9,), (9, 3))
    assert isinstance(fm.intercept_, float)
    ffm, _, _ = fitted(WeightedFFMRegressor, n_factors=3)
    assert ffm.factors_.shape == (9, 3, 3)
    classes = fitted(WeightedFFMClassifier, n_factors=4)[0]
    assert classes.intercept_.shape == (3,)
    assert (classes.coef_.shape, classes.factors_.shape) == ((3, 9), (9, 3, 3, 4))
    assert_array_equal(fm.fields_, np.repeat([0, 1, 2], SIZES))
    assert (fm.field_names_, fm.n_fields_) == (("a", "b", "c"), 3)


@pytest.mark.parametrize("estimator_class", ALL)
def test_fitted_state_holds_no_torch(estimator_class):
    estimator, _, _ = fitted(estimator_class)
    state = {**vars(estimator), **estimator.history_}
    kinds = {type(value).__module__.split(".")[0] for value in state.values()}
    assert kinds <= {"numpy", "builtins", "skwfm"}
    assert b"torch" not in pickle.dumps(estimator)
    assert not [name for name in vars(estimator) if name.startswith("_")]


@pytest.mark.parametrize("estimator_class", ALL)
def test_module_shares_memory_and_scores_padded_bags(estimator_class):
    estimator, X, _ = fitted(estimator_class)
    padded = [torch.from_numpy(part) for part in to_padded(X, estimator.fields_)]
    with torch.no_grad():
        scores = estimator.module_(*padded).numpy()
    assert_allclose(scores, scores_of(estimator, X), rtol=1e-12)
    table = estimator.module_.bag.weight
    assert np.shares_memory(table.detach().numpy(), estimator.factors_)


@pytest.mark.parametrize("estimator_class", ALL)
def test_slices_of_predict_do_not_change_the_scores(estimator_class, monkeypatch):
    estimator, X, _ = fitted(estimator_class)
    whole = scores_of(estimator, X)
    monkeypatch.setattr(skwfm._scoring, "PREDICT_ROWS", 7)
    assert_array_equal(scores_of(estimator, X), whole)
    monkeypatch.setattr(skwfm._scoring, "PREDICT_VALUES", 1)
    assert_array_equal(scores_of(estimator, X), whole)


def test_row_without_labels_scores_the_intercept():
    estimator, X, _ = fitted(WeightedFMRegressor)
    empty = FieldCSR((1, 9), fields=X.field_map, dtype=np.float64)
    assert estimator.predict(empty) == pytest.approx([estimator.intercept_])


# The objective.


def gradient_of_objective(estimator, X, y, weights, l2):
    """Return d/d(intercept, coef, factors) of sum w loss + penalties, in units of y."""
    ffm = isinstance(estimator, WeightedFFMRegressor)
    gradient = reference.ffm_gradient if ffm else reference.fm_gradient
    scale = np.sqrt(np.average((y - np.average(y, weights=weights)) ** 2))
    flat = to_flat(sp.csr_matrix(X), estimator.fields_, estimator.n_fields_)
    # In standardised units: coefficients / scale, factors / sqrt(scale).
    coef, factors = estimator.coef_ / scale, estimator.factors_ / np.sqrt(scale)
    residual = weights * (estimator.predict(X) - y) / scale
    parts = gradient(
        residual, coef, factors, flat.indices, flat.offsets, flat.weights, 3
    )
    return parts[0], parts[1] + l2[0] * coef, parts[2] + l2[1] * factors


@pytest.mark.parametrize("estimator_class", REGRESSORS)
def test_lbfgs_ends_where_the_gradient_of_the_objective_is_zero(estimator_class):
    params = {"l2_linear": 0.7, "l2_factors": 0.3, "max_iter": 100, "tol": 1e-12}
    estimator, X, y = fitted(estimator_class, solver="lbfgs", **params)
    parts = gradient_of_objective(estimator, X, y, np.ones(len(y)), (0.7, 0.3))
    for part in parts:
        assert np.abs(part).max() < 2e-3
    # The penalties are not negligible: without them the gradient is far from zero.
    _, coef, factors = gradient_of_objective(estimator, X, y, np.ones(120), (0, 0))
    assert np.abs(coef).max() > 0.05
    assert np.abs(factors).max() > 0.05


def objective(estimator, X, y, l2):
    """Return sum loss + penalties of a regressor, in standardised units."""
    scale = y.std()
    loss = 0.5 * np.sum((estimator.predict(X) - y) ** 2) / scale**2
    coef, factors = estimator.coef_ / scale, estimator.factors_ / np.sqrt(scale)
    return loss + 0.5 * l2[0] * np.sum(coef**2) + 0.5 * l2[1] * np.sum(factors**2)


@pytest.mark.parametrize("solver", ["adam", "sgd", "adagrad"])
def test_mini_batch_solvers_minimise_the_same_objective(solver):
    l2 = (2.0, 3.0)
    params = {"l2_linear": l2[0], "l2_factors": l2[1], "tol": 0.0, "init_scale": 0.1}
    best, X, y = fitted(WeightedFMRegressor, max_iter=50, solver="lbfgs", **params)
    steps = {"adam": 0.05, "sgd": 0.1, "adagrad": 0.2}
    # AdaGrad starts with steps of one size and may end in a higher valley; without
    # training the objective is 60.
    bound = 2.0 if solver == "adagrad" else 1.02
    other, _, _ = fitted(
        WeightedFMRegressor,
        solver=solver,
        max_iter=250,
        batch_size=120,
        learning_rate=steps[solver],
        n_iter_no_change=250,
        **params,
    )
    least = objective(best, X, y, l2)
    assert 0.999 * least <= objective(other, X, y, l2) <= bound * least
    # A penalty three times as weak or strong would be noticed.
    for factor in (1 / 3, 3):
        params |= {"l2_linear": l2[0] * factor, "l2_factors": l2[1] * factor}
        wrong, _, _ = fitted(WeightedFMRegressor, solver="lbfgs", **params)
        assert objective(wrong, X, y, l2) > 1.025 * least


@pytest.mark.parametrize("estimator_class", REGRESSORS)
def test_predictions_follow_the_unit_of_the_target(estimator_class):
    X, y = make_data()
    estimator = estimator_class(l2_factors=0.1, random_state=0)
    plain = estimator.fit(X, y).predict(X)
    scaled = estimator.fit(X, 1e6 * y - 3e6).predict(X)
    assert_allclose((scaled + 3e6) / 1e6, plain, atol=2e-3 * y.std())


@pytest.mark.parametrize("estimator_class", REGRESSORS)
def test_constant_target(estimator_class):
    X, y = make_data()
    estimator = estimator_class(random_state=0).fit(X, np.full_like(y, 7.0))
    assert_allclose(estimator.predict(X), 7.0)


@pytest.mark.parametrize("estimator_class", ALL)
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_parts_of_the_model_can_be_left_out(estimator_class, solver):
    params = {"fit_intercept": False, "fit_linear": False, "solver": solver}
    estimator, X, _ = fitted(estimator_class, **params)
    assert not np.any(estimator.intercept_)
    assert not np.any(estimator.coef_)
    assert_allclose(scores_of(estimator, X), reference_scores(estimator, X), atol=1e-12)


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "adam", "adagrad", "sgd"])
@pytest.mark.parametrize("estimator_class", ALL)
def test_solvers_learn_interactions(estimator_class, solver):
    params = {"solver": solver, "max_iter": 40, "batch_size": 32}
    estimator, X, y = fitted(estimator_class, 400, **params)
    linear = clone(estimator).set_params(l2_factors=1e9, solver="lbfgs")
    target = target_of(estimator_class, y)
    score = estimator.score(X, target)
    assert score > linear.fit(X, target).score(X, target) + 0.02
    assert score > 0.9


# Random state, threads and devices.


@pytest.mark.parametrize("estimator_class", ALL)
def test_random_state_alone_decides(estimator_class):
    params = {"solver": "adam", "max_iter": 3, "early_stopping": True}
    first, X, _ = fitted(estimator_class, **params)
    np.random.seed(5)
    torch.manual_seed(5)
    again, _, _ = fitted(estimator_class, **params)
    other, _, _ = fitted(estimator_class, random_state=1, **params)
    assert_array_equal(scores_of(first, X), scores_of(again, X))
    assert not np.array_equal(scores_of(first, X), scores_of(other, X))


def global_state():
    """Return what belongs to the whole process."""
    return {
        "numpy": [part.tolist() for part in map(np.asarray, np.random.get_state())],
        "random": random.getstate(),
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "pools": threadpool_info(),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "errors": np.geterr(),
        "filters": list(warnings.filters),
        "signal": signal.getsignal(signal.SIGINT),
        "environment": dict(os.environ),
    }


@pytest.mark.parametrize(
    "solver", ["adagrad", "sgd", "ftrl", "adam", "lbfgs", "Adamax"]
)
def test_global_state_is_left_alone(solver):
    options = {"early_stopping": True, "max_iter": 2, "n_jobs": 2}
    # At the first one of a process torch imports more, with filters of its own.
    torch.optim.Adam([torch.zeros(1)])
    before = global_state()
    model, X, y = fitted(WeightedFFMClassifier, solver=solver, **options)
    model.predict_proba(X)
    if solver in ("adagrad", "sgd", "ftrl"):
        model.partial_fit(X, target_of(WeightedFFMClassifier, y))
    assert global_state() == before


def test_unknown_device():
    with pytest.raises(ValueError, match="device='gpu': expected 'auto', 'cpu'"):
        fitted(WeightedFMRegressor, device="gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_device_fails_in_fit_and_falls_back_in_predict():
    with pytest.raises(ValueError, match="device='cuda' is not available"):
        fitted(WeightedFMRegressor, device="cuda")
    estimator, X, _ = fitted(WeightedFMRegressor)
    expected = estimator.predict(X)
    assert_array_equal(estimator.set_params(device="cuda").predict(X), expected)


@pytest.mark.cuda
@pytest.mark.parametrize("estimator_class", ALL)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_cuda_learns_the_same(estimator_class, solver):
    cpu, X, _ = fitted(estimator_class, solver=solver, device="cpu")
    gpu, _, _ = fitted(estimator_class, solver=solver, device="cuda")
    # Where a line search ends hangs on the last digit; how low it gets does not.
    losses = [model.history_["train_loss"][-1] for model in (gpu, cpu)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    if solver == "adam":
        assert_allclose(scores_of(gpu, X), scores_of(cpu, X), rtol=1e-4, atol=1e-4)
    on_gpu = scores_of(gpu, X)
    gpu.set_params(device="cpu")
    assert_allclose(scores_of(gpu, X), on_gpu, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("n_rows", "given", "expected"),
    [
        (120, np.float32, np.float64),  # few rows are always fitted in float64
        (1200, np.float32, np.float32),
        (1200, np.float64, np.float64),
        (1200, np.int64, np.float32),
    ],
)
def test_dtype(n_rows, given, expected):
    X, y = make_data(n_rows)
    X = X.astype(given)
    estimator = WeightedFMRegressor(max_iter=2, random_state=0).fit(X, y)
    assert estimator.factors_.dtype == estimator.coef_.dtype == expected
    assert estimator.predict(X).dtype == expected


def test_array_of_another_library():
    X, y = make_data()
    tensor = torch.from_numpy(X.toarray())
    estimator = WeightedFMRegressor(fields=SIZES, random_state=0)
    expected = estimator.fit(X, y).predict(X)
    assert_array_equal(estimator.fit(tensor, y).predict(tensor), expected)


# Weights.


@pytest.mark.parametrize("estimator_class", ALL)
def test_weights_are_repetition_to_the_last_bit(estimator_class):
    X, y = make_data(60)
    target = target_of(estimator_class, y)
    weights = np.random.default_rng(0).integers(0, 4, 60)
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(60), weights))
    weighted = estimator_class(random_state=0).fit(X, target, sample_weight=weights)
    repeated = estimator_class(random_state=0).fit(X[rows], target[rows])
    assert_array_equal(scores_of(weighted, X), scores_of(repeated, X))


@pytest.mark.parametrize("estimator_class", ALL)
def test_mini_batches_use_the_weights(estimator_class):
    X, y = make_data(1500)
    target = target_of(estimator_class, y)
    # Half of the rows lie, and count next to nothing.
    liars = np.arange(1500) % 2 == 0
    lies = np.where(liars, np.roll(target, 7), target)
    weights = np.where(liars, 1e-3, 1.0)
    estimator = estimator_class(solver="adam", l2_factors=0.1, random_state=0)
    told = estimator.fit(X, lies, sample_weight=weights).score(X, target)
    fooled = estimator.fit(X, lies).score(X, target)
    assert told > fooled + 0.1


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(120), "(sample_weight|Sample weights).*zero"),
        (-np.ones(120), "Negative values in data passed to `sample_weight`"),
        (np.full(120, np.nan), "sample_weight contains NaN"),
        (np.ones(7), r"sample_weight.shape == \(7,\), expected \(120,\)"),
    ],
)
def test_bad_weights(weights, message):
    X, y = make_data()
    with pytest.raises(ValueError, match=message):
        WeightedFMRegressor().fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_bad_class_weight(value):
    X, y = make_data()
    target = np.where(y > 6, "high", "low")
    with pytest.raises(ValueError, match="class_weight of class 'high' is"):
        WeightedFMClassifier(class_weight={"high": value, "low": 1}).fit(X, target)


def test_balanced_counts_with_the_weights():
    X, y = make_data()
    target = target_of(WeightedFMClassifier, y)
    weights = np.random.default_rng(0).integers(0, 4, 120)
    rows = np.repeat(np.arange(120), weights)
    balanced = WeightedFMClassifier(class_weight="balanced", random_state=0)
    weighted = balanced.fit(X, target, sample_weight=weights).predict_proba(X)
    repeated = balanced.fit(X[rows], target[rows]).predict_proba(X)
    # The sums of the weights round: the last bit may differ.
    assert_allclose(weighted, repeated, atol=1e-6)


def test_class_weight_equals_sample_weight():
    X, y = make_data()
    target = np.where(y > np.quantile(y, 0.8), "high", "low")
    by_class = WeightedFMClassifier(class_weight={"high": 4, "low": 1}, random_state=0)
    by_row = WeightedFMClassifier(random_state=0)
    by_row.fit(X, target, sample_weight=np.where(target == "high", 4, 1))
    expected = by_row.predict_proba(X)
    assert_array_equal(by_class.fit(X, target).predict_proba(X), expected)
    balanced = WeightedFMClassifier(class_weight="balanced", random_state=0)
    assert (balanced.fit(X, target).predict(X) == "high").mean() > 0.2


# Targets.


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
@pytest.mark.parametrize(
    "labels", [["no", "yes"], [5, 9], [False, True], [-1.0, 1.0], ["x", "y", "z"]]
)
def test_labels_of_any_kind_come_back(estimator_class, labels):
    X, y = make_data()
    edges = np.quantile(y, np.arange(1, len(labels)) / len(labels))
    target = np.array(labels)[np.digitize(y, edges)]
    estimator = estimator_class(l2_factors=0.1, random_state=0).fit(X, target)
    assert_array_equal(estimator.classes_, labels)
    assert estimator.predict(X).dtype == target.dtype
    assert estimator.score(X, target) > 0.85
    proba = estimator.predict_proba(X)
    assert proba.shape == (120, len(labels))
    assert_allclose(proba.sum(axis=1), 1)
    assert_allclose(np.exp(estimator.predict_log_proba(X)), proba)
    assert_array_equal(estimator.classes_[proba.argmax(axis=1)], estimator.predict(X))


def test_log_proba_is_exact_where_proba_rounds():
    estimator, X, _ = fitted(WeightedFMClassifier)
    extreme = X * 100
    scores = estimator.decision_function(extreme)
    expected = log_softmax(scores, axis=1)
    assert_allclose(estimator.predict_log_proba(extreme), expected)
    assert np.isfinite(expected).all()
    assert (estimator.predict_proba(extreme) == 0).any()


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_one_class_is_refused(estimator_class):
    X, _ = make_data()
    with pytest.raises(ValueError, match=r"y has one class only, \['a'\]"):
        estimator_class().fit(X, ["a"] * 120)
    weights = np.r_[np.zeros(60), np.ones(60)]
    with pytest.raises(ValueError, match="one class only among the rows of positive"):
        estimator_class().fit(X, np.repeat(["a", "b"], 60), sample_weight=weights)


@pytest.mark.parametrize("estimator_class", ALL)
def test_several_targets_are_refused(estimator_class):
    X, y = make_data()
    with pytest.raises(ValueError, match="1d array"):
        estimator_class().fit(X, np.column_stack([y, y]))


# Early stopping.


@pytest.mark.parametrize("estimator_class", ALL)
def test_best_epoch_is_restored(estimator_class):
    X, y = make_data(900)
    noise = np.random.default_rng(0).normal(0, 5, 900)
    target = target_of(estimator_class, y + noise)
    estimator = estimator_class(
        solver="adam", l2_factors=0, l2_linear=0, learning_rate=0.1, random_state=0
    )
    estimator.set_params(early_stopping=True, tol=0, max_iter=40)
    estimator.fit(X[:300], target[:300], eval_set=(X[300:], target[300:]))
    losses = estimator.history_["valid_loss"]
    assert estimator.best_iter_ == np.argmin(losses) + 1 < estimator.n_iter_ < 40
    assert len(losses) == len(estimator.history_["seconds"]) == estimator.n_iter_
    # What predicts is what had that loss.
    X, target = X[300:], target[300:]
    if estimator_class in REGRESSORS:
        shift, scale = target_scale(target_of(estimator_class, y + noise)[:300])
        expected = np.mean((estimator.predict(X) - target) ** 2) / (2 * scale**2)
    else:
        expected = -np.mean(estimator.predict_log_proba(X)[np.arange(600), target])
    assert losses[estimator.best_iter_ - 1] == pytest.approx(expected, rel=1e-4)


def target_scale(y):
    return y.mean(), y.std()


@pytest.mark.parametrize("estimator_class", ALL)
def test_early_stopping_is_automatic_with_many_rows(estimator_class, monkeypatch):
    limits = {"fm": 1100, "ffm": 1200}
    monkeypatch.setattr(skwfm._held_out, "EARLY_STOPPING_ROWS", limits)
    limit = limits["ffm" if "FFM" in estimator_class.__name__ else "fm"]

    def stops_by_held_out_rows(n_rows, **params):
        estimator, _, _ = fitted(estimator_class, n_rows, max_iter=2, **params)
        return "valid_loss" in estimator.history_

    assert not stops_by_held_out_rows(limit)
    assert stops_by_held_out_rows(limit + 1)
    assert not stops_by_held_out_rows(limit + 1, early_stopping=False)
    assert not stops_by_held_out_rows(limit + 1, solver="lbfgs")
    assert stops_by_held_out_rows(300, early_stopping=True)


@pytest.mark.parametrize("estimator_class", [WeightedFMRegressor, WeightedFMClassifier])
def test_early_stopping_is_automatic_with_long_rows(estimator_class, monkeypatch):
    limits = {"fm": 1200, "ffm": 1100}
    monkeypatch.setattr(skwfm._held_out, "EARLY_STOPPING_ROWS", limits)
    X, y = make_data(1101)
    target = target_of(estimator_class, y)
    norm = np.sqrt(X.multiply(X).sum() / X.shape[0])

    def stops_by_held_out_rows(length, n_rows):
        rows = X[:n_rows] * (length / norm)
        estimator = estimator_class(max_iter=2).fit(rows, target[:n_rows])
        return "valid_loss" in estimator.history_

    just = skwfm._held_out.LONG_ROWS**0.5
    assert stops_by_held_out_rows(just * 1.01, 1101)
    assert not stops_by_held_out_rows(just * 1.01, 1100)
    assert not stops_by_held_out_rows(just * 0.98, 1101)


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_held_out_part_with_fewer_rows_than_classes(estimator_class):
    X, _ = make_data(60)
    target = np.repeat(np.arange(20), 3)
    estimator = estimator_class(max_iter=2, early_stopping=True, solver="adam")
    estimator.fit(X, target)
    assert len(estimator.history_["valid_loss"]) == 2


@pytest.mark.parametrize(
    ("fraction", "rows"), [(0.001, slice(None)), (0.999, slice(50)), (0.1, slice(1))]
)
def test_no_rows_to_hold_out(fraction, rows):
    X, y = make_data()
    estimator = WeightedFMRegressor(early_stopping=True, validation_fraction=fraction)
    with pytest.raises(ValueError, match=f"validation_fraction={fraction} of"):
        estimator.fit(X[rows], y[rows])


def test_eval_set_without_early_stopping_is_recorded_only():
    X, y = make_data()
    params = {"solver": "adam", "early_stopping": False, "max_iter": 15, "tol": 0.0}
    alone = WeightedFMRegressor(random_state=0, **params).fit(X, y)
    # Targets that have nothing to do with the rows: no epoch improves on these.
    watched = clone(alone).fit(X, y, eval_set=(X, -100 * y))
    assert len(watched.history_["valid_loss"]) == watched.best_iter_ == 15
    assert_array_equal(watched.predict(X), alone.predict(X))


def test_eval_set_of_a_classifier_must_hold_known_classes():
    X, y = make_data()
    target = np.where(y > 6, "high", "low")
    with pytest.raises(ValueError, match="eval_set y, row 1: got class 'mid'"):
        WeightedFMClassifier().fit(X, target, eval_set=(X[:2], ["low", "mid"]))


@pytest.mark.parametrize("eval_set", ["X", (1, 2, 3), 7])
def test_eval_set_is_a_pair(eval_set):
    X, y = make_data()
    with pytest.raises(ValueError, match=r"eval_set=.*expected a pair \(X, y\)"):
        WeightedFMRegressor().fit(X, y, eval_set=eval_set)


def test_eval_set_has_one_target_per_row():
    X, y = make_data()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        WeightedFMRegressor().fit(X, y, eval_set=(X, y[:-1]))


# Interruption, divergence and bad input.


def interrupt_after(n_batches, monkeypatch):
    """Raise KeyboardInterrupt, as Ctrl-C does, in the batch after so many."""
    real, calls = BagDataset.take, []

    def take(dataset, rows):
        calls.append(rows)
        if len(calls) > n_batches:
            raise KeyboardInterrupt
        return real(dataset, rows)

    monkeypatch.setattr(BagDataset, "take", take)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_interruption_keeps_whole_epochs_with_a_warning(early_stopping, monkeypatch):
    X, y = make_data(100)
    params = {"solver": "adam", "batch_size": 50, "random_state": 0, "tol": 0.0}
    estimator = WeightedFMRegressor(early_stopping=early_stopping, **params)
    # Two batches of training rows, one of rows held out: two epochs and a half.
    interrupt_after(3 * 2 + 1 if early_stopping else 2 * 2 + 1, monkeypatch)
    with pytest.warns(ConvergenceWarning, match="interrupted: the model of epoch 2"):
        estimator.fit(X, y)
    assert estimator.n_iter_ == estimator.best_iter_ == 2
    assert len(estimator.history_["train_loss"]) == 2
    monkeypatch.undo()
    whole = WeightedFMRegressor(early_stopping=early_stopping, **params)
    whole.set_params(callbacks=[StopAfterTwo()]).fit(X, y)
    assert_array_equal(estimator.predict(X), whole.predict(X))


class StopAfterTwo(Callback):
    """Ask to stop at the end of the second epoch."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_interruption_of_the_first_epoch_is_passed_on(solver, monkeypatch):
    X, y = make_data(100)
    interrupt_after(0, monkeypatch)
    estimator = WeightedFMRegressor(solver=solver)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


@pytest.mark.parametrize("estimator_class", ALL)
def test_divergence_warns_and_stays_finite(estimator_class):
    X, y = make_data(1100)
    estimator = estimator_class(
        solver="sgd", learning_rate=1e6, l2_factors=0, random_state=0
    )
    message = r"Lower learning_rate=1e\+06"
    with pytest.warns(ConvergenceWarning, match=message) as caught:
        estimator.fit(X, target_of(estimator_class, y))
    assert [warning.filename for warning in caught] == [__file__]
    assert np.isfinite(scores_of(estimator, X)).all()


@pytest.mark.parametrize("estimator_class", ALL)
def test_values_too_large_to_multiply_raise(estimator_class):
    estimator, X, _ = fitted(estimator_class)
    huge = X.toarray()
    huge[5] = 1e200
    with pytest.raises(ValueError, match="X, row 5: the score overflows"):
        scores_of(estimator, huge)


@pytest.mark.parametrize("shift", [1e6, 1e8, 1e12])
def test_float32_rows_with_a_target_far_from_zero(shift):
    X, y = make_data(1100)
    X = X.astype(np.float32)
    params = {"solver": "adam", "max_iter": 5, "random_state": 0}
    plain = WeightedFMRegressor(**params).fit(X.astype(np.float64), y).predict(X)
    moved = WeightedFMRegressor(**params).fit(X, y + shift).predict(X)
    assert_allclose(moved - shift, plain, atol=1e-3 * max(1, shift * 1e-11))


def test_large_integers_are_exact_with_few_rows(monkeypatch):
    X = np.array([[2**24], [2**24 + 1]] * 20)
    estimator = WeightedFMRegressor(l2_linear=0, fit_intercept=False)
    seen = []
    monkeypatch.setattr(skwfm._base, "train", lambda _, rows, rng: seen.append(rows.X))
    monkeypatch.setattr(estimator, "_keep", lambda fitted, known: None)
    estimator.fit(X, [0, 1] * 20)
    assert_array_equal(seen[0].toarray(), X)


@pytest.mark.parametrize("unit", [1e-60, 1e60])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_float32_rows_with_a_target_outside_of_float32(unit, solver):
    X, y = make_data()
    estimator = WeightedFMRegressor(solver=solver, random_state=0)
    X = X.astype(np.float32)
    plain = estimator.fit(X.astype(np.float64), y).predict(X)
    assert_allclose(estimator.fit(X, unit * y).predict(X) / unit, plain, rtol=1e-3)


def test_not_finite_names_the_column_of_a_frame():
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": [1.0, 2.0, 3.0]})
    message = "row 2, column 'a' holds nan, expected finite numbers. Impute it"
    with pytest.raises(ValueError, match=message):
        WeightedFMRegressor().fit(frame, [1, 2, 3])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csc_array, FieldCSR])
def test_not_finite_names_row_and_column(value, make):
    X, y = make_data()
    estimator = WeightedFMRegressor(fields=SIZES).fit(X, y)
    bad = X.toarray()
    bad[3, 5] = value
    message = "X contains NaN or infinity: row 3, column 5"
    with pytest.raises(ValueError, match=message):
        estimator.predict(make(bad))
    with pytest.raises(ValueError, match=message):
        estimator.fit(make(bad), y)


def test_not_finite_target_names_the_row():
    X, y = make_data()
    y[4] = np.nan
    with pytest.raises(ValueError, match="Input y contains NaN"):
        WeightedFMRegressor().fit(X, y)
    with pytest.raises(ValueError, match="y, row 4: got nan"):
        WeightedFMRegressor().fit(X, np.arange(120.0), eval_set=(X, y))


@pytest.mark.parametrize("estimator_class", REGRESSORS)
def test_text_is_no_target_of_a_regressor(estimator_class):
    X, _ = make_data()
    message = "y=.*could not convert.*A regressor expects one number per row"
    with pytest.raises(ValueError, match=message):
        estimator_class().fit(X, ["good", "bad"] * 60)


@pytest.mark.parametrize("column", [-1, 9, 2**30])
def test_column_index_out_of_range(column):
    X, y = make_data()
    estimator = WeightedFMRegressor().fit(X, y)
    broken = X.copy()
    broken.indices[4] = column
    message = rf"X, row 0: got column index {column}, expected one of 0 to 8"
    with pytest.raises(ValueError, match=message):
        estimator.predict(broken)
    with pytest.raises(ValueError, match=message):
        estimator.fit(broken, y)


def scramble(X):
    """Return the same matrix with unsorted, repeated and zero entries."""
    half = X.copy()
    half.data = half.data / 2
    rows = [(half[i], half[i]) for i in range(X.shape[0])]
    data = np.concatenate([np.r_[a.data[::-1], b.data, 0] for a, b in rows])
    indices = [np.r_[a.indices[::-1], b.indices, 0] for a, b in rows]
    indptr = np.cumsum([0, *map(len, indices)])
    parts = (data, np.concatenate(indices), indptr)
    return sp.csr_matrix(parts, shape=X.shape)


@pytest.mark.parametrize("estimator_class", ALL)
@pytest.mark.parametrize("intra_field", [False, True])
def test_unsorted_and_repeated_entries(estimator_class, intra_field):
    params = {"fields": SIZES, "intra_field": intra_field}
    estimator, X, y = fitted(estimator_class, **params)
    messy = scramble(X)
    before = [part.copy() for part in (messy.data, messy.indices, messy.indptr)]
    for part in (messy.data, messy.indices, messy.indptr):
        part.setflags(write=False)
    expected = scores_of(estimator, X)
    assert_allclose(scores_of(estimator, messy), expected, rtol=1e-12)
    estimator.fit(messy, target_of(estimator_class, y))
    assert_allclose(scores_of(estimator, X), expected, rtol=1e-6)
    for part, old in zip(
        (messy.data, messy.indices, messy.indptr), before, strict=True
    ):
        assert_array_equal(part, old)


def test_empty_rows_and_zero_columns():
    X, y = make_data()
    estimator = WeightedFMRegressor(random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        estimator.predict(X[:0])
    with pytest.raises(ValueError, match="X has 4 features, but WeightedFMRegressor"):
        estimator.predict(X[:, :4])
    with pytest.raises(NotFittedError):
        WeightedFMRegressor().predict(X)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_factors", 0),
        ("learning_rate", -1.0),
        ("l2_factors", -0.1),
        ("solver", "newton"),
        ("validation_fraction", 1.0),
        ("max_iter", 0),
        ("batch_size", "all"),
        ("callbacks", "progress"),
    ],
)
def test_bad_parameter(name, value):
    X, y = make_data()
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter"):
        WeightedFMRegressor(**{name: value}).fit(X, y)


# Fields.


def test_fields_of_a_plain_sparse_matrix_are_never_guessed_quietly():
    X, y = make_data()
    plain = sp.csr_matrix(X)
    with pytest.raises(ValueError, match="plain sparse matrix of 9 columns"):
        WeightedFFMRegressor().fit(plain, y)
    message = "every column is taken as its own field"
    with pytest.warns(FieldMapWarning, match=message) as caught:
        guessed = WeightedFMRegressor(random_state=0).fit(plain, y)
    assert [warning.filename for warning in caught] == [__file__]
    dense = WeightedFMRegressor(random_state=0).fit(X.toarray(), y)
    assert_array_equal(guessed.fields_, np.arange(9))
    assert_array_equal(guessed.predict(plain), dense.predict(X.toarray()))


def test_scipy_hstack_loses_the_fields_and_ours_keeps_them():
    X, y = make_data()
    lost = sp.hstack([X[:, :4], X[:, 4:]], format="csr")
    with pytest.raises(ValueError, match="plain sparse matrix"):
        WeightedFFMRegressor().fit(lost, y)
    kept = hstack([X[:, :3], X[:, 3:]])
    assert WeightedFFMRegressor(random_state=0).fit(kept, y).n_fields_ == 6


def test_explicit_fields_win():
    X, y = make_data()
    for fields in (
        [4, 5],
        [0, 0, 0, 0, 1, 1, 1, 1, 1],
        FieldMap.from_fields([4, 5], 9),
    ):
        estimator = WeightedFFMRegressor(fields=fields, random_state=0).fit(X, y)
        assert_array_equal(estimator.fields_, [0] * 4 + [1] * 5)


def test_fields_of_predict_must_be_those_of_fit():
    estimator, X, _ = fitted(WeightedFMRegressor)
    moved = FieldCSR(X, fields=[4, 3, 2])
    with pytest.raises(
        ValueError, match="X, column 3 belongs to field 0, but to field 1"
    ):
        estimator.predict(moved)


@pytest.mark.parametrize("intra_field", [False, True])
def test_slices_of_predict_are_bounded_by_their_entries(monkeypatch, intra_field):
    monkeypatch.setattr(skwfm._scoring, "PREDICT_VALUES", 8 * 20)
    estimator, X, _ = fitted(WeightedFMRegressor, intra_field=intra_field)
    slices = estimator._slices(X, Faults.NONE)
    sizes = [(len(batch), len(batch.parts[0])) for _, batch in slices]
    assert sum(rows for rows, _ in sizes) == 120
    assert sum(entries for _, entries in sizes) == X.nnz
    assert max(entries for _, entries in sizes) <= 20


def test_many_single_columns_need_no_bag_each():
    # 200,000 fields of one column: a bag per field and row would be 8 GB.
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(5000, size=20_000), rng.integers(200_000, size=20_000)
    X = sp.csr_matrix((rng.random(20_000), (rows, columns)), shape=(5000, 200_000))
    y = rng.normal(size=5000)
    with pytest.warns(FieldMapWarning):
        estimator = WeightedFMRegressor(2, max_iter=1, random_state=0).fit(X, y)
    assert np.isfinite(estimator.predict(X)).all()
