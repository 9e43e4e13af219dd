import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skwfm._bags import (
    canonical_csr,
    from_padded,
    merge_rows,
    to_flat,
    to_padded,
)
from skwfm._fields import FieldCSR, FieldMap, FieldMapWarning
from skwfm._matrix_validation import check_csr


@st.composite
def matrices(draw):
    n_rows, n_columns = draw(st.integers(0, 5)), draw(st.integers(1, 8))
    n_fields = draw(st.integers(1, 4))
    ids = draw(
        st.lists(st.integers(0, n_fields - 1), min_size=n_columns, max_size=n_columns)
    )
    cells = st.sampled_from([0.0, 0.0, 1.0, -2.5, 0.25])
    cell_list = st.lists(cells, min_size=n_columns, max_size=n_columns)
    dense = draw(st.lists(cell_list, min_size=n_rows, max_size=n_rows))
    field_map = FieldMap(ids, tuple(f"f{i}" for i in range(n_fields)))
    return FieldCSR(np.reshape(dense, (n_rows, n_columns)), fields=field_map)


def bags_by_hand(dense, ids, n_fields):
    """List (labels, weights) of every bag, in the order (row, field)."""
    out = []
    for row in dense:
        for field in range(n_fields):
            labels = [j for j in range(len(row)) if row[j] != 0 and ids[j] == field]
            out.append((labels, [row[j] for j in labels]))
    return out


@given(matrices())
def test_flat_holds_the_bags(X):
    flat = to_flat(X, X.fields, X.field_map.n_fields)
    expected = bags_by_hand(X.toarray(), X.fields, X.field_map.n_fields)
    assert flat.offsets.dtype == np.int64
    assert len(flat.offsets) == flat.n_rows * flat.n_fields + 1
    for bag, (labels, weights) in enumerate(expected):
        part = slice(flat.offsets[bag], flat.offsets[bag + 1])
        assert flat.indices[part].tolist() == labels
        assert flat.weights[part].tolist() == weights


@given(matrices())
def test_padded_holds_the_bags(X):
    indices, offsets, weights = to_padded(X)
    expected = iter(bags_by_hand(X.toarray(), X.fields, X.field_map.n_fields))
    longest = max(np.diff(X.indptr), default=0)
    assert indices.shape == weights.shape == (X.shape[0], max(longest, 1))
    assert offsets.shape == (X.shape[0], X.field_map.n_fields)
    assert indices.dtype == offsets.dtype == np.int64
    for row in range(X.shape[0]):
        start = 0
        for end in offsets[row] + 1:
            labels, values = next(expected)
            assert indices[row, start:end].tolist() == labels
            assert weights[row, start:end].tolist() == values
            start = end
        assert not indices[row, start:].any()
        assert not weights[row, start:].any()


@given(matrices())
def test_padded_round_trip(X):
    back = from_padded(
        *to_padded(X), X.shape[1], fields=X.field_map, field_names=X.field_names
    )
    assert back.field_map == X.field_map
    np.testing.assert_array_equal(back.toarray(), X.toarray())
    derived = from_padded(*to_padded(X), X.shape[1])
    used = np.unique(X.indices)
    np.testing.assert_array_equal(derived.fields[used], X.fields[used])
    unused = np.setdiff1d(np.arange(X.shape[1]), used)
    assert not derived.fields[unused].any()
    assert derived.field_map.n_fields == X.field_map.n_fields
    np.testing.assert_array_equal(derived.toarray(), X.toarray())


def test_flat_shares_memory_of_contiguous_fields():
    X = FieldCSR(np.eye(4, dtype=np.float32), fields=[2, 2])
    for ids_sorted in (None, True):
        flat = to_flat(X, X.fields, 2, ids_sorted=ids_sorted)
        assert np.shares_memory(flat.indices, X.indices)
        assert np.shares_memory(flat.weights, X.data)
        assert flat.weights.dtype == np.float32


def test_flat_of_one_field():
    X = sp.csr_matrix([[1.0, 2.0], [0.0, 0.0]])
    flat = to_flat(X, [0, 0], 1)
    np.testing.assert_array_equal(flat.offsets, [0, 2, 2])


