"""`partial_fit` and `warm_start`: the same rows in any parts, growth, and going on."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.metrics import r2_score
from sklearn.model_selection import learning_curve
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor

from skwfm import (
    FieldCSR,
    FieldMap,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)
from skwfm._kernels import compiled
from skwfm._losses import Huber, Poisson, Squared
from skwfm._state import Seen, unit_of

CLASSIFIERS = [WeightedFMClassifier, WeightedFFMClassifier]
REGRESSORS = [WeightedFMRegressor, WeightedFFMRegressor]
ALL = [*CLASSIFIERS, *REGRESSORS]
N_FIELDS, PER_FIELD = 3, 6
IDS = np.repeat(np.arange(N_FIELDS), PER_FIELD)
NAMES = [f"field{i}" for i in range(N_FIELDS)]
WAYS = [
    {"solver": "auto"},
    {"solver": "adagrad", "adagrad_state": "weight"},
    {"solver": "sgd"},
    {"solver": "ftrl", "l1_linear": 0.5},
]
every_estimator = pytest.mark.parametrize("estimator_class", ALL)
every_way = pytest.mark.parametrize("params", WAYS, ids=lambda p: "-".join(p.values())
                                    if all(isinstance(v, str) for v in p.values())
                                    else p["solver"])  # fmt: skip


def draw(n_rows=300, dtype=np.float64, seed=0):
    """Draw rows of 3 fields with a planted interaction, and scores."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.5, 1.5, (n_rows, len(IDS))) * (
        rng.random((n_rows, len(IDS))) < 0.4
    )
    first, second = X[:, :PER_FIELD].sum(1), X[:, PER_FIELD : 2 * PER_FIELD].sum(1)
    score = (first - first.mean()) * (second - second.mean()) + X[:, 0]
    return matrix(X.astype(dtype)), score + 0.1 * rng.normal(size=n_rows)


def matrix(X, ids=IDS):
    return FieldCSR(sp.csr_matrix(X), fields=FieldMap(ids, NAMES))


def target_of(estimator_class, score):
    if estimator_class in REGRESSORS:
        return 3 + 2 * score
    return np.array(["no", "yes"])[(score > 0).astype(int)]


def made(estimator_class, **params):
    return estimator_class(
        4, **{"l2_factors": 0.5, "l2_linear": 0.5, "random_state": 0} | params
    )


def fed(estimator, X, y, cuts=(), weights=None):
    """Feed rows in parts."""
    more = {}
    if hasattr(estimator, "predict_proba"):
        more["classes"] = np.unique(y)
    for rows in np.split(np.arange(len(y)), cuts):
        if weights is not None:
            more["sample_weight"] = weights[rows]
        estimator.partial_fit(X[rows], y[rows], **more)
    return estimator


def assert_same_model(a, b):
    for name in ("factors_", "coef_", "intercept_"):
        assert_array_equal(getattr(a, name), getattr(b, name), name)
    for name in ("counts", "state", "linear_state", "bias", "seen"):
        assert_array_equal(
            getattr(a.solver_state_, name), getattr(b.solver_state_, name), name
        )


# In parts


@every_way
@every_estimator
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_do_not_matter(estimator_class, params, dtype):
    X, score = draw(dtype=dtype)
    y = target_of(estimator_class, score)
    whole = fed(made(estimator_class, **params), X, y)
    cuts = [1, 2, 3, 5, 8, 13, 17, 50, 64, 65, 128, 200]
    parts = fed(made(estimator_class, **params), X, y, cuts)
    assert whole.factors_.dtype == dtype
    assert_same_model(whole, parts)
    assert_array_equal(whole.predict(X), parts.predict(X))
    assert (whole.n_iter_, parts.n_iter_) == (1, len(cuts) + 1)
    sizes = np.diff([0, *cuts, len(y)])
    losses = np.average(parts.history_["train_loss"], weights=sizes)
    assert whole.history_["train_loss"] == pytest.approx([losses], rel=1e-6)


