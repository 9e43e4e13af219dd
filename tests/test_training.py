"""Training through the estimators: the core's loop, its options, and doing without."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, Checkpoint, EpochScoring, LRScheduler

from skwfm import (
    FieldCSR,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)
from skwfm._kernels import compiled

ALL = [
    WeightedFMRegressor,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFFMClassifier,
]
SIZES = [6, 8, 5]
needs_core = pytest.mark.skipif(not compiled.available(), reason="needs the core")


@pytest.fixture
def no_core(monkeypatch):
    monkeypatch.setattr(compiled, "_core", None)


def make_rows(n_rows=1500, seed=0, dtype=np.float32):
    """Return bags of one to three labels per field, and a score with interactions."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((n_rows, sum(SIZES)))
    first = 0
    for size in SIZES:
        for _ in range(3):
            labels = first + rng.integers(size, size=n_rows)
            dense[np.arange(n_rows), labels] = rng.uniform(0.5, 1.0, n_rows)
        first += size
    factors = np.random.default_rng(9).normal(size=(sum(SIZES), 2))
    sums = [dense[:, a:b] @ factors[a:b] for a, b in ((0, 6), (6, 14), (14, 19))]
    pairs = sum((sums[f] * sums[g]).sum(1) for f, g in ((0, 1), (0, 2), (1, 2)))
    return FieldCSR(csr_matrix(dense.astype(dtype)), fields=SIZES), pairs - pairs.mean()


def target_of(estimator_class, score):
    return score if "Regressor" in estimator_class.__name__ else score > 0


def scores_of(estimator, X):
    has_classes = hasattr(estimator, "decision_function")
    return estimator.decision_function(X) if has_classes else estimator.predict(X)


@needs_core
@pytest.mark.parametrize("estimator_class", ALL)
@pytest.mark.parametrize(
    "params",
    [
        {"solver": "auto"},
        {"solver": "adagrad", "adagrad_state": "weight"},
        {"solver": "sgd", "max_iter": 60},
        {"solver": "ftrl"},
        {"solver": "adagrad", "n_jobs": 2},
        {"solver": "adagrad", "n_factors": 5, "intra_field": True},
    ],
    ids=str,
)
def test_online_solvers_learn_interactions(estimator_class, params):
    X, score = make_rows()
    y = target_of(estimator_class, score)
    small = {"l2_factors": 1.0, "l2_linear": 1.0, "random_state": 0}
    estimator = estimator_class(**small, **params).fit(X, y)
    linear = estimator_class(**(small | {"l2_factors": 1e6})).fit(X, y)
    X_new, score_new = make_rows(seed=1)
    y_new = target_of(estimator_class, score_new)
    assert estimator.score(X_new, y_new) > 0.85
    assert estimator.score(X_new, y_new) > linear.score(X_new, y_new) + 0.02


@needs_core
def test_many_rows_are_trained_in_the_core(monkeypatch):
    X, score = make_rows()
    seen = []
    original = compiled.train

    def spy(table, rows, target, weight, options, **kwargs):
        seen.append((rows, weight, options))
        return original(table, rows, target, weight, options, **kwargs)

    monkeypatch.setattr("skwfm._online.train", spy)
    WeightedFFMClassifier(max_iter=3, early_stopping=True).fit(X, score > 0)
    assert len(seen) == 3
    # Neither shuffling nor holding rows out copies the matrix.
    for rows, weight, options in seen:
        assert np.shares_memory(rows.values, X.data)
        assert np.shares_memory(rows.indices, X.indices)
        assert weight is None
        assert options.step == "adagrad"
    assert len(seen[0][0]) == 1350
    orders = [rows.order for rows, _, _ in seen]
    assert_array_equal(np.sort(orders[0]), np.sort(orders[1]))
    assert (orders[0] != orders[1]).any()


@needs_core
@pytest.mark.parametrize("estimator_class", ALL)
def test_one_thread_is_reproducible_and_predictions_do_not_depend_on_threads(
    estimator_class,
):
    X, score = make_rows()
    y = target_of(estimator_class, score)
    params = {"solver": "adagrad", "random_state": 3, "max_iter": 4}
    first, second = (estimator_class(**params).fit(X, y) for _ in range(2))
    assert_array_equal(first.factors_, second.factors_)
    whole = scores_of(first, X)
    for n_jobs in (2, 3, -1):
        assert_array_equal(scores_of(first.set_params(n_jobs=n_jobs), X), whole)
    assert_array_equal(scores_of(first, X[7:8]), whole[7:8])


