"""The estimators as citizens of scikit-learn: what wraps, searches, routes and shows.

tests/test_workflow.py has the pipelines of everyday; here each tool of scikit-learn
that fits clones of an estimator must come to the same model as a direct `fit`, or to
one that is clearly better than chance.
"""

import re
import subprocess
import sys

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.exceptions import DataConversionWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, chi2
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
)
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils import estimator_checks

from skwfm import (
    DateEncoder,
    FieldCSR,
    FieldMapWarning,
    FieldTransformer,
    HistoryEncoder,
    SplineEncoder,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)

CLASSIFIERS = [WeightedFMClassifier, WeightedFFMClassifier]
REGRESSORS = [WeightedFMRegressor, WeightedFFMRegressor]
ALL = [*CLASSIFIERS, *REGRESSORS]
# "adagrad" takes a tenth of the time of "auto" (full batches) on so few rows.
PARAMS = {
    "solver": "adagrad",
    "l2_factors": 0.1,
    "l2_linear": 1.0,
    "random_state": 0,
}


def make_visits(n_rows=160, seed=0):
    """Return visits whose click depends on user and tags together, on neither alone."""
    rng = np.random.default_rng(seed)
    ann = rng.random(n_rows) < 0.5
    war = rng.random(n_rows) < 0.5
    other = rng.choice(["drama", "comedy", "western"], n_rows)
    frame = pd.DataFrame(
        {
            "user": np.where(ann, "ann", "bob"),
            "tags": [
                [tag, "war"] if w else [tag] for tag, w in zip(other, war, strict=True)
            ],
            "noise": rng.choice(["a", "b"], n_rows),
        }
    )
    return frame, ann ^ war


FRAME, CLICKED = make_visits()
LABELS = np.where(CLICKED, "yes", "no")
SCORES = np.where(CLICKED, 3.0, 1.0) + 0.1 * (FRAME["user"] == "ann").to_numpy()


def make_encoder():
    return FieldTransformer(
        [
            ("ids", OneHotEncoder(handle_unknown="ignore"), ["user", "noise"]),
            ("tags", WeightedMultiLabelEncoder(), ["tags"]),
        ]
    )


def make_model(estimator_class, **params):
    return make_pipeline(make_encoder(), estimator_class(**PARAMS, **params))


MATRIX = make_encoder().fit_transform(FRAME)
# The same without tags of many values: a dense array with numbers of both signs.
DENSE = np.random.default_rng(1).normal(size=(120, 3))
PRODUCT = DENSE[:, 0] * DENSE[:, 1]


def target_of(estimator_class):
    return LABELS if estimator_class in CLASSIFIERS else SCORES


# --- scikit-learn's checks that it runs on its own estimators only ------------------

TRANSFORMERS = [
    FieldTransformer(),
    FieldTransformer([("scale", StandardScaler(), [0])]),
    WeightedMultiLabelEncoder(),
    SplineEncoder(),
    DateEncoder(),
    HistoryEncoder(),
]
ESTIMATORS = [estimator_class() for estimator_class in ALL]
EXTRA = {
    # A ColumnTransformer selects by name and may drop columns: not FieldTransformer.
    "check_dataframe_column_names_consistency": [*ESTIMATORS, *TRANSFORMERS[2:]],
    "check_param_validation": [*ESTIMATORS, *TRANSFORMERS],
    "check_inplace_ensure_writeable": [*ESTIMATORS, *TRANSFORMERS],
    "check_get_feature_names_out_error": TRANSFORMERS,
    "check_transformer_get_feature_names_out": TRANSFORMERS,
    "check_transformer_get_feature_names_out_pandas": TRANSFORMERS,
    "check_set_output_transform": TRANSFORMERS,
    "check_set_output_transform_pandas": TRANSFORMERS[1:],
    "check_set_output_transform_polars": TRANSFORMERS[1:],
    "check_global_output_transform_pandas": TRANSFORMERS[1:],
    "check_global_set_output_transform_polars": TRANSFORMERS[1:],
    "check_transformer_preserve_dtypes": TRANSFORMERS,
}


