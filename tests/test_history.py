"""HistoryEncoder: against a slow twin, its leaks, its place in pipelines, bad input."""

import pickle
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from skwfm import FieldTransformer, HistoryEncoder, WeightedFMRegressor, _history

RATINGS = pd.DataFrame(
    {
        "user": ["ann", "bob", "ann", "ann", "bob", "eve", None, "ann"],
        "film": ["Heat", "Heat", "M", "Alien", "M", "Alien", "M", None],
    }
)


def slow_history(train, rows, max_items=None):
    """Return {item: weight} for every row, with loops over plain Python values."""
    out = []
    for owner, own in rows:
        items = []  # the last first
        for who, what in reversed(train):
            if None not in (who, what) and who == owner and what != own:
                items += [] if what in items else [what]
        kept = items[:max_items]
        out.append({item: 1 / len(kept) ** 0.5 for item in kept})
    return out


def as_dicts(encoder, X):
    (labels,) = encoder.categories_
    return [
        {labels[j]: w for j, w in zip(row.indices, row.data, strict=True)} for row in X
    ]


def table(pairs):
    return pd.DataFrame(pairs, columns=["user", "film"], dtype=object)


@parametrize_with_checks([HistoryEncoder(), HistoryEncoder(max_items=1)])
def test_estimator_checks(estimator, check):
    check(estimator)


# --- what a history is --------------------------------------------------------------

PAIRS = st.lists(
    st.tuples(
        st.sampled_from([None, "a", "b", "c"]), st.sampled_from([None, *range(7)])
    ),
    min_size=1,
    max_size=40,
)


# A column of which all is missing does not tell what its cells are.
TRAIN = PAIRS.map(lambda pairs: [("z", 99), *pairs])


@given(train=TRAIN, rows=PAIRS, max_items=st.sampled_from([None, 1, 2, 3, 100]))
def test_equals_the_slow_twin(train, rows, max_items):
    encoder = HistoryEncoder(max_items=max_items).fit(table(train))
    for some in (train, rows):
        X = encoder.transform(table(some))
        expected = slow_history(train, some, max_items)
        for got, wanted in zip(as_dicts(encoder, X), expected, strict=True):
            assert got == pytest.approx(wanted)
        assert X.has_canonical_format and X.has_sorted_indices
        X.check_format()
        assert X.dtype == np.float32
        assert (X.data > 0).all()


@given(train=TRAIN, order=st.randoms())
def test_fit_transform_is_fit_and_transform(train, order):
    encoder = HistoryEncoder(max_items=2)
    once = encoder.fit_transform(table(train))
    assert (once != encoder.transform(table(train))).nnz == 0
    places = list(range(len(train)))
    order.shuffle(places)
    shuffled = encoder.transform(table([train[i] for i in places]))
    assert (once[places] != shuffled).nnz == 0


def test_long_histories_are_copied_in_parts(monkeypatch):
    rng = np.random.RandomState(0)
    X = rng.randint(40, size=(500, 2)).astype(object)
    whole = HistoryEncoder().fit_transform(X)
    for entries in (1, 7, 1000):
        monkeypatch.setattr(_history, "_CHUNK_ENTRIES", entries)
        assert (HistoryEncoder().fit_transform(X) != whole).nnz == 0


def test_bags_have_length_one_and_never_the_own_item():
    X = HistoryEncoder().fit_transform(RATINGS)
    lengths = np.sqrt(X.multiply(X).sum(axis=1)).A1
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 1, 0, 0, 1], rtol=1e-6)
    own = OneHotEncoder(categories=[["Alien", "Heat", "M"]], handle_unknown="ignore")
    assert X.multiply(own.fit_transform(RATINGS[["film"]])).nnz == 0


def test_keeps_the_last_items_by_their_last_row():
    train = table([("a", 1), ("a", 2), ("a", 3), ("a", 1)])
    encoder = HistoryEncoder(max_items=2).fit(train)
    new = table([("a", 9), ("a", 1), ("a", 2), ("a", 3)])
    got = [set(bag) for bag in as_dicts(encoder, encoder.transform(new))]
    assert got == [{1, 3}, {2, 3}, {1, 3}, {1, 2}]


def test_pair_of_several_rows_counts_once_and_leaves_as_a_whole():
    encoder = HistoryEncoder()
    X = encoder.fit_transform(table([("a", 1), ("a", 1), ("a", 2)]))
    assert as_dicts(encoder, X) == [{2: 1.0}, {2: 1.0}, {1: 1.0}]