@needs_core
@pytest.mark.parametrize("estimator_class", ALL)
def test_core_and_torch_predict_the_same(estimator_class, monkeypatch):
    X, score = make_rows()
    estimator = estimator_class(max_iter=4, random_state=0)
    estimator.fit(X, target_of(estimator_class, score))
    core = scores_of(estimator, X)
    monkeypatch.setattr(compiled, "_core", None)
    other = scores_of(estimator, X)
    assert_allclose(core, other, atol=2e-6 * np.abs(core).max())


@needs_core
def test_rows_of_another_dtype_are_converted_in_parts(monkeypatch):
    X, score = make_rows()
    estimator = WeightedFMRegressor(max_iter=2, random_state=0).fit(X, score)
    whole = estimator.predict(X)
    monkeypatch.setattr("skwfm._scoring.CONVERT_ROWS", 100)
    assert_array_equal(estimator.predict(X.astype(np.float64)), whole)


@needs_core
@pytest.mark.parametrize("factor", [1e-3, 2.0])
def test_all_weights_equal_scale_the_penalties(factor):
    X, score = make_rows()
    params = {"max_iter": 3, "random_state": 0}
    weighted = WeightedFMRegressor(l2_factors=6 * factor, l2_linear=factor, **params)
    weighted.fit(X, score, sample_weight=np.full(len(score), factor))
    plain = WeightedFMRegressor(l2_factors=6, l2_linear=1, **params).fit(X, score)
    assert_allclose(weighted.factors_, plain.factors_, rtol=1e-4, atol=1e-6)
    unpenalised = WeightedFMRegressor(l2_factors=0, l2_linear=0, **params)
    assert np.abs(unpenalised.fit(X, score).factors_ - plain.factors_).max() > 1e-3


@needs_core
def test_weights_matter():
    X, score = make_rows()
    half = np.arange(len(score)) < 750
    weight = np.where(half, 1.0, 1e-6)
    params = {"max_iter": 10, "random_state": 0, "l2_factors": 0, "l2_linear": 0}
    y = np.where(half, score, -score)
    fitted = WeightedFMRegressor(**params).fit(X, y, sample_weight=weight)
    assert np.corrcoef(fitted.predict(X[half]), score[half])[0, 1] > 0.9
    assert np.corrcoef(fitted.predict(X[~half]), score[~half])[0, 1] > 0.8


@needs_core
def test_l1_makes_coefficients_zero():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 10))
    y = 2 * X[:, 0] - X[:, 1] + 0.1 * rng.normal(size=3000)
    params = {"solver": "ftrl", "fields": [10], "random_state": 0}
    sparse = WeightedFMRegressor(l1_linear=3000.0, **params).fit(X, y)
    dense = WeightedFMRegressor(**params).fit(X, y)
    assert (sparse.coef_[:2] != 0).all()
    assert (sparse.coef_[2:] == 0).sum() >= 6
    assert (dense.coef_ != 0).all()


@pytest.mark.parametrize("solver", ["auto", "adagrad", "adam"])
def test_l1_is_refused_by_other_solvers(solver):
    X, score = make_rows()
    estimator = WeightedFMRegressor(l1_linear=1.0, solver=solver)
    with pytest.raises(ValueError, match=r"l1_linear=1.0 is known to solver='ftrl'"):
        estimator.fit(X, score)


@needs_core
def test_linear_rate_is_its_own():
    X, score = make_rows()
    params = {"solver": "adagrad", "max_iter": 1, "random_state": 0}
    slow, fast = (
        WeightedFMRegressor(learning_rate_linear=rate, **params).fit(X, score)
        for rate in (1e-6, 0.3)
    )
    assert np.abs(slow.coef_).max() < 1e-3 < np.abs(fast.coef_).max()
    assert np.abs(slow.factors_).max() > 0.05


def only_small(array, *args, original=np.ascontiguousarray):
    """Refuse to copy the factors, which are 8 numbers per label."""
    copied = original(array, *args)
    assert np.shares_memory(copied, array) or copied.shape[-1] != 8 or copied.ndim < 2
    return copied