# Some fit a data frame and transform an array on purpose.
@pytest.mark.filterwarnings("ignore:X .* feature names:UserWarning")
@pytest.mark.parametrize(
    ("check", "estimator"),
    [(check, e) for check, estimators in EXTRA.items() for e in estimators],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_check_of_scikit_learn_itself(check, estimator):
    run = getattr(estimator_checks, check, None)
    if run is None:
        pytest.skip(f"this scikit-learn has no {check}")
    run(type(estimator).__name__, clone(estimator))


# --- fields that get lost, and fields that survive ----------------------------------


def make_union():
    parts = ["user"], ["tags"]
    encoders = OneHotEncoder(), WeightedMultiLabelEncoder()
    return FeatureUnion(
        [
            (columns[0], FieldTransformer([("x", encoder, columns)]))
            for columns, encoder in zip(parts, encoders, strict=True)
        ]
    )


@pytest.mark.parametrize("estimator_class", ALL)
def test_feature_union_loses_the_fields_and_it_is_said(estimator_class):
    model = make_pipeline(make_union(), estimator_class(**PARAMS))
    y = target_of(estimator_class)
    if "FFM" in estimator_class.__name__:
        with pytest.raises(ValueError, match="FieldTransformer or skwfm.hstack"):
            model.fit(FRAME, y)
    else:
        with pytest.warns(FieldMapWarning, match="every column"):
            model.fit(FRAME, y)
        assert model[-1].n_fields_ == 6
    told = model.set_params(**{f"{model.steps[-1][0]}__fields": [2, 4]}).fit(FRAME, y)
    assert told[-1].n_fields_ == 2
    assert told.score(FRAME, y) > 0.9


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: RFE(model, n_features_to_select=5),  # takes columns from CSC
        lambda model: ClassifierChain(model),  # adds the classes before as columns
        lambda model: StackingClassifier([("a", model)], model, cv=2, passthrough=True),
    ],
    ids=["RFE", "ClassifierChain", "StackingClassifier"],
)
def test_wrappers_that_lose_the_fields_and_it_is_said(wrap):
    multilabel = isinstance(wrap(WeightedFMClassifier()), ClassifierChain)
    y = np.column_stack([CLICKED, ~CLICKED]) if multilabel else LABELS
    with pytest.raises(ValueError, match="FieldTransformer or skwfm.hstack"):
        wrap(WeightedFFMClassifier(**PARAMS)).fit(MATRIX, y)
    with pytest.warns(FieldMapWarning, match="every column"):
        model = wrap(WeightedFMClassifier(**PARAMS)).fit(MATRIX, y)
    least = 0.5 if isinstance(model, RFE) else 0.9  # RFE looks at `coef_` alone
    assert model.score(MATRIX, y) > least


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_feature_selection_keeps_the_fields(estimator_class):
    for selector in (
        SelectKBest(chi2, k=5),
        SelectFromModel(estimator_class(**PARAMS), max_features=5, threshold=-np.inf),
    ):
        model = make_pipeline(selector, estimator_class(**PARAMS)).fit(MATRIX, LABELS)
        kept = model[0].get_support(indices=True)
        assert_array_equal(model[-1].fields_, MATRIX.fields[kept])
        assert model[-1].field_names_ == MATRIX.field_names
        direct = estimator_class(**PARAMS).fit(MATRIX[:, kept], LABELS)
        assert_array_equal(
            model.predict_proba(MATRIX), direct.predict_proba(MATRIX[:, kept])
        )


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_bagging_over_rows_and_columns(estimator_class):
    bag = BaggingClassifier(
        estimator_class(**PARAMS), 5, max_features=0.8, random_state=0
    ).fit(MATRIX, LABELS)
    for member, columns in zip(bag.estimators_, bag.estimators_features_, strict=True):
        assert_array_equal(member.fields_, MATRIX.fields[columns])
        assert member.field_names_ == MATRIX.field_names
    assert bag.score(MATRIX, LABELS) > 0.9


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_bagging_without_sampling_is_the_direct_fit(estimator_class):
    bag = BaggingClassifier(
        estimator_class(**PARAMS),
        1,
        bootstrap=False,
        max_features=0.7,
        bootstrap_features=True,
        random_state=0,
    ).fit(MATRIX, CLICKED)
    columns = bag.estimators_features_[0]
    direct = estimator_class(**PARAMS)
    direct.set_params(random_state=bag.estimators_[0].random_state)
    direct.fit(MATRIX[:, columns], CLICKED)
    assert_allclose(
        bag.predict_proba(MATRIX), direct.predict_proba(MATRIX[:, columns]), rtol=1e-6
    )


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_memory_mapped_matrix(tmp_path, estimator_class):
    joblib.dump(MATRIX, tmp_path / "matrix.joblib")
    mapped = joblib.load(tmp_path / "matrix.joblib", mmap_mode="r")
    assert isinstance(mapped, FieldCSR) and not mapped.data.flags.writeable
    assert mapped.field_names == MATRIX.field_names
    direct = estimator_class(**PARAMS).fit(MATRIX, LABELS)
    again = estimator_class(**PARAMS).fit(mapped, LABELS)
    assert_array_equal(again.predict_proba(mapped), direct.predict_proba(MATRIX))
    # Not canonical, so that it has to be copied to be sorted.
    joblib.dump(MATRIX[:, ::-1][:, ::-1].tocsc().tocoo(), tmp_path / "coo.joblib")
    coo = joblib.load(tmp_path / "coo.joblib", mmap_mode="r")
    told = estimator_class(fields=MATRIX.fields, **PARAMS).fit(coo, LABELS)
    assert_array_equal(told.predict_proba(coo), direct.predict_proba(MATRIX))