def test_flat_sorts_interleaved_fields():
    X = sp.csr_matrix([[1.0, 2.0, 3.0, 4.0]])
    flat = to_flat(X, [1, 0, 1, 0], 2)
    assert flat.indices.tolist() == [1, 3, 0, 2]
    assert flat.weights.tolist() == [2.0, 4.0, 1.0, 3.0]
    assert flat.offsets.tolist() == [0, 2, 4]


def test_flat_skips_unused_tail_of_the_arrays():
    X = sp.csr_matrix([[1.0, 2.0]])
    X.indices = np.append(X.indices, 7)
    X.data = np.append(X.data, 9.0)
    flat = to_flat(X, [0, 1], 2)
    assert flat.indices.tolist() == [0, 1]
    assert flat.offsets.tolist() == [0, 1, 2]


def scrambled():
    """Return a CSR with unsorted and repeated entries."""
    data = np.array([1.0, 2.0, 4.0, 3.0, 5.0])
    indices = np.array([2, 0, 2, 1, 0], dtype=np.int32)
    return sp.csr_matrix((data, indices, [0, 3, 5]), shape=(2, 3))


def test_canonical_copies():
    X = scrambled()
    data, indices = X.data.copy(), X.indices.copy()
    out = canonical_csr(X)
    np.testing.assert_array_equal(out.indices, [0, 2, 0, 1])
    np.testing.assert_array_equal(out.data, [2.0, 5.0, 5.0, 3.0])
    np.testing.assert_array_equal(X.data, data)
    np.testing.assert_array_equal(X.indices, indices)
    assert canonical_csr(out) is out
    # flags that lie, as after building the arrays by hand
    X.has_canonical_format = True
    np.testing.assert_array_equal(canonical_csr(X).data, out.data)


def test_canonical_with_empty_rows():
    X = sp.csr_matrix(([1.0, 2.0], [1, 0], [0, 0, 1, 1, 2, 2]), shape=(5, 2))
    assert canonical_csr(X) is X
    assert canonical_csr(sp.csr_matrix((3, 2))).nnz == 0


@pytest.mark.parametrize("kind", [sp.csc_matrix, sp.coo_matrix, sp.csr_array])
def test_padded_takes_any_sparse(kind):
    expected = to_padded(FieldCSR(scrambled().toarray(), fields=[1, 2]))
    for got, want in zip(to_padded(kind(scrambled()), [1, 2]), expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_padded_of_read_only_scrambled():
    X = scrambled()
    X.data.flags.writeable = X.indices.flags.writeable = False
    indices, _, weights = to_padded(X, [1, 2])
    assert indices.tolist() == [[0, 2], [0, 1]]
    assert weights.tolist() == [[2.0, 5.0], [5.0, 3.0]]


def test_padded_dense_and_plain_sparse():
    dense = np.array([[0.0, 2.0], [3.0, 4.0]])
    indices, offsets, weights = to_padded(dense)
    assert indices.tolist() == [[1, 0], [0, 1]]
    assert offsets.tolist() == [[-1, 0], [0, 1]]
    with pytest.warns(FieldMapWarning):
        plain = to_padded(sp.csr_matrix(dense))
    np.testing.assert_array_equal(plain[2], weights)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "f4"), ("f8", "f8"), ("i8", "f4"), ("?", "f4"), ("u1", "f4")],
)
def test_padded_dtypes(dtype, expected):
    X = FieldCSR(np.eye(2, dtype=dtype), fields=[2])
    weights = to_padded(X)[2]
    assert weights.dtype == expected
    assert from_padded(*to_padded(X), 2).dtype == expected


def test_one_long_row_pads_only_its_batch():
    dense = np.zeros((3, 500))
    dense[1] = 1.0
    dense[:, 0] = 1.0
    assert to_padded(dense, [500])[0].shape == (3, 500)
    assert to_padded(dense[::2], [500])[0].shape == (2, 1)


def test_from_padded_sums_duplicates_and_leaves_inputs():
    indices, offsets = np.array([[2, 2, 0, 9]]), np.array([[1, 2]])
    weights = np.array([[1.0, 2.0, 3.0, np.nan]])
    arrays = [a.copy() for a in (indices, offsets, weights)]
    X = from_padded(indices, offsets, weights, 3)
    assert X.toarray().tolist() == [[3.0, 0.0, 3.0]]
    assert X.fields.tolist() == [1, 0, 0]
    for now, before in zip((indices, offsets, weights), arrays, strict=True):
        np.testing.assert_array_equal(now, before)


