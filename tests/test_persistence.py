"""What model files hold: round trips, refusals, forgery, and files of old."""

import copy
import datetime
import decimal
import json
import os
import pickle
import random
import struct
import tracemalloc
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from fitted_kinds import (
    FM,
    FRAME,
    KINDS,
    X,
    Y,
    grown,
    labels,
    outputs,
    target_for,
    three,
)
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.fixes import parse_version

import skwfm
from skwfm import (
    FieldTransformer,
    ModelFileError,
    SplineEncoder,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)
from skwfm._model_codec import Decoder, Encoder
from skwfm._model_file import read_file, write_file

GOLDEN = Path(__file__).parent / "golden"


def assert_same(first, second, rows):
    pairs = zip(outputs(first, rows), outputs(second, rows), strict=True)
    for one, other in pairs:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skwfm"


# --- round trips --------------------------------------------------------------------


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_is_exact(kind, mmap, path):
    model, rows = KINDS[kind]()
    before = pickle.dumps(model)
    skwfm.save(model, path)
    assert pickle.dumps(model) == before
    restored = skwfm.load(path, mmap=mmap)
    assert type(restored) is type(model)
    assert_same(model, restored, rows)
    assert repr(restored) == repr(model)
    assert repr(clone(restored)) == repr(clone(model))
    assert sorted(vars(restored)) == sorted(vars(model))
    again = path.with_name("again")
    skwfm.save(restored, again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    "kind", ["squared_error", "ftrl", "per weight", "float32", "huber"]
)
def test_training_goes_on_to_the_bit(kind, mmap, path):
    model, rows = KINDS[kind]()
    model.save(path)
    restored = skwfm.load(path, mmap=mmap)
    content = path.read_bytes()
    for one in (model, restored):
        one.partial_fit(rows, Y)
    assert_same(model, restored, rows)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mmap", [False, True])
def test_grown_encoder_and_classes_go_on(mmap, path):
    model, rows = grown()
    model.save(path)
    restored = skwfm.load(path, mmap=mmap)
    further = rows.assign(film="Ran")
    for one in (model, restored):
        one.partial_fit(further, three("no", "perhaps", "yes"))
    assert_same(model, restored, further)


def test_warm_start_goes_on(path):
    model = WeightedFMRegressor(**FM, warm_start=True).fit(X, Y)
    model.save(path)
    restored = skwfm.load(path)
    assert_same(model.fit(X, Y), restored.fit(X, Y), X)
    assert restored.n_iter_ == model.n_iter_


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("n_burn_in", ["auto", 1])
@pytest.mark.parametrize(
    "kind", ["draws", "draws with spread", "draws of classes", "draws of levels"]
)
def test_chain_goes_on_from_the_last_draw(kind, n_burn_in, mmap, path):
    model, rows = KINDS[kind]()
    model.set_params(warm_start=True, n_burn_in=n_burn_in)
    y = target_for(model)
    model.save(path)
    restored, content = skwfm.load(path, mmap=mmap), path.read_bytes()
    before = model.samples_
    assert_same(model.fit(rows, y), restored.fit(rows, y), rows)
    assert model.samples_ is not before and len(restored.samples_) == 3
    assert path.read_bytes() == content


@pytest.mark.parametrize("writer", [pickle, joblib, cloudpickle])
@pytest.mark.parametrize(
    "kind",
    ["pipeline", "transformer", "grown", "draws with spread", "draws of classes"],
)
def test_pickles_hold_the_same(kind, writer, path):
    model, rows = KINDS[kind]()
    with open(path, "wb") as stream:
        writer.dump(model, stream)
    with open(path, "rb") as stream:
        assert_same(model, writer.load(stream), rows)


def test_mapped_arrays_are_read_only_and_in_the_file(path):
    model, _ = KINDS["squared_error"]()
    model.save(path)
    mapped, read = skwfm.load(path, mmap=True), skwfm.load(path)
    base = mapped.factors_
    while not isinstance(base, np.memmap):
        base = base.base
    assert Path(base.filename) == path
    assert not mapped.factors_.flags.writeable
    assert read.factors_.flags.writeable
    assert mapped.factors_.ctypes.data % 64 == 0