@given(cuts=st.lists(st.integers(0, 120), max_size=8), data=st.data())
def test_any_parts_and_weights(cuts, data):
    X, score = draw(120)
    some = st.sampled_from([0.0, 0.5, 1.0, 3.0])
    weights = np.array(data.draw(st.lists(some, min_size=120, max_size=120)))
    cuts = sorted(cuts)
    weights[[0, *(c for c in cuts if c < 120)]] = 2.0  # no part without weight
    cuts = sorted({c for c in cuts if 0 < c < 120})
    whole = fed(made(WeightedFMRegressor), X, score, (), weights)
    assert_same_model(fed(made(WeightedFMRegressor), X, score, cuts, weights), whole)
    used = weights > 0
    assert_same_model(
        fed(made(WeightedFMRegressor), X[used], score[used], (), weights[used]), whole
    )


@pytest.mark.parametrize("loss", ["huber", "poisson"])
def test_parts_do_not_matter_for_other_losses(loss):
    X, score = draw()
    y = np.round(np.exp(score / 4)) if loss == "poisson" else score
    params = {"loss": loss, "l2_factors": 0.1}
    whole = fed(made(WeightedFMRegressor, **params), X, y)
    assert_same_model(
        fed(made(WeightedFMRegressor, **params), X, y, [3, 40, 77]), whole
    )
    longer = made(WeightedFMRegressor, **params)
    for _ in range(30):
        fed(longer, X, y)
    assert r2_score(y, longer.predict(X)) > 0.5


def test_three_classes_in_parts():
    X, score = draw(600)
    y = np.digitize(score, np.quantile(score, [1 / 3, 2 / 3]))
    whole = fed(made(WeightedFMClassifier), X, y)
    assert_same_model(fed(made(WeightedFMClassifier), X, y, [7, 300]), whole)
    assert whole.coef_.shape == (3, len(IDS)) and whole.factors_.shape[1:] == (3, 4)
    for _ in range(20):
        fed(whole, X, y, [100, 300])
    fitted = made(WeightedFMClassifier, solver="adagrad").fit(X, y)
    assert whole.score(X, y) > fitted.score(X, y) - 0.05


@every_estimator
def test_it_learns(estimator_class):
    X, score = draw(3000)
    y = target_of(estimator_class, score)
    estimator = made(estimator_class)
    for _ in range(5):
        fed(estimator, X, y, range(100, 3000, 100))
    fitted = made(estimator_class, solver="adagrad").fit(X, y)
    assert estimator.score(X, y) > fitted.score(X, y) - 0.12
    losses = estimator.history_["train_loss"]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])


@every_way
def test_without_the_core_the_steps_are_the_same(params, monkeypatch):
    X, score = draw(150)
    with_core = fed(made(WeightedFFMRegressor, **params), X, score, [20])
    monkeypatch.setattr(compiled, "_core", None)
    without = fed(made(WeightedFFMRegressor, **params), X, score, [20])
    for name in ("factors_", "coef_", "intercept_"):
        assert_allclose(getattr(without, name), getattr(with_core, name), rtol=1e-9,
                        atol=1e-12)  # fmt: skip
    assert_allclose(without.solver_state_.state, with_core.solver_state_.state)


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_learn_the_same_within_noise(n_jobs):
    X, score = draw(3000)
    alone, together = (made(WeightedFMRegressor, n_jobs=n) for n in (1, n_jobs))
    for estimator in (alone, together):
        for _ in range(4):
            fed(estimator, X, score, [1000, 2000])
    assert_array_equal(together.solver_state_.counts, alone.solver_state_.counts)
    assert together.score(X, score) > alone.score(X, score) - 0.15


# Units


@pytest.mark.parametrize("estimator_class", REGRESSORS)
@pytest.mark.parametrize("params", WAYS[:3])
def test_units_of_y_do_not_matter(estimator_class, params):
    X, score = draw()
    score = score - score[0] + 1  # the first target says how large they are
    base = fed(made(estimator_class, **params), X, score, [50]).predict(X)
    scaled = fed(made(estimator_class, **params), X, 4.0**9 * score, [50]).predict(X)
    assert_array_equal(scaled, 4.0**9 * base)
    other = fed(made(estimator_class, **params), X, 1e-7 * score, [50]).predict(X)
    assert_allclose(other, 1e-7 * base, rtol=1e-6, atol=1e-12)
    moved = fed(made(estimator_class, **params), X, score + 1000, [50]).predict(X)
    # Until there are two rows, the first one gives the unit.
    assert_allclose(moved, base + 1000, atol=0.1 * score.std())