OK = {
    "indices": [[0, 1], [1, 0]],
    "offsets": [[0, 1], [0, 0]],
    "weights": [[1.0, 1], [1, 1]],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": [[0, 1], [0, 1]]}, r"indices, row 1: column 1 occurs in bag 0"),
        ({"indices": [[0, 1], [5, 0]]}, r"indices, row 1: got 5, .* 0 to 2\."),
        ({"indices": [[0, -1], [1, 0]]}, r"indices, row 0: got -1"),
        ({"indices": [[0.0, 1.0], [1, 0]]}, r"indices: got float64 of shape \(2, 2\)"),
        ({"indices": [0, 1]}, r"indices: got int64 of shape \(2,\)"),
        ({"offsets": [[0, 2], [0, 0]]}, r"offsets, row 0: got \[0, 2\].*-1 to 1"),
        ({"offsets": [[0, 1], [-2, 0]]}, r"offsets, row 1: got \[-2, 0\]"),
        ({"offsets": [[0, 1], [1, 0]]}, r"offsets, row 1: got \[1, 0\].*never decr"),
        ({"offsets": [[0, 1]]}, r"offsets: got \(1, 2\), expected 2 rows"),
        ({"offsets": np.zeros((2, 0), int)}, r"offsets: got int64 of shape \(2, 0\)"),
        ({"weights": [[1.0], [1.0]]}, r"weights: got float64 of shape \(2, 1\)"),
        ({"weights": [["a", "b"]] * 2}, r"weights: got <U1"),
    ],
)
def test_from_padded_errors(change, message):
    with pytest.raises(ValueError, match=message):
        from_padded(**(OK | change), n_features=3)


def test_from_padded_conflict_is_settled_by_fields():
    X = from_padded(**(OK | {"offsets": [[0, 1], [0, 1]]}), n_features=3, fields=[3])
    assert X.fields.tolist() == [0, 0, 0]


def broken(**arrays):
    X = sp.csr_matrix(np.eye(3))
    for name, values in arrays.items():
        setattr(X, name, np.asarray(values))
    return X


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (
            broken(indices=[0, 3, 2]),
            r"X, row 1: got column index 3, expected .* 0 to 2",
        ),
        (broken(indices=[0, 1, -1]), r"X, row 2: got column index -1"),
        (broken(indptr=[0, 2, 1, 3]), r"X\.indptr, row 1: falls from 2 to 1"),
        (broken(indptr=[0, 1, 2, 9]), r"X\.indptr has 4 entries.*at most 3"),
        (broken(indptr=[1, 1, 2, 3]), r"X\.indptr has 4 entries from .*1.* to"),
        (broken(indptr=[0, 3]), r"X\.indptr has 2 entries.*expected 4"),
        (broken(data=[1, np.nan, 1]), r"NaN or infinity: row 1, column 1 holds nan"),
        (broken(data=[1, 1, -np.inf]), r"NaN or infinity: row 2, column 2 holds -inf"),
    ],
)
def test_check_csr(X, message):
    with pytest.raises(ValueError, match=message):
        check_csr(X)
    with pytest.raises(ValueError, match=message):
        to_padded(X, [1, 2])


def test_check_csr_accepts():
    check_csr(scrambled())
    check_csr(sp.csr_matrix((0, 3)))
    check_csr(broken(data=[1, np.nan, 1]), finite=False)
    check_csr(sp.csr_matrix(np.eye(3, dtype=int)))


def test_merge_rows_joins_equal_rows_of_equal_target():
    rng = np.random.default_rng(0)
    X = sp.csr_matrix(rng.integers(0, 2, (40, 3)).astype(float))
    y, weights = rng.integers(0, 2, 40), rng.integers(1, 4, 40).astype(float)
    merged, targets, sums = merge_rows(X, y, weights)
    rows = np.column_stack([merged.toarray(), targets])
    assert len(np.unique(rows, axis=0)) == len(rows) <= 16
    for row, total in zip(rows, sums, strict=True):
        same = (np.column_stack([X.toarray(), y]) == row).all(axis=1)
        assert weights[same].sum() == total
    order = rng.permutation(40)
    again = merge_rows(X[order], y[order], weights[order])
    assert_array_equal(again[0].toarray(), merged.toarray())
    assert_array_equal(again[1], targets)
    assert_array_equal(again[2], sums)
