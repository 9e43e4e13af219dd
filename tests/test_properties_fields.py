"""Properties of the field map: it follows the columns, whatever is done to a matrix."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skwfm import FieldCSR, FieldMap, hstack

VALUES = st.sampled_from([0.0, 0.0, 1.0, -2.5, 0.25])


@st.composite
def matrices(draw, n_rows=None):
    n_rows = draw(st.integers(0, 4)) if n_rows is None else n_rows
    n_columns, n_fields = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    fields = st.integers(0, n_fields - 1)
    ids = draw(st.lists(fields, min_size=n_columns, max_size=n_columns))
    size = n_rows * n_columns
    dense = np.reshape(
        draw(st.lists(VALUES, min_size=size, max_size=size)), (n_rows, n_columns)
    )
    names = tuple(f"f{i}" for i in range(n_fields))
    return FieldCSR(dense, fields=FieldMap(ids, names))


def indices(size):
    """Draw what selects places of one axis: slices, arrays, masks."""
    bound = st.none() | st.integers(-size - 1, size + 1)
    step = st.sampled_from([None, 1, 2, -1, -2])
    kinds = [
        st.builds(slice, bound, bound, step),
        st.lists(st.booleans(), min_size=size, max_size=size).map(
            lambda mask: np.array(mask, dtype=bool)
        ),
    ]
    if size:
        places = st.lists(st.integers(-size, size - 1), max_size=5)
        kinds.append(places.map(lambda chosen: np.array(chosen, dtype=np.int64)))
    return st.one_of(kinds)


def selected(X, rows, columns):
    """Select as ``X[rows, columns]`` does for one index that is not a slice."""
    if isinstance(rows, slice) or isinstance(columns, slice):
        return X[rows, columns]
    return X[np.ix_(rows, columns)]


def check(X, dense, ids, names):
    assert isinstance(X, FieldCSR)
    assert_array_equal(X.toarray(), dense)
    assert_array_equal(X.fields, ids)
    assert X.field_names == names and not X.fields.flags.writeable


@given(matrices(), st.data())
def test_block_has_the_fields_of_its_columns(X, data):
    rows = data.draw(indices(X.shape[0]), "rows")
    columns = data.draw(indices(X.shape[1]), "columns")
    dense = X.toarray()[rows][:, columns]
    check(selected(X, rows, columns), dense, X.fields[columns], X.field_names)
    check(X[rows], X.toarray()[rows], X.fields, X.field_names)
    check(X[rows, ...], X.toarray()[rows], X.fields, X.field_names)


@pytest.mark.parametrize("rows", [[1, 3], np.array([3, 1, 0, 2]), [True, False] * 2])
def test_some_rows_of_strided_columns(rows):
    """Where scipy 1.17 takes points, and reads behind its arrays or raises."""
    X = FieldCSR(np.arange(12.0).reshape(4, 3), fields=[1, 2])
    check(X[rows, ::-1], X.toarray()[rows][:, ::-1], [1, 1, 0], X.field_names)
    check(X[rows, ::2], X.toarray()[rows][:, ::2], [0, 1], X.field_names)


@given(matrices(), st.data())
def test_points_and_numbers_have_no_map(X, data):
    if not X.shape[0]:
        return
    row = st.integers(-X.shape[0], X.shape[0] - 1)
    column = st.integers(-X.shape[1], X.shape[1] - 1)
    points = data.draw(st.lists(st.tuples(row, column), min_size=1, max_size=4))
    rows, columns = map(list, zip(*points, strict=True))
    found = X[rows, columns]
    assert_array_equal(np.asarray(found).ravel(), X.toarray()[rows, columns])
    assert getattr(found, "fields", None) is None
    assert X[points[0]] == X.toarray()[points[0]]


SAME = {
    "copy": lambda X: X.copy(),
    "deepcopy": copy.deepcopy,
    "pickle": lambda X: pickle.loads(pickle.dumps(X)),
    "float32": lambda X: X.astype(np.float32),
    "constructor": lambda X: FieldCSR(X, copy=True),
    "scaled": lambda X: (X * 4) / 4,
}
STEPS = st.lists(st.sampled_from(["rows", "columns", *SAME]), max_size=6)


@given(matrices(), STEPS, st.data())
def test_map_survives_any_steps(X, steps, data):
    dense, ids, names = X.toarray(), X.fields, X.field_names
    for step in steps:
        if step == "rows":
            where = data.draw(indices(X.shape[0]), "rows")
            X, dense = X[where], dense[where]
        elif step == "columns":
            where = data.draw(indices(X.shape[1]), "columns")
            X, dense, ids = X[:, where], dense[:, where], ids[where]
        else:
            X = SAME[step](X)
        check(X, dense, ids, names)


BLOCKS = st.integers(0, 3).flatmap(
    lambda n_rows: st.lists(
        matrices(n_rows=n_rows)
        | matrices(n_rows=n_rows).map(lambda X: X.toarray())
        | matrices(n_rows=n_rows).map(sp.csc_matrix),
        min_size=1,
        max_size=4,
    )
)


@given(BLOCKS)
def test_hstack_keeps_the_fields_apart(blocks):
    out = hstack(blocks)
    dense = [X.toarray() if sp.issparse(X) else X for X in blocks]
    assert_array_equal(out.toarray(), np.hstack(dense))
    assert len(set(out.field_names)) == out.field_map.n_fields
    first = column = 0
    for block, values in zip(blocks, dense, strict=True):
        own, n_fields = np.zeros(values.shape[1]), 1
        if isinstance(block, FieldCSR):
            own, n_fields = block.fields, block.field_map.n_fields
        places = slice(column, column + values.shape[1])
        assert_array_equal(out.fields[places] - first, own)
        first, column = first + n_fields, places.stop
    assert first == out.field_map.n_fields


@given(BLOCKS, st.data())
def test_hstack_and_row_selection_commute(blocks, data):
    n_rows = blocks[0].shape[0]
    rows = data.draw(indices(n_rows), "rows")
    blocks = [sp.csr_matrix(X) if isinstance(X, sp.csc_matrix) else X for X in blocks]
    first = hstack([X[rows] for X in blocks])
    check(hstack(blocks)[rows], first.toarray(), first.fields, first.field_names)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_sizes_and_ids_are_one_map(sizes):
    ids = np.repeat(np.arange(len(sizes)), sizes)
    by_size = FieldMap.from_fields(sizes, len(ids))
    if len(sizes) < len(ids) or len(ids) == 1:
        assert_array_equal(by_size.ids, ids if len(sizes) < len(ids) else [1])
    if (ids != 1).any():
        by_id = FieldMap.from_fields(ids, len(ids))
        assert_array_equal(by_id.ids, ids)
        assert by_id.n_fields == len(sizes)


@given(st.lists(st.integers(-3, 9), min_size=1, max_size=6), st.integers(1, 8))
def test_fields_are_a_map_or_an_error(fields, n_columns):
    """Ids per column, or sizes that sum to the columns; never anything else."""
    is_ids = len(fields) == n_columns and min(fields) >= 0
    is_sizes = sum(fields) == n_columns and min(fields) > 0
    if is_ids or is_sizes:
        field_map = FieldMap.from_fields(fields, n_columns)
        assert field_map.n_columns == n_columns
        assert field_map.ids.max() < field_map.n_fields
    else:
        with pytest.raises(ValueError, match="fields="):
            FieldMap.from_fields(fields, n_columns)
