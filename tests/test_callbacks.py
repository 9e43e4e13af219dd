"""Callbacks: scikit-learn's protocol (1.9), and those of skorch in every solver."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
)
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from skwfm import (
    DateEncoder,
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
from skwfm._kernels import compiled
from skwfm._net import BagDataset

try:
    from sklearn.callback import ProgressBar, ScoringMonitor
except ImportError:  # scikit-learn before 1.9
    ProgressBar = ScoringMonitor = None

ALL = [
    WeightedFMRegressor,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFFMClassifier,
]
needs_protocol = pytest.mark.skipif(
    ProgressBar is None, reason="sklearn.callback came with scikit-learn 1.9"
)
needs_core = pytest.mark.skipif(not compiled.available(), reason="needs the core")
# One of each way to train: full batch, in the core, mini-batches.
WAYS = ["lbfgs", pytest.param("adagrad", marks=needs_core), "adam"]
CORE = [pytest.param(name, marks=needs_core) for name in ("adagrad", "sgd", "ftrl")]


def make_rows(n_rows=300, seed=0):
    """Return rows of three fields, and a noisy score with interactions."""
    rng = np.random.default_rng(seed)
    dense = rng.random((n_rows, 12)) * (rng.random((n_rows, 12)) < 0.4)
    factors = np.random.default_rng(9).normal(size=(12, 2))
    sums = [dense[:, at : at + 4] @ factors[at : at + 4] for at in (0, 4, 8)]
    pairs = sum((sums[f] * sums[g]).sum(1) for f, g in ((0, 1), (0, 2), (1, 2)))
    X = FieldCSR(csr_matrix(dense.astype(np.float32)), fields=[4, 4, 4])
    return X, pairs + dense @ factors[:, 0] + 0.3 * rng.normal(size=n_rows)


def target_of(estimator_class, score):
    """Return the score, or three classes of it with names."""
    if "Regressor" in estimator_class.__name__:
        return score
    return np.array(["low", "mid", "top"])[np.digitize(score, [0.0, 0.7])]


def halving(**params):
    """Return a schedule of its own, which does not depend on the number of epochs."""
    return LRScheduler(StepLR, step_size=1, gamma=0.5, **params)


def split_rows():
    """Return a few rows to learn from, too few, and rows to stop by."""
    X, score = make_rows(400)
    return X[:80], score[:80], X[80:], score[80:]


def overfitting(solver, callbacks, early_stopping=False):
    """Return a regressor that is best after some epochs, to be fitted."""
    return WeightedFMRegressor(
        n_factors=16,
        solver=solver,
        l2_factors=0.0,
        l2_linear=0.0,
        learning_rate={"adam": 0.05}.get(solver, "auto"),
        init_scale=0.1,
        max_iter=25,
        tol=0.0,
        early_stopping=early_stopping,
        callbacks=callbacks,
        random_state=0,
    )


def overfit(*args, **params):
    """Return it fitted, with rows to stop by."""
    X, y, *valid = split_rows()
    return overfitting(*args, **params).fit(X, y, eval_set=valid)


def valid_mse(estimator):
    """Return the squared error of the rows to stop by, in units of the training's."""
    _, y, X_valid, y_valid = split_rows()
    return np.mean((estimator.predict(X_valid) - y_valid) ** 2) / y.var()


# scikit-learn's protocol.


class Recorder:
    """Write down every call; ask to stop, or raise, at the end of some task."""

    def __init__(self, stop_at=None, raise_at=None, error=RuntimeError):
        self.stop_at, self.raise_at, self.error = stop_at, raise_at, error
        self.calls, self.contexts = [], []

    def _record(self, *call, context=None):
        self.calls.append(call)
        self.contexts.append(context)
        if call == self.raise_at:
            raise self.error("as the test wants")
        return call == self.stop_at

    def setup(self, estimator, context):
        self._record("setup")

    def on_fit_task_begin(self, estimator, context):
        self._record("begin", context.task_name, context.task_id, context=context)

    def on_fit_task_end(self, estimator, context):
        call = "end", context.task_name, context.task_id
        return self._record(*call, context=context)

    def teardown(self, estimator, context):
        self._record("teardown")