def test_scale_of_weights_is_that_of_penalties():
    X, score = draw()
    weights = np.random.default_rng(0).uniform(0.5, 2, len(score))
    base = fed(made(WeightedFMRegressor), X, score, (), weights)
    penalties = {"l2_factors": 8 * 0.5, "l2_linear": 8 * 0.5}
    other = fed(made(WeightedFMRegressor, **penalties), X, score, (), 8 * weights)
    assert_allclose(other.predict(X), base.predict(X), rtol=1e-10)


@pytest.mark.parametrize("loss", [Squared(), Huber()])
@pytest.mark.parametrize("center", [True, False])
def test_seen_gives_what_a_fit_standardises_by(loss, center):
    rng = np.random.default_rng(0)
    targets, squares = rng.normal(3, 2, 50), rng.uniform(1, 2, 50)
    seen = Seen(0.0, 1.0, 1.0, first=() if loss.is_robust else None)
    weights = np.ones(50)
    for part in (slice(0, 1), slice(1, 30), slice(30, 49)):
        seen = seen.plus(targets[part], weights[part], squares[part])
    last = targets[49:], weights[49:], squares[49:]
    got = seen.measured(*last, loss=loss, center=center)
    expected = loss.encode(targets, np.ones(50), center=center)
    assert got.scale == pytest.approx(expected.scale)
    assert not center or got.mean == pytest.approx(expected.shift)
    assert got.mean_square == pytest.approx(squares.mean())
    assert (got.n_rows, got.total) == (seen.n_rows, seen.total)
    plain = Seen(0.0, 1.0, 1.0).plus(targets, weights, squares)
    assert plain.measured(*last, loss=Poisson(), center=center).scale == 1


def test_units_change_at_powers_of_two():
    row = np.ones(1)
    seen, changes = Seen(0.0, 1.0, 1.0), []
    for _ in range(40):
        left = seen.rows_to_change
        if seen.changes_units:
            changes.append((seen.n_rows, seen.starts_again))
        seen = seen.plus(row, row, row)
        assert (seen.n_rows & (seen.n_rows - 1) == 0) == (left == 1)
    assert changes == [(0, True), (1, True), (2, True), (4, True), (8, True),
                       (16, True), (32, False)]  # fmt: skip


@pytest.mark.parametrize("size", [1e-99, 0.3, 1.0, 3.99, 4.0, 1e300])
def test_unit_is_a_power_of_four(size):
    unit = unit_of(size)
    assert unit <= size < 4 * unit
    assert np.sqrt(unit) ** 2 == unit and np.frexp(np.sqrt(unit))[0] == 0.5


@pytest.mark.parametrize("first", [0.0, 1e-20, -1e12])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e20])
def test_the_first_target_need_not_be_of_the_size_of_the_others(first, scale):
    X, score = draw(dtype=np.float32)
    y = scale * score
    base = fed(made(WeightedFMRegressor), X, y).predict(X)
    y[0] = scale * first
    assert np.isfinite(base).all()
    odd = fed(made(WeightedFMRegressor), X, y, [1, 30])
    assert np.isfinite(odd.predict(X)).all()
    if abs(first) < 1:
        assert np.median(np.abs(odd.predict(X) - base)) < 0.3 * y[1:].std()


@pytest.mark.parametrize("first", [1e-300, 1e-9, 1e9])
def test_the_first_weight_need_not_be_of_the_size_of_the_others(first):
    X, score = draw()
    weights = np.ones(len(score))
    base = fed(made(WeightedFMRegressor), X, score, (), weights).predict(X)
    weights[0] = first
    odd = fed(made(WeightedFMRegressor), X, score, [1, 30], weights)
    assert np.isfinite(odd.predict(X)).all()
    if first < 1:
        assert np.median(np.abs(odd.predict(X) - base)) < 0.3 * score.std()


@pytest.mark.parametrize("y", [0.0, 5.0])
def test_constant_target(y):
    X, _ = draw(40)
    estimator = fed(made(WeightedFMRegressor), X, np.full(40, y), [10])
    assert_allclose(estimator.predict(X), y, atol=0.01 * (y or 1))


