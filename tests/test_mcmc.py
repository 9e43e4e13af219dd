"""Solvers that sweep over the labels: what models keep, predict and refuse."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.callbacks import Callback

from skwfm import (
    FieldCSR,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    _training,
)
from skwfm._draws import sweeps_to_keep
from skwfm._kernels import compiled
from skwfm._samples import LOGIT, Samples

QUICK = {"solver": "mcmc", "max_iter": 12, "n_kept": 5, "random_state": 0}
SIZES = [40, 30, 12]


def no_partial_fit(self):
    raise AttributeError("partial_fit")


class Regressor(WeightedFMRegressor):
    """Without steps per row, which sweeps do not have."""

    partial_fit = property(no_partial_fit)


class Classifier(WeightedFMClassifier):
    """The same."""

    partial_fit = property(no_partial_fit)


# Few draws: a chain on fifteen rows is chaotic, and rounding grows to differences.
@pytest.mark.filterwarnings("ignore::skwfm.FieldMapWarning")
@parametrize_with_checks(
    [
        Regressor(solver="mcmc", max_iter=6, n_kept=3, random_state=0),
        Regressor(solver="als", max_iter=200, tol=1e-10),
        Classifier(solver="mcmc", max_iter=60, n_kept=10, random_state=0),
    ]
)
def test_estimator_checks(estimator, check):
    name = getattr(check, "func", check).__name__
    if "sample_weight_equivalence" in name and isinstance(estimator, Classifier):
        pytest.skip("a repeated row has latent scores of its own")
    check(estimator)


def make_rows(n=3000, seed=0, noise=0.5, dtype=np.float32):
    """Draw rows of a user, an item and tags, and a target of planted factors."""
    rng = np.random.default_rng(seed)
    parts = [
        sp.csr_array(
            (np.ones(n), (np.arange(n), rng.integers(0, size, n))), shape=(n, size)
        )
        for size in SIZES[:2]
    ]
    tags = sp.csr_array(
        sp.random(
            n, SIZES[2], density=0.2, random_state=rng.integers(2**31), format="csr"
        )
    )
    X = FieldCSR(sp.hstack([*parts, tags]).tocsr().astype(dtype), fields=SIZES)
    planted = np.random.default_rng(99)
    k = 3
    factors = planted.normal(0, 0.7, (sum(SIZES), k))
    linear = planted.normal(0, 0.5, sum(SIZES))
    ends = np.cumsum(SIZES)
    bags = [
        sp.csr_array(X)[:, end - size : end] @ factors[end - size : end]
        for size, end in zip(SIZES, ends, strict=True)
    ]
    scores = 3 + X @ linear + (bags[0] * bags[1]).sum(1)
    scores += ((bags[0] + bags[1]) * bags[2]).sum(1)
    return X, scores + noise * rng.normal(size=n), scores


def rmse(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2)))


def noise_variance(model, X):
    """Return the variance of the noise of every row, by the draws."""
    draws = model.samples_
    labels = (sp.csr_array(X) != 0).astype(float)
    return (np.exp(labels @ draws.spread.T.astype(float)) * draws.noise**2).mean(axis=1)


def test_predictions_are_better_than_those_of_one_model():
    X, y, _ = make_rows()
    new, _, scores = make_rows(seed=1)
    errors = {
        solver: rmse(
            WeightedFMRegressor(4, solver=solver, random_state=0, **more)
            .fit(X, y)
            .predict(new),
            scores,
        )
        for solver, more in {
            "mcmc": {"max_iter": 100},
            "als": {"l2_factors": 2, "l2_linear": 2},
            "adagrad": {},
        }.items()
    }
    ridge = rmse(Ridge().fit(sp.csr_array(X), y).predict(sp.csr_array(new)), scores)
    assert errors["mcmc"] < 0.25
    assert errors["mcmc"] < min(errors["als"], errors["adagrad"])
    assert errors["als"] < ridge


def test_intervals_hold_what_they_say():
    """Of planted data, 90 % within two points."""
    X, y, _ = make_rows(4000)
    model = WeightedFMRegressor(3, solver="mcmc", max_iter=150, random_state=0)
    model.fit(X, y)
    new, targets, scores = make_rows(5000, seed=1)
    mean, std = model.predict(new, return_std=True)
    inside = np.mean(np.abs(targets - mean) < 1.6449 * std)
    assert abs(inside - 0.9) < 0.02
    # Without the noise, those of the score itself.
    noise = noise_variance(model, new)
    assert abs(noise.mean() - 0.25) < 0.02
    of_score = np.sqrt(std**2 - noise)
    assert 0.85 < np.mean(np.abs(scores - mean) < 1.6449 * of_score) < 0.97


def test_noise_of_its_own_for_each_label():
    """A user whose targets scatter more than those of others is seen to."""
    X, y, scores = make_rows(4000, noise=0.2)
    loud = X[:, :5].toarray().any(axis=1)
    rng = np.random.default_rng(5)
    y = np.where(loud, scores + 2 * rng.normal(size=len(y)), y)
    model = WeightedFMRegressor(3, solver="mcmc", max_iter=100, random_state=0)
    model.fit(X, y)
    _, std = model.predict(X, return_std=True)
    assert 1.8 < std[loud].mean() < 2.4
    assert 0.2 < std[~loud].mean() < 0.5
    assert model.history_["noise_freedom_field0"][-1] < 10
    assert set(model.history_) >= {
        "noise",
        "precision_field2",
        "linear_precision_field1",
    }


@pytest.mark.parametrize("loss", ["squared_error", "ordinal"])
def test_result_depends_on_random_state_alone(loss):
    X, y, _ = make_rows(600)
    y = y.round().clip(1, 5)
    fits = [
        WeightedFMRegressor(4, loss=loss, **QUICK | more).fit(X, y)
        for more in ({}, {"n_jobs": 2}, {"random_state": 1})
    ]
    one, threads, other = (model.predict(X, return_std=True) for model in fits)
    np.testing.assert_array_equal(one, threads)
    assert np.abs(one[0] - other[0]).max() > 1e-4


def test_draws_are_kept_to_the_last():
    X, y, _ = make_rows(300)
    models = [
        WeightedFMRegressor(2, **QUICK | {"n_kept": n, "n_burn_in": 2}).fit(X, y)
        for n in (1, 2, 100)
    ]
    assert [len(model.samples_) for model in models] == [1, 2, 10]
    for model in models:
        assert model.samples_.factors.shape[1:] == model.factors_.shape
        np.testing.assert_array_equal(
            model.samples_.factors[-1], models[2].samples_.factors[-1]
        )
    draws = models[2].samples_
    np.testing.assert_allclose(models[2].coef_, draws.linear.mean(axis=0), rtol=1e-4)
    assert models[2].intercept_ == pytest.approx(draws.intercept.mean(), rel=1e-5)


def test_predictions_are_means_over_the_draws():
    X, y, _ = make_rows(500)
    model = WeightedFMRegressor(2, **QUICK).fit(X, y)
    point = clone(model).set_params(solver="auto").fit(X, y)
    scores = []
    for factors, linear, bias in model.samples_:
        point.factors_, point.coef_, point.intercept_ = (
            factors,
            linear[:, 0],
            float(bias[0]),
        )
        scores.append(point.predict(X))
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, np.mean(scores, axis=0), rtol=1e-5)
    np.testing.assert_allclose(mean, model.predict(X), rtol=1e-6)
    variance = np.var(scores, axis=0) + noise_variance(model, X)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-4)


def test_one_model_predicts_nearly_as_well():
    """`factors_` are a mean of draws that are turned to lie on each other."""
    X, y, _ = make_rows()
    new, _, scores = make_rows(seed=1)
    model = WeightedFMRegressor(3, solver="mcmc", max_iter=80, random_state=0)
    of_draws = rmse(model.fit(X, y).predict(new), scores)
    assert rmse(model._scores(new)[:, 0], scores) < 1.5 * of_draws


def test_classes_are_probabilities_of_the_draws():
    X, _, scores = make_rows(4000)
    new, _, new_scores = make_rows(2000, seed=1)
    rng = np.random.default_rng(3)
    y, truth = (
        np.where(s - 3 + rng.normal(size=len(s)) > 0, "yes", "no")
        for s in (scores, new_scores)
    )
    params = {"max_iter": 80, "random_state": 0}
    model = WeightedFMClassifier(3, solver="mcmc", **params).fit(X, y)
    other = WeightedFMClassifier(3, random_state=0).fit(X, y)
    proba = model.predict_proba(new)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert log_loss(truth, proba) < log_loss(truth, other.predict_proba(new))
    np.testing.assert_array_equal(model.predict(new) == "yes", proba[:, 1] > 0.5)
    logits = model.decision_function(new)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), proba[:, 1], rtol=1e-5)
    # The draws are in units of log-odds, and so is their mean.
    assert (model.samples_.noise == LOGIT).all()
    assert np.corrcoef(model._scores(new)[:, 0], logits)[0, 1] > 0.98


def test_levels_in_an_order():
    X, _, scores = make_rows(4000)
    new, _, new_scores = make_rows(2000, seed=1)
    rng = np.random.default_rng(3)
    cuts, levels = np.array([1.5, 3.0, 3.5]), np.array([0.5, 1.0, 4.0, 5.0])
    y, truth = (
        levels[np.searchsorted(cuts, s + rng.normal(size=len(s)))]
        for s in (scores, new_scores)
    )
    model = WeightedFMRegressor(3, loss="ordinal", max_iter=80, random_state=0)
    mean, std = model.fit(X, y).predict(new, return_std=True)
    np.testing.assert_array_equal(model.samples_.levels, levels)
    found = model.samples_.cuts.mean(axis=0)
    np.testing.assert_allclose(np.diff(found), np.diff(cuts), atol=0.15)
    np.testing.assert_allclose(mean, model.predict(new), rtol=1e-5)
    assert (mean >= 0.5).all()
    assert (mean <= 5).all()
    normal = WeightedFMRegressor(3, solver="mcmc", max_iter=80, random_state=0)
    assert rmse(mean, truth) < rmse(normal.fit(X, y).predict(new), truth)
    assert abs(np.mean(((truth - mean) / std) ** 2) - 1) < 0.2


def test_a_sure_level_has_a_deviation_next_to_0():
    """Its variance is no difference of squares, which may round below 0."""
    levels, cuts = np.array([0.5, 1.0, 4.0, 5.0]), np.array([[-1.0, 0.0, 1.0]])
    factors, zeros = np.zeros((1, 1, 1)), np.zeros((1, 1))
    draws = Samples(factors, zeros, np.zeros(1), np.ones(1), None, cuts, levels)
    scores = np.linspace(-30, 30, 20_001)[:, None]
    mean, std = draws.mean_and_std(lambda _: scores, sp.csr_array((20_001, 1)))
    assert (std >= 0).all()
    np.testing.assert_allclose(mean[[0, -1]], levels[[0, -1]])
    np.testing.assert_allclose(std[[0, -1]], 0, atol=1e-8)


def test_weights_are_exponents_of_rows():
    """Rows of weight 0 are none, and those of a large weight rule."""
    X, y, scores = make_rows(1500)
    wrong = y.copy()
    wrong[::3] += 50
    weights = np.ones(len(y))
    weights[::3] = 0
    left = np.flatnonzero(weights)
    model = WeightedFMRegressor(3, **QUICK)
    one = clone(model).fit(X, wrong, sample_weight=weights).predict(X)
    np.testing.assert_allclose(one, clone(model).fit(X[left], y[left]).predict(X))
    weights[::3] = 1e-6
    light = clone(model).fit(X, wrong, sample_weight=weights).predict(X)
    assert rmse(light, scores) < 1.5
    classes = np.where(y > 3, "b", "a")
    heavy = np.where(classes == "a", 30.0, 1.0)
    classifier = WeightedFMClassifier(2, **QUICK)
    plain = classifier.fit(X, classes).predict_proba(X)[:, 0]
    weighted = classifier.fit(X, classes, sample_weight=heavy).predict_proba(X)[:, 0]
    assert weighted.mean() > plain.mean() + 0.05


def test_rows_to_stop_by():
    X, y, _ = make_rows(1500)
    new, targets, _ = make_rows(500, seed=1)
    params = {**QUICK, "max_iter": 200, "n_kept": 200, "tol": 0.05}
    params["n_iter_no_change"] = 3
    model = WeightedFMRegressor(3, **params).fit(X, y, eval_set=(new, targets))
    assert 20 < model.n_iter_ < 200
    assert len(model.samples_) == model.n_iter_ - 20
    few = clone(model).set_params(n_kept=2).fit(X, y, eval_set=(new, targets))
    # Every second run of two draws was dropped as often as there was no room.
    runs, every = np.arange(len(model.samples_)) // 2 + 1, 1
    while runs[-1] // every > 1:
        every *= 2
    assert every > 1
    left = model.samples_.factors[runs % every == 0]
    np.testing.assert_array_equal(few.samples_.factors, left)
    # What is watched is the mean of all draws after the burn-in.
    unit = y.std()
    last = np.sqrt(2 * model.history_["valid_loss"][-1]) * unit
    assert last == pytest.approx(rmse(model.predict(new), targets), rel=1e-3)
    held = WeightedFMRegressor(3, **{**QUICK, "early_stopping": True}).fit(X, y)
    assert len(held.history_["valid_loss"]) == 12


def test_a_warm_start_goes_on_with_the_chain():
    X, y, _ = make_rows(800)
    model = WeightedFMRegressor(3, warm_start=True, **QUICK).fit(X, y)
    first = model.samples_
    model.fit(X, y)
    assert model.n_iter_ == 24
    assert len(model.history_["noise"]) == 24
    # No burn-in, and where it had come to: noise as in the last sweep, not the first.
    noise = model.history_["noise"]
    assert abs(noise[12] - noise[11]) < 0.5 * abs(noise[0] - noise[11])
    assert first is not model.samples_
    point = WeightedFMRegressor(3, warm_start=True, random_state=0).fit(X, y)
    point.set_params(**QUICK).fit(X, y)
    assert len(point.samples_) == 5
    point.set_params(solver="adagrad").fit(X, y)
    assert not hasattr(point, "samples_")
    model.set_params(solver="auto").partial_fit(X[:50], y[:50])
    assert not hasattr(model, "samples_")
    assert np.isfinite(model.predict(X)).all()


def test_a_warm_start_goes_on_with_the_noise_of_labels():
    """How much it differs between labels is known at once, not only in some sweeps."""
    X, y, _ = make_rows(3000)
    rng = np.random.default_rng(0)
    labels = X.toarray()[:, X.field_map.ids == 0].argmax(axis=1)
    y = y + 3 * (labels % 3 == 0) * rng.standard_normal(len(y))
    params = {**QUICK, "max_iter": 40, "n_kept": 20}
    model = WeightedFMRegressor(3, warm_start=True, **params).fit(X, y)
    known = model.samples_.spread[-1]
    model.set_params(max_iter=1).fit(X, y)
    freedom = model.history_[f"noise_freedom_{model.field_names_[0]}"]
    assert freedom[0] > 10 * freedom[39]
    assert freedom[40] < 3 * freedom[39]
    drawn = model.samples_.spread[-1]
    assert np.corrcoef(known[: labels.max()], drawn[: labels.max()])[0, 1] > 0.8


@pytest.mark.parametrize("solver", ["mcmc", "als"])
def test_a_device_that_is_no_cpu_is_refused(solver, monkeypatch):
    X, y, _ = make_rows(50)
    monkeypatch.setattr(
        _training, "resolve_device", lambda *args, **kwargs: torch.device("cuda")
    )
    model = WeightedFMRegressor(2, solver=solver, max_iter=5, device="cuda")
    with pytest.raises(ValueError, match=f"device='cuda': solver='{solver}' sweeps on"):
        model.fit(X, y)
    model.set_params(device="auto").fit(X, y)


def test_a_refit_forgets_draws_and_levels():
    X, y, _ = make_rows(200)
    model = WeightedFMRegressor(2, loss="ordinal", **QUICK).fit(X, y.round())
    model.set_params(loss="squared_error").fit(X, y)
    assert not hasattr(model, "levels_")
    model.set_params(solver="auto").fit(X, y)
    assert not hasattr(model, "samples_")
    assert model.predict(X).shape == (200,)


class Recorder(Callback):
    """Write down what a callback sees of every sweep."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        module = net.module_
        self.seen.append(module.bag.emb.weight.detach().clone())
        if len(self.seen) == 5:
            raise KeyboardInterrupt