def test_cached_pipeline_keeps_the_fields(tmp_path):
    direct = make_model(WeightedFFMClassifier).fit(FRAME, LABELS)
    for _ in range(2):  # the second time the matrix comes from the cache
        model = make_model(WeightedFFMClassifier).set_params(memory=str(tmp_path))
        model.fit(FRAME, LABELS)
        assert model[-1].field_names_ == ("user", "noise", "tags")
        assert_array_equal(model.predict_proba(FRAME), direct.predict_proba(FRAME))


# --- searches, curves and thresholds ------------------------------------------------


@pytest.mark.parametrize("search_class", [GridSearchCV, HalvingGridSearchCV])
@pytest.mark.parametrize("estimator_class", ALL)
def test_search_refits_the_direct_model(search_class, estimator_class):
    y = target_of(estimator_class)
    model = make_model(estimator_class)
    name = f"{model.steps[-1][0]}__l2_factors"
    extra = {"random_state": 0} if search_class is HalvingGridSearchCV else {}
    folds = (StratifiedKFold if estimator_class in CLASSIFIERS else KFold)(3)
    search = search_class(model, {name: [0.1, 1000.0]}, cv=folds, **extra).fit(FRAME, y)
    assert search.best_params_ == {name: 0.1}
    direct = make_model(estimator_class).fit(FRAME, y)
    assert_array_equal(search.predict(FRAME), direct.predict(FRAME))


@pytest.mark.parametrize("estimator_class", ALL)
def test_cross_val_predict_is_a_loop_over_folds(estimator_class):
    y = target_of(estimator_class)
    method = "predict_proba" if estimator_class in CLASSIFIERS else "predict"
    model, folds = make_model(estimator_class), KFold(3)
    found = cross_val_predict(model, FRAME, y, cv=folds, method=method)
    for train, test in folds.split(FRAME):
        fitted = clone(model).fit(FRAME.iloc[train], y[train])
        expected = getattr(fitted, method)(FRAME.iloc[test])
        assert_array_equal(found[test], expected)