class Seen(Callback):
    """What a user's callback finds in the net, per epoch."""

    def on_train_begin(self, net, **kwargs):
        self.rates, self.norms, self.batches = [], [], 0

    def on_batch_end(self, net, batch, training, y_pred, **kwargs):
        self.batches += training
        assert y_pred.shape == (len(batch[0]), 1)
        assert len(batch[1]) == len(batch[0])

    def on_epoch_end(self, net, **kwargs):
        self.rates.append(net.history[-1, "event_lr"])
        self.norms.append(float(net.module_.bag.emb.weight.detach().norm()))


@needs_core
def test_callbacks_see_epochs_batches_and_parameters():
    X, score = make_rows()
    seen = Seen()
    estimator = WeightedFMRegressor(
        max_iter=4, batch_size=600, callbacks=[seen], learning_rate=0.4, random_state=0
    ).fit(X, score)
    assert seen.batches == 4 * 3
    assert_allclose(seen.rates[0], 0.4)
    assert (np.diff(seen.rates) < 0).all()
    assert estimator.history_["learning_rate"] == seen.rates
    assert len(set(seen.norms)) == 4
    assert len(estimator.history_["train_loss"]) == len(estimator.history_["seconds"])


@needs_core
@pytest.mark.parametrize("on_train", [False, True])
def test_scoring_callback(on_train):
    X, score = make_rows()
    scoring = EpochScoring("neg_mean_squared_error", name="mse", on_train=on_train)
    estimator = WeightedFMRegressor(
        max_iter=3, early_stopping=True, callbacks=[scoring], random_state=0
    ).fit(X, score)
    losses = estimator.history_["train_loss" if on_train else "valid_loss"]
    assert_allclose(-np.array(estimator.history_["mse"]), 2 * np.array(losses), 1e-4)


@needs_core
def test_a_schedule_of_the_users_sets_the_rate():
    X, score = make_rows()
    schedule = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    estimator = WeightedFMRegressor(
        max_iter=3, callbacks=[schedule], learning_rate=0.4, random_state=0
    ).fit(X, score)
    assert_allclose(estimator.history_["learning_rate"], [0.4, 0.2, 0.1])


@needs_core
def test_checkpoints_of_skorch_are_written(tmp_path):
    X, score = make_rows()
    checkpoint = Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    estimator = WeightedFMRegressor(
        max_iter=3, callbacks=[checkpoint], random_state=0
    ).fit(X, score)
    state = torch.load(tmp_path / "params.pt", weights_only=True)
    scale = np.sqrt(score.std())
    assert_allclose(
        scale * state["bag.emb.weight"].numpy(), estimator.factors_, rtol=1e-4
    )
    assert (tmp_path / "optimizer.pt").exists()


@needs_core
def test_early_stopping_goes_back_to_the_best_epoch():
    X, score = make_rows(2000)
    noisy = score + 5 * np.random.default_rng(0).normal(size=len(score))
    train, valid = (X[:600], noisy[:600]), (X[600:], noisy[600:])
    estimator = WeightedFFMRegressor(
        solver="adagrad",
        l2_factors=0,
        max_iter=40,
        n_iter_no_change=3,
        early_stopping=True,
        random_state=0,
    ).fit(*train, eval_set=valid)
    losses = estimator.history_["valid_loss"]
    assert estimator.best_iter_ == np.argmin(losses) + 1 < estimator.n_iter_ < 40
    scale = noisy[:600].std() ** 2
    loss = 0.5 * np.mean((estimator.predict(valid[0]) - valid[1]) ** 2) / scale
    assert_allclose(loss, min(losses), rtol=1e-4)


@needs_core
def test_large_parameters_are_not_copied_each_epoch(monkeypatch):
    X, score = make_rows()
    monkeypatch.setattr("skwfm._online.KEEP_BYTES", 0)
    estimator = WeightedFMRegressor(
        solver="sgd", learning_rate=1e6, l2_factors=0, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match=r"Lower learning_rate=1e\+06"):
        estimator.fit(X, score)
    assert np.isfinite(estimator.factors_).all()