def test_outliers_do_little_harm_to_huber():
    X, score = draw(3000)
    y = score.copy()
    y[::50] = 1e4
    huber = made(WeightedFMRegressor, loss="huber")
    for _ in range(4):
        fed(huber, X, y, [1000])
    assert np.median(np.abs(huber.predict(X) - score)) < 0.5 * score.std()


def test_rows_of_any_length_and_none():
    X, score = draw(200)
    dense = X.toarray()
    dense[::3] = 0
    whole = fed(made(WeightedFMRegressor), matrix(dense), score)
    assert_same_model(
        fed(made(WeightedFMRegressor), matrix(dense), score, [1, 4]), whole
    )
    empty = matrix(np.zeros((1, len(IDS))))
    assert whole.predict(empty) == pytest.approx(whole.intercept_)


# Growth


@every_way
@every_estimator
def test_grown_columns_equal_columns_from_the_start(estimator_class, params):
    X, score = draw()
    y = target_of(estimator_class, score)
    order = np.array([0, 1, 6, 7, 12, 13, 2, 8, 14, 3, 4, 5, 9, 10, 11, 15, 16, 17])
    dense = X.toarray()[:, order]
    dense[:40, 6:] = 0
    dense[40:90, 9:] = 0
    grown = made(estimator_class, **params)
    classes = {"classes": np.unique(y)} if estimator_class in CLASSIFIERS else {}
    for first, end, n_columns in ((0, 40, 6), (40, 90, 9), (90, 300, 18)):
        part = matrix(dense[first:end, :n_columns], IDS[order[:n_columns]])
        grown.partial_fit(part, y[first:end], **classes)
    whole = fed(made(estimator_class, **params), matrix(dense, IDS[order]), y)
    assert_same_model(grown, whole)
    assert grown.n_features_in_ == 18 and len(grown.fields_) == 18
    X = matrix(dense, IDS[order])
    assert_array_equal(grown.predict(X), whole.predict(X))


def test_labels_that_a_call_does_not_have_keep_their_values():
    X, score = draw()
    estimator = fed(made(WeightedFFMRegressor), X, score)
    factors, coef = estimator.factors_.copy(), estimator.coef_.copy()
    dense = X.toarray()
    dense[:, [0, 7, 13]] = 0
    fed(estimator, matrix(dense), score)
    same = (estimator.factors_ == factors).all(axis=(1, 2))
    assert np.flatnonzero(same).tolist() == [0, 7, 13]
    assert np.flatnonzero(estimator.coef_ == coef).tolist() == [0, 7, 13]


def test_labels_never_seen_add_nothing():
    X, score = draw()
    dense = X.toarray()
    dense[:, 5] = 0
    estimator = fed(made(WeightedFMRegressor), matrix(dense), score)
    assert (estimator.factors_[5] == 0).all() and estimator.coef_[5] == 0
    other = dense.copy()
    other[:, 5] = 1
    assert_array_equal(
        estimator.predict(matrix(other)), estimator.predict(matrix(dense))
    )


def test_an_encoder_that_grows():
    rng = np.random.default_rng(0)
    encoder, estimator = WeightedMultiLabelEncoder(), made(WeightedFMRegressor)
    for n_labels in (3, 6, 9):
        cells = [
            list(rng.choice(n_labels, 2, replace=False).astype(str)) for _ in range(60)
        ]
        table = np.empty((60, 2), object)
        table[:, 0], table[:, 1] = cells, cells[::-1]
        encoder.partial_fit(table)
        X = encoder.transform(table)
        estimator.partial_fit(X, rng.normal(size=60))
        assert estimator.n_features_in_ == X.shape[1] == len(estimator.coef_)
    assert estimator.n_fields_ == 2


