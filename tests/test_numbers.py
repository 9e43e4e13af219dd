"""SplineEncoder: basis functions against scikit-learn's and a plain formula."""

import datetime as dt
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.preprocessing import KBinsDiscretizer, SplineTransformer
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks

from skwfm import FieldCSR, SplineEncoder

rng = np.random.default_rng(0)
X = np.column_stack([rng.normal(size=200), rng.lognormal(2, 2, 200)])
NAN = float("nan")

finite = st.floats(allow_nan=False, allow_infinity=False)
columns = st.lists(finite | st.integers(-3, 3).map(float), min_size=1, max_size=30)
settings = st.builds(
    SplineEncoder,
    n_knots=st.integers(2, 9),
    degree=st.integers(0, 3),
    knots=st.sampled_from(["quantile", "uniform"]),
)


@parametrize_with_checks([SplineEncoder(), SplineEncoder(4, 3, knots="uniform")])
def test_estimator_checks(estimator, check):
    check(estimator)


# --- values -------------------------------------------------------------------------


@pytest.mark.parametrize("knots", ["quantile", "uniform"])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_same_as_scikit_learn_on_well_spread_numbers(degree, knots):
    encoder = SplineEncoder(6, degree, knots=knots)
    expected = SplineTransformer(6, degree, knots=knots).fit_transform(X)
    out = encoder.fit_transform(X)
    assert isinstance(out, FieldCSR) and out.dtype == np.float32
    np.testing.assert_allclose(out.toarray(), expected, atol=1e-6)
    assert out.has_canonical_format and (out.data != 0).all()
    names = SplineTransformer(6, degree).fit(X).get_feature_names_out()
    assert encoder.get_feature_names_out().tolist() == names.tolist()


@pytest.mark.parametrize(("knots", "strategy"), [("quantile",) * 2, ("uniform",) * 2])
def test_degree_0_is_scikit_learns_bins(knots, strategy):
    bins = KBinsDiscretizer(
        5, strategy=strategy, **_linear_quantiles(strategy), encode="onehot-dense"
    )
    out = SplineEncoder(6, degree=0, knots=knots).fit_transform(X)
    np.testing.assert_array_equal(out.toarray(), bins.fit_transform(X))


def _linear_quantiles(strategy):
    """Return how scikit-learn 1.7 and newer is told to interpolate."""
    known = "quantile_method" in KBinsDiscretizer().get_params()
    return {"quantile_method": "linear"} if known and strategy == "quantile" else {}


def hats(numbers, knots):
    """Return the weights of soft bins by their formula: 1 at a knot, linear between."""
    return np.array(
        [[np.interp(x, knots, row) for row in np.eye(len(knots))] for x in numbers]
    )


@given(columns, st.integers(2, 9))
def test_degree_1_is_linear_interpolation_between_knots(numbers, n_knots):
    numbers = [
        float(np.float32(x / 2**900)) for x in numbers
    ]  # no overflow in np.interp
    encoder = SplineEncoder(n_knots).fit(np.array(numbers)[:, None])
    out = encoder.transform(np.array(numbers)[:, None])
    if len(encoder.knots_[0]) > 1:
        expected = hats(numbers, encoder.knots_[0])
        np.testing.assert_allclose(out.toarray(), expected, atol=1e-5)


def test_few_different_numbers_are_labels():
    votes = np.array([[1.0], [5], [5], [5], [5], [5], [2], [2.5]])
    out = SplineEncoder().fit_transform(votes).toarray()
    np.testing.assert_array_equal(out, (votes == np.unique(votes)).astype(float))


@given(settings, columns, columns)
def test_weights_of_a_number_sum_to_1(encoder, seen, other):
    encoder.fit(np.array(seen)[:, None])
    for numbers in (seen, other):
        out = encoder.transform(np.array(numbers)[:, None])
        assert np.isfinite(out.data).all() and (out.data > 0).all()
        np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-5)
        assert np.diff(out.indptr).max() <= encoder.degree + 1
    assert out.shape[1] <= encoder.n_knots + encoder.degree - 1