@needs_core
@pytest.mark.parametrize("callbacks", [None, [Seen()]])
def test_fitted_arrays_own_their_memory_and_pickle_small(callbacks, monkeypatch):
    X, score = make_rows()
    # A copy would take the memory of the table once more.
    monkeypatch.setattr(compiled.np, "ascontiguousarray", only_small)
    estimator = WeightedFMRegressor(max_iter=1, random_state=0, callbacks=callbacks)
    estimator.fit(X, score)
    monkeypatch.undo()
    factors = estimator.factors_
    while factors.base is not None:
        factors = factors.base
    assert factors.nbytes == estimator.factors_.nbytes
    again = pickle.loads(pickle.dumps(estimator))
    assert_array_equal(again.predict(X), estimator.predict(X))


@needs_core
def test_a_field_map_in_any_order_equals_sorted_columns():
    X, score = make_rows()
    order = np.random.default_rng(0).permutation(sum(SIZES))
    fields = np.repeat(np.arange(3), SIZES)
    params = {"max_iter": 4, "init_scale": 0.0, "random_state": 0}
    plain = WeightedFFMRegressor(fields=fields, **params).fit(csr_matrix(X), score)
    moved = WeightedFFMRegressor(fields=fields[order], **params)
    moved.fit(csr_matrix(X)[:, order], score)
    assert_allclose(
        moved.predict(csr_matrix(X)[:, order]), plain.predict(X), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("solver", ["auto", "adagrad", "sgd"])
def test_without_the_core_torch_serves_with_one_warning(solver, no_core):
    X, score = make_rows()
    params = {"random_state": 0, "l2_factors": 1.0, "device": "cpu"}
    estimator = WeightedFMRegressor(solver=solver, **params)
    with pytest.warns(RuntimeWarning, match="without its compiled core") as caught:
        estimator.fit(X, score)
    assert [warning.filename for warning in caught] == [__file__]
    assert estimator.score(X, score) > 0.8


def test_few_rows_need_no_core(no_core):
    X, score = make_rows(200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WeightedFMRegressor(random_state=0).fit(X, score).predict(X)


def test_ftrl_needs_the_core(no_core):
    X, score = make_rows()
    with pytest.raises(ValueError, match="solver='ftrl' needs the compiled core"):
        WeightedFMRegressor(solver="ftrl").fit(X, score)


@needs_core
def test_core_takes_over_all_losses():
    X, score = make_rows(3000)
    rng = np.random.default_rng(0)
    outliers = score.copy()
    outliers[:150] += 300
    params = {"l2_factors": 1.0, "l2_linear": 1.0, "random_state": 0}
    for solver in ("lbfgs", "adagrad"):
        huber = WeightedFMRegressor(loss="huber", solver=solver, **params)
        squared = WeightedFMRegressor(solver=solver, **params)
        errors = [
            np.abs(model.fit(X, outliers).predict(X) - score).mean()
            for model in (huber, squared)
        ]
        assert errors[0] < 0.1 * errors[1]
        rate = np.exp(3 * score / np.abs(score).max())
        counts = rng.poisson(rate)
        poisson = WeightedFMRegressor(loss="poisson", solver=solver, **params)
        predicted = poisson.fit(X, counts).predict(X)
        assert (predicted > 0).all()
        assert_allclose(predicted.mean(), counts.mean(), rtol=0.05)
        assert np.corrcoef(predicted, rate)[0, 1] > 0.9


def test_poisson_refuses_negative_targets():
    X, score = make_rows(100)
    with pytest.raises(ValueError, match=r"y, row \d+: got .*expected a value >= 0"):
        WeightedFMRegressor(loss="poisson").fit(X, score)
    with pytest.raises(ValueError, match="zeros only"):
        WeightedFMRegressor(loss="poisson").fit(X, np.zeros(100))


@needs_core
def test_classes_by_softmax():
    X, score = make_rows(3000)
    y = np.digitize(score, np.quantile(score, [0.33, 0.66]))
    for estimator_class in (WeightedFMClassifier, WeightedFFMClassifier):
        estimator = estimator_class(l2_factors=0.3, l2_linear=0.3, random_state=0)
        estimator.fit(X, y)
        assert estimator.score(X, y) > 0.8
        assert_allclose(estimator.predict_proba(X).sum(1), 1, rtol=1e-5)