class Taker:
    """Keep what the hooks are given, and the predictions at that time."""

    def __init__(self):
        self.begins, self.ends, self.predictions = [], [], []

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(
        self, estimator, context, *, X, y, metadata, fitted_estimator
    ):
        self.begins.append((X, y, metadata, fitted_estimator))

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.ends.append((X, y, metadata, fitted_estimator))
        if context.task_name == "epoch":
            self.predictions.append(fitted_estimator.predict(X))

    def teardown(self, estimator, context):
        pass


def calls_of(n_epochs):
    """Return the calls of a fit of so many epochs."""
    epochs = [
        (hook, "epoch", epoch) for epoch in range(n_epochs) for hook in ("begin", "end")
    ]
    fit = [("begin", "fit", 0), *epochs, ("end", "fit", 0)]
    return [("setup",), *fit, ("teardown",)]


@needs_protocol
@pytest.mark.parametrize("solver", WAYS)
@pytest.mark.parametrize("estimator_class", ALL)
def test_every_epoch_is_a_task_of_the_fit(estimator_class, solver):
    X, score = make_rows()
    recorder = Recorder()
    params = {"solver": solver, "max_iter": 3, "tol": 0.0, "random_state": 0}
    estimator = estimator_class(**params).set_callbacks(recorder)
    estimator.fit(X, target_of(estimator_class, score))
    assert recorder.calls == calls_of(3)
    root, epoch = recorder.contexts[1], recorder.contexts[2]
    assert (root.max_subtasks, epoch.max_subtasks) == (3, 0)
    assert epoch.parent is root and root.parent is None
    plain = estimator_class(**params).fit(X, target_of(estimator_class, score))
    assert_array_equal(plain.factors_, estimator.factors_)


@needs_protocol
def test_fewer_epochs_than_allowed_are_fewer_tasks():
    X, score = make_rows()
    for stopping in (
        {"tol": 1e6, "n_iter_no_change": 2},
        {"callbacks": [EarlyStopping("train_loss", patience=2, threshold=1e6)]},
        {"max_iter": 3},
    ):
        recorder = Recorder()
        estimator = WeightedFMRegressor(solver="adam", **stopping)
        estimator.set_callbacks(recorder).fit(X, score)
        assert estimator.n_iter_ == 3
        assert recorder.calls == calls_of(3)


@needs_protocol
@pytest.mark.parametrize("solver", ["lbfgs", *CORE, "adam"])
@pytest.mark.parametrize(
    ("estimator_class", "scoring"),
    [(WeightedFMRegressor, "r2"), (WeightedFFMClassifier, "accuracy")],
)
def test_monitored_scores_are_those_of_shorter_fits(estimator_class, scoring, solver):
    X, score = make_rows(400)
    y = target_of(estimator_class, score)
    params = {"solver": solver, "l2_factors": 0.5, "random_state": 0, "tol": 0.0}
    schedule = [] if solver == "lbfgs" else [halving()]
    monitor = ScoringMonitor(scoring=scoring)
    estimator = estimator_class(max_iter=4, callbacks=schedule, **params)
    estimator.set_callbacks(monitor).fit(X, y)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit"] + ["epoch"] * 4
    shorter = [
        estimator_class(max_iter=n, callbacks=clone(schedule), **params).fit(X, y)
        for n in range(1, 5)
    ]
    scores = [model.score(X, y) for model in shorter]
    assert [row[scoring] for row in rows] == [scores[-1], *scores]
    assert len(set(scores)) > 1


class ModuleStates(Callback):
    """What skorch's side sees at the end of each epoch."""

    def on_train_begin(self, net, **kwargs):
        self.tables_, self.linear_ = [], []

    def on_epoch_end(self, net, **kwargs):
        state = net.module_.state_dict()
        self.tables_.append(state["bag.emb.weight"].clone().cpu().numpy())
        self.linear_.append(state["linear"].clone().cpu().numpy())