def test_audience_is_the_same_with_the_columns_swapped():
    audience = HistoryEncoder().fit(RATINGS[["film", "user"]])
    assert audience.field_names_ == ("user",)
    X = audience.transform(RATINGS[["film", "user"]][:3])
    got = [set(bag) for bag in as_dicts(audience, X)]
    assert got == [{"bob"}, {"ann"}, {"bob"}]


def test_each_further_column_is_a_field():
    films = RATINGS.assign(director=["Mann", "Mann", "Lang", "Scott", *["Lang"] * 4])
    encoder = HistoryEncoder().fit(films)
    X = encoder.transform(films)
    assert X.field_names == encoder.field_names_ == ("film", "director")
    assert_array_equal(X.fields, [0, 0, 0, 1, 1, 1])
    for number, column in enumerate(["film", "director"]):
        alone = HistoryEncoder().fit_transform(films[["user", column]])
        assert (X[:, X.fields == number] != alone).nnz == 0
    assert list(encoder.get_feature_names_out()) == [
        *["film=Alien", "film=Heat", "film=M"],
        *["director=Lang", "director=Mann", "director=Scott"],
    ]


def test_nothing_known_is_an_empty_matrix():
    X = HistoryEncoder().fit_transform(table([(None, None), ("a", None)]))
    assert X.shape == (2, 0)
    encoder = HistoryEncoder().fit(RATINGS)
    assert encoder.transform(table([("new", "M"), (None, "M")])).nnz == 0
    assert encoder.transform(RATINGS[:0]).shape == (0, 3)


# --- containers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        pa.Table.from_pandas,
        lambda X: X.astype("category"),
        lambda X: X.astype("string"),
        lambda X: X.to_numpy(dtype=object),
        lambda X: X.to_numpy(dtype=object).tolist(),
        lambda X: list(map(tuple, X.to_numpy(dtype=object))),
    ],
)
def test_containers_give_the_same_matrix(convert):
    expected = HistoryEncoder().fit_transform(RATINGS)
    converted = convert(RATINGS)
    before = pickle.dumps(converted)
    assert (HistoryEncoder().fit_transform(converted) != expected).nnz == 0
    assert pickle.dumps(converted) == before


def test_labels_are_equal_as_for_the_encoder_of_bags():
    train = table([("a", 1), ("a", "1"), ("a", 2.0)])
    X = HistoryEncoder().fit(train).transform(table([("a", 1.0), ("a", "2")]))
    assert_array_equal(X.getnnz(axis=1), [2, 3])


def test_names_without_names():
    encoder = HistoryEncoder().fit(RATINGS.to_numpy())
    assert encoder.field_names_ == ("x1",)
    assert encoder.get_feature_names_out()[0] == "x1=Alien"
    assert encoder.get_feature_names_out(["u", "f"])[0] == "f=Alien"
    assert not hasattr(encoder, "feature_names_in_")


def test_pickle_and_clone():
    encoder = HistoryEncoder(max_items=3).fit(RATINGS)
    again = pickle.loads(pickle.dumps(encoder))
    assert (again.transform(RATINGS) != encoder.transform(RATINGS)).nnz == 0
    assert clone(encoder).max_items == 3


# --- in pipelines -------------------------------------------------------------------


def fields(max_items=100):
    ids = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    return FieldTransformer(
        [
            ("ids", ids, ["user", "film"]),
            ("history", HistoryEncoder(max_items=max_items), ["user", "film"]),
            ("audience", HistoryEncoder(), ["film", "user"]),
        ]
    )


def test_field_transformer_takes_a_history_as_one_field():
    transformer = fields()
    X = transformer.fit_transform(RATINGS)
    names = ("ids__user", "ids__film", "history__film", "audience__user")
    assert X.field_names == names
    alone = HistoryEncoder().fit_transform(RATINGS)
    assert (X[:, X.fields == 2] != alone).nnz == 0
    assert "history__film=Heat" in transformer.get_feature_names_out()


def test_field_transformer_names_columns_of_an_array():
    X = np.column_stack([np.arange(8), RATINGS.to_numpy()])
    transformer = FieldTransformer([("history", HistoryEncoder(), [1, 2])])
    assert transformer.fit_transform(X).field_names == ("x2",)


class Spy(RegressorMixin, BaseEstimator):
    """Record what it is fitted with and asked to predict."""

    def fit(self, X, y):
        self.seen = [(X, y)]
        self.is_fitted_ = True
        return self

    def predict(self, X):
        self.seen.append((X, None))
        return np.zeros(X.shape[0])