def test_callbacks_see_every_draw_and_may_stop():
    X, y, _ = make_rows(300)
    recorder = Recorder()
    model = WeightedFMRegressor(2, callbacks=[recorder], **QUICK).fit(X, y)
    assert model.n_iter_ == len(recorder.seen) == 5
    assert not np.array_equal(recorder.seen[0], recorder.seen[1])
    # The last is the first of those to keep, in units of y.
    assert min(sweeps_to_keep(5, 2, 12)) == 5
    seen = recorder.seen[4].numpy() * np.sqrt(y.std())
    np.testing.assert_allclose(model.samples_.factors, [seen], rtol=1e-4)


@pytest.mark.parametrize("n_sweeps", [1, 2, 7, 30])
def test_kept_sweeps_are_spread_by_twos_up_to_the_last(n_sweeps):
    for n_kept in range(1, n_sweeps + 1):
        kept = sorted(sweeps_to_keep(n_kept, 11, 10 + n_sweeps))
        assert len(kept) == n_kept
        assert kept[0] >= 11
        assert kept[-1] == 10 + n_sweeps
    pairs = np.reshape(sorted(sweeps_to_keep(10, 11, 10 + 5 * n_sweeps + 5)), (5, 2))
    assert (np.diff(pairs) == 1).all()
    assert np.ptp(np.diff(pairs[:, 1])) <= 1