def test_learning_and_validation_curves():
    model = make_model(WeightedFFMClassifier)
    _, _, scores = learning_curve(
        model, FRAME, LABELS, train_sizes=[8, 100], cv=3, shuffle=True, random_state=0
    )
    assert scores[1].mean() > max(scores[0].mean(), 0.9)
    name = "weightedffmclassifier__l2_factors"
    _, scores = validation_curve(
        model, FRAME, LABELS, param_name=name, param_range=[1000.0, 0.1], cv=3
    )
    assert scores[0].mean() < 0.7 and scores[1].mean() > 0.9


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_tuned_threshold(estimator_class):
    tuned = TunedThresholdClassifierCV(
        make_model(estimator_class), scoring="balanced_accuracy", cv=3
    ).fit(FRAME, LABELS)
    direct = make_model(estimator_class).fit(FRAME, LABELS)
    above = direct.predict_proba(FRAME)[:, 1] >= tuned.best_threshold_
    assert_array_equal(tuned.predict(FRAME), np.where(above, "yes", "no"))
    assert tuned.best_score_ > 0.9


# --- ensembles and wrappers ---------------------------------------------------------


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_calibration(estimator_class):
    model = make_model(estimator_class)
    calibrated = CalibratedClassifierCV(model, cv=3, ensemble=False)
    calibrated.fit(FRAME, LABELS)
    direct = model.fit(FRAME, LABELS).decision_function(FRAME)
    inner = calibrated.calibrated_classifiers_[0].estimator
    assert_array_equal(inner.decision_function(FRAME), direct)
    # Calibration is increasing in the score.
    order = np.argsort(direct)
    assert (np.diff(calibrated.predict_proba(FRAME)[order, 1]) >= 0).all()
    assert calibrated.score(FRAME, LABELS) > 0.9


def test_stacking_classifier():
    members = [(c.__name__, make_model(c)) for c in CLASSIFIERS]
    stack = StackingClassifier(members, RidgeClassifier(), cv=3).fit(FRAME, LABELS)
    expected = [
        make_model(c).fit(FRAME, LABELS).predict_proba(FRAME)[:, 1] for c in CLASSIFIERS
    ]
    assert_array_equal(stack.transform(FRAME), np.column_stack(expected))
    assert stack.score(FRAME, LABELS) > 0.9


def test_stacking_regressor():
    members = [(c.__name__, make_model(c)) for c in REGRESSORS]
    stack = StackingRegressor(members, Ridge(), cv=3).fit(FRAME, SCORES)
    expected = [make_model(c).fit(FRAME, SCORES).predict(FRAME) for c in REGRESSORS]
    assert_array_equal(stack.transform(FRAME), np.column_stack(expected))
    assert stack.score(FRAME, SCORES) > 0.9


def test_voting():
    members = [(c.__name__, c(**PARAMS)) for c in CLASSIFIERS]
    vote = VotingClassifier(members, voting="soft").fit(MATRIX, LABELS)
    expected = [
        c(**PARAMS).fit(MATRIX, LABELS).predict_proba(MATRIX) for c in CLASSIFIERS
    ]
    assert_allclose(vote.predict_proba(MATRIX), np.mean(expected, axis=0))


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
def test_one_versus_rest(estimator_class):
    y = np.where(FRAME["noise"] == "a", "none", LABELS)
    rest = OneVsRestClassifier(estimator_class(**PARAMS)).fit(MATRIX, y)
    assert_array_equal(rest.classes_, ["no", "none", "yes"])
    for label, member in zip(rest.classes_, rest.estimators_, strict=True):
        direct = estimator_class(**PARAMS).fit(MATRIX, y == label)
        assert_array_equal(
            member.decision_function(MATRIX), direct.decision_function(MATRIX)
        )
    assert rest.score(MATRIX, y) > 0.8


@pytest.mark.parametrize("estimator_class", REGRESSORS)
def test_transformed_target(estimator_class):
    direct = make_model(estimator_class).fit(FRAME, np.log1p(SCORES))
    model = TransformedTargetRegressor(
        make_model(estimator_class), func=np.log1p, inverse_func=np.expm1
    ).fit(FRAME, SCORES)
    assert_allclose(model.predict(FRAME), np.expm1(direct.predict(FRAME)), rtol=1e-6)


