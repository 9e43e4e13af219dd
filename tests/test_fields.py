import copy
import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing, check_array, resample, shuffle

from skwfm._fields import FieldCSR, FieldMap, FieldMapWarning, hstack, resolve_fields

N_ROWS, N_COLUMNS = 20, 7
IDS = np.array([0, 0, 0, 1, 1, 2, 2])
NAMES = ("year", "genre", "tag")
ROWS = np.arange(N_ROWS) % 3 == 0
COLUMNS = np.array([True, False, True, True, False, False, True])
DENSE = sp.random(
    N_ROWS, N_COLUMNS, 0.5, format="csr", dtype=np.float32, random_state=0
).toarray()


def make(**kwargs):
    return FieldCSR(DENSE, fields=IDS, field_names=NAMES, **kwargs)


def through_joblib(X, tmp_path, mmap_mode):
    joblib.dump(X, tmp_path / "X.joblib")
    return joblib.load(tmp_path / "X.joblib", mmap_mode=mmap_mode)


def in_place(X, method):
    getattr(X, method)()
    return X


# What keeps all columns: (operation on the FieldCSR, the same on a dense array).
KEEPS = {
    "slice": (lambda X: X[2:9], lambda D: D[2:9]),
    "stepped": (lambda X: X[::-2], lambda D: D[::-2]),
    "int": (lambda X: X[3], lambda D: D[3:4]),
    "negative int": (lambda X: X[-1], lambda D: D[-1:]),
    "numpy int": (lambda X: X[np.int64(3)], lambda D: D[3:4]),
    "list": (lambda X: X[[4, 1, 1]], lambda D: D[[4, 1, 1]]),
    "array": (lambda X: X[np.array([4, 1])], lambda D: D[[4, 1]]),
    "mask": (lambda X: X[ROWS], lambda D: D[ROWS]),
    "mask list": (lambda X: X[ROWS.tolist()], lambda D: D[ROWS]),
    "ellipsis": (lambda X: X[...], lambda D: D),
    "rows, ellipsis": (lambda X: X[2:4, ...], lambda D: D[2:4]),
    "rows, all columns": (lambda X: X[ROWS, :], lambda D: D[ROWS]),
    "empty": (lambda X: X[:0], lambda D: D[:0]),
    "getrow": (lambda X: X.getrow(2), lambda D: D[2:3]),
    "iteration": (lambda X: list(X)[5], lambda D: D[5:6]),
    "copy": (lambda X: X.copy(), lambda D: D),
    "astype": (lambda X: X.astype(np.float64), lambda D: D),
    "constructor": (lambda X: FieldCSR(X), lambda D: D),
    "pickle": (lambda X: pickle.loads(pickle.dumps(X)), lambda D: D),
    "copy.copy": (copy.copy, lambda D: D),
    "copy.deepcopy": (copy.deepcopy, lambda D: D),
    "times": (lambda X: X * 2, lambda D: D * 2),
    "rtimes": (lambda X: 2 * X, lambda D: D * 2),
    "divided": (lambda X: X / 2, lambda D: D / 2),
    "abs": (lambda X: abs(-X), lambda D: D),
    "power": (lambda X: X.power(2), lambda D: D**2),
    "sqrt": (lambda X: np.sqrt(X), np.sqrt),
    "tocsr": (lambda X: X.tocsr(copy=True), lambda D: D),
    "sum_duplicates": (lambda X: in_place(X, "sum_duplicates"), lambda D: D),
    "sort_indices": (lambda X: in_place(X, "sort_indices"), lambda D: D),
    "eliminate_zeros": (lambda X: in_place(X, "eliminate_zeros"), lambda D: D),
    "check_array": (
        lambda X: check_array(X, accept_sparse="csr", dtype=np.float64),
        lambda D: D,
    ),
    "check_array copy": (
        lambda X: check_array(X, accept_sparse=["csr", "csc"], copy=True),
        lambda D: D,
    ),
    "shuffle": (lambda X: shuffle(X, random_state=0), None),
    "resample": (lambda X: resample(X, random_state=0), None),
    "safe_indexing": (lambda X: _safe_indexing(X, [4, 1]), lambda D: D[[4, 1]]),
    "safe_indexing mask": (lambda X: _safe_indexing(X, ROWS), lambda D: D[ROWS]),
    "split": (lambda X: train_test_split(X, random_state=0)[1], None),
}