def test_columns_of_a_field_may_stand_anywhere():
    """Labels keep their place: the same fields, told in another order of columns."""
    X, y, scores = make_rows(1500)
    order = np.random.default_rng(0).permutation(X.shape[1])
    mixed = FieldCSR(sp.csr_array(X)[:, order], fields=X.fields[order])
    params = {"solver": "mcmc", "max_iter": 60, "random_state": 0}
    model = WeightedFMRegressor(3, **params).fit(mixed, y)
    plain = WeightedFMRegressor(3, **params).fit(X, y)
    assert rmse(model.predict(mixed), scores) < 1.2 * rmse(plain.predict(X), scores)
    corr = np.corrcoef(model.coef_, plain.coef_[order])[0, 1]
    assert corr > 0.9


@pytest.mark.parametrize("params", [{"fit_linear": False}, {"fit_intercept": False}])
@pytest.mark.parametrize("solver", ["mcmc", "als"])
def test_parts_may_be_left_out(solver, params):
    X, y, _ = make_rows(400)
    model = WeightedFMRegressor(2, **{**QUICK, "solver": solver}, **params).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert (model.coef_ == 0).all() == (params == {"fit_linear": False})
    assert (model.intercept_ == 0) == (params == {"fit_intercept": False})


def test_intra_field_pairs():
    rng = np.random.default_rng(0)
    X = FieldCSR(rng.integers(0, 2, (800, 6)).astype(np.float32), fields=[3, 3])
    dense = X.toarray()
    y = dense[:, 0] * dense[:, 1] * 2 - dense[:, 3] + 0.1 * rng.normal(size=800)
    params = {**QUICK, "max_iter": 60}
    inside = WeightedFMRegressor(2, intra_field=True, **params).fit(X, y)
    without = WeightedFMRegressor(2, **params).fit(X, y)
    assert rmse(inside.predict(X), y) < 0.15 < 0.3 < rmse(without.predict(X), y)