def test_file_says_what_it_is(path):
    model, _ = KINDS["named columns"]()
    model.save(path)
    header, arrays = read_file(path)
    assert header["class"] == "WeightedFMRegressor"
    assert header["versions"]["skwfm"] == skwfm.__version__
    name, parameters, attributes = header["model"]["estimator"]
    assert name == header["class"] and parameters["n_factors"] == 2
    assert attributes["feature_names_in_"] == {"objects": [[4], list("abcd")]}
    assert any(array.shape == (4, 2) for array in arrays)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
)
KEYS = st.text() | st.integers() | st.booleans()
VALUES = st.deferred(lambda: LEAVES | LISTS | LISTS.map(tuple) | DICTS)
LISTS = st.lists(VALUES, max_size=4)
DICTS = st.dictionaries(KEYS, VALUES, max_size=4)


def through_json(value):
    encoder = Encoder()
    text = json.dumps(encoder.encode(value, "x"), ensure_ascii=False, allow_nan=False)
    return Decoder(encoder.arrays, {}, {}).decode(json.loads(text.encode()))


@given(VALUES)
def test_values_come_back(value):
    assert repr(through_json(value)) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        slice(1, None, 2),
        "\ud83d\ude00",  # two halves, which are not the one letter that they make
        np.float32(0.1),
        np.datetime64("2020-01-01T10", "h"),
        np.str_("a"),
        np.dtype(">f4"),
        np.float32,
        float,
        np.array(["a", None, 1, b"x", np.int8(3)], dtype=object),
        np.array([["a"], ["b"]], dtype=object),
    ],
    ids=repr,
)
def test_other_values_come_back(value):
    assert repr(through_json(value)) == repr(value)


# --- what cannot be written ---------------------------------------------------------


def encoder_of(label):
    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = label
    return WeightedMultiLabelEncoder().fit(cells)


class Own(WeightedFMRegressor):
    """A class that no other process knows."""