def frames_of(n_rows=120):
    """Return a table whose later rows have further labels, in parts, and targets."""
    rng = np.random.default_rng(0)
    labels = np.repeat([3, 6, 9], n_rows // 3)
    cells = [list(rng.choice(n, 2, replace=False).astype(str)) for n in labels]
    users = [f"u{rng.integers(n)}" for n in labels]
    frame = pd.DataFrame({"tags": cells, "user": users, "age": rng.normal(size=n_rows)})
    target = np.array(
        [int(c[0]) - int(u[1]) for c, u in zip(cells, users, strict=True)]
    )
    ends = np.cumsum([n_rows // 3] * 2)
    parts = np.split(np.arange(n_rows), ends)
    return [(frame.iloc[rows], target[rows].astype(float)) for rows in parts]


@pytest.mark.parametrize("estimator_class", REGRESSORS)
@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("output", ["default", "pandas"])
def test_frames_with_further_labels(estimator_class, library, output):
    estimator = made(estimator_class)
    with config_context(transform_output=output):
        for frame, y in frames_of():
            table = pl.from_pandas(frame) if library == "polars" else frame
            estimator.partial_fit(table, y)
    names = estimator.field_transformer_.get_feature_names_out()
    assert len(names) == len(estimator.coef_) == len(estimator.fields_)
    assert {f"labels__tags={i}" for i in range(9)} < set(names)
    by_hand = made(estimator_class)
    for frame, y in frames_of():
        X = estimator.field_transformer_.transform(frame)
        by_hand.partial_fit(X, y)
    assert_array_equal(by_hand.predict(X), estimator.predict(frame))
    assert_array_equal(by_hand.factors_, estimator.factors_)


def test_frame_that_cannot_be_learned_teaches_the_encoder_nothing():
    parts = frames_of()
    estimator = made(WeightedFMRegressor).partial_fit(*parts[0])
    before = pickle.dumps(estimator)
    frame, y = parts[1]
    with pytest.raises(ValueError, match="y"):
        estimator.partial_fit(frame, y * np.nan)
    with pytest.raises(ValueError, match="feature names"):
        estimator.partial_fit(frame.rename(columns={"age": "year"}), y)
    bad = frame.copy()
    bad["tags"] = [{"a": np.nan}, *frame["tags"][1:]]
    with pytest.raises(ValueError, match="row 0"):
        estimator.partial_fit(bad, y)
    assert pickle.dumps(estimator) == before
    estimator.partial_fit(frame, y)
    assert len(estimator.coef_) > len(pickle.loads(before).coef_)


@pytest.mark.parametrize("solver", ["adagrad", "lbfgs"])
def test_warm_start_with_further_labels(solver):
    parts = frames_of()
    warm = made(WeightedFMRegressor, solver=solver, warm_start=True, max_iter=2)
    warm.set_params(early_stopping=False).fit(*parts[0])
    names = warm.field_transformer_.get_feature_names_out()
    warm.fit(*parts[1])
    grown = warm.field_transformer_.get_feature_names_out()
    assert_array_equal(grown[: len(names)], names)
    assert len(grown) == len(warm.factors_) > len(names)


def test_other_fields_are_refused():
    X, score = draw()
    estimator = fed(made(WeightedFMRegressor), X, score)
    moved = FieldMap(IDS[::-1], NAMES)
    with pytest.raises(ValueError, match="column 0 belongs to field 2, but to field 0"):
        estimator.partial_fit(FieldCSR(sp.csr_matrix(X), fields=moved), score)
    renamed = FieldMap(IDS, ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"the fields are .*'a'"):
        estimator.partial_fit(FieldCSR(sp.csr_matrix(X), fields=renamed), score)
    wider = FieldMap([*IDS[::-1], 0], NAMES)
    more = sp.hstack([sp.csr_matrix(X), sp.csr_matrix(np.ones((300, 1)))], format="csr")
    with pytest.raises(ValueError, match="19 features, but .* expecting 18"):
        estimator.partial_fit(FieldCSR(more, fields=wider), score)
    with pytest.raises(ValueError, match="17 features, but .* expecting 18"):
        estimator.partial_fit(X[:, :17], score)
    with pytest.raises(ValueError, match="19 features, but .* expecting 18"):
        estimator.partial_fit(np.ones((300, 19)), score)


# Errors


@every_estimator
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_solvers_of_whole_data_are_refused(estimator_class, solver):
    X, score = draw()
    y = target_of(estimator_class, score)
    with pytest.raises(
        ValueError, match=f"solver='{solver}' looks at all rows.*'ftrl'"
    ):
        fed(made(estimator_class, solver=solver), X, y)


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_classes_are_those_of_the_first_call(estimator_class):
    X, score = draw()
    y = (score > 0).astype(int)
    estimator = made(estimator_class)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        estimator.partial_fit(X, y)
    assert not hasattr(estimator, "classes_")
    with pytest.raises(ValueError, match="classes contains NaN"):
        estimator.partial_fit(X, y, classes=[0, np.nan])
    with pytest.raises(ValueError, match="y, row 1: got class 'b', expected one of"):
        estimator.partial_fit(X[:2], ["a", "b"], classes=["a", "c"])
    one = np.flatnonzero(y == 1)
    estimator.partial_fit(X[one], y[one], classes=[1, 0])
    assert_array_equal(estimator.classes_, [0, 1])
    with pytest.raises(ValueError, match=r"classes=\[0, 1, 2\], but \[0, 1\]"):
        estimator.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="y, row 2: got class 5"):
        estimator.partial_fit(X[:3], [0, 1, 5])
    estimator.partial_fit(X, y)
    assert estimator.predict_proba(X).shape == (len(y), 2)


def test_balanced_classes_need_all_rows():
    X, score = draw()
    estimator = made(WeightedFMClassifier, class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight='balanced' counts the classes"):
        estimator.partial_fit(X, score > 0, classes=[False, True])


def test_class_weights_are_weights_of_rows():
    X, score = draw()
    y = (score > 0).astype(int)
    by_class = fed(made(WeightedFMClassifier, class_weight={0: 1.0, 1: 4.0}), X, y)
    by_row = fed(made(WeightedFMClassifier), X, y, (), np.where(y, 4.0, 1.0))
    assert_same_model(by_class, by_row)


@every_estimator
def test_an_error_leaves_the_estimator_as_it_was(estimator_class, monkeypatch):
    X, score = draw()
    y = target_of(estimator_class, score)
    estimator = fed(made(estimator_class), X, y)
    before, proof = pickle.dumps(estimator), estimator.predict(X)

    def check():
        assert_same_model(estimator, pickle.loads(before))
        assert_array_equal(estimator.predict(X), proof)

    bad = X.toarray()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match="row 3"):
        estimator.partial_fit(matrix(bad), y)
    check()
    estimator.n_factors = 5
    with pytest.raises(
        ValueError, match="n_factors=5, but the model to go on from has 4"
    ):
        estimator.partial_fit(X, y)
    estimator.n_factors = 4
    grown = matrix(np.hstack([X.toarray(), np.ones((300, 1))]), [*IDS, 0])

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(compiled, "train", interrupt)
        with pytest.raises(KeyboardInterrupt):
            estimator.partial_fit(grown, y)
    check()


@pytest.mark.parametrize("has_core", [True, False])
def test_a_step_that_is_not_finite_is_said(has_core, monkeypatch):
    if not has_core:
        monkeypatch.setattr(compiled, "_core", None)
    X, score = draw(100)
    estimator = fed(
        made(WeightedFMRegressor, solver="sgd", learning_rate=0.1), X, score
    )
    y = score.copy()
    y[64] = 1e200
    with pytest.warns(ConvergenceWarning, match="partial_fit stopped before row"):
        estimator.partial_fit(X, y)
    assert np.isfinite(estimator.predict(X)).all()


def test_what_does_not_matter():
    X, score = draw()
    a, b = (fed(made(WeightedFMRegressor, **params), X, score) for params in (
        {}, {"max_iter": 1, "early_stopping": True, "callbacks": [], "tol": 1.0}
    ))  # fmt: skip
    assert_same_model(a, b)


# Going on after fit


@every_estimator
@pytest.mark.parametrize("solver", ["adagrad", "sgd", "ftrl", "auto"])
def test_fit_then_partial_fit(estimator_class, solver):
    X, score = draw(2000)
    y = target_of(estimator_class, score)
    half = 500 if solver == "auto" else 1000  # with "auto" by full batches
    fitted = made(estimator_class, solver=solver, early_stopping=False)
    fitted.fit(X[:half], y[:half])
    n_iter, at_first = fitted.n_iter_, fitted.score(X[1500:], y[1500:])
    for rows in np.split(np.arange(half, 1500), 5):
        fitted.partial_fit(X[rows], y[rows])
    assert fitted.score(X[1500:], y[1500:]) > at_first - 0.02
    assert fitted.n_iter_ == n_iter + 5 == fitted.best_iter_
    assert all(len(curve) == n_iter + 5 for curve in fitted.history_.values())
    assert np.isnan(fitted.history_.get("learning_rate", [np.nan])[-1])


@pytest.mark.parametrize("params", WAYS)
def test_states_of_a_fit_are_what_the_steps_had_become(params):
    """A stream with the rates of the last epoch would have gone on with these."""
    X, score = draw()
    fitted = made(WeightedFMRegressor, early_stopping=False, max_iter=3, **params)
    if params["solver"] == "auto":
        fitted.set_params(solver="adagrad")
    y = 100 * score + 7
    state = fitted.fit(X, y).solver_state_
    # A factor's gradient is scale^1.5 times that for the standardised target.
    other = clone(fitted)
    unscaled = other.fit(X, (y - y.mean()) / y.std()).solver_state_
    scale = y.std() / state.seen.unit / unscaled.seen.scale
    assert_allclose(state.state, unscaled.state * scale**3, rtol=1e-6)
    assert_allclose(state.linear_state, unscaled.linear_state * scale**2, rtol=1e-6)
    assert_array_equal(state.counts, np.bincount(X.indices))
    assert state.bias[:1] * state.seen.unit + state.seen.shift == pytest.approx(
        fitted.intercept_
    )


def test_ftrl_goes_on_from_coefficients_of_another_solver():
    X, score = draw()
    estimator = made(WeightedFMRegressor, solver="adagrad").fit(X, score)
    before = estimator.coef_.copy()
    estimator.set_params(solver="ftrl").partial_fit(X[:1], score[:1])
    assert_allclose(estimator.coef_, before, atol=0.1 * np.abs(before).max())
    estimator.set_params(solver="sgd", learning_rate=0.01).partial_fit(X[:1], score[:1])
    assert_allclose(estimator.coef_, before, atol=0.1 * np.abs(before).max())


def test_another_loss_is_refused():
    X, score = draw()
    y = np.abs(score)
    estimator = fed(made(WeightedFMRegressor, warm_start=True), X, y)
    before = estimator.predict(X)
    estimator.loss = "poisson"
    for go_on in (estimator.partial_fit, estimator.fit):
        with pytest.raises(ValueError, match="loss is 'poisson', but .* 'squared'"):
            go_on(X, y)
    estimator.loss = "squared_error"
    assert_array_equal(estimator.predict(X), before)


def test_without_a_state_there_is_no_going_on():
    X, score = draw()
    estimator = made(WeightedFMRegressor).fit(X, score)
    before = estimator.predict(X)
    del estimator.solver_state_
    with pytest.raises(ValueError, match="cannot go on training.*solver_state_"):
        estimator.partial_fit(X, score)
    assert_array_equal(estimator.predict(X), before)


def test_fit_begins_anew():
    X, score = draw()
    estimator = fed(made(WeightedFMRegressor, solver="adagrad"), X, score)
    again = estimator.fit(X, score).predict(X)
    direct = made(WeightedFMRegressor, solver="adagrad").fit(X, score).predict(X)
    assert_array_equal(again, direct)


def test_pickled_and_mapped_models_go_on(tmp_path):
    X, score = draw()
    model = fed(made(WeightedFFMRegressor), X[:150], score[:150])
    copies = [pickle.loads(pickle.dumps(model))]
    joblib.dump(model, tmp_path / "model")
    copies.append(joblib.load(tmp_path / "model", mmap_mode="r"))
    model.partial_fit(X[150:], score[150:])
    for copy in copies:
        assert_same_model(copy.partial_fit(X[150:], score[150:]), model)


# warm_start


@every_estimator
@pytest.mark.parametrize("solver", ["adagrad", "sgd", "ftrl", "adam", "lbfgs"])
def test_warm_start_goes_on(estimator_class, solver):
    X, score = draw(600)
    y = target_of(estimator_class, score)
    params = {"solver": solver, "early_stopping": False, "warm_start": True}
    warm = made(estimator_class, max_iter=4, **params).fit(X, y)
    first = warm.history_["train_loss"]
    n_iter = warm.n_iter_
    warm.set_params(learning_rate=1e-6 if solver != "lbfgs" else "auto", max_iter=1)
    if solver != "lbfgs":
        warm.set_params(learning_rate_linear=1e-6)
    before = warm.predict(X)
    warm.fit(X, y)
    assert warm.history_["train_loss"][:n_iter] == first
    assert warm.n_iter_ == n_iter + 1
    assert warm.history_["train_loss"][-1] < first[0]
    if solver not in ("lbfgs", "ftrl") and estimator_class in REGRESSORS:
        assert_allclose(warm.predict(X), before, atol=1e-3 * y.std())


def test_warm_start_equals_more_epochs_of_full_batches():
    X, score = draw()
    params = {"solver": "lbfgs", "tol": 1e-12, "random_state": 0}
    long = made(WeightedFMRegressor, max_iter=30, **params).fit(X, score)
    warm = made(WeightedFMRegressor, max_iter=10, warm_start=True, **params)
    for _ in range(3):
        warm.fit(X, score)
    assert_allclose(warm.predict(X), long.predict(X), atol=0.02 * score.std())


@pytest.mark.parametrize("solver", ["adagrad", "adam", "lbfgs"])
def test_warm_start_with_further_columns(solver):
    X, score = draw()
    params = {"solver": solver, "max_iter": 3, "early_stopping": False}
    warm = made(WeightedFFMRegressor, warm_start=True, **params).fit(X, score)
    column = (score > 0).astype(float)[:, None]
    grown = matrix(np.hstack([X.toarray(), column]), [*IDS, 1])
    warm.fit(grown, score)
    assert warm.factors_.shape == (19, 3, 4) and warm.coef_[18] > 0
    assert (warm.factors_[18] != 0).all()
    assert warm.predict(grown).shape == (300,)


def test_warm_start_refuses_other_models():
    X, score = draw()
    y = (score > 0).astype(int)
    warm = made(WeightedFMClassifier, warm_start=True).fit(X, y)
    before = warm.predict_proba(X)
    with pytest.raises(ValueError, match="y, row 0: got class 3"):
        warm.fit(X, y + 3)
    with pytest.raises(ValueError, match="n_factors=6, but .* 4"):
        warm.set_params(n_factors=6).fit(X, y)
    with pytest.raises(ValueError, match="17 features, but .* expecting 18"):
        warm.set_params(n_factors=4).fit(X[:, :17], y)
    assert_array_equal(warm.predict_proba(X), before)
    warm.set_params(n_factors=6, warm_start=False).fit(X, y)
    assert warm.factors_.shape == (18, 6)


def test_warm_start_after_partial_fit():
    X, score = draw()
    warm = fed(made(WeightedFMRegressor, warm_start=True), X, score)
    loss = warm.set_params(solver="adagrad", max_iter=2).fit(X, score)
    cold = made(WeightedFMRegressor, solver="adagrad", max_iter=2).fit(X, score)
    assert loss.history_["train_loss"][1] < cold.history_["train_loss"][0]
    assert warm.n_iter_ == 3


# scikit-learn's tools


def test_tools_that_feed_parts():
    X, score = draw(600)
    y = (score > 0).astype(int)
    estimator = made(WeightedFMClassifier, fields=IDS)
    sizes, train, test = learning_curve(
        estimator, X, y, exploit_incremental_learning=True, train_sizes=[0.2, 1.0], cv=3
    )
    assert np.isfinite([train, test]).all() and test[1].mean() > test[0].mean() - 0.05
    several = MultiOutputRegressor(made(WeightedFMRegressor, fields=IDS))
    targets = np.column_stack([score, -score])
    several.partial_fit(X[:300], targets[:300])
    several.partial_fit(X[300:], targets[300:])
    assert_same_model(
        several.estimators_[1],
        fed(made(WeightedFMRegressor, fields=IDS), X, -score, [300]),
    )
    selection = SelectFromModel(made(WeightedFMRegressor, fields=IDS))
    assert selection.partial_fit(X, score).transform(X).shape[0] == 600
    one = OneVsRestClassifier(estimator).partial_fit(X, y, classes=[0, 1])
    assert one.predict(X).shape == (600,)


def test_metadata_of_partial_fit():
    X, score = draw()
    with config_context(enable_metadata_routing=True):
        estimator = made(WeightedFMRegressor).set_partial_fit_request(
            sample_weight=True
        )
        request = estimator.get_metadata_routing().partial_fit
    assert request.requests == {"sample_weight": True}