def test_columns_without_fields_share_their_priors():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 20))
    y = X @ rng.normal(size=20) + 3 * X[:, 0] * X[:, 1] + 0.1 * rng.normal(size=700)
    params = {**QUICK, "max_iter": 60}
    model = WeightedFMRegressor(3, **params).fit(X[:500], y[:500])
    assert rmse(model.predict(X[500:]), y[500:]) < 0.1 * y.std()
    assert "precision_columns" in model.history_
    # As many fields as columns, but one of them has two.
    fields = FieldCSR(X, fields=[*range(19), 0])
    other = WeightedFMRegressor(3, **params).fit(fields[:500], y[:500])
    assert "precision_field18" in other.history_


def test_least_squares_stop_and_equal_lbfgs():
    """Both minimise one convex loss where there are no pairs."""
    rng = np.random.default_rng(0)
    X = FieldCSR(rng.normal(size=(300, 4)), fields=[4])
    y = X.toarray() @ [1.0, 2.0, -1.0, 0.5] + 0.1 * rng.normal(size=300)
    params = {"l2_linear": 3.0, "tol": 1e-12, "max_iter": 300, "random_state": 0}
    als, lbfgs = (
        WeightedFMRegressor(2, solver=solver, **params).fit(X, y)
        for solver in ("als", "lbfgs")
    )
    assert als.n_iter_ < 300
    np.testing.assert_allclose(als.coef_, lbfgs.coef_, rtol=1e-5)
    losses = np.array(als.history_["train_loss"])
    assert (np.diff(losses) <= 1e-12).all()
    assert losses[-1] == pytest.approx(lbfgs.history_["train_loss"][-1], rel=1e-6)


