"""Training tables and threads of the compiled core: memory, merges, stops, forks."""

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skwfm._kernels import compiled, online
from skwfm._kernels.checks import Faults, faults, faults_slowly, narrow
from skwfm._kernels.compiled import (
    Options,
    Rows,
    Scheme,
    Table,
    Threads,
    count_labels,
    score,
    train,
)

pytestmark = pytest.mark.skipif(
    not compiled.available(), reason="installed without the compiled core"
)

N_FIELDS, PER_FIELD = 3, 4
N_COLUMNS = N_FIELDS * PER_FIELD
DTYPES = [np.float32, np.float64]
STEPS = ["adagrad", "adagrad_weight", "sgd", "ftrl"]
both_models = pytest.mark.parametrize("field_aware", [False, True])
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
every_step = pytest.mark.parametrize("step", STEPS)
everywhere = pytest.mark.usefixtures("instruction_set")
SETS = compiled._core.instruction_sets() if compiled.available() else []


@pytest.fixture(params=SETS)
def instruction_set(request):
    before = compiled._core.instruction_set()
    compiled._core.set_instruction_set(request.param)
    yield
    compiled._core.set_instruction_set(before)


def scheme_of(field_aware, k=5, n_outputs=1):
    ids = np.repeat(np.arange(N_FIELDS, dtype=np.int32), PER_FIELD)
    sizes = {"n_factors": k, "n_fields": N_FIELDS, "n_outputs": n_outputs}
    return Scheme.of_fields(ids, True, field_aware=field_aware, **sizes)


def started(
    scheme, dtype, step, *, n_columns=N_COLUMNS, counts=None, seed=3, **numbers
):
    table = Table(scheme, n_columns, dtype, step)
    counts = np.arange(n_columns, dtype=np.int32)
    numbers = {"init_scale": 0.3, "state": 0.5, "linear_state": 0.25} | numbers
    table.start(counts, np.full(scheme.n_outputs, 0.1), seed=seed, **numbers)
    return table


def options(step, loss="squared", **changes):
    rates = {"learning_rate": 0.05, "learning_rate_linear": 0.05}
    penalties = {"l2_factors": 0.3, "l2_linear": 0.2, "l1_linear": 0.01}
    return Options(**({"loss": loss, "step": step} | rates | penalties | changes))