def test_permutation_importance_of_array_and_frame():
    model = WeightedFMRegressor(**PARAMS).fit(DENSE, PRODUCT)
    drop = permutation_importance(model, DENSE, PRODUCT, n_repeats=2, random_state=0)
    assert drop.importances_mean[:2].min() > 10 * abs(drop.importances_mean[2])
    model = make_model(WeightedFFMClassifier).fit(FRAME, LABELS)
    drop = permutation_importance(model, FRAME, LABELS, n_repeats=2, random_state=0)
    assert drop.importances_mean[:2].min() > 0.3
    assert abs(drop.importances_mean[2]) < 0.05


def test_partial_dependence_is_the_mean_prediction():
    model = WeightedFMRegressor(**PARAMS).fit(DENSE, PRODUCT)
    found = partial_dependence(model, DENSE, [0], grid_resolution=3, kind="average")
    for value, average in zip(
        found["grid_values"][0], found["average"][0], strict=True
    ):
        moved = DENSE.copy()
        moved[:, 0] = value
        assert_allclose(average, model.predict(moved).mean(), rtol=1e-6)


# --- targets ------------------------------------------------------------------------


@pytest.mark.parametrize("estimator_class", ALL)
def test_several_targets_are_refused(estimator_class):
    y = target_of(estimator_class)
    with pytest.raises(ValueError, match=r"y should be a 1d array.*shape \(160, 2\)"):
        estimator_class().fit(MATRIX, np.column_stack([y, y]))
    with pytest.raises(ValueError, match=r"y should be a 1d array.*shape \(160, 2\)"):
        make_model(estimator_class).fit(FRAME, np.column_stack([y, y]))
    with pytest.raises(ValueError, match=r"y should be a 1d array.*shape \(160, 2\)"):
        estimator_class().fit(FRAME, np.column_stack([y, y]))


@pytest.mark.parametrize("estimator_class", ALL)
def test_several_targets_one_model_each(estimator_class):
    first = target_of(estimator_class)
    y = np.column_stack([first, first[::-1]])
    wrap = MultiOutputClassifier
    if estimator_class in REGRESSORS:
        wrap = MultiOutputRegressor
    predictions = wrap(estimator_class(**PARAMS)).fit(MATRIX, y).predict(MATRIX)
    for column in range(2):
        direct = estimator_class(**PARAMS).fit(MATRIX, y[:, column])
        assert_array_equal(predictions[:, column], direct.predict(MATRIX))


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
@pytest.mark.parametrize(
    "make_y",
    [
        lambda y: y,
        lambda y: y.tolist(),
        lambda y: y.astype(int),
        lambda y: np.where(y, 9.0, 5.0),
        lambda y: np.where(y, "yes", "no").astype(object),
        lambda y: pd.Series(y),
        lambda y: pd.Series(y, dtype="boolean"),
        lambda y: pd.Series(np.where(y, "yes", "no"), dtype="string"),
        lambda y: pd.Series(np.where(y, "yes", "no"), dtype="category"),
        lambda y: pl.Series(y),
        lambda y: pl.Series(np.where(y, "yes", "no")),
    ],
    ids=[
        *("bool", "list", "int", "float", "object", "pandas", "nullable", "string"),
        *("category", "polars", "polars-string"),
    ],
)
def test_two_classes_of_every_kind(estimator_class, make_y):
    y = make_y(CLICKED)
    model = estimator_class(**PARAMS).fit(MATRIX, y)
    expected = estimator_class(**PARAMS).fit(MATRIX, CLICKED).predict(MATRIX)
    assert_array_equal(model.classes_, np.unique(np.asarray(y)))
    assert_array_equal(model.predict(MATRIX) == model.classes_[1], expected)
    assert model.score(MATRIX, y) > 0.9