REFUSED = {
    "callbacks": (
        lambda: WeightedFMRegressor(**FM).fit(X, Y).set_params(callbacks=[print]),
        r"WeightedFMRegressor\.callbacks\[0\]: .*print.*Set callbacks=None",
    ),
    "generator": (
        lambda: (
            WeightedFMRegressor(**FM)
            .fit(X, Y)
            .set_params(random_state=np.random.RandomState(0))
        ),
        r"WeightedFMRegressor\.random_state: .*RandomState",
    ),
    "function": (
        lambda: labels("user", weight_transform=np.sqrt)[0],
        r"WeightedMultiLabelEncoder\.weight_transform: .*sqrt.*pickle",
    ),
    "other transformer": (
        lambda: FieldTransformer([("o", OneHotEncoder(), ["user"])]).fit(FRAME),
        r"FieldTransformer\.transformers\[0\]\[1\]: .*OneHotEncoder.*skops",
    ),
    "other step": (
        lambda: make_pipeline(StandardScaler(), WeightedFMRegressor(**FM)).fit(X, Y),
        r"Pipeline\.steps\[0\]\[1\]: .*StandardScaler",
    ),
    "decimal label": (
        lambda: encoder_of(decimal.Decimal("1.5")),
        r"_vocabularies\[0\]\.labels\[0\]: .*Decimal",
    ),
    "date label": (
        lambda: encoder_of(datetime.date(2020, 1, 1)),
        r"_vocabularies\[0\]\.labels\[0\]: .*date",
    ),
    "other estimator": (lambda: StandardScaler().fit(X), "StandardScaler.*pickle"),
    "subclass": (lambda: Own(**FM).fit(X, Y), "Own.*expected an estimator or encoder"),
    "no estimator": (lambda: {"a": 1}, "dict.*expected an estimator"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_written_is_named(kind, path):
    make, message = REFUSED[kind]
    path.write_bytes(b"old")
    with pytest.raises(TypeError, match=message):
        skwfm.save(make(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_callbacks_of_scikit_learn_are_refused(path):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9")
    model = WeightedFMRegressor(**FM).set_callbacks(
        callback.ScoringMonitor(scoring="r2")
    )
    model.fit(X, Y)
    with pytest.raises(TypeError, match=r"set_callbacks\(\) without any"):
        model.save(path)
    model.set_callbacks().save(path)
    assert_same(model, skwfm.load(path), X)


def test_name_formats_and_jobs_are_kept(path):
    model = FieldTransformer(
        verbose_feature_names_out="{transformer_name}.{feature_name}", n_jobs=1
    ).fit(FRAME)
    skwfm.save(model, path)
    assert_same(model, skwfm.load(path), FRAME)


def test_unfitted_is_refused(path):
    with pytest.raises(NotFittedError):
        WeightedFMRegressor().save(path)
    with pytest.raises(NotFittedError):
        skwfm.save(WeightedMultiLabelEncoder(), path)


def test_inconsistent_model_is_refused_when_saved(path):
    model = WeightedFMRegressor(**FM).fit(X, Y)
    model.coef_ = model.coef_[:-1]
    with pytest.raises(ModelFileError, match="WeightedFMRegressor: coef_ does not fit"):
        model.save(path)
    assert not path.exists()


@pytest.mark.parametrize("large", [2**62, 2**63 + 1, 2**70])
def test_large_labels_beside_small_ones(large, path):
    model, rows = WeightedMultiLabelEncoder(), [[large], [-1]]
    skwfm.save(model.fit(rows), path)
    assert model.categories_[0].tolist() == [-1, large]
    assert_same(model, skwfm.load(path), rows)


# --- reading ------------------------------------------------------------------------


def assert_rejected(path, match=None):
    with pytest.raises(ModelFileError, match=match) as caught:
        skwfm.load(path)
    assert str(path) in str(caught.value)


def test_pickle_is_not_on_the_way(path, monkeypatch):
    model, rows = KINDS["pipeline"]()
    skwfm.save(model, path)

    def poisoned(*args, **kwargs):
        raise AssertionError("a pickle was read")

    for module, names in (
        (pickle, ("load", "loads", "Unpickler")),
        (joblib, ("load",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, poisoned)
    assert_same(model, skwfm.load(path), rows)
    path.write_bytes(b"\x80\x04cposix\nsystem\n(S'echo'\ntR." + bytes(99))
    assert_rejected(path, "not a model file")


# --- forgery: the digest is right, and what it signs is not ---------------------------


def parts_of(path):
    """Return the header of a file as JSON, and its arrays as they stand there."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content, 12)
    header = json.loads(content[20 : 20 + length])
    _, arrays = read_file(path)
    return header, arrays


def rewrite(path, header, arrays):
    """Sign anything as a model file."""
    header = {k: v for k, v in header.items() if k != "arrays"}
    write_file(path, header, arrays)


EMPTY = {"class": "WeightedFMRegressor", "versions": {}, "arrays": [], "model": None}


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


ODD_MODELS = {
    "nothing": None,
    "a number": 5,
    "two kinds": {"tuple": [], "bytes": ""},
    "no kind": {},
    "unknown kind": {"python": "os.system"},
    "unknown class": {"estimator": ["os.system", {}, {}]},
    "class by its path": {"estimator": ["../skwfm._base.BaseWeightedFM", {}, {}]},
    "record only": {"record": ["FieldMap", {"ids": [0], "names": {"tuple": ["a"]}}]},
    "unknown record": {"record": ["subprocess.Popen", {"args": "true"}]},
    "unknown type": {"type": "object"},
    "no such array": {"array": 3},
    "array before the first": {"array": -1},
    "wrong base64": {"bytes": "!"},
    "wrong scalar": {"scalar": ["<f8", "AAAA"]},
    "scalar object": {"scalar": ["|O", "AAAAAAAAAAA="]},
    "wrong float": {"float": "1"},
    "wrong number": {"int": "x"},
    "deep": nested(300),
    "list as key": {"dict": [[[1], 2]]},
    "shape of labels": {"objects": [[2**50], ["a"]]},
    "list of labels": {"objects": [[1], [["a"]]]},
    "slice of lists": {"slice": [[1], 2, 3]},
    "unfitted": {"estimator": ["WeightedFMRegressor", {}, {}]},
    "unknown parameter": {"estimator": ["WeightedFMRegressor", {"n_layers": 2}, {}]},
    "invalid parameter": {"estimator": ["WeightedFMRegressor", {"max_iter": -1}, {}]},
    "passed function": {"estimator": ["FunctionTransformer", {}, {}]},
}


@pytest.mark.parametrize("kind", ODD_MODELS)
def test_forged_model_is_rejected(kind, path):
    write_file(path, {**EMPTY, "model": ODD_MODELS[kind]}, [])
    assert_rejected(path)


@pytest.mark.parametrize(
    "name", ["predict", "__class__", "__dict__", "max_iter", "a b"]
)
def test_attribute_that_is_none_is_rejected(name, path):
    KINDS["squared_error"]()[0].save(path)
    header, arrays = parts_of(path)
    header["model"]["estimator"][2][name] = 1
    rewrite(path, header, arrays)
    assert_rejected(path, "has no attribute|got multiple|does not fit")


def test_another_class_than_the_header_says(path):
    KINDS["squared_error"]()[0].save(path)
    header, arrays = parts_of(path)
    rewrite(path, {**header, "class": "WeightedFMClassifier"}, arrays)
    assert_rejected(path, "other than it says")


WRONG = {
    "factors_": lambda a: a[:-1],
    "coef_": lambda a: a.astype(np.float32),
    "fields_": lambda a: a + np.int32(1),
    "n_fields_": lambda n: 10**9,
    "n_features_in_": lambda n: 10**12,
    "field_names_": lambda names: names[:-1],
    "intercept_": lambda b: "0",
    "intra_field_": lambda b: None,
    "history_": lambda h: None,
    "n_iter_": lambda n: -1,
    "input_field_map_": lambda m: [0],
    "field_transformer_": lambda t: "drop",
    "feature_names_in_": lambda names: np.array(["a"], dtype=object),
}


@pytest.mark.parametrize("name", WRONG)
def test_parts_that_do_not_fit_are_rejected(name, path):
    model, _ = KINDS["named columns"]()
    rewrite_model(model, path, name, WRONG[name](getattr(model, name)))
    assert_rejected(path)


def levels_of(values, cuts):
    """Return what gives draws levels in an order."""
    levels, cuts = np.array(values, float), np.array([cuts] * 3, float)
    return lambda draws: {"levels": levels, "cuts": cuts}


def with_nan(array):
    array = array.copy()
    array.flat[-1] = np.nan
    return array


WRONG_DRAWS = {
    "no draws": lambda d: {
        f: getattr(d, f)[:0]
        for f in ("factors", "linear", "intercept", "noise", "spread")
    },
    "fewer intercepts": lambda d: {"intercept": d.intercept[:-1]},
    "more noises": lambda d: {"noise": np.ones(4)},
    "noise 0": lambda d: {"noise": d.noise * 0},
    "noise below 0": lambda d: {"noise": -d.noise},
    "noise NaN": lambda d: {"noise": with_nan(d.noise)},
    "noise infinite": lambda d: {"noise": d.noise + np.inf},
    "noise of float32": lambda d: {"noise": d.noise.astype(np.float32)},
    "intercept NaN": lambda d: {"intercept": with_nan(d.intercept)},
    "intercept as a number": lambda d: {"intercept": 1.0},
    "factors of other columns": lambda d: {"factors": d.factors[:, :-1]},
    "factors of other length": lambda d: {"factors": d.factors[..., :1]},
    "factors of float32": lambda d: {"factors": d.factors.astype(np.float32)},
    "factors of a draw": lambda d: {"factors": d.factors[0]},
    "whole factors": lambda d: {"factors": d.factors.astype(np.int32)},
    "linear of other columns": lambda d: {"linear": d.linear[:, :-1]},
    "linear of float32": lambda d: {"linear": d.linear.astype(np.float32)},
    "no linear": lambda d: {"linear": None},
    "spread of other columns": lambda d: {"spread": d.spread[:, :-1]},
    "spread of fewer draws": lambda d: {"spread": d.spread[:-1]},
    "spread of float32": lambda d: {"spread": d.spread.astype(np.float32)},
    "spread of text": lambda d: {"spread": "wide"},
    "cuts only": lambda d: {"cuts": np.zeros((3, 2))},
    "levels only": lambda d: {"levels": np.arange(3.0)},
    "no levels": levels_of([], []),
    "too few cuts": levels_of([1, 2, 3], [0]),
    "cuts of a draw": lambda d: {"cuts": np.zeros(2), "levels": np.arange(3.0)},
    "cuts out of order": levels_of([1, 2, 3], [1, 0]),
    "a cut that is NaN": levels_of([1, 2, 3], [0, np.nan]),
    "an infinite cut": levels_of([1, 2, 3], [0, np.inf]),
    "levels out of order": levels_of([1, 3, 2], [0, 1]),
    "a level twice": levels_of([1, 2, 2], [0, 1]),
    "a level that is NaN": levels_of([1, 2, np.nan], [0, 1]),
    "whole levels": lambda d: {"levels": np.arange(3), "cuts": np.zeros((3, 2))},
}


@pytest.mark.parametrize("kind", WRONG_DRAWS)
def test_draws_that_do_not_fit_are_rejected(kind, path):
    model, _ = KINDS["draws with spread"]()
    draws = replace(model.samples_, **WRONG_DRAWS[kind](model.samples_))
    rewrite_model(model, path, "samples_", draws)
    assert_rejected(path, "samples_ does not fit")


OTHER_RECORD = skwfm.hstack([X]).field_map


@pytest.mark.parametrize("value", [None, 1.0, [], {}, OTHER_RECORD], ids=repr)
def test_what_are_no_draws_is_rejected(value, path):
    model, _ = KINDS["draws"]()
    rewrite_model(model, path, "samples_", value)
    assert_rejected(path, "samples_ does not fit")


def test_draws_of_another_kind_of_model_are_rejected(path):
    draws = KINDS["draws"]()[0].samples_
    for kind in ("huber", "classes of text"):  # an FFM, and three scores
        rewrite_model(KINDS[kind]()[0], path, "samples_", draws)
        assert_rejected(path, "samples_ does not fit")
    model, _ = KINDS["draws of classes"]()
    draws = replace(model.samples_, **levels_of([0, 1], [0])(None))
    rewrite_model(model, path, "samples_", draws)
    assert_rejected(path, "samples_ does not fit")


@pytest.mark.parametrize(
    "levels",
    [
        None,
        [1.0, 2.0, 5.0],
        np.array([1, 2, 5]),
        np.array([1.0, 5.0, 2.0]),
        np.array([1.0, 2.0, np.nan]),
        np.array([1.0, 2.0, 2.0]),
        np.array([1.0]),
        np.ones((3, 1)),
    ],
    ids=repr,
)
def test_levels_that_are_none_are_rejected(levels, path):
    """They are searched, and the place of a target among them is a place in arrays."""
    model, _ = KINDS["draws of levels"]()
    rewrite_model(model, path, "levels_", levels)
    assert_rejected(path, "levels_ does not fit")


def rewrite_model(model, path, name, value):
    """Sign a model of which an attribute was exchanged, past the checks of `save`."""
    model = pickle.loads(pickle.dumps(model))
    vars(model)[name] = value
    rewrite_unchecked(model, path)


def rewrite_unchecked(model, path):
    encoder = Encoder()
    encoded = encoder.encode(model, "x")
    header = {**EMPTY, "class": type(model).__name__, "model": encoded}
    rewrite(path, header, encoder.arrays)


@pytest.mark.parametrize("text", [",,,", "(2,)f4,i4", "(" * 10_000 + "f4", 5, None])
@pytest.mark.parametrize("kind", ["dtype", "scalar", "parameter"])
def test_text_is_no_dtype_that_numpy_reads_as_python(text, kind, path):
    """Found by fuzzing: a SyntaxError of what NumPy makes of ",,,"."""
    model = {"estimator": ["WeightedMultiLabelEncoder", {"dtype": text}, {}]}
    if kind == "dtype":
        model = {"dtype": text}
    elif kind == "scalar":
        model = {"scalar": [text, "AAAAAA=="]}
    header = {**EMPTY, "class": "WeightedMultiLabelEncoder", "model": model}
    rewrite(path, header, [])
    assert_rejected(path)


@pytest.mark.parametrize(
    "kind",
    ["squared_error", "binary", "labels", "splines", "dates", "history", "transformer"],
)
def test_half_fitted_is_rejected(kind, path):
    """Found by fuzzing: without some attributes the others were not looked at."""
    model, _ = KINDS[kind]()
    for name in ("factors_", "fields_", "n_features_in_"):
        vars(model).pop(name, None)
    rewrite_unchecked(model, path)
    assert_rejected(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_jobs", 10**6),
        ("verbose_feature_names_out", "{feature_name:>999999999}"),
        ("verbose_feature_names_out", "{feature_name.__class__}"),
        ("n_features_in_", 10**12),
        ("_transformer_to_input_indices", {}),
        ("output_indices_", {"labels": slice(0, 10**12)}),
    ],
)
def test_transformer_that_would_take_too_much_is_rejected(name, value, path):
    rewrite_model(FieldTransformer().fit(FRAME), path, name, value)
    assert_rejected(path)


def test_rewriting_alone_is_not_what_is_rejected(path):
    model, rows = KINDS["named columns"]()
    rewrite_model(model, path, "n_iter_", model.n_iter_)
    assert_same(model, skwfm.load(path), rows)


@pytest.mark.parametrize("kind", ["binary", "classes of text"])
def test_classes_out_of_order_are_rejected(kind, path):
    model, _ = KINDS[kind]()
    rewrite_model(model, path, "classes_", model.classes_[::-1])
    assert_rejected(path, "classes_ does not fit")


MUTATIONS = (None, True, -1, 2**31, 1.5, "", "x", [], [0], {"tuple": []}, {"array": 0})


def mutated(value, chooser):
    """Return JSON with one of its values exchanged, dropped or repeated."""
    places = []

    def walk(inner):
        items = inner.items() if isinstance(inner, dict) else enumerate(inner)
        for key, child in list(items):
            places.append((inner, key))
            if isinstance(child, dict | list):
                walk(child)

    walk(value)
    inner, key = chooser.choice(places)
    if chooser.random() < 0.2:
        del inner[key]
    elif isinstance(inner[key], int) and chooser.random() < 0.5:
        inner[key] += chooser.choice([-1, 1])
    elif isinstance(inner, list) and chooser.random() < 0.3:
        inner.insert(key, copy.deepcopy(chooser.choice(MUTATIONS)))
    else:
        inner[key] = copy.deepcopy(chooser.choice(MUTATIONS))


@pytest.mark.parametrize(
    "kind",
    [
        "frame",
        "grown",
        "transformer",
        "history",
        "ftrl",
        "rare labels",
        "draws with spread",
        "draws of classes",
        "draws of levels",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_signed_mutations_are_rejected_or_do_no_harm(kind, path):
    model, rows = KINDS[kind]()
    skwfm.save(model, path)
    header, arrays = parts_of(path)
    text, chooser = json.dumps(header["model"]), random.Random(0)
    n_rejected = 0
    for _ in range(N_MUTATIONS):
        encoded = json.loads(text)
        mutated(encoded, chooser)
        rewrite(path, {**header, "model": encoded}, arrays)
        try:
            restored = skwfm.load(path)
        except ModelFileError:
            n_rejected += 1
        else:
            use(restored, rows)
    assert n_rejected > N_MUTATIONS / 10


N_MUTATIONS = 60


def use(model, rows):
    """Use a model of which anything may be wrong that does not crash Python."""
    try:
        outputs(model, rows)
        if hasattr(model, "samples_"):
            go_on = model.set_params(warm_start=True, max_iter=1)
            go_on.fit(rows, target_for(model))
        elif hasattr(model, "partial_fit"):
            model.partial_fit(rows, *([Y] if hasattr(model, "factors_") else []))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        pass  # anything but a crash, or no end


@pytest.mark.parametrize(
    ("model", "array", "factor"),
    # A Python object of two or three bytes in the header has a size of its own.
    [(None, np.zeros(10**6), 1.5), ([[]] * 10**5, np.zeros(1), 60)],
    ids=["array", "header"],
)
def test_memory_is_bounded_by_the_size(model, array, factor, path):
    write_file(path, {**EMPTY, "model": model}, [array])
    tracemalloc.start()
    assert_rejected(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < factor * path.stat().st_size


def test_spline_of_more_memory_than_the_file_is_rejected(path):
    model = SplineEncoder().fit(X[:, :1])
    model.knots_ = [np.arange(10_000.0)]
    model.fields_ = np.zeros(10_000, np.int32)
    with pytest.raises(ModelFileError, match="too many knots"):
        skwfm.save(model, path)
    rewrite_model(model, path, "n_features_in_", 1)
    assert_rejected(path, "too many knots")


# --- files of old versions ------------------------------------------------------------


PREDICTIONS = json.loads((GOLDEN / "predictions.json").read_text())


@pytest.mark.parametrize("name", PREDICTIONS)
def test_golden_model_file(name):
    check_golden(skwfm.load(GOLDEN / f"{name}.skwfm"), name)


@pytest.mark.parametrize("name", PREDICTIONS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_golden_pickle(name):
    versions = PREDICTIONS[name]["versions"]
    for library, needed in versions.items():
        if parse_version(version(library)) < parse_version(needed):
            pytest.skip(f"a pickle of {library} {needed}, which is newer")
    check_golden(pickle.loads((GOLDEN / f"{name}.pkl").read_bytes()), name)


def check_golden(model, name):
    frame = pd.DataFrame(PREDICTIONS[name]["rows"])
    frame["seen"] = pd.to_datetime(frame["seen"])
    expected = PREDICTIONS[name]["probabilities"]
    np.testing.assert_allclose(model.predict_proba(frame), expected, rtol=1e-6)


def test_every_golden_file_is_read():
    names = {path.stem for path in GOLDEN.iterdir() if path.suffix not in (".py", "")}
    assert names == {*PREDICTIONS, "predictions"}