def test_held_out_rows_are_in_no_history():
    """A user whose rows are all in one fold has no history when it is held out."""
    rng = np.random.RandomState(0)
    X = pd.DataFrame({"user": np.repeat(range(6), 20), "film": rng.permutation(120)})
    y = np.arange(120.0)
    for train, test in KFold(3, shuffle=True, random_state=0).split(X):
        model = make_pipeline(HistoryEncoder(max_items=None), Spy())
        model.fit(X.iloc[train], y[train]).predict(X.iloc[test])
        (fitted, _), (held_out, _) = model[-1].seen
        sizes = Counter(X["user"].iloc[train])
        assert fitted.shape[1] == len(train)  # every film occurs once
        assert_array_equal(fitted.getnnz(axis=1), X["user"].iloc[train].map(sizes) - 1)
        assert_array_equal(held_out.getnnz(axis=1), X["user"].iloc[test].map(sizes))
    assert cross_val_score(make_pipeline(HistoryEncoder(), Spy()), X, y).shape == (5,)


def test_grid_search_finds_the_length_of_the_history():
    rng = np.random.RandomState(0)
    X = pd.DataFrame({"user": rng.randint(9, size=90), "film": rng.randint(9, size=90)})
    model = make_pipeline(fields(), WeightedFMRegressor(2, max_iter=2, random_state=0))
    grid = {"fieldtransformer__history__max_items": [1, None]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise")
    search.fit(X, X["user"] % 2 + rng.normal(size=90))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.isfinite(search.predict(X)).all()


def test_histories_predict_what_ids_of_new_pairs_cannot():
    """Each user likes films of one of two kinds, of which only histories tell."""
    rng = np.random.RandomState(0)
    n_users, n_films = 200, 60
    user, film = np.divmod(rng.permutation(n_users * n_films)[:2400], n_films)
    X = pd.DataFrame({"user": user, "film": film})
    y = np.where(user % 2 == film % 2, 1.0, -1.0)
    # Users rate what they like, mostly.
    keep = (y > 0) | (rng.uniform(size=len(y)) < 0.1)
    X, y = X[keep], y[keep]
    ids = FieldTransformer(
        [("ids", OneHotEncoder(handle_unknown="ignore"), ["user", "film"])]
    )
    scores = [
        cross_val_score(
            make_pipeline(transformer, WeightedFMRegressor(random_state=0)), X, y, cv=3
        ).mean()
        for transformer in (ids, fields())
    ]
    assert scores[1] > scores[0] + 0.1


# --- bad input ----------------------------------------------------------------------


@pytest.mark.parametrize("column", ["user", "film"])
@pytest.mark.parametrize("cell", [["Heat", "M"], {"Heat": 1, "M": 1}, {"Heat": 2}])
def test_a_cell_of_several_labels_is_refused(column, cell):
    cells = [["M"], cell, ["M"]]
    other = "film" if column == "user" else "user"
    X = pd.DataFrame({column: cells, other: ["a", "b", "c"]})[["user", "film"]]
    match = f"Column '{column}', row 1: got .*'Heat'.*, expected a single label"
    with pytest.raises(ValueError, match=match):
        HistoryEncoder().fit(X)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (RATINGS[["user"]], r"1 feature\(s\) \(shape=\(8, 1\)\) .* 2 is required by H"),
        (RATINGS["user"], r"1 feature\(s\) .* minimum of 2 is required"),
        (RATINGS[:0], r"0 sample\(s\) .* minimum of 1 is required by HistoryEncoder"),
        ([["a", 1], ["b"]], r"1 feature\(s\) .* minimum of 2 is required"),
    ],
)
def test_tables_of_a_wrong_shape_are_refused(X, match):
    with pytest.raises(ValueError, match=match):
        HistoryEncoder().fit(X)


def test_sparse_input_is_refused():
    with pytest.raises(TypeError, match="Sparse data was passed as X"):
        HistoryEncoder().fit(sp.eye(3, format="csr"))


def test_other_columns_than_in_fit_are_refused():
    encoder = HistoryEncoder().fit(RATINGS)
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(RATINGS[["film", "user"]])
    with pytest.raises(ValueError, match="1 features, but HistoryEncoder is expecting"):
        HistoryEncoder().fit(RATINGS.to_numpy()).transform(RATINGS.to_numpy()[:, :1])


@pytest.mark.parametrize("max_items", [0, -1, 1.5, "all"])
def test_max_items_is_checked(max_items):
    with pytest.raises(ValueError, match="The 'max_items' parameter of HistoryEncoder"):
        HistoryEncoder(max_items=max_items).fit(RATINGS)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_the_cell_that_is_no_single_label_is_shown_as_it_is(frame):
    X = frame({"user": ["ann", "bob"], "film": [["M"], ["Alien", "Heat"]]})
    message = r"^Column 'film', row 1: got \['Alien', 'Heat'\], expected a single label"
    with pytest.raises(ValueError, match=message):
        HistoryEncoder().fit(X)