@pytest.mark.parametrize("estimator_class", CLASSIFIERS)
@pytest.mark.parametrize("other", [None, 1, True])
def test_labels_of_two_kinds_name_the_row(estimator_class, other):
    y = LABELS.astype(object)
    y[3] = other
    with pytest.raises(
        TypeError, match=rf"y, row 3: got {other}, expected text as in row 0\. Drop"
    ):
        estimator_class().fit(MATRIX, y)
    y[:3] = other  # scikit-learn would speak of a regression target
    with pytest.raises(TypeError, match=f"y, row 0: got {other}, expected text as in"):
        estimator_class().fit(MATRIX, y)


@pytest.mark.parametrize("estimator_class", ALL)
def test_column_vector_warns(estimator_class):
    y = target_of(estimator_class)
    model = estimator_class(**PARAMS)
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        model.fit(MATRIX, y[:, None])
    direct = estimator_class(**PARAMS).fit(MATRIX, y)
    assert_array_equal(model.predict(MATRIX), direct.predict(MATRIX))


# --- what a pipeline shows, takes and gives -----------------------------------------


def test_names_of_the_columns_of_a_pipeline():
    model = make_model(WeightedFFMClassifier).fit(FRAME, LABELS)
    names = model[:-1].get_feature_names_out()
    assert_array_equal(
        names,
        [
            *("ids__user_ann", "ids__user_bob", "ids__noise_a", "ids__noise_b"),
            *("tags__tags=comedy", "tags__tags=drama", "tags__tags=war"),
            "tags__tags=western",
        ],
    )
    assert len(names) == model[-1].coef_.size == len(model[-1].fields_)


def test_diagram_of_a_fitted_pipeline():
    model = make_model(WeightedFFMClassifier).fit(FRAME, LABELS)
    html = model._repr_html_()
    for shown in ("FieldTransformer", "WeightedMultiLabelEncoder", "ids: user, noise"):
        assert shown in html
    assert "WeightedFFMClassifier" in html
    # Links of each part lead to the pages of its own package.
    links = re.findall(r'href="(https://[^"]+)"', html)
    theirs = [link for link in links if "scikit-learn.org" in link]
    ours = [link for link in links if "skwfm" in link]
    assert any("OneHotEncoder" in link for link in theirs)
    assert not any("Weighted" in link or "FieldT" in link for link in theirs)
    assert any("WeightedFFMClassifier" in link for link in ours)


def test_output_container_of_a_pipeline():
    model = make_pipeline(StandardScaler(), WeightedFMRegressor(**PARAMS))
    frame = pd.DataFrame(DENSE, columns=["a", "b", "c"])
    expected = model.fit(frame, PRODUCT).predict(frame)
    model.set_output(transform="pandas").fit(frame, PRODUCT)
    assert_array_equal(model[-1].feature_names_in_, ["a", "b", "c"])
    assert_allclose(model.predict(frame), expected, rtol=1e-6)
    sparse = make_model(WeightedFFMClassifier).set_output(transform="pandas")
    with pytest.raises(ValueError, match="sparse"):
        sparse.fit(FRAME, LABELS)


@pytest.mark.parametrize("estimator_class", ALL)
def test_polars_is_pandas(estimator_class):
    frame = pl.DataFrame(FRAME.to_dict("list"))
    y = target_of(estimator_class)
    for model in (make_model(estimator_class), estimator_class(**PARAMS)):
        expected = model.fit(FRAME, y).predict(FRAME)
        assert_array_equal(model.fit(frame, pl.Series(y)).predict(frame), expected)
        assert model.score(frame, pl.Series(y)) > 0.9