@needs_protocol
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", WAYS)
def test_estimators_of_epochs_have_the_parameters_of_the_epoch(solver, early_stopping):
    X, y, *valid = split_rows()
    states, taker = ModuleStates(), Taker()
    estimator = overfitting(solver, [states], early_stopping=early_stopping)
    estimator.set_callbacks(taker).fit(X, y, eval_set=valid)
    *epochs, last = [fitted for *_, fitted in taker.ends]
    scale = y.std()
    assert len(epochs) == estimator.n_iter_
    for number, (fitted, table) in enumerate(
        zip(epochs, states.tables_, strict=True), 1
    ):
        assert fitted.n_iter_ == fitted.best_iter_ == number
        assert len(fitted.history_["train_loss"]) == number
        assert_allclose(fitted.factors_, np.sqrt(scale) * table, rtol=1e-5)
        assert_allclose(fitted.coef_, scale * states.linear_[number - 1][:, 0], 1e-5)
        # What came after did not reach it.
        assert_array_equal(fitted.predict(X), taker.predictions[number - 1])
    # The last task is that of the fit, which went back to the best epoch.
    assert last.best_iter_ == estimator.best_iter_
    assert (estimator.best_iter_ < estimator.n_iter_) == early_stopping
    assert_array_equal(last.predict(X), estimator.predict(X))
    # An epoch begins with what the one before it has left.
    _, first, second, *_ = [fitted for *_, fitted in taker.begins]
    assert first.n_iter_ == 0
    assert_array_equal(second.factors_, epochs[0].factors_)


@needs_protocol
@pytest.mark.parametrize("solver", WAYS)
def test_hooks_that_take_no_estimator_cost_no_copy(solver, monkeypatch):
    X, score = make_rows()

    def no_copy(*args):
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr("skwfm._epoch_tasks.fitted_so_far", no_copy)
    recorder = Recorder()
    estimator = WeightedFMRegressor(solver=solver, max_iter=2)
    estimator.set_callbacks(recorder).fit(X, score)
    assert recorder.calls == calls_of(2)


@needs_protocol
def test_hooks_get_the_data_as_fit_got_them():
    frame = pd.DataFrame({"who": ["ann", "bob"] * 30, "what": [["a", "b"], ["b"]] * 30})
    y = ["yes", "no"] * 30
    weight = np.arange(60.0)  # a weight of zero is a row that is not learned from
    taker, monitor = Taker(), ScoringMonitor(scoring="accuracy")
    estimator = WeightedFMClassifier(max_iter=2, tol=0.0)
    estimator.set_callbacks(taker, monitor)
    estimator.fit(frame, y, sample_weight=weight, eval_set=(frame, y))
    for hook in (*taker.begins, *taker.ends):
        assert hook[0] is frame and hook[1] is y
        assert list(hook[2]) == ["sample_weight"]
        assert hook[2]["sample_weight"] is weight
    assert {row["accuracy"] for row in monitor.get_logs().data} == {1.0}


@needs_protocol
def test_scores_are_weighted_by_the_weights():
    X, score = make_rows()
    weight = np.where(np.arange(300) < 150, 1.0, 1e-3)
    monitor = ScoringMonitor(scoring="r2")
    estimator = WeightedFMRegressor(max_iter=2).set_callbacks(monitor)
    estimator.fit(X, score, sample_weight=weight)
    got = monitor.get_logs().data[0]["r2"]
    assert_allclose(got, r2_score(score, estimator.predict(X), sample_weight=weight))
    assert abs(got - estimator.score(X, score)) > 1e-3
    # One number for all rows is no array that a scorer could take.
    estimator.fit(X, score, sample_weight=2.0)
    got = monitor.get_logs().data[0]["r2"]
    assert_allclose(got, estimator.score(X, score))


@needs_protocol
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", WAYS)
def test_a_request_to_stop_ends_the_training_after_the_epoch(solver, early_stopping):
    X, score = make_rows()
    states, recorder = ModuleStates(), Recorder(stop_at=("end", "epoch", 1))
    other = Recorder()
    params = {
        "solver": solver,
        "l2_factors": 0.5,
        "tol": 0.0,
        "early_stopping": early_stopping,
        "random_state": 0,
    }
    estimator = WeightedFMRegressor(callbacks=[states], **params)
    estimator.set_callbacks(recorder, other).fit(X, score)
    assert estimator.n_iter_ == len(states.tables_) == 2
    assert recorder.calls == other.calls == calls_of(2)
    losses = estimator.history_["valid_loss" if early_stopping else "train_loss"]
    assert estimator.best_iter_ == (np.argmin(losses) + 1 if early_stopping else 2)
    assert len(losses) == 2


