"""The estimators inside scikit-learn: pipelines, frames, pickles, callbacks."""

import pickle

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder
from skorch.callbacks import Callback, EarlyStopping, EpochScoring

from skwfm import (
    FieldCSR,
    FieldTransformer,
    HistoryEncoder,
    SplineEncoder,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)
from skwfm._compose import TAKES_ARROW

ALL = [
    WeightedFMRegressor,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFFMClassifier,
]
GENRES = np.array(["Drama", "Comedy", "War", "Horror", "Western"])


def make_films(n_rows=300, seed=0):
    """Return films whose liking depends on user and genres together."""
    rng = np.random.default_rng(seed)
    users = rng.integers(6, size=n_rows)
    picks = rng.random((n_rows, 5)) < [0.5, 0.4, 0.3, 0.2, 0.02]
    taste = rng.normal(size=(6, 5))
    bags = [GENRES[row].tolist() for row in picks]
    liking = (taste[users] * picks).sum(axis=1) / np.sqrt(picks.sum(axis=1) + 1)
    frame = pd.DataFrame(
        {
            "user": np.char.add("u", users.astype(str)),
            "genres": bags,
            "length": rng.uniform(60, 180, n_rows).round(),
        }
    )
    return frame, np.where(liking > 0, "liked", "not")


def make_pipeline_of(estimator, **encoder):
    fields = FieldTransformer(
        [
            ("ids", OneHotEncoder(handle_unknown="ignore"), ["user"]),
            (
                "genres",
                WeightedMultiLabelEncoder(normalize="sqrt", **encoder),
                "genres",
            ),
        ]
    )
    return Pipeline([("fields", fields), ("model", estimator)])


def scores_of(model, X):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X)
    return model.predict(X)


def target_of(estimator_class, y):
    return y if "Classifier" in estimator_class.__name__ else (y == "liked") * 2.0


@pytest.mark.parametrize("estimator_class", ALL)
def test_pipeline_under_cross_validation(estimator_class):
    X, y = make_films()
    params = {"l2_factors": 0.5, "random_state": 0}
    model = make_pipeline_of(estimator_class(**params))
    scores = cross_val_score(model, X, target_of(estimator_class, y), cv=3)
    assert scores.min() > (0.4 if "Regressor" in estimator_class.__name__ else 0.75)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_over_both_steps(n_jobs):
    X, y = make_films()
    model = make_pipeline_of(WeightedFFMClassifier(random_state=0))
    # `min_frequency` changes the number of columns.
    grid = {"fields__genres__min_frequency": [None, 20], "model__l2_factors": [0.5, 50]}
    search = GridSearchCV(model, grid, cv=3, n_jobs=n_jobs).fit(X, y)
    assert search.best_params_["model__l2_factors"] == 0.5
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    wide, narrow = (
        model.set_params(fields__genres__min_frequency=m).fit(X, y)[-1].coef_.size
        for m in (None, 20)
    )
    assert wide == narrow + 1


def test_grid_search_is_the_same_in_processes():
    X, y = make_films()
    model = make_pipeline_of(WeightedFMClassifier(random_state=0))
    grid = {"model__l2_factors": [0.5, 5]}
    results = [
        GridSearchCV(model, grid, cv=3, n_jobs=n_jobs).fit(X, y).cv_results_
        for n_jobs in (None, 2)
    ]
    assert_array_equal(results[0]["mean_test_score"], results[1]["mean_test_score"])