def draw_rows(dtype, n_rows, columns=None, seed=0, **at):
    """Draw targets and rows, in some columns; `at` has one more place and value."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n_rows, N_COLUMNS))
    columns = np.arange(N_COLUMNS) if columns is None else columns
    X[:, columns] = rng.normal(size=(n_rows, len(columns)))
    X[rng.random(X.shape) < 0.3] = 0
    if at:
        X[at["place"]] = at["value"]
    return sp.csr_matrix(X.astype(dtype)), rng.normal(size=n_rows).astype(dtype)


def threads_of(n_threads, hot=(), interval=10**6, share=0.0, **options):
    labels = np.array(sorted(hot), np.int32)
    shares = np.full(len(labels), share, np.float32)
    return Threads(n_threads, labels, shares, interval, **options)


# Tables


@both_dtypes
@every_step
@pytest.mark.parametrize("k", [1, 2, 4, 13, 16, 40])
def test_rows_of_a_table_lie_on_few_cache_lines(k, step, dtype):
    table = Table(scheme_of(False, k), 7, dtype, step)
    assert table.rows.shape[0] == 7
    assert table.rows.ctypes.data % 64 == 0
    _, _, _, _, count, states = table.places
    end = states + k if step == "adagrad_weight" else count + 1
    stride, used = table.rows.strides[0], end * table.dtype.itemsize
    assert used <= stride
    for start in range(0, 7 * stride, stride):
        lines = (start + used - 1) // 64 - start // 64 + 1
        assert lines == -(-used // 64)


@both_dtypes
@pytest.mark.parametrize("k", [1, 5, 8])
def test_factors_start_uniform(k, dtype):
    table = started(scheme_of(False, k), dtype, "adagrad", n_columns=6000)
    factors = table.factors.astype(np.float64)
    n = factors.size
    assert np.abs(factors).max() <= 0.3 * np.sqrt(3) * (1 + 1e-6)
    assert abs(factors.mean()) < 4 * 0.3 / np.sqrt(n)
    # The fourth moment of a uniform variable is 9/5 of its squared variance.
    assert abs(factors.std() / 0.3 - 1) < 4 * np.sqrt(0.8 / n) / 2
    quarters = np.histogram(factors, 4, (-0.3 * 3**0.5, 0.3 * 3**0.5))[0]
    assert np.abs(quarters - n / 4).max() < 4 * np.sqrt(n * 3 / 16)
    for lag in (1, 2, k):
        series = factors.ravel()
        correlation = np.corrcoef(series[lag:], series[:-lag])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(n)
    if dtype == np.float64:
        assert len(np.unique(factors)) > n - 10


def test_seed_decides_the_factors():
    tables = [started(scheme_of(True), np.float32, "sgd", seed=s) for s in (1, 1, 2)]
    assert_array_equal(tables[0].rows, tables[1].rows)
    assert (tables[0].factors != tables[2].factors).mean() > 0.99


@both_dtypes
@every_step
def test_start_sets_every_part(step, dtype):
    table = started(scheme_of(False, 3, n_outputs=2), dtype, step)
    length, linear_state, linear_z, state, inverse, states = table.places
    rows = table.rows
    assert (table.linear == 0).all()
    assert (rows[:, linear_state : linear_state + 2] == 0.25).all()
    assert (rows[:, linear_z:state] == 0).all()
    assert (rows[:, state] == 0.5).all()
    expected = 1 / np.maximum(np.arange(N_COLUMNS), 1).astype(dtype)
    assert_array_equal(rows[:, inverse], expected)
    assert (rows[:, states : states + length] == 0.5).all()
    assert (rows[:, inverse + 1 : states] == 0).all()
    assert table.bias.tolist() == np.array([0.1, 0.1, 0.25, 0.25], dtype).tolist()


@both_dtypes
def test_labels_are_counted(dtype):
    X, _ = draw_rows(dtype, 9)
    order = np.array([8, 0, 0, 4])
    for rows, taken in ((Rows.of(X), X), (Rows.of(X).reordered(order), X[order])):
        counts, square = count_labels(rows, N_COLUMNS)
        assert_array_equal(counts, np.bincount(taken.indices, minlength=N_COLUMNS))
        total = (taken.data.astype(np.float64) ** 2).sum()
        assert square == pytest.approx(total / taken.shape[0])


def is_clean(X):
    return faults(X) == Faults.NONE


def is_clean_slowly(indptr, indices, values, n_columns):
    if indptr[0] != 0 or (np.diff(indptr) < 0).any() or indptr[-1] > len(values):
        return False
    for first, end in zip(indptr[:-1], indptr[1:], strict=True):
        row = indices[first:end].tolist()
        if row != sorted(set(row)) or not set(row) <= set(range(n_columns)):
            return False
    used = values[: indptr[-1]]
    return bool(np.isfinite(used).all() and (used != 0).all())


SPOILED = {
    "indptr": [-1, 0, 1, 2, 4, 5, 6, 7, 8, 99],
    "indices": [-1, 0, 1, 2, 3, 4, 2**31 - 1],
    "data": [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30],
}


@everywhere
@pytest.mark.parametrize("wide_indices", [np.int32, np.int64])
@pytest.mark.parametrize("wide", [np.int32, np.int64])
@both_dtypes
def test_clean_rows_are_told_from_others(dtype, wide, wide_indices):
    """Every change of one number of the arrays, of which one entry is not in use."""
    arrays = {
        "indptr": np.array([0, 3, 3, 4, 7], wide),
        "indices": np.array([0, 2, 3, 1, 0, 1, 2, 9], wide_indices),
        "data": np.array([1, 2, -1, 3, 1, 1, 5, 0], dtype),
    }
    answers = set()
    for name, values in SPOILED.items():
        for place, value in itertools.product(range(len(arrays[name])), values):
            spoiled = arrays | {name: arrays[name].copy()}
            spoiled[name][place] = value
            X = SimpleNamespace(format="csr", shape=(4, 4), **spoiled)
            assert is_clean(X) == is_clean_slowly(*spoiled.values(), 4)
            found, slowly = faults(X), faults_slowly(X)
            assert found == slowly or found & slowly & Faults.BROKEN
            answers.add(found)
    assert answers >= {*Faults, Faults.NONE}


@both_dtypes
@pytest.mark.parametrize("wide", [np.int32, np.int64])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_faults_of_long_and_many_rows(dtype, wide, n_threads):
    """Blocks of entries, of rows, and the places where two of them meet."""
    rng = np.random.default_rng(0)
    lengths = rng.choice([0, 1, 7, 40_000], p=[0.3, 0.3, 0.3998, 0.0002], size=40_000)
    lengths[[0, 1, -1]] = 0, 50_000, 0
    indptr = np.append(0, np.cumsum(lengths))
    steps = rng.integers(1, 5, lengths.sum())
    steps[indptr[:-1][lengths > 0]] = 0
    total = np.cumsum(steps)
    columns = total - np.repeat(total[np.minimum(indptr[:-1], len(total) - 1)], lengths)
    arrays = {
        "indptr": indptr.astype(wide),
        "indices": columns.astype(wide),
        "data": rng.uniform(0.5, 1, len(columns)).astype(dtype),
    }
    X = SimpleNamespace(format="csr", shape=(len(lengths), columns.max() + 1), **arrays)
    assert faults(X, n_threads) == faults_slowly(X) == Faults.NONE
    for place in [1, 2**14, 2**14 + 1, *rng.integers(len(columns), size=20), -1]:
        for name, value, fault in (
            ("indices", columns.max() + 1, Faults.BROKEN),
            ("indices", -1, Faults.BROKEN),
            ("data", np.nan, Faults.NOT_FINITE),
            ("data", 0, Faults.ZEROS),
        ):
            before = arrays[name][place]
            arrays[name][place] = value
            assert faults(X, n_threads) & fault
            arrays[name][place] = before
        before = arrays["indices"][place]
        for value in (max(before - 5, 0), before + 4):
            arrays["indices"][place] = min(value, columns.max())
            assert faults(X, n_threads) == faults_slowly(X)
        arrays["indices"][place] = before


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (3, 4)])
def test_rows_without_entries_are_clean(shape):
    assert is_clean(sp.csr_matrix(shape))


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.tocsc(),
        lambda X: X.toarray(),
    ],
)
def test_rows_of_another_kind_are_not_clean(change):
    X = sp.csr_matrix(np.eye(3))
    assert is_clean(X)
    assert not is_clean(change(X))


@pytest.mark.parametrize("chunk", [1, 5, 1000])
@pytest.mark.parametrize("n_columns", [1, 12, 100])
@every_step
def test_compact_gives_back_the_memory(step, n_columns, chunk, monkeypatch):
    monkeypatch.setattr(compiled, "COMPACT_ROWS", chunk)
    table = started(scheme_of(False, 3), np.float32, step, n_columns=n_columns)
    table.linear[:] = np.arange(n_columns)[:, None]
    expected = table.factors.copy(), table.linear.copy()
    factors, linear = table.compact()
    assert_array_equal(factors, expected[0])
    assert_array_equal(linear, expected[1])
    assert factors.flags.c_contiguous
    if n_columns > 1:
        assert factors.base.nbytes == factors.nbytes


@pytest.mark.parametrize(
    "look",
    [
        lambda table: table.rows,
        lambda table: table.factors,
        lambda table: table.linear[2:4, 0],
        lambda table: np.asarray(memoryview(table.factors)[1:3]),
    ],
)
def test_compact_leaves_living_views_alone(look):
    table = started(scheme_of(True), np.float64, "adagrad")
    view = look(table)
    before, expected = view.copy(), table.factors.copy()
    factors, _ = table.compact()
    factors_before = factors.copy()
    assert_array_equal(view, before)
    assert_array_equal(factors, expected)
    view[:] = 7
    assert_array_equal(factors, factors_before)


# Where training stops


@everywhere
@both_models
@every_step
def test_training_stops_before_a_score_that_is_not_finite(step, field_aware):
    X, target = draw_rows(np.float32, 9, place=5, value=1e30)
    rows, scheme = Rows.of(X), scheme_of(field_aware)
    table, other = (started(scheme, np.float32, step) for _ in range(2))
    loss, done = train(table, rows, target, None, options(step))
    assert done == 5
    assert (loss, 5) == train(other, rows, target, None, options(step), n_rows=5)
    assert_array_equal(table.rows, other.rows)
    assert_array_equal(table.bias, other.bias)


@everywhere
@pytest.mark.parametrize(
    ("loss", "bias", "place", "value"),
    [
        ("poisson", 80.0, (3, 5), 1.0),
        ("squared", 1e25, (3, 5), 1.0),
        ("squared", 1e15, (3, 5), 1e18),
        ("squared", 1e25, 3, 0.0),
    ],
)
@both_models
@every_step
def test_parameters_stay_finite_where_a_gradient_does_not(
    step, field_aware, loss, bias, place, value
):
    X, target = draw_rows(np.float32, 6, place=place, value=value)
    rows, scheme = Rows.of(X), scheme_of(field_aware)
    table = started(scheme, np.float32, step, init_scale=1e-9)
    table.bias[0] = bias
    total, done = train(table, rows, target, None, options(step, loss), first=3)
    assert (total, done) == (0.0, 0)
    assert np.isfinite(table.rows).all()
    assert np.isfinite(table.bias).all()


def test_training_stops_before_a_target_that_is_not_a_number():
    X, target = draw_rows(np.float64, 4)
    target[2] = np.nan
    table = started(scheme_of(True), np.float64, "adagrad")
    loss, done = train(table, Rows.of(X), target, None, options("adagrad"))
    assert done == 2
    assert np.isfinite(loss)
    assert np.isfinite(table.rows).all()


# Threads


def test_one_thread_needs_no_copies():
    assert Threads.of(1, np.ones(5, np.int32), 99) == Threads()


def test_frequent_labels_have_copies(monkeypatch):
    monkeypatch.setattr(compiled, "HOT_LABELS", 3)
    plan = Threads.of(2, np.array([1, 9, 0, 7, 8, 2], np.int32), 10)
    assert plan.n_threads == 2
    assert_array_equal(plan.hot, [1, 4, 3])
    assert_allclose(plan.shares, [0.9, 0.8, 0.7], rtol=1e-6)


@pytest.mark.parametrize(
    ("n_rows", "interval"), [(30, 1), (300, 3), (3 * 6400, 200), (10**9, 4096)]
)
def test_threads_merge_often_where_rows_are_few(n_rows, interval):
    assert Threads.of(3, np.ones(5, np.int32), n_rows).interval == interval


def slot_of(labels):
    """Where the core looks for the copy of a label (`HotLabel` of types.hpp)."""
    return np.asarray(labels).astype(np.uint32) * np.uint32(2654435769) >> np.uint32(19)


def test_labels_of_one_slot():
    """The first has copies, the second stays shared; both are trained the same."""
    n_columns, rng = 40_000, np.random.default_rng(0)
    slots = slot_of(np.arange(n_columns))
    order = np.argsort(slots, kind="stable")
    pairs = np.array([order[i : i + 2] for i in range(0, 2 * 40, 2)])
    pairs = pairs[slots[pairs[:, 0]] == slots[pairs[:, 1]]]
    assert len(pairs) > 10
    X = np.zeros((40, len(pairs), 2))
    # The first half of the rows has some labels, the second half the others.
    X[np.arange(40), :, :] = rng.random((40, len(pairs), 2)) < 0.5
    X[:20, ::2], X[20:, 1::2] = 0, 0
    places = pairs.ravel()
    rows = sp.csr_matrix(X.reshape(40, -1)).tocoo()
    data = (rows.data, (rows.row, places[rows.col]))
    X = sp.csr_matrix(data, shape=(40, n_columns))
    target = rng.normal(size=40)
    scheme = Scheme(False, 4, 2, field_ends=np.array([n_columns // 2, n_columns]))
    tiny = {"learning_rate": 1e-3, "learning_rate_linear": 1e-3}
    chosen = options("adagrad", fit_bias=False, **tiny)
    states = {"state": 1e9, "linear_state": 1e9}  # that hardly change
    kinds = {"n_columns": n_columns, **states}
    tables = [started(scheme, np.float64, "adagrad", **kinds) for _ in range(2)]
    start = tables[0].rows.copy()
    plan = threads_of(2, hot=places, interval=20)
    train(tables[0], Rows.of(X), target, None, chosen)
    train(tables[1], Rows.of(X), target, None, chosen, threads=plan)
    changes = [table.rows - start for table in tables]
    largest = np.abs(changes[0]).max()
    assert (np.abs(changes[0]).max(axis=1)[places] > 0).all()
    assert_allclose(changes[1], changes[0], rtol=1e-3, atol=1e-3 * largest)


@everywhere
@both_dtypes
@both_models
@every_step
def test_threads_that_share_no_label(step, field_aware, dtype):
    """Without copies to merge they leave the bits of one thread."""
    parts = [
        draw_rows(dtype, 8, columns=np.arange(half, N_COLUMNS, 2), seed=half)
        for half in (0, 1)
    ]
    X, target = (
        sp.vstack([p[0] for p in parts], "csr"),
        np.hstack([p[1] for p in parts]),
    )
    chosen, scheme = options(step, fit_bias=False), scheme_of(field_aware)
    tables = [started(scheme, dtype, step) for _ in range(2)]
    results = [
        train(table, Rows.of(X), target, None, chosen, threads=plan)
        for table, plan in zip(tables, [Threads(), threads_of(2)], strict=True)
    ]
    assert_array_equal(tables[1].rows, tables[0].rows)
    for loss, done in results:
        assert loss == pytest.approx(results[0][0], rel=1e-6)
        assert done == 16


@everywhere
@pytest.mark.parametrize("in_step", [False, True])
@pytest.mark.parametrize(("n_threads", "interval"), [(2, 10), (2, 10**6), (3, 100)])
@both_models
@every_step
def test_exchange_adds_up_the_changes(step, field_aware, n_threads, interval, in_step):
    """With tiny steps their order matters to second order only: none is lost."""
    X, target = draw_rows(np.float64, 3000)
    rows = Rows.of(X)
    states = {"state": 1e9, "linear_state": 1e9}  # that hardly change
    scheme = scheme_of(field_aware)
    tables = [started(scheme, np.float64, step, **states) for _ in range(2)]
    start, start_bias = tables[0].rows.copy(), tables[0].bias.copy()
    size = 1e-7 if step == "sgd" else 1e-3
    tiny = {"learning_rate": size, "learning_rate_linear": size}
    # Each thread that comes to a coefficient of 0 pays the penalty of leaving it.
    chosen = options(step, l1_linear=0.0, **tiny)
    plan = threads_of(n_threads, range(N_COLUMNS)[::-1], interval, in_step=in_step)
    got = train(tables[0], rows, target, None, chosen, threads=plan)
    expected = train(tables[1], rows, target, None, chosen)
    assert got == (pytest.approx(expected[0], rel=1e-3), 3000)
    changes = [(t.rows - start, t.bias - start_bias) for t in tables]
    for one, other in zip(*changes, strict=True):
        largest = np.abs(other).max(axis=0)
        assert largest.max() > 0
        assert (np.abs(one - other) <= 5e-3 * largest + 1e-13).all()


@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_every_row_is_taken_by_some_thread(n_rows):
    X, target = draw_rows(np.float64, n_rows)
    table = started(scheme_of(False), np.float64, "sgd")
    scores = np.full((n_rows, 1), np.nan)
    plan = threads_of(3, [0, 4])
    rows, chosen = Rows.of(X), options("sgd")
    assert train(table, rows, target, None, chosen, scores=scores, threads=plan)[1] == (
        n_rows
    )
    assert np.isfinite(scores).all()


@everywhere
@both_models
def test_threads_tell_the_scores_of_their_rows(field_aware):
    X, target = draw_rows(np.float64, 17)
    order = np.random.default_rng(1).permutation(17)
    rows, scheme = Rows.of(X).reordered(order), scheme_of(field_aware, n_outputs=3)
    table = started(scheme, np.float64, "sgd")
    expected = score(scheme, rows, table.factors, table.linear, table.bias[:3])
    still = {"learning_rate": 0.0, "learning_rate_linear": 0.0}
    got = np.full((14, 3), np.nan)
    train(
        table, rows, np.zeros_like(target), None, options("sgd", "softmax", **still),
        first=2, n_rows=14, scores=got, threads=threads_of(3, [0, 4], interval=2),
    )  # fmt: skip
    assert_allclose(got, expected[2:16], rtol=0, atol=1e-13)


@everywhere
@both_models
@pytest.mark.parametrize("in_step", [False, True])
def test_threads_stop_where_a_score_is_not_finite(field_aware, in_step):
    X, target = draw_rows(np.float32, 17, place=13, value=1e30)
    table = started(scheme_of(field_aware), np.float32, "adagrad")
    plan = threads_of(2, range(N_COLUMNS), interval=5, in_step=in_step)
    chosen = options("adagrad")
    assert train(table, Rows.of(X), target, None, chosen, threads=plan)[1] == 13
    assert np.isfinite(table.rows).all()
    assert np.isfinite(table.bias).all()


FORK = """
import os
import numpy as np
import scipy.sparse as sp
from skwfm._kernels.compiled import *
from skwfm._kernels.compiled import Threads, count_labels
X = sp.random(400, 30, 0.3, format="csr", random_state=0, dtype=np.float32)
scheme = Scheme(False, 8, 1)
rows, target = Rows.of(X), np.ones(400, np.float32)
table = Table(scheme, 30, np.float32)
counts, _ = count_labels(rows, 30)
table.start(counts, np.zeros(1), init_scale=0.1, state=1, linear_state=1, seed=0)
def use():
    chosen = Options("squared", "adagrad", 0.1, 0.1)
    threads = Threads.of(2, counts, 400)
    assert train(table, rows, target, None, chosen, threads=threads)[1] == 400
    model = table.factors, table.linear, table.bias[:1]
    assert np.isfinite(score(scheme, rows, *model, n_threads=2)).all()