@needs_protocol
@pytest.mark.parametrize("solver", WAYS)
@pytest.mark.parametrize(
    "place",
    [
        ("setup",),
        ("begin", "fit", 0),
        ("begin", "epoch", 1),
        ("end", "epoch", 0),
    ],
)
def test_a_callback_that_raises_leaves_no_model_that_predicts(place, solver):
    X, score = make_rows()
    recorder = Recorder(raise_at=place)
    estimator = WeightedFMRegressor(solver=solver, max_iter=3, random_state=0)
    expected = estimator.fit(X, score).predict(X)
    estimator.set_callbacks(recorder)
    with pytest.raises(RuntimeError, match="as the test wants"):
        estimator.fit(X, score)
    assert recorder.calls[-1] == ("teardown",)
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    assert_array_equal(estimator.set_callbacks().fit(X, score).predict(X), expected)


@needs_protocol
def test_a_callback_that_raises_after_the_training_leaves_the_whole_model():
    X, score = make_rows()
    estimator = WeightedFMRegressor(max_iter=2, random_state=0)
    plain = clone(estimator).fit(X, score)
    estimator.set_callbacks(Recorder(raise_at=("end", "fit", 0)))
    with pytest.raises(RuntimeError, match="as the test wants"):
        estimator.fit(X, score)
    assert_array_equal(estimator.predict(X), plain.predict(X))


@needs_protocol
@pytest.mark.parametrize("place", [("begin", "epoch", 2), ("end", "epoch", 1)])
def test_ctrl_c_in_a_hook_is_not_taken_for_a_wish_to_stop(place):
    X, score = make_rows()
    params = {"solver": "adam", "random_state": 0, "tol": 0.0}
    estimator = WeightedFMRegressor(**params)
    estimator.set_callbacks(Recorder(raise_at=place, error=KeyboardInterrupt))
    with pytest.warns(ConvergenceWarning, match="interrupted: the model of epoch 2"):
        estimator.fit(X, score)
    whole = WeightedFMRegressor(**params)
    whole.set_callbacks(Recorder(stop_at=("end", "epoch", 1))).fit(X, score)
    assert_array_equal(estimator.predict(X), whole.predict(X))


@needs_protocol
def test_an_epoch_that_ctrl_c_cut_short_comes_to_its_end(monkeypatch):
    X, score = make_rows()
    real, calls = BagDataset.take, []

    def take(dataset, rows):
        calls.append(rows)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return real(dataset, rows)

    monkeypatch.setattr(BagDataset, "take", take)
    recorder = Recorder()
    estimator = WeightedFMRegressor(solver="adam", batch_size=75)
    with pytest.warns(ConvergenceWarning, match="interrupted: the model of epoch 1"):
        estimator.set_callbacks(recorder).fit(X, score)
    assert recorder.calls == calls_of(2)
    assert estimator.n_iter_ == 1
    # Nothing is told about an epoch that was not: a monitor skips it.
    calls.clear()
    monitor = ScoringMonitor(scoring="r2")
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        estimator.set_callbacks(monitor).fit(X, score)
    assert len(monitor.get_logs().data) == 2


@needs_protocol
@pytest.mark.parametrize("solver", WAYS[1:])
def test_no_estimator_of_an_epoch_that_diverged_predicts_nan(solver):
    X, score = make_rows()
    taker = Taker()
    estimator = WeightedFMRegressor(
        solver=solver, learning_rate=1e30, l2_factors=0.0, init_scale=1.0
    ).set_callbacks(taker)
    with pytest.warns(ConvergenceWarning):
        estimator.fit(X, score)
    *_, diverged, last = [fitted for *_, fitted in taker.ends]
    assert np.isfinite(taker.predictions).all()
    assert diverged.best_iter_ == last.best_iter_ < last.n_iter_
    assert_array_equal(diverged.factors_, last.factors_)