def test_meta_estimators():
    X, y = make_films()
    model = make_pipeline_of(WeightedFFMClassifier(l2_factors=0.5, random_state=0))
    calibrated = CalibratedClassifierCV(model, cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.8
    linear = make_pipeline_of(LogisticRegression())
    stack = StackingClassifier([("ffm", model), ("linear", linear)], cv=3).fit(X, y)
    assert stack.score(X, y) > 0.8


def test_scalers_keep_the_fields():
    X, y = make_films()
    model = make_pipeline_of(WeightedFFMClassifier(random_state=0))
    model.steps.insert(1, ("scale", MaxAbsScaler()))
    assert model.fit(X, y)[-1].field_names_ == ("user", "genres")


@pytest.mark.parametrize("estimator_class", ALL)
@pytest.mark.parametrize("module", [pickle, cloudpickle])
def test_pickle_round_trip(estimator_class, module):
    X, y = make_films()
    model = make_pipeline_of(estimator_class(random_state=0))
    model.fit(X, target_of(estimator_class, y))
    again = module.loads(module.dumps(model))
    assert_array_equal(scores_of(again, X), scores_of(model, X))


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_joblib_round_trip(tmp_path, mmap_mode):
    X, y = make_films()
    model = make_pipeline_of(WeightedFFMClassifier(random_state=0)).fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
    assert_array_equal(scores_of(again, X), scores_of(model, X))


@pytest.mark.parametrize("estimator_class", ALL)
def test_clone_and_set_params(estimator_class):
    estimator = estimator_class(3, l2_linear=1.0, fields=[2, 1])
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert copy.set_params(n_factors=5).n_factors == 5
    with pytest.raises(ValueError, match="Invalid parameter 'n_factor'"):
        copy.set_params(n_factor=5)


# Data frames straight into the estimator.


@pytest.mark.parametrize("estimator_class", ALL)
@pytest.mark.parametrize("library", [pd, pl])
def test_frame_is_encoded_by_its_types(estimator_class, library):
    X, y = make_films()
    frame = library.DataFrame(X.to_dict("list"))
    estimator = estimator_class(l2_factors=0.5, random_state=0)
    estimator.fit(frame, target_of(estimator_class, y))
    assert set(estimator.field_names_) == {"user", "genres", "length"}
    assert_array_equal(estimator.feature_names_in_, ["user", "genres", "length"])
    assert estimator.n_features_in_ == 3
    assert len(estimator.fields_) == 6 + 5 + 8
    # Columns are found by name only where scikit-learn lets them be.
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.predict(frame[["genres", "user", "length"]])
    expected = estimator.field_transformer_.transform(frame)
    assert expected.fields.tolist() == estimator.fields_.tolist()
    assert estimator.score(frame, target_of(estimator_class, y)) > 0.4


def test_numeric_frame_is_the_dense_array():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = X[:, 0] * X[:, 1]
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(flag=X[:, 0] > 0)
    estimator = WeightedFMRegressor(random_state=0).fit(frame, y)
    assert estimator.field_transformer_ is None
    assert_array_equal(estimator.feature_names_in_, ["a", "b", "c", "flag"])
    dense = WeightedFMRegressor(random_state=0).fit(frame.to_numpy(dtype=float), y)
    assert_allclose(
        estimator.predict(frame), dense.predict(frame.to_numpy(dtype=float))
    )


def test_repeated_column_names():
    frame = pd.DataFrame(np.ones((4, 3)), columns=["a", "b", "a"])
    with pytest.raises(ValueError, match="X, column 'a' occurs twice"):
        WeightedFMRegressor().fit(frame, [1, 2, 3, 4])


def test_frame_with_one_unusable_cell_names_it():
    X, y = make_films()
    X.at[7, "genres"] = "Drama"
    with pytest.raises((TypeError, ValueError), match="Column 'genres', row 7"):
        WeightedFMClassifier().fit(X, y)


def test_input_is_not_modified():
    X, y = make_films()
    before = X.copy(deep=True)
    WeightedFFMClassifier(random_state=0).fit(X, y).predict(X)
    pd.testing.assert_frame_equal(X, before)


# Callbacks and output.


class Recorder(Callback):
    """Remember the training loss at the end of each epoch."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.losses = []

    def on_epoch_end(self, net, **kwargs):
        self.losses.append(net.history[-1, "train_loss"])


def small_data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    return X, X[:, 0] * X[:, 1] + X[:, 2]


def test_skorch_callbacks_run():
    X, y = small_data()
    recorder = Recorder()
    estimator = WeightedFMRegressor(solver="adam", max_iter=4, callbacks=[recorder])
    estimator.fit(X, y)
    assert recorder.losses == estimator.history_["train_loss"]
    assert len(recorder.losses) == 4


def test_skorch_early_stopping_and_scoring():
    X, y = small_data()

    def mean_score(net, dataset, target):
        return float(np.mean(net.predict(dataset)))

    estimator = WeightedFMRegressor(
        solver="adam",
        max_iter=30,
        callbacks=[
            EpochScoring(mean_score, name="mean_score", use_caching=False),
            # Nothing improves by 1e6: it stops at once.
            EarlyStopping(
                "train_loss", patience=2, threshold=1e6, sink=lambda *a: None
            ),
        ],
    )
    estimator.fit(X[:150], y[:150], eval_set=(X[150:], y[150:]))
    assert estimator.n_iter_ < 5
    assert len(estimator.history_["mean_score"]) == estimator.n_iter_


@pytest.mark.parametrize("on_train", [False, True])
def test_scoring_by_name(on_train):
    X, y = small_data()
    y = (y - y[:150].mean()) / y[:150].std()
    scoring = EpochScoring("neg_mean_squared_error", name="mse", on_train=on_train)
    estimator = WeightedFMRegressor(solver="adam", max_iter=3, callbacks=[scoring])
    estimator.fit(X[:150], y[:150], eval_set=(X[150:], y[150:]))
    if not on_train:
        # The loss is half of the squared error of the standardised target.
        losses = np.array(estimator.history_["valid_loss"])
        assert_allclose(estimator.history_["mse"], -2 * losses, rtol=1e-4)
    assert len(estimator.history_["mse"]) == 3


def test_callbacks_see_the_epoch_that_ends_the_training():
    X, y = small_data()
    recorder = Recorder()
    estimator = WeightedFMRegressor(
        solver="adam", tol=1e6, n_iter_no_change=2, callbacks=[recorder]
    )
    estimator.fit(X, y)
    assert len(recorder.losses) == estimator.n_iter_ == 3


def test_user_callbacks_may_have_any_name():
    X, y = small_data()
    callbacks = [(name, Recorder()) for name in ("stop", "finite", "step")]
    WeightedFMRegressor(solver="adam", max_iter=2, callbacks=callbacks).fit(X, y)
    assert all(len(recorder.losses) == 2 for _, recorder in callbacks)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_global_output_container_does_not_reach_the_inner_encoder(container):
    X, y = make_films()
    estimator = WeightedFMClassifier(random_state=0)
    expected = estimator.fit(X, y).predict_proba(X)
    with config_context(transform_output=container):
        assert_array_equal(estimator.fit(X, y).predict_proba(X), expected)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_verbose(solver, capsys):
    X, y = small_data()
    estimator = WeightedFMRegressor(solver=solver, max_iter=2, random_state=0)
    estimator.fit(X, y)
    assert capsys.readouterr().out == ""
    estimator.set_params(verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert "train_loss" in lines[0]
    assert len(lines) == 4  # header, rule, two epochs


def test_sparse_matrix_from_a_plain_column_transformer_must_be_told_its_fields():
    X, y = make_films()
    encoder = make_pipeline_of(None)[:-1].fit(X)
    plain = sp.csr_matrix(encoder.transform(X))
    with pytest.raises(ValueError, match="FieldTransformer or skwfm.hstack"):
        WeightedFFMClassifier().fit(plain, y)
    told = WeightedFFMClassifier(fields=[6, 5], random_state=0).fit(plain, y)
    model = make_pipeline(encoder, WeightedFFMClassifier(random_state=0)).fit(X, y)
    assert_array_equal(told.predict_proba(plain), model.predict_proba(X))


@pytest.mark.parametrize(
    "transformer", [SplineEncoder(), HistoryEncoder(), FieldTransformer()]
)
def test_set_output_default_beats_a_global_setting(transformer):
    X = pd.DataFrame({"a": [1.0, 2.0, 2.0], "b": [3.0, 4.0, 5.0]})
    if isinstance(transformer, FieldTransformer):
        X = X.assign(b=["u", "v", "w"])
    expected = clone(transformer).fit_transform(X)
    with config_context(transform_output="pandas"):
        out = clone(transformer).set_output(transform="default").fit_transform(X)
    assert isinstance(out, FieldCSR)
    assert_array_equal(out.toarray(), expected.toarray())


def test_an_arrow_table_goes_straight_into_the_model():
    X = pd.DataFrame({"user": ["u", "v", "w"] * 10, "price": np.arange(30.0)})
    y = np.arange(30.0)
    expected = WeightedFMRegressor(random_state=0).fit(X, y).predict(X)
    table = pa.table({name: X[name].tolist() for name in X})
    if not TAKES_ARROW:
        with pytest.raises(TypeError, match="Arrow table, of which scikit-learn 1.6"):
            WeightedFMRegressor().fit(table, y)
        return
    estimator = WeightedFMRegressor(random_state=0).fit(table, y)
    assert_array_equal(estimator.predict(table), expected)
    twice = pa.table([["u"], ["v"]], names=["user", "user"])
    with pytest.raises(ValueError, match="column 'user' occurs twice"):
        estimator.fit(twice, [1.0])


def test_no_row_to_predict_is_refused_for_a_data_frame_as_for_an_array():
    X, y = make_films(n_rows=30)
    estimator = WeightedFMClassifier(max_iter=2).fit(X, y)
    message = r"0 sample\(s\) \(shape=\(0, 3\)\) .* required by WeightedFMClassifier"
    with pytest.raises(ValueError, match=message):
        estimator.predict(X[:0])