def test_frames_of_raw_columns():
    pd = pytest.importorskip("pandas")
    films = pd.DataFrame({"user": ["a", "b"] * 30, "genres": [["War"], ["Art"]] * 30})
    model = WeightedFMRegressor(2, **QUICK).fit(films, [1.0, 4.0] * 30)
    low, high = model.predict(films[:2])
    assert low < 2.5 < high


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (WeightedFFMRegressor(solver="mcmc"), "not for a field-aware model"),
        (WeightedFMRegressor(solver="als", loss="huber"), "not for loss='huber'"),
        (WeightedFMRegressor(solver="mcmc", loss="poisson"), "not for loss='poisson'"),
        (WeightedFMRegressor(solver="adam", loss="ordinal"), "'mcmc' or 'auto'"),
        (WeightedFMRegressor(solver="als", loss="ordinal"), "'mcmc' or 'auto'"),
        (WeightedFMClassifier(solver="als"), "not for classes"),
        (WeightedFMRegressor(solver="mcmc", dropout=0.5), "dropout=0.5"),
        (WeightedFMRegressor(solver="mcmc", l1_linear=1.0), "l1_linear=1.0"),
        (
            WeightedFMRegressor(solver="als", learning_rate_schedule="linear"),
            "learning_rate_schedule='linear'",
        ),
        (
            WeightedFMRegressor(solver="mcmc", n_burn_in=200),
            "n_burn_in=200 leaves none",
        ),
        (WeightedFMRegressor(solver="mcmc", n_kept=0), "n_kept"),
    ],
)
def test_what_cannot_be_is_told(model, message):
    X, y, _ = make_rows(60)
    if isinstance(model, WeightedFMClassifier):
        y = y > 3
    with pytest.raises(ValueError, match=message):
        model.fit(X, np.abs(y).round())