@given(settings, columns, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(encoder, numbers, random):
    order = random.sample(range(len(numbers)), len(numbers))
    values = np.array(numbers)[:, None]
    out = encoder.fit_transform(values).toarray()
    permuted = clone(encoder).fit_transform(values[order]).toarray()
    np.testing.assert_array_equal(permuted, out[order])


@given(settings, columns, st.sets(st.integers(0, 29)))
def test_missing_numbers_are_empty_bags_and_move_no_knot(encoder, numbers, missing):
    values = np.array(numbers)[:, None]
    keep = np.array([i not in missing for i in range(len(values))])
    if not keep.any():
        keep[0] = True
    holes = np.where(keep[:, None], values, NAN)
    out = encoder.fit_transform(holes)
    assert (np.diff(out.indptr)[~keep] == 0).all()
    expected = clone(encoder).fit_transform(values[keep])
    np.testing.assert_array_equal(out[keep].toarray(), expected.toarray())


@given(settings, columns, finite)
def test_numbers_outside_count_as_the_outer_knots(encoder, numbers, far):
    values = np.array(numbers)[:, None]
    encoder.fit(values)
    expected = encoder.transform([[np.clip(far, values.min(), values.max())]])
    np.testing.assert_array_equal(
        encoder.transform([[far]]).toarray(), expected.toarray()
    )


def test_equal_quantiles_are_one_knot():
    counts = np.r_[np.zeros(80), np.arange(1, 21)][:, None]
    encoder = SplineEncoder(6, 3).fit(counts)
    (knots,) = encoder.knots_
    np.testing.assert_allclose(knots, [0, 0.2, 20])
    out = encoder.transform(counts)
    assert out.shape == (100, 5) and len(encoder.get_feature_names_out()) == 5
    np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-6)


def test_constant_and_missing_columns():
    table = np.array([[7.0, NAN, 1], [7, NAN, 2], [NAN, NAN, 3]])
    encoder = SplineEncoder()
    out = encoder.fit_transform(table)
    assert [len(knots) for knots in encoder.knots_] == [1, 0, 3]
    np.testing.assert_array_equal(out.toarray()[:, 0], [1, 1, 0])
    assert out.fields.tolist() == [0, 2, 2, 2]
    assert encoder.transform([[9.0, 3.0, NAN]]).toarray().tolist() == [[1, 0, 0, 0]]
    assert encoder.get_feature_names_out().tolist() == [
        "x0_sp_0",
        "x2_sp_0",
        "x2_sp_1",
        "x2_sp_2",
    ]


def test_huge_and_tiny_numbers():
    extreme = np.array([[-1.7e308], [1.7e308], [0.0], [5e-324]])
    for knots in ("quantile", "uniform"):
        out = SplineEncoder(3, 3, knots=knots).fit_transform(extreme)
        np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-6)


# --- containers ---------------------------------------------------------------------

DATA = {"price": [1.5, None, 4.0, 2.0], "count": [3, 1, 1, 9]}
CONTAINERS = {
    "pandas": pd.DataFrame(DATA),
    "nullable": pd.DataFrame(DATA).convert_dtypes(),
    "object": pd.DataFrame(DATA).convert_dtypes().astype(object),  # holds pd.NA
    "arrow dtype": pd.DataFrame(DATA).convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.DataFrame(DATA),
    "list": [list(row) for row in zip(*DATA.values(), strict=True)],
    "numpy object": pd.DataFrame(DATA, dtype=object).to_numpy(),
    "decimal": pd.DataFrame(
        {k: [None if x is None else Decimal(x) for x in v] for k, v in DATA.items()}
    ),
    "polars decimal": pl.DataFrame(DATA).with_columns(
        pl.col("price").cast(pl.Decimal(5, 2))
    ),
    "text": pd.DataFrame(DATA).astype(str).replace("nan", None),
}


@pytest.mark.parametrize("table", CONTAINERS.values(), ids=CONTAINERS)
def test_containers(table):
    encoder = SplineEncoder()
    out = encoder.fit_transform(table)
    expected = SplineEncoder().fit_transform(CONTAINERS["pandas"])
    np.testing.assert_array_equal(out.toarray(), expected.toarray())
    assert np.diff(out.indptr).tolist() == [2, 1, 2, 2]
    if hasattr(table, "columns"):
        assert out.field_names == encoder.field_names_ == ("price", "count")
        assert encoder.feature_names_in_.tolist() == ["price", "count"]
        assert encoder.get_feature_names_out()[0] == "price_sp_0"


def test_nothing_is_modified_and_everything_pickles():
    table = pd.DataFrame(DATA)
    before = table.copy(deep=True)
    encoder = SplineEncoder().fit(table)
    restored = pickle.loads(pickle.dumps(encoder))
    out = restored.transform(table)
    np.testing.assert_array_equal(out.toarray(), encoder.transform(table).toarray())
    pd.testing.assert_frame_equal(table, before)