def test_cloudpickle_in_a_fresh_process(tmp_path):
    """A function that no module holds travels as well."""
    keep = FunctionTransformer(lambda X: X[["user", "tags", "noise"]])
    model = make_pipeline(keep, *make_model(WeightedFFMClassifier))
    model.fit(FRAME, LABELS)
    (tmp_path / "model.pkl").write_bytes(cloudpickle.dumps((model, FRAME)))
    code = (
        "import pickle, sys, numpy as np\n"
        "model, X = pickle.load(open('model.pkl', 'rb'))\n"
        "np.save('proba.npy', model.predict_proba(X))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    assert_array_equal(np.load(tmp_path / "proba.npy"), model.predict_proba(FRAME))


# --- metadata routing ---------------------------------------------------------------

# Half of the rows say the opposite, and weigh nothing.
WRONG = np.random.default_rng(2).random(len(FRAME)) < 0.5
WEIGHTS = np.where(WRONG, 0.0, 1.0)


def weighted_model(estimator_class):
    estimator = estimator_class(**PARAMS).set_fit_request(sample_weight=True)
    return make_pipeline(make_encoder(), estimator)


def misled_target(estimator_class):
    if estimator_class in CLASSIFIERS:
        return np.where(WRONG ^ CLICKED, "yes", "no")
    return np.where(WRONG, 4 - SCORES, SCORES)


@pytest.mark.parametrize("estimator_class", ALL)
def test_weights_are_routed(estimator_class):
    y = misled_target(estimator_class)
    direct = make_encoder().fit_transform(FRAME)
    direct = estimator_class(**PARAMS).fit(direct, y, WEIGHTS).predict(MATRIX)
    with config_context(enable_metadata_routing=True):
        model = weighted_model(estimator_class)
        name = f"{model.steps[-1][0]}__l2_factors"
        scoring = get_scorer("r2" if estimator_class in REGRESSORS else "accuracy")
        scoring = clone(scoring, safe=False).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {name: [0.1, 1000.0]}, scoring=scoring, cv=3)
        search.fit(FRAME, y, sample_weight=WEIGHTS)
        assert search.best_score_ > 0.9
        model.fit(FRAME, y, sample_weight=WEIGHTS)
        params = {"sample_weight": WEIGHTS}
        scores = cross_validate(model, FRAME, y, scoring=scoring, cv=3, params=params)
    assert_array_equal(search.predict(FRAME), direct)
    assert_array_equal(model.predict(FRAME), direct)
    assert scores["test_score"].min() > 0.9
    # Without the weights nothing can be learnt from these rows.
    assert make_model(estimator_class).fit(FRAME, y).score(FRAME, y) < 0.8


def test_rows_to_stop_by_are_routed():
    with config_context(enable_metadata_routing=True):
        estimator = WeightedFFMClassifier(**PARAMS).set_fit_request(eval_set=True)
        model = make_pipeline(make_encoder(), estimator)
        model.fit(FRAME, LABELS, eval_set=(MATRIX[:40], LABELS[:40]))
    direct = WeightedFFMClassifier(**PARAMS)
    direct.fit(MATRIX, LABELS, eval_set=(MATRIX[:40], LABELS[:40]))
    assert model[-1].history_["valid_loss"] == direct.history_["valid_loss"]
    assert_array_equal(model.predict_proba(FRAME), direct.predict_proba(MATRIX))


def test_weights_that_nobody_asked_for_are_refused():
    with (
        config_context(enable_metadata_routing=True),
        pytest.raises(ValueError, match=r"\[sample_weight\] are passed but are not"),
    ):
        make_model(WeightedFMClassifier).fit(FRAME, LABELS, sample_weight=WEIGHTS)


def test_sparse_array_is_the_sparse_matrix():
    """A `csr_array` (scipy's new kind) has no fields either, and says so."""
    plain = sp.csr_array(MATRIX)
    with pytest.raises(ValueError, match="FieldTransformer or skwfm.hstack"):
        WeightedFFMClassifier().fit(plain, LABELS)
    told = WeightedFFMClassifier(fields=MATRIX.fields, **PARAMS).fit(plain, LABELS)
    direct = WeightedFFMClassifier(**PARAMS).fit(MATRIX, LABELS)
    assert_array_equal(told.predict_proba(plain), direct.predict_proba(MATRIX))