def test_more_classes_are_wrapped():
    X, y, _ = make_rows(400)
    three = np.digitize(y, [2.0, 4.0])
    model = WeightedFMClassifier(2, **QUICK)
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        model.fit(X, three)
    wrapped = OneVsRestClassifier(model).fit(X, three)
    assert wrapped.score(X, three) > 0.6


def test_targets_that_are_no_levels():
    X, y, _ = make_rows(300)
    with pytest.raises(ValueError, match="300 different values, expected 2 to 100"):
        WeightedFMRegressor(loss="ordinal").fit(X, y)
    with pytest.raises(ValueError, match="1 different values"):
        WeightedFMRegressor(loss="ordinal").fit(X, np.ones(300))
    model = WeightedFMRegressor(loss="ordinal", **QUICK)
    with pytest.raises(ValueError, match=r"y, row 0: got class 99\.0"):
        model.fit(X, y.round(), eval_set=(X[:1], [99.0]))
    with pytest.raises(ValueError, match="partial_fit takes a step per row"):
        WeightedFMRegressor(loss="ordinal").partial_fit(X, y.round())


def test_deviations_need_draws():
    X, y, _ = make_rows(60)
    with pytest.raises(ValueError, match="solver='mcmc'"):
        WeightedFMRegressor().fit(X, y).predict(X, return_std=True)