@pytest.mark.parametrize("name", KEEPS)
def test_map_survives(name):
    operation, dense = KEEPS[name]
    X = make()
    out = operation(X)
    assert isinstance(out, FieldCSR)
    assert out.field_map == FieldMap(IDS, NAMES)
    assert out.fields.dtype == np.int32
    if dense is not None:
        np.testing.assert_allclose(out.toarray(), dense(DENSE), rtol=1e-6)


SELECTS = {
    "mask": (lambda X: X[:, COLUMNS], (slice(None), COLUMNS)),
    "slice": (lambda X: X[:, 2:5], (slice(None), slice(2, 5))),
    "reversed": (lambda X: X[:, ::-1], (slice(None), slice(None, None, -1))),
    "list": (lambda X: X[:, [6, 0, 3]], (slice(None), [6, 0, 3])),
    "one": (lambda X: X[:, 4], (slice(None), [4])),
    "getcol": (lambda X: X.getcol(4), (slice(None), [4])),
    "rows, mask": (lambda X: X[ROWS][:, COLUMNS], np.ix_(ROWS, COLUMNS)),
    "rows, slice": (lambda X: X[ROWS, 2:5], (ROWS, slice(2, 5))),
    "slice, list": (lambda X: X[3:9, [5, 1]], (slice(3, 9), [5, 1])),
    "row, list": (lambda X: X[3, [5, 1]], (slice(3, 4), [5, 1])),
    "row, slice": (lambda X: X[3, 1:6:2], (slice(3, 4), slice(1, 6, 2))),
    "ix_": (lambda X: X[np.ix_([3, 1], [5, 0])], np.ix_([3, 1], [5, 0])),
    "ellipsis": (lambda X: X[..., 1:3], (slice(None), slice(1, 3))),
    "none left": (lambda X: X[:, :0], (slice(None), slice(0, 0))),
    "safe_indexing": (
        lambda X: _safe_indexing(X, [5, 1], axis=1),
        (slice(None), [5, 1]),
    ),
}


@pytest.mark.parametrize("name", SELECTS)
def test_map_follows_the_columns(name):
    operation, key = SELECTS[name]
    out = operation(make())
    ids = np.broadcast_to(IDS, DENSE.shape)[key][0]
    np.testing.assert_array_equal(out.fields, ids)
    np.testing.assert_array_equal(out.toarray(), DENSE[key])
    assert out.field_names == NAMES


LOSES = {
    "transpose": lambda X: X.T,
    "transpose to csr": lambda X: X.T.tocsr(),
    "square product": lambda X: X[:N_COLUMNS] @ X[:N_COLUMNS],
    "product": lambda X: X @ sp.eye(N_COLUMNS, format="csr"),
    "sum": lambda X: X + X,
    "reshape": lambda X: X.reshape((N_COLUMNS, N_ROWS)),
    "points": lambda X: X[[0, 1], [1, 2]],
    "comparison mask": lambda X: X[X > 0.5],
    "vstack": lambda X: sp.vstack([X, X]),
    "hstack": lambda X: sp.hstack([X, X]),
    "tocsc": lambda X: X.tocsc(),
    "plain": lambda X: sp.csr_matrix(X),
}


@pytest.mark.parametrize("name", LOSES)
def test_map_is_dropped_where_columns_change(name):
    out = LOSES[name](make())
    assert getattr(out, "field_map", None) is None
    assert getattr(out, "fields", None) is None
    assert getattr(out, "field_names", None) is None


def test_points_are_what_scipy_gives():
    plain = sp.csr_matrix(DENSE)
    out, expected = make()[[0, 1], [1, 2]], plain[[0, 1], [1, 2]]
    assert type(out) is type(expected)
    np.testing.assert_array_equal(out, expected)
    assert make()[3, 2] == plain[3, 2]


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_joblib(tmp_path, mmap_mode):
    X = make()
    out = through_joblib(X, tmp_path, mmap_mode)
    assert out.field_map == X.field_map
    assert out.data.flags.writeable == (mmap_mode is None)
    assert not out.fields.flags.writeable
    np.testing.assert_array_equal(out[2:4].toarray(), DENSE[2:4])


def test_resize_drops_the_map():
    X = make()
    X.resize((N_ROWS, N_COLUMNS + 2))
    assert X.field_map is None
    assert X.copy().field_map is None


def test_row_slices_share_the_map():
    X = make()
    assert X[2:5].field_map is X.field_map


def test_field_names_need_fields():
    with pytest.raises(ValueError, match=r"field_names=\('a',\) without fields"):
        FieldCSR(DENSE, field_names=("a",))


# FieldMap