def test_pickle_has_the_functions_of_fit():
    encoder = SplineEncoder(degree=3).fit(X)
    before = encoder.transform(X).toarray()
    restored = pickle.loads(pickle.dumps(encoder.set_params(degree=0)))
    np.testing.assert_array_equal(restored.transform(X).toarray(), before)


def test_no_row_to_transform():
    out = SplineEncoder().fit(X).transform(X[:0])
    assert out.shape == (0, 16) and out.dtype == np.float32


# --- errors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (
            [[1.0, 2], [3, np.inf]],
            ValueError,
            "Column 'x1', row 1: got inf, expected a f",
        ),
        (pd.DataFrame({"a": [-np.inf]}), ValueError, "Column 'a', row 0: got -inf"),
        (
            pd.DataFrame({"b": [1, 2], "a": ["3", "x"]}),
            ValueError,
            r"Column 'a', row 1: got 'x', expected a number, .* \(could not convert",
        ),
        ([[1], [[2]]], TypeError, r"Column 'x0', row 1: got \[2\], expected a number"),
        ([[1, {}]], TypeError, r"Column 'x1', row 0: got \{\}, expected a number"),
        ([[10**400]], ValueError, "Column 'x0', row 0: got 10000.*too large"),
        (np.array([[1j]]), ValueError, "Complex data not supported"),
        ([[1j]], TypeError, "must be .* number, not 'complex'"),
        (sp.csr_matrix([[1.0]]), TypeError, "Sparse data was passed"),
        (pd.DataFrame({"a": []}), ValueError, "0 sample"),
        ([1.0, 2.0], ValueError, "Expected 2D array"),
        (
            pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}),
            TypeError,
            "Column 'a' holds dates or durations, expected numbers. Take a DateEncoder",
        ),
        (
            pl.DataFrame({"a": [dt.timedelta(1)]}),
            TypeError,
            "Column 'a' holds dates or",
        ),
        (
            pa.table({"a": [dt.date(2020, 1, 1)]}),
            TypeError,
            "Column 'a' holds dates or",
        ),
        (np.array([["2020-01-01"]], "M8[D]"), TypeError, "Column 'x0' holds dates or"),
        ([[dt.date(2020, 1, 1)]], TypeError, "Column 'x0', row 0: got datetime.date"),
    ],
)
def test_refusals(table, error, message):
    with pytest.raises(error, match=message):
        SplineEncoder().fit(table)


def test_refusals_in_transform():
    encoder = SplineEncoder().fit(pd.DataFrame(DATA))
    with pytest.raises(
        ValueError, match="Column 'count', row 1: got inf, expected a f"
    ):
        encoder.transform(pd.DataFrame({"price": [1, 2], "count": [1, np.inf]}))
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(pd.DataFrame({"count": [1], "price": [2]}))
    with pytest.raises(
        ValueError, match="1 features, but SplineEncoder is expecting 2"
    ):
        SplineEncoder().fit(X).transform(X[:, :1])


@pytest.mark.parametrize(
    "parameters", [{"n_knots": 1}, {"degree": -1}, {"knots": "kmeans"}, {"degree": 1.5}]
)
def test_parameters_are_checked(parameters):
    name = next(iter(parameters))
    with pytest.raises(InvalidParameterError, match=f"The {name!r} parameter"):
        SplineEncoder(**parameters).fit(X)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_bad_cells_are_named_in_every_kind_of_table(frame):
    X = frame({"size": [1, 2], "price": ["1.5", "much"]})
    with pytest.raises(ValueError, match=r"^Column 'price', row 1: got 'much'"):
        SplineEncoder().fit(X)


def test_a_complex_cell_is_named():
    X = pd.DataFrame({"size": [1, 2], "price": pd.Series([1.5, 2j], dtype=object)})
    with pytest.raises(TypeError, match=r"^Column 'price', row 1: got 2j, expected"):
        SplineEncoder().fit(X)


@pytest.mark.parametrize("numbers", [[0, 1], [3, 1, 2], [5.5, -1, 1e9, 7]])
def test_few_numbers_have_a_bin_each(numbers):
    """Bins lie between knots: with the numbers as knots two would share the last."""
    X = np.array(numbers, dtype=float)[:, None]
    out = SplineEncoder(5, degree=0).fit_transform(X).toarray()
    np.testing.assert_array_equal(
        out, np.eye(len(numbers))[np.argsort(np.argsort(X[:, 0]))]
    )