@needs_protocol
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_progress_is_shown_through_a_search_over_a_pipeline(n_jobs, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    frame = pd.DataFrame({"who": ["ann", "bob"] * 30, "what": [["a", "b"], ["b"]] * 30})
    y = ["yes", "no"] * 30
    monitor = ScoringMonitor(scoring="accuracy")
    model = WeightedFFMClassifier(max_iter=3, tol=0.0).set_callbacks(monitor)
    pipeline = make_pipeline(FieldTransformer(), model)
    grid = {"weightedffmclassifier__l2_factors": [0.5, 5]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(frame, y)
    lines = capfd.readouterr().out.splitlines()
    # Four fits and the refit, each of two steps; everything came to its end.
    for estimator in ("FieldTransformer", "WeightedFFMClassifier"):
        shown = [line for line in lines if f"| {estimator} - fit" in line]
        assert len(shown) == 5
    assert all("100%" in line for line in lines if " - " in line)
    # The monitor of the model works in other processes too.
    (log,) = monitor.get_logs(select="all")
    names = [row["task_name"] for row in log.data]
    assert (names.count("fit"), names.count("epoch")) == (5, 15)
    assert search.best_estimator_[-1]._skl_callbacks == [monitor]


@needs_protocol
def test_progress_of_one_fit(capsys):
    X, score = make_rows()
    estimator = WeightedFMRegressor(solver="adam", tol=1e6, n_iter_no_change=2)
    estimator.set_callbacks(ProgressBar()).fit(X, score)
    assert re.search(r"WeightedFMRegressor - fit .* 100%", capsys.readouterr().out)
    assert estimator.n_iter_ == 3


@needs_protocol
@pytest.mark.parametrize("estimator_class", ALL)
def test_callbacks_stay_by_the_conventions_of_scikit_learn(estimator_class):
    X, score = make_rows()
    y = target_of(estimator_class, score)
    callbacks = [ProgressBar(), ScoringMonitor(scoring="r2"), Recorder()]
    if "Classifier" in estimator_class.__name__:
        callbacks[1] = ScoringMonitor(scoring="accuracy")
    estimator = estimator_class(max_iter=2, random_state=0)
    assert estimator.set_callbacks(*callbacks) is estimator
    assert clone(estimator)._skl_callbacks == callbacks
    assert pickle.loads(pickle.dumps(estimator)).get_params() == estimator.get_params()
    estimator.fit(X, y)
    theirs = LogisticRegression(max_iter=2).set_callbacks(Recorder())
    with pytest.warns(ConvergenceWarning):
        theirs.fit(X, score > 0)
    left = [
        {name for name in vars(fitted) if name.startswith("_")}
        for fitted in (estimator, theirs)
    ]
    assert left[0] == left[1]
    again = pickle.loads(pickle.dumps(estimator))
    assert_array_equal(again.predict(X), estimator.predict(X))
    assert_array_equal(again.fit(X, y).predict(X), estimator.fit(X, y).predict(X))
    estimator.set_callbacks()
    assert vars(estimator).keys() == vars(estimator_class().fit(X, y)).keys()


@needs_protocol
def test_each_kind_of_callback_has_its_place():
    X, score = make_rows()
    with pytest.raises(TypeError, match="FitCallback protocol"):
        WeightedFMRegressor().set_callbacks(ModuleStates())
    for callbacks in ([Recorder()], [("shown", Recorder())]):
        estimator = WeightedFMRegressor(callbacks=[ModuleStates(), *callbacks])
        message = r"callbacks\[1\]=.*expected a callback of skorch"
        with pytest.raises(TypeError, match=f"{message}.* go into set_callbacks"):
            estimator.fit(X, score)


@needs_protocol
@pytest.mark.parametrize("solver", WAYS)
def test_a_warm_start_counts_on(solver):
    X, score = make_rows()
    taker, monitor = Taker(), ScoringMonitor(scoring="r2")
    params = {"solver": solver, "tol": 0.0, "l2_factors": 0.5, "random_state": 0}
    estimator = WeightedFMRegressor(max_iter=2, warm_start=True, **params)
    estimator.fit(X, score)
    first = estimator.predict(X)
    estimator.set_callbacks(taker, monitor).fit(X, score)
    *epochs, last = [fitted for *_, fitted in taker.ends]
    assert [fitted.n_iter_ for fitted in epochs] == [3, 4] == [3, last.n_iter_]
    assert len(epochs[0].history_["train_loss"]) == epochs[0].best_iter_ == 3
    assert_array_equal(epochs[1].predict(X), estimator.predict(X))
    # The first epoch begins where the fit before it ended.
    assert_allclose(taker.begins[1][3].predict(X), first, rtol=1e-4, atol=1e-5)
    assert [row["r2"] for row in monitor.get_logs().data] == [
        r2_score(score, fitted.predict(X)) for fitted in (last, *epochs)
    ]


@needs_protocol
@pytest.mark.parametrize("place", [("begin", "fit", 0), ("end", "epoch", 0)])
def test_a_warm_start_in_which_a_callback_raises_leaves_the_model_it_was(place):
    X, score = make_rows()
    recorder = Recorder(raise_at=place)
    estimator = WeightedFMRegressor(max_iter=2, warm_start=True).fit(X, score)
    before = estimator.predict(X)
    estimator.set_callbacks(recorder)
    names = set(vars(estimator))
    with pytest.raises(RuntimeError, match="as the test wants"):
        estimator.fit(X, score)
    assert recorder.calls[-1] == ("teardown",)
    assert set(vars(estimator)) == names
    assert_array_equal(estimator.predict(X), before)


@needs_protocol
def test_partial_fit_tells_nothing_and_goes_on_from_whole_fits_only():
    X, score = make_rows()
    recorder, taker = Recorder(), Taker()
    estimator = WeightedFMRegressor(max_iter=2).set_callbacks(recorder)
    estimator.partial_fit(X, score)
    assert recorder.calls == []
    estimator.set_callbacks(taker).fit(X, score).partial_fit(X, score)
    for go_on in ("partial_fit", "fit"):
        of_epoch = taker.ends[0][3].set_params(warm_start=True)
        with pytest.raises(ValueError, match="cannot go on training"):
            getattr(of_epoch, go_on)(X, score)
        assert_array_equal(of_epoch.predict(X), taker.predictions[0])


@needs_protocol
def test_a_net_that_is_pickled_does_not_take_the_data_along(tmp_path):
    X, score = make_rows()
    sizes = []
    for n_rows in (50, 300):
        path = tmp_path / f"{n_rows}.pkl"
        keep = Checkpoint(monitor=None, dirname=str(tmp_path), f_pickle=path.name)
        estimator = WeightedFMRegressor(solver="adam", max_iter=2, callbacks=[keep])
        estimator.fit(X[:n_rows], score[:n_rows])
        sizes.append(path.stat().st_size)
    assert sizes[1] < sizes[0] + 1000


@needs_protocol
@pytest.mark.parametrize(
    ("encoder", "column"),
    [
        (WeightedMultiLabelEncoder(), [["a", "b"], ["b"], ["a"], []]),
        (SplineEncoder(), [1.0, 2.0, 3.0, 4.0]),
        (DateEncoder(), np.array(["2020-01-01", "2021-05-05"] * 2, "datetime64[D]")),
        (HistoryEncoder(), ["ann", "bob", "ann", "bob"]),
        (FieldTransformer(), [["a", "b"], ["b"], ["a"], []]),
    ],
    ids=lambda part: type(part).__name__,
)
def test_the_fit_of_an_encoder_is_one_task(encoder, column, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    X = pd.DataFrame({"who": ["ann", "ann", "bob", "bob"], "other": column})
    if not isinstance(encoder, FieldTransformer | HistoryEncoder):
        X = X[["other"]]
    plain = clone(encoder).fit_transform(X).toarray()
    recorder, taker = Recorder(), Taker()
    encoder = clone(encoder).set_callbacks(recorder, taker)
    assert_array_equal(encoder.fit_transform(X).toarray(), plain)
    assert recorder.calls == calls_of(0)
    assert taker.begins[0][0] is taker.ends[0][0] is X
    different = taker.ends[0][3].transform(X) != encoder.transform(X)
    assert different.nnz == 0
    encoder.fit(X=X)
    assert recorder.calls == calls_of(0) * 2
    assert not {"_callback_fit_ctx", "_parent_callback_ctx"} & set(vars(encoder))
    # Warnings are errors: the pipeline's callbacks do reach the encoder.
    pipeline = make_pipeline(encoder.set_callbacks(), WeightedFMRegressor(max_iter=2))
    pipeline.set_callbacks(ProgressBar()).fit(X, [1.0, 2.0, 3.0, 4.0])
    shown = capsys.readouterr().out
    assert len(re.findall("100%", shown)) == 3


@needs_protocol
def test_an_encoder_whose_fit_fails_takes_its_callbacks_down():
    recorder = Recorder()
    for encoder in (WeightedMultiLabelEncoder(), FieldTransformer()):
        X = pd.DataFrame({"who": [["a"], 1.0]})
        with pytest.raises((TypeError, ValueError), match="'who'"):
            encoder.set_callbacks(recorder).fit(X)
        assert recorder.calls == [("setup",), ("begin", "fit", 0), ("teardown",)]
        assert "_callback_fit_ctx" not in vars(encoder)
        recorder.calls.clear()


WITHOUT_PROTOCOL = """
import sys
import sklearn.base, sklearn.compose, sklearn.model_selection, sklearn.pipeline
theirs = sys.modules.get("sklearn.callback")
sys.modules["sklearn.callback"] = None  # makes `import sklearn.callback` fail
import skwfm
parts = {name: getattr(skwfm, name) for name in skwfm.__all__}
if theirs is not None:
    sys.modules["sklearn.callback"] = theirs  # 1.9 needs it itself

X, y = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 9, [1.0, 2.0, 3.0] * 9
for name, part in parts.items():
    assert not hasattr(part, "set_callbacks"), name
for name in ("WeightedFMRegressor", "WeightedFFMRegressor"):
    parts[name](max_iter=2).fit(X, y).predict(X)
skwfm.SplineEncoder().fit_transform(X)
"""


def test_without_the_protocol_there_is_no_method_and_everything_else():
    command = [sys.executable, "-c", WITHOUT_PROTOCOL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# skorch's callbacks: what they are told is in `test_workflow` and `test_training`.


def scoring(**params):
    return EpochScoring("neg_mean_squared_error", name="score", **params)


@pytest.mark.parametrize("solver", WAYS)
def test_a_score_may_stop_the_training_and_choose_the_epoch(solver):
    stopping = EarlyStopping(
        "score", patience=3, lower_is_better=False, load_best=True, threshold=0.0
    )
    estimator = overfit(solver, [scoring(lower_is_better=False), stopping])
    scores = np.array(estimator.history_["score"])
    assert estimator.best_iter_ == scores.argmax() + 1 == stopping.best_epoch_
    assert estimator.n_iter_ == len(scores) == estimator.best_iter_ + 3 < 25
    assert_allclose(valid_mse(estimator), -scores.max(), rtol=1e-4)


@pytest.mark.parametrize("solver", WAYS)
def test_skorch_stopping_without_load_best_keeps_the_last_epoch(solver):
    estimator = overfit(solver, [EarlyStopping(patience=2, threshold=0.0)])
    losses = estimator.history_["valid_loss"]
    assert estimator.best_iter_ == estimator.n_iter_ == np.argmin(losses) + 3 < 25
    assert_allclose(valid_mse(estimator), 2 * losses[-1], rtol=1e-4)


@pytest.mark.parametrize("solver", WAYS)
def test_best_scores_are_marked_for_the_others(solver):
    class Best(Callback):
        def on_train_begin(self, net, **kwargs):
            self.marks = []

        def on_epoch_end(self, net, **kwargs):
            self.marks.append(net.history[-1, "score_best"])

    best = Best()
    estimator = overfit(solver, [scoring(lower_is_better=False), best])
    scores = np.array(estimator.history_["score"])
    assert best.marks == (scores == np.maximum.accumulate(scores)).tolist()
    assert not any(name.endswith("_best") for name in estimator.history_)


@pytest.mark.parametrize("solver", WAYS)
def test_a_schedule_per_epoch_replaces_ours(solver):
    X, score = make_rows()
    params = {"solver": solver, "learning_rate": 0.4, "random_state": 0, "tol": 0.0}
    estimator = WeightedFMRegressor(max_iter=4, callbacks=[halving()], **params)
    rates = estimator.fit(X, score).history_["learning_rate"]
    assert_allclose(rates, [0.4, 0.2, 0.1, 0.05])
    if solver == "lbfgs":
        return  # its line search finds the length of a step by itself
    # The steps are of that size, not only the record: without any nothing changes.
    still = LRScheduler(StepLR, step_size=1, gamma=1e-12)
    first, fourth = (
        WeightedFMRegressor(max_iter=n, callbacks=[("mine", still)], **params)
        for n in (1, 4)
    )
    assert_allclose(
        first.fit(X, score).factors_, fourth.fit(X, score).factors_, rtol=1e-6
    )


@pytest.mark.parametrize("solver", WAYS[1:])
def test_a_schedule_per_batch_steps_after_every_batch(solver):
    X, score = make_rows()
    schedule = halving(step_every="batch")
    estimator = WeightedFMRegressor(
        solver=solver,
        max_iter=3,
        batch_size=100,
        learning_rate=0.4,
        tol=0.0,
        callbacks=[schedule],
        random_state=0,
    ).fit(X, score)
    assert schedule.batch_idx_ == 9
    assert_allclose(schedule.lr_scheduler_.get_last_lr()[0], 0.4 / 2**9)
    if solver == "adagrad":  # that at the begin of each epoch
        assert_allclose(estimator.history_["learning_rate"], [0.4, 0.05, 0.4 / 64])
    still = LRScheduler(StepLR, step_size=1, gamma=1e-12, step_every="batch")
    one = estimator.set_params(callbacks=[still]).fit(X, score).factors_
    assert_allclose(estimator.set_params(max_iter=1).fit(X, score).factors_, one)


@pytest.mark.parametrize("solver", WAYS)
def test_a_schedule_may_look_at_the_losses(solver):
    plateau = LRScheduler(ReduceLROnPlateau, monitor="valid_loss", patience=0)
    estimator = overfit(solver, [plateau])
    losses = np.array(estimator.history_["valid_loss"])
    first = np.flatnonzero(np.diff(losses) > 0)[0]  # the first epoch without progress
    rate = plateau.lr_scheduler_.optimizer.param_groups[0]["lr"]
    assert first < 24
    assert rate < {"lbfgs": 1.0, "adagrad": 0.5, "adam": 0.05}[solver]


@pytest.mark.parametrize("solver", WAYS)
def test_a_schedule_does_not_hold_the_parameters_of_the_training(solver):
    X, score = make_rows()
    sizes = [
        len(pickle.dumps(estimator.fit(X, score)))
        for estimator in (
            WeightedFMRegressor(400, solver=solver, max_iter=2, callbacks=callbacks)
            for callbacks in (None, [halving()])
        )
    ]
    assert sizes[0] > 12 * 400 * 4
    assert sizes[1] < sizes[0] + 4000


@pytest.mark.parametrize("solver", WAYS)
@pytest.mark.parametrize("estimator_class", [WeightedFMClassifier, ALL[3]])
def test_a_checkpoint_is_the_model(estimator_class, solver, tmp_path):
    X, score = make_rows()
    y = target_of(estimator_class, score)
    checkpoint = Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    estimator = estimator_class(
        solver=solver, max_iter=3, callbacks=[checkpoint], random_state=0
    ).fit(X, y)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"params.pt", "optimizer.pt", "criterion.pt", "history.json"}
    state = torch.load(tmp_path / "params.pt", weights_only=True)
    # Classes are not scaled: these are the numbers of the fitted model.
    module, other = estimator.module_, clone(estimator).set_params(random_state=1)
    other = other.set_params(callbacks=None).fit(X, y).module_
    other.load_state_dict(state)
    for name, part in module.state_dict().items():
        assert_array_equal(other.state_dict()[name], part)


@pytest.mark.parametrize("load_best", [False, True])
@pytest.mark.parametrize("solver", WAYS)
def test_a_checkpoint_may_choose_the_epoch(solver, load_best, tmp_path):
    checkpoint = Checkpoint(dirname=str(tmp_path), load_best=load_best)
    estimator = overfit(solver, [checkpoint])
    losses = np.array(estimator.history_["valid_loss"])
    # The history is that of all epochs, not the shorter one of the checkpoint.
    assert estimator.n_iter_ == len(losses) > np.argmin(losses) + 1
    kept = np.argmin(losses) + 1 if load_best else estimator.n_iter_
    assert estimator.best_iter_ == kept
    assert_allclose(valid_mse(estimator), 2 * losses[kept - 1], rtol=1e-4)


def test_callbacks_of_the_user_are_used_as_they_are():
    X, score = make_rows()
    states = ModuleStates()
    estimator = WeightedFMRegressor(max_iter=2, callbacks=[states])
    estimator.fit(X, score)
    assert estimator.callbacks[0] is estimator.get_params()["callbacks"][0] is states
    assert len(states.tables_) == 2
    # Each candidate of a search has its own, as clones have.
    assert clone(estimator).callbacks[0] is not states


def test_unset_callbacks_are_skipped():
    X, score = make_rows()
    plain = WeightedFMRegressor(max_iter=2, random_state=0).fit(X, score)
    for callbacks in ([], [("later", None)], [ModuleStates], [("kind", ModuleStates)]):
        estimator = clone(plain).set_params(callbacks=callbacks).fit(X, score)
        assert_array_equal(estimator.factors_, plain.factors_)


def test_anything_else_is_refused():
    X, score = make_rows()
    for wrong in ("EarlyStopping", BaseEstimator(), print):
        with pytest.raises(TypeError, match=r"callbacks\[0\]=.*expected a callback of"):
            WeightedFMRegressor(callbacks=[wrong]).fit(X, score)