@pytest.mark.parametrize(
    ("fields", "n_columns", "ids"),
    [
        ([0, 1, 1], 3, [0, 1, 1]),
        ([2, 0, 0], 3, [2, 0, 0]),
        ([1, 2], 3, [0, 1, 1]),
        ((3,), 3, [0, 0, 0]),
        ([1, 1, 1], 3, [0, 1, 2]),  # all ones: sizes
        ([0, 0, 0], 3, [0, 0, 0]),
        ([1], 1, [1]),
        ([0], 1, [0]),
        (np.array([2, 1], dtype=np.uint8), 3, [0, 0, 1]),
        ([], 0, []),
    ],
)
def test_ids_or_sizes(fields, n_columns, ids):
    field_map = FieldMap.from_fields(fields, n_columns)
    np.testing.assert_array_equal(field_map.ids, ids)
    assert field_map.ids.dtype == np.int32
    n_fields = max(ids, default=-1) + 1
    assert field_map.n_fields == n_fields
    assert field_map.n_columns == n_columns
    assert field_map.names == tuple(f"field{i}" for i in range(n_fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([1, 1], r"fields=\[1, 1\] has 2 entries that sum to 2.*sum to 3"),
        ([-1, 0, 1], r"fields=\[-1, 0, 1\] holds an id outside 0 to"),
        ([0, 1, 10**9], r"holds an id outside 0 to"),
        ([0, 3], r"fields=\[0, 3\] has 2 entries, not all of them positive sizes"),
        ([1, 1, 1, 1], r"has 4 entries, more than there are columns"),
        ([1.0, 2.0], r"is not a one-dimensional sequence of integers"),
        ([True, False, True], r"is not a one-dimensional sequence of integers"),
        ([[1, 2]], r"is not a one-dimensional sequence of integers"),
        ([[1], [1, 2]], r"is not a one-dimensional sequence of integers"),
        (3, r"fields=3 is not a one-dimensional sequence of integers"),
        (["a", "b", "c"], r"is not a one-dimensional sequence of integers"),
        ([2**62, 2**62, 2**62, 2**62 + 3], r"more than there are columns"),
        ([2**62, 2**62], r"that sum to 9223372036854775808"),
        (FieldMap(np.array([0]), ("a",)), r"describes 1 columns"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(ValueError, match=message) as info:
        FieldMap.from_fields(fields, 3)
    assert "one field id" in str(info.value)
    assert "one positive size per field" in str(info.value)


@pytest.mark.parametrize("names", [["a"], ["a", "a"], "ab", ["a", 1], []])
def test_bad_names(names):
    with pytest.raises(ValueError, match=r"field_names=.*expected 2 different strings"):
        FieldMap.from_fields([1, 2], 3, names)


@pytest.mark.parametrize(
    "ids",
    [[0, -1], [0, 2], [0, 2**32], [[0], [1]], [0.5, 1.0], [True, False], ["a"], 0],
)
def test_map_refuses_ids_without_a_name(ids):
    """The compiled core would read and write outside its arrays."""
    with pytest.raises(ValueError, match=r"^ids=.*in \[0, 2\) where there are 2 names"):
        FieldMap(np.array(ids), ("a", "b"))


def test_take_keeps_ids_and_names():
    field_map = FieldMap(IDS, NAMES).take([6, 0])
    assert field_map == FieldMap([2, 0], NAMES)
    assert field_map.n_fields == 3
    assert FieldMap.from_fields(field_map.ids, 2, NAMES) == field_map


def test_singletons():
    assert FieldMap.each_column(3).singletons
    assert FieldMap.each_column(0).singletons
    assert FieldMap([4, 0], tuple("abcde")).singletons
    assert not FieldMap(IDS, NAMES).singletons


def test_map_is_frozen():
    ids = IDS.copy()
    field_map = FieldMap(ids, NAMES)
    ids[0] = 2
    assert field_map.ids[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        field_map.ids[0] = 1
    with pytest.raises(AttributeError):
        field_map.names = ("a",)
    again = pickle.loads(pickle.dumps(field_map))
    assert again == field_map
    assert hash(again) == hash(field_map)
    assert not again.ids.flags.writeable


def test_map_equality():
    field_map = FieldMap(IDS, NAMES)
    assert field_map == FieldMap(IDS, NAMES)
    assert field_map != FieldMap(IDS[::-1], NAMES)
    assert field_map != FieldMap(IDS, ("a", "b", "c"))
    assert field_map != "field_map"


# hstack


def test_hstack():
    left = make()
    right = FieldCSR(DENSE[:, :2], fields=[1, 1], field_names=["genre", "x"])
    out = hstack([left, sp.csc_matrix(DENSE[:, :3]), right, DENSE[:, :1]])
    np.testing.assert_array_equal(
        out.toarray(), np.hstack([DENSE, DENSE[:, :3], DENSE[:, :2], DENSE[:, :1]])
    )
    np.testing.assert_array_equal(out.fields, [*IDS, 3, 3, 3, 4, 5, 6])
    assert out.field_names == (*NAMES, "field3", "genre_2", "x", "field6")
    assert out.dtype == np.float32


def test_hstack_keeps_empty_fields_apart():
    out = hstack([make()[:, :2], DENSE[:, :1]])
    np.testing.assert_array_equal(out.fields, [0, 0, 3])
    assert out.field_names == (*NAMES, "field3")


def test_hstack_field_names():
    out = hstack([DENSE, DENSE], field_names=["a", "b"])
    assert out.field_names == ("a", "b")
    with pytest.raises(ValueError, match="expected 2 different strings"):
        hstack([DENSE, DENSE], field_names=["a"])


def test_hstack_unique_names_avoid_taken_ones():
    blocks = [
        FieldCSR(DENSE[:, :2], fields=[1, 1], field_names=["a", "a_2"]),
        FieldCSR(DENSE[:, :1], fields=[0], field_names=["a"]),
    ]
    assert hstack(blocks).field_names == ("a", "a_2", "a_3")


@pytest.mark.parametrize("block", [make(), sp.csr_matrix(DENSE), DENSE])
def test_hstack_shares_no_memory(block):
    before = block.copy()
    out = hstack([block])
    out.data[:] = -1
    out.indices[:] = 0
    assert (before != block).sum() == 0
    assert hstack([block]).dtype == np.float32


def test_hstack_dtypes():
    assert hstack([DENSE, DENSE.astype(np.float64)]).dtype == np.float64


def test_hstack_plain_fieldcsr_is_one_field():
    out = hstack([FieldCSR(DENSE), FieldCSR(DENSE)])
    np.testing.assert_array_equal(out.fields, [0] * N_COLUMNS + [1] * N_COLUMNS)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "blocks is empty"),
        ([DENSE, DENSE[:3]], r"blocks\[1\] has 3 rows, expected 20"),
        ([DENSE, DENSE[0]], r"blocks\[1\]: got ndarray with shape \(7,\)"),
        ([[["a"]]], r"blocks\[0\]: got list with \[\['a'\]\], expected a FieldCSR"),
    ],
)
def test_hstack_errors(blocks, message):
    with pytest.raises(ValueError, match=message):
        hstack(blocks)


# resolve_fields


@pytest.mark.parametrize("interactions", ["fm", "ffm"])
def test_resolve_known(interactions):
    X = make()
    assert resolve_fields(X, "auto", interactions=interactions) is X.field_map
    explicit = resolve_fields(X, [3, 4], interactions=interactions)
    np.testing.assert_array_equal(explicit.ids, [0, 0, 0, 1, 1, 1, 1])
    dense = resolve_fields(DENSE, "auto", interactions=interactions)
    np.testing.assert_array_equal(dense.ids, np.arange(N_COLUMNS))


@pytest.mark.parametrize("plain", [sp.csr_matrix(DENSE), FieldCSR(DENSE)])
def test_resolve_plain_sparse(plain):
    advice = r"plain sparse matrix.*FieldTransformer.*skwfm\.hstack.*fields="
    with pytest.warns(FieldMapWarning, match=advice):
        field_map = resolve_fields(plain, "auto", interactions="fm")
    assert field_map == FieldMap.each_column(N_COLUMNS)
    with pytest.raises(ValueError, match=advice):
        resolve_fields(plain, "auto", interactions="ffm")
    explicit = resolve_fields(plain, IDS, interactions="ffm")
    np.testing.assert_array_equal(explicit.ids, IDS)


@pytest.mark.parametrize("fields", ["each", "", None])
def test_resolve_refuses(fields):
    with pytest.raises(ValueError, match=r"^fields=.*Expected 'auto'"):
        resolve_fields(make(), fields, interactions="fm")


def test_repr_shows_the_fields():
    X = FieldCSR(np.eye(3), fields=[2, 1], field_names=["user", "genres"])
    assert repr(X).endswith(" and fields ('user', 'genres')>")
    assert "sparse matrix of" in repr(X)
    assert repr(FieldCSR(np.eye(3))).endswith(" and unknown fields>")
    many = FieldCSR(np.eye(99), fields=np.arange(99))
    assert len(repr(many)) < 200