use()
child = os.fork()
if not child:
    try:
        use()
    except BaseException:
        os._exit(1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
use()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_after_training_in_threads():
    command = [sys.executable, "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@both_dtypes
@every_step
def test_start_without_the_core_is_the_same(step, dtype):
    scheme, seed = scheme_of(True, 3, n_outputs=2), 2**31 - 1
    tables = [Table(scheme, 7, dtype, step) for _ in range(2)]
    numbers = {"init_scale": 0.3, "state": 0.5, "linear_state": 0.25, "seed": seed}
    counts, labels = np.arange(7, dtype=np.int32), np.arange(7) * 10**9
    tables[0].start(counts, np.full(2, 0.1), labels=labels, **numbers)
    online.start(tables[1], counts, np.full(2, 0.1), labels=labels, **numbers)
    assert_array_equal(tables[0].rows, tables[1].rows)
    assert_array_equal(tables[0].bias, tables[1].bias)
    tables[0].start(counts, np.full(2, 0.1), **numbers)
    online.start(tables[1], counts, np.full(2, 0.1), **numbers)
    assert_array_equal(tables[0].rows, tables[1].rows)


def test_wide_columns_that_do_not_fit_become_a_fault():
    columns = [0, 1, 2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**62, 2**63 - 1, -1, -(2**63)]
    indices = np.array(columns * 3, np.int64)
    X = SimpleNamespace(
        format="csr",
        shape=(1, 5),
        indptr=np.array([0, len(indices)]),
        indices=indices,
        data=np.ones(len(indices)),
    )
    indptr, got = narrow(X)
    assert indptr.dtype == got.dtype == np.int32
    fits = (indices >= 0) & (indices < 2**31)
    assert_array_equal(got, np.where(fits, indices, -1))


@pytest.mark.parametrize("indptr", [[1, 2], [0, 3], [0, 2**40], [-1, 2], [0, 1, 2]])
def test_pointers_that_scipy_would_refuse_are_left_to_the_checks(indptr):
    X = SimpleNamespace(
        format="csr",
        shape=(1, 5),
        indptr=np.array(indptr),
        indices=np.arange(2),
        data=np.ones(2),
    )
    assert narrow(X) is None