def test_draws_that_do_not_fit_into_memory():
    X, y, _ = make_rows(60)
    with pytest.raises(MemoryError, match=r"n_kept=\d+ draws of .* at most n_kept="):
        WeightedFMRegressor(
            solver="mcmc", max_iter=2**40, n_kept=2**36, n_burn_in=0
        ).fit(X, y)


def test_numbers_that_overflow_stop_the_chain():
    X, y, _ = make_rows(300)
    X = X.astype(np.float64) * 1e160
    with pytest.warns(ConvergenceWarning, match="not finite"):
        model = WeightedFMRegressor(2, **QUICK).fit(X, y)
    assert np.isfinite(model.factors_).all()


@pytest.mark.parametrize("sizes", [[2, 2], [1, 1, 1, 1]])
def test_blocks_that_hardly_differ_do_not_stop_a_chain(sizes):
    """Of few labels with many rows: rounding outweighs what a block's prior says."""
    X = np.array([[0, 1, 1, 0], [1, 1, 0, 1]] * 3000, np.float32)
    y = np.array([1.0, 3.0] * 3000)
    y += 0.3 * np.random.default_rng(0).normal(size=6000)
    for seed in range(3):
        params = {"max_iter": 60, "random_state": seed}
        model = WeightedFMRegressor(solver="mcmc", fields=sizes, **params).fit(X, y)
        assert model.n_iter_ == 60
        np.testing.assert_allclose(model.predict(X[:2]), [1, 3], atol=0.05)


def test_without_the_core_numpy_sweeps(monkeypatch):
    X, y, scores = make_rows(400)
    by_core = WeightedFMRegressor(2, **QUICK).fit(X, y).predict(X)
    monkeypatch.setattr(compiled, "_core", None)
    with pytest.warns(RuntimeWarning, match="without its compiled core"):
        model = WeightedFMRegressor(2, **QUICK).fit(X, y)
    assert not compiled.available()
    mean, std = model.predict(X, return_std=True)
    assert (std > 0).all()
    np.testing.assert_allclose(mean, by_core, rtol=1e-6)
    monkeypatch.setattr("skwfm._draws.TWIN_COLUMNS", 10)
    with pytest.raises(ValueError, match="needs the compiled core"):
        WeightedFMRegressor(2, **QUICK).fit(X, y)
