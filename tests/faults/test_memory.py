"""Memory: of long rows and many rows, of large numbers, of tables that cannot fit.

What resident memory grows by is measured in a process of its own, by its peak.
"""

import json
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_array_equal

import skwfm._memory
import skwfm._scoring
import skwfm._training
from skwfm import (
    FieldCSR,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    hstack,
    to_padded,
)
from skwfm._field_map import FieldMap
from skwfm._kernels import compiled
from skwfm._kernels.checks import Faults, faults, faults_slowly
from skwfm._matrix_validation import check_csr
from skwfm._memory import memory_limit
from skwfm._net import BagDataset
from skwfm.nn import WeightedEmbeddingBag
from skwfm.nn._checks import check_padded

needs_core = pytest.mark.skipif(
    not compiled.available(), reason="installed without the compiled core"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# What every process below begins with: `grows(call)` returns the MiB by which the peak
# of the resident memory exceeds what was there before the call and its result.
MEASURE = """
import ctypes, gc, json, sys, warnings
import numpy as np, scipy.sparse as sp
import skwfm
from skwfm._kernels import compiled

def status(key):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(key))
    return int(line.split()[1]) / 1024

def grows(call):
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    out = call()
    return status("VmHWM") - before - getattr(out, "nbytes", 0) / 2**20

options = json.loads(sys.argv[1])
warnings.simplefilter("ignore")
if not options.get("core", True):
    compiled._core = None
"""


def run(code, **options):
    """Run code in a process of its own; return what it prints, as JSON."""
    command = [sys.executable, "-c", MEASURE + code, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# One row of 10,000 values among short ones.

LONG = """
rng = np.random.default_rng(0)
n_short, n_columns = 100_000, 20_000
def rows(with_long):
    lengths = np.full(n_short + 1, 5)
    lengths[n_short // 2] = 10_000 if with_long else 5
    columns = rng.integers(0, n_columns // 5, (n_short + 1, 5)) + np.arange(5) * 4000
    long = np.arange(0, n_columns, 2) if with_long else columns[0]
    middle = n_short // 2
    blocks = columns[:middle].ravel(), long, columns[middle + 1 :].ravel()
    arrays = np.ones(lengths.sum(), np.float32), np.concatenate(blocks)
    shape = n_short + 1, n_columns
    indptr = np.append(0, np.cumsum(lengths))
    return skwfm.FieldCSR((*arrays, indptr), shape, fields=[4000] * 5)

y = rng.integers(0, 2, n_short + 1)
kind = {"fm": skwfm.WeightedFMClassifier, "ffm": skwfm.WeightedFFMClassifier}
make = kind[options["model"]]
params = {"max_iter": 1, "early_stopping": False, "random_state": 0}
model = make(4, solver=options["solver"], **params)
few = rows(False)[:3000]
model.fit(few, y[:3000]).predict(few)  # imports and first allocations
found = {}
for name in ("short", "long"):
    X = rows(name == "long")
    fit = grows(lambda: model.fit(X, y))
    found[name] = fit, grows(lambda: model.predict(X))
print(json.dumps(found))
"""


@linux
@pytest.mark.slow
@pytest.mark.parametrize("model", ["fm", "ffm"])
@pytest.mark.parametrize(
    ("solver", "core"),
    [pytest.param("adagrad", True, marks=needs_core), ("adam", False)],
)
def test_a_long_row_takes_no_memory_for_the_others(model, solver, core):
    found = run(LONG, model=model, solver=solver, core=core)
    # Padding the others would take 100,000 times 10,000 values: 4 GB.
    for short, long in zip(found["short"], found["long"], strict=True):
        assert long < short + 40


def rows_with_a_long_one(n_rows=2000, n_long=1000):
    """Return rows of three values, one of `n_long` in their midst."""
    lengths = np.full(n_rows, 3)
    lengths[n_rows // 2] = n_long
    columns = [np.arange(length) * (2 * n_long // length) for length in lengths]
    arrays = np.ones(lengths.sum(), np.float32), np.concatenate(columns)
    indptr = np.append(0, np.cumsum(lengths))
    shape = n_rows, 2 * n_long
    return FieldCSR((*arrays, indptr), shape, fields=[n_long, n_long])


def test_batches_hold_no_more_than_their_rows():
    X = rows_with_a_long_one()
    target = SimpleNamespace(values=np.zeros(X.shape[0]))
    data = BagDataset(X, (X.fields, 2, True), target, np.ones(X.shape[0]))
    for first in range(0, X.shape[0], 100):
        rows = slice(first, first + 100)
        batch, _ = data.take(rows)
        indices, offsets, weights = batch.parts
        assert len(indices) == len(weights) == X[rows].nnz
        assert len(offsets) == 2 * 100 + 1


@pytest.mark.parametrize("estimator", [WeightedFMRegressor, WeightedFFMRegressor])
def test_predict_cuts_before_a_long_row(estimator, monkeypatch):
    X = rows_with_a_long_one()
    model = estimator(2, max_iter=1, random_state=0)
    model.fit(X, np.arange(X.shape[0]) % 7)
    monkeypatch.setattr(skwfm._scoring, "PREDICT_VALUES", 1000)
    slices = [batch for _, batch in model._slices(X, Faults.NONE)]
    assert sum(len(batch.parts[0]) for batch in slices) == X.nnz
    limit = 1000 // model.factors_[:1].size
    long = [batch for batch in slices if len(batch.parts[0]) > limit]
    assert [len(batch) for batch in long] == [1]


def test_padding_is_up_to_the_longest_row_of_the_batch():
    X = rows_with_a_long_one()
    widths = [
        to_padded(X[first : first + 100])[0].shape[1]
        for first in range(0, X.shape[0], 100)
    ]
    assert sorted(widths) == [3] * (len(widths) - 1) + [1000]


ENCODE = """
labels = [f"label{i}" for i in range(10_000)]
forms = {
    "lists": lambda n: labels[:n],
    "texts": lambda n: "|".join(labels[:n]),
    "dicts": lambda n: dict.fromkeys(labels[:n], 1.0),
}
form = forms[options["form"]]
params = {"sep": "|"} if options["form"] == "texts" else {}
found = []
for n_long in (5, 10_000):
    cells = [form(5) for _ in range(100_000)]
    cells[50_000] = form(n_long)
    encoder = skwfm.WeightedMultiLabelEncoder(**params).fit(cells[:10])
    found.append(grows(lambda: encoder.fit_transform(cells)))
print(json.dumps(found))
"""


@linux
@pytest.mark.slow
@pytest.mark.parametrize("form", ["lists", "texts", "dicts"])
def test_a_long_cell_takes_no_memory_for_the_others(form):
    short, long = run(ENCODE, form=form)
    assert long < short + 40


# A million rows to predict.

PREDICT = """
def rows(case, n_rows, n_fields=10, size=100):
    rng = np.random.default_rng(0)
    columns = np.arange(n_rows * n_fields, dtype=np.int32) % n_fields
    columns *= size
    columns += rng.integers(0, size, len(columns), dtype=np.int32)
    data = np.ones(len(columns), case["values"])
    indptr = np.arange(n_rows + 1, dtype=np.int32) * np.int32(n_fields)
    X = sp.csr_matrix((data, columns, indptr), shape=(n_rows, n_fields * size))
    if case["form"] == "FieldCSR":
        X = skwfm.FieldCSR(X, fields=[size] * n_fields)
    wide = case["indices"]
    X.indices, X.indptr = X.indices.astype(wide), X.indptr.astype(wide)
    return X

def measure(case):
    kind = {"fm": skwfm.WeightedFMClassifier, "ffm": skwfm.WeightedFFMClassifier}
    fields = "auto" if case["form"] == "FieldCSR" else [100] * 10
    params = {"max_iter": 1, "early_stopping": False, "random_state": 0}
    make = kind[options["model"]]
    model = make(4, fields=fields, n_jobs=case["n_jobs"], **params)
    few = rows(case, 2000)
    model.fit(few.astype(case["dtype"]), np.arange(2000) % case["n_classes"])
    assert model.factors_.dtype == case["dtype"]
    predict = getattr(model, case["method"])
    predict(few)
    X = rows(case, 1_000_000)
    return grows(lambda: predict(X))

print(json.dumps([measure(case) for case in options["cases"]]))
"""
PLAIN = {
    "values": "float32",
    "dtype": "float32",
    "indices": "int32",
    "form": "FieldCSR",
    "n_jobs": 1,
    "n_classes": 2,
    "method": "predict",
}
DIFFERENT = [
    {},
    {"n_jobs": 2},
    {"form": "CSR"},
    {"indices": "int64"},
    {"values": "float64"},
    {"values": "int64"},
    {"dtype": "float64"},
    {"dtype": "float64", "values": "float64", "n_jobs": 2},
    {"n_classes": 3, "method": "predict_proba"},
    {
        "n_classes": 3,
        "method": "predict_proba",
        "dtype": "float64",
        "values": "float64",
    },
]


@linux
@pytest.mark.slow
@pytest.mark.parametrize("core", [pytest.param(True, marks=needs_core), False])
@pytest.mark.parametrize("model", ["fm", "ffm"])
def test_predict_takes_little_memory(model, core):
    cases = [PLAIN | options for options in DIFFERENT]
    found = run(PREDICT, model=model, core=core, cases=cases)
    grown = [(round(size), case) for size, case in zip(found, DIFFERENT, strict=True)]
    assert not [(size, case) for size, case in grown if size >= 64], grown


@pytest.mark.parametrize("core", [pytest.param(True, marks=needs_core), False])
@pytest.mark.parametrize("estimator", [WeightedFMClassifier, WeightedFFMClassifier])
def test_parts_change_no_bit(estimator, core, monkeypatch):
    if not core:
        monkeypatch.setattr(compiled, "_core", None)
    rng = np.random.default_rng(0)
    X = sp.random(300, 12, 0.4, "csr", random_state=0, dtype=np.float64)
    X.data = np.ceil(4 * X.data)
    model = estimator(2, fields=[4, 4, 4], max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "skwfm was installed without")
        model.fit(X.astype(np.float32), rng.integers(0, 3, 300))
    whole = model.predict_proba(X)
    monkeypatch.setattr(skwfm._scoring, "CONVERT_ROWS", 7)
    monkeypatch.setattr(skwfm._scoring, "PREDICT_ROWS", 7)
    monkeypatch.setattr("skwfm._supervised.PROBA_ROWS", 7)
    wide = X.copy()
    wide.indices, wide.indptr = wide.indices.astype(int), wide.indptr.astype(int)
    turned = sp.csr_matrix(X)
    for first, end in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        for array in (turned.indices, turned.data):
            array[first:end] = array[first:end][::-1].copy()
    turned.has_sorted_indices = False
    zeros = X.copy()
    zeros.data[:5] = 0
    for same in (X, X.astype(int), X.astype(np.float32), wide, turned, X.toarray()):
        assert_array_equal(model.predict_proba(same), whole)
    assert_array_equal(model.predict_proba(zeros)[10:], whole[10:])


@pytest.mark.parametrize("kind", [FieldCSR, sp.csr_matrix, sp.csr_array])
@pytest.mark.parametrize("estimator", [WeightedFMClassifier, WeightedFFMRegressor])
def test_wide_indices_learn_the_same(estimator, kind):
    plain = sp.random(400, 12, 0.4, "csr", random_state=0, dtype=np.float32)
    fields = "auto" if kind is FieldCSR else [4, 4, 4]
    known = {"fields": [4, 4, 4]} if kind is FieldCSR else {}
    y = np.arange(400) % 2
    models = []
    for dtype in (np.int32, np.int64):
        X = kind(plain, **known)
        X.indices, X.indptr = X.indices.astype(dtype), X.indptr.astype(dtype)
        arrays = X.data.copy(), X.indices.copy(), X.indptr.copy()
        params = {"solver": "adagrad", "max_iter": 2, "random_state": 0}
        models.append(estimator(2, fields=fields, **params).fit(X, y))
        for array, before in zip((X.data, X.indices, X.indptr), arrays, strict=True):
            assert array.dtype == before.dtype
            assert_array_equal(array, before)
    assert_array_equal(models[0].factors_, models[1].factors_)
    assert models[0].field_names_ == models[1].field_names_


# Offsets and numbers beyond 2^31, without the memory: views of one number.

BIG = 2**31 + 8
LIMIT = r"has \d+ columns, expected at most 2147483647. Hash the labels"


def repeated(value, size, dtype):
    """Return an array of one number that takes no memory."""
    return np.broadcast_to(np.array(value, dtype), (size,))


def big_rows(indptr=(0, 4, BIG), column=0, value=1.0):
    """Return two rows, the second of more than 2^31 equal entries."""
    return SimpleNamespace(
        format="csr",
        shape=(len(indptr) - 1, 5),
        indptr=np.array(indptr),
        indices=repeated(column, BIG, np.int32),
        data=repeated(value, BIG, np.float32),
    )


def wide_matrix(n_columns=BIG):
    """Return a matrix of more columns than 32 bits count."""
    X = sp.csr_matrix((4, 8), dtype=np.float32)
    X.resize(4, n_columns)
    return X


@pytest.mark.parametrize(
    "estimator", [WeightedFMClassifier, WeightedFFMRegressor, WeightedFMRegressor]
)
def test_estimators_refuse_more_columns_than_32_bits(estimator):
    X, y = wide_matrix(), [0, 1, 0, 1]
    for model in (estimator(), estimator(fields=[BIG])):
        with pytest.raises(ValueError, match="X " + LIMIT):
            model.fit(X, y)
    with pytest.raises(ValueError, match="X " + LIMIT):
        fit_small(estimator).predict(X)
    with pytest.raises(ValueError, match="X " + LIMIT):
        fit_small(estimator, solver="adagrad").partial_fit(X, y)


def fit_small(estimator, **params):
    X = FieldCSR(np.eye(4, dtype=np.float32), fields=[2, 2])
    return estimator(2, max_iter=1, random_state=0, **params).fit(X, [0, 1, 0, 1])


def test_fields_refuse_more_columns_than_32_bits():
    X = wide_matrix()
    half = wide_matrix(2**30 + 8)
    for call in (
        lambda: FieldCSR(X, fields=[BIG]),
        lambda: FieldMap.from_fields([BIG - 1, 1], BIG),
        lambda: FieldMap.each_column(BIG),
        lambda: to_padded(X, [BIG]),
    ):
        with pytest.raises(ValueError, match="X " + LIMIT):
            call()
    with pytest.raises(ValueError, match="The result " + LIMIT):
        hstack([half, half])


@pytest.mark.parametrize("find", [pytest.param(faults, marks=needs_core)])
def test_pointers_beyond_32_bits_are_read(find):
    """A row of 2^31 entries would take seconds: the pointer is refused before it."""
    assert find(big_rows((0, 4, BIG + 1))) == Faults.BROKEN
    assert find(big_rows((0, BIG, 4))) == Faults.BROKEN
    assert find(big_rows((0, 4 - 2**32, 4))) == Faults.BROKEN
    assert find(big_rows((0, 1, 2))) == Faults.NONE


def test_pointers_beyond_32_bits_are_refused_in_words():
    for check in (check_csr, lambda X: faults_slowly(X) & Faults.BROKEN or None):
        assert check(big_rows((0, 1, 2))) is None
    with pytest.raises(ValueError, match=r"X.indptr has 3 entries .*2147483657"):
        check_csr(big_rows((0, 4, BIG + 1)))
    with pytest.raises(ValueError, match=r"X.indptr, row 1: falls from 2147483656 to"):
        check_csr(big_rows((0, BIG, 4)))


@pytest.mark.parametrize("estimator", [WeightedFMClassifier, WeightedFFMRegressor])
def test_estimators_refuse_a_pointer_beyond_the_entries(estimator):
    X = sp.csr_matrix(np.eye(4, dtype=np.float32))
    X.indptr = np.array([0, 1, 2, 3, BIG])
    X.indices = X.indices.astype(np.int64)
    with pytest.raises(ValueError, match=r"X.indptr has 5 entries .*2147483656"):
        estimator(fields=[2, 2]).fit(X, [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"X.indptr has 5 entries .*2147483656"):
        fit_small(estimator).predict(X)


def test_vectors_longer_than_32_bits_count_are_refused():
    X, y = np.eye(4), np.arange(4.0)
    model = WeightedFFMRegressor(40_000, fields=[0, 1, 2, 2**16 - 1])
    for fit in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="n_factors=40000 gives every column 2621"):
            fit(X, y)


@needs_core
def test_columns_beyond_32_bits_do_not_wrap():
    X = sp.csr_matrix(np.eye(4, dtype=np.float32))
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    X.indices[2] = 2**32 + 1  # column 1 in 32 bits
    for call in (
        lambda: WeightedFMRegressor(fields=[2, 2]).fit(X, np.arange(4.0)),
        lambda: fit_small(WeightedFMRegressor).predict(X),
    ):
        with pytest.raises(ValueError, match="row 2: got column index 4294967297"):
            call()


def sparse_file(path, dtype):
    """Return an array of zeros that takes no room on the disk either."""
    return np.memmap(path, dtype, "w+", shape=(BIG,))


@needs_core
@linux
def test_rows_are_scored_behind_2_to_the_31_entries(tmp_path):
    """The pointer says where the entries of a row are, in 64 bits."""
    scheme = compiled.Scheme(False, 2, 1)
    indices = sparse_file(tmp_path / "indices", np.int32)
    values = sparse_file(tmp_path / "values", np.float32)
    indices[-1], values[-1] = 3, 2.0
    rows = compiled.Rows(np.array([0, BIG - 1, BIG]), indices, values)
    factors, linear = np.ones((5, 2), np.float32), np.ones((5, 1), np.float32)
    last = rows.reordered([1])
    assert compiled.score(scheme, last, factors, linear, None) == [[2.0]]
    counts, square = compiled.count_labels(last, 5)
    assert_array_equal(counts, [0, 0, 0, 1, 0])
    assert square == 4.0


@needs_core
def test_counts_stay_at_the_largest_of_32_bits():
    counts = np.full(5, 2**31 - 2, np.int32)
    rows = compiled.Rows.of(sp.csr_matrix(np.ones((3, 5), np.float32)))
    compiled.core().count(**vars(rows), n_rows=3, counts=counts)
    assert_array_equal(counts, 2**31 - 1)


def test_modules_read_offsets_in_64_bits():
    indices = torch.zeros(1, 1, dtype=torch.int32).expand(1, BIG)
    weights = torch.ones(1, 1).expand(1, BIG)
    check_padded(indices, torch.tensor([[2, BIG - 1]]), weights)
    check_padded(indices, torch.tensor([[2, 5]], dtype=torch.int32), weights)
    for module_check in (check_padded, WeightedEmbeddingBag(3, 2)):
        with pytest.raises(ValueError, match=f"offsets, row 0: got .*{BIG}"):
            module_check(indices, torch.tensor([[2, BIG]]), weights)


@pytest.mark.parametrize("size", [BIG, 2])
def test_the_core_takes_batches_that_32_bits_count(size):
    part = torch.ones(1).expand(size)
    taken = skwfm._kernels.operators.core_for(part if size == BIG else part.clone())
    assert (taken is not None) == (size == 2 and compiled.available())


# Tables that cannot be allocated.

ALL = [
    WeightedFMClassifier,
    WeightedFFMClassifier,
    WeightedFMRegressor,
    WeightedFFMRegressor,
]
ADVICE = "Take fewer factors or fields, or fewer columns: hash the labels by "
COLUMNS = 100_000


def wide_rows(n_columns=COLUMNS, n_rows=8):
    X = sp.csr_matrix(np.eye(n_rows, dtype=np.float32))
    X.resize(n_rows, n_columns)
    return FieldCSR(X, fields=[n_columns // 2, n_columns - n_columns // 2])


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(skwfm._memory, "memory_limit", lambda: 2**24)


@pytest.mark.parametrize(
    "solver",
    [*(pytest.param(name, marks=needs_core) for name in ("adagrad", "sgd", "ftrl"))]
    + ["adam", "lbfgs", "AdamW"],
)
@pytest.mark.parametrize("estimator", ALL)
def test_a_table_larger_than_memory_is_refused(estimator, solver, little_memory):
    X, y = wide_rows(), np.arange(8) % 2
    model = estimator(64, solver=solver, max_iter=1, early_stopping=False)
    with pytest.raises(MemoryError) as found:
        model.fit(X, y)
    text = str(found.value)
    assert text.startswith("n_factors=64 for 100,000 columns takes ")
    assert "but there are 16 MiB: " in text and text.count(ADVICE) == 1
    most = text.partition("at most n_factors=")[2].partition(" fits")[0]
    if most:  # and that many do fit
        model.set_params(n_factors=int(most)).fit(X, y)
        with pytest.raises(MemoryError):
            model.set_params(n_factors=int(most) + 1).fit(X, y)
    else:
        assert "not even n_factors=1 fits" in text


@pytest.mark.parametrize("estimator", ALL)
def test_partial_fit_refuses_it_too(estimator, little_memory):
    y = np.arange(8) % 2
    options = {"classes": [0, 1]} if hasattr(estimator, "predict_proba") else {}
    model = estimator(64, random_state=0)
    with pytest.raises(MemoryError, match="n_factors=64 for 100,000 columns takes"):
        model.partial_fit(wide_rows(), y, **options)
    assert not hasattr(model, "factors_")


def grown_rows(n_columns):
    X = sp.csr_matrix(np.eye(8, dtype=np.float32))
    X.resize(8, n_columns)
    return FieldCSR(X, fields=np.arange(n_columns) % 2)


def test_growth_is_refused_before_it_happens(little_memory):
    model = WeightedFMRegressor(64, random_state=0)
    model.partial_fit(grown_rows(1000), np.arange(8.0))
    before = model.predict(grown_rows(1000))
    with pytest.raises(MemoryError, match="n_factors=64 for 100,000 columns takes"):
        model.partial_fit(grown_rows(COLUMNS), np.arange(8.0))
    assert_array_equal(model.predict(grown_rows(1000)), before)
    assert model.n_features_in_ == 1000


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError("std::bad_alloc"), r"Memory ran out \(std::bad_alloc\): n_fac"),
        (MemoryError(), r"Memory ran out \(MemoryError\): n_factors=2 for 100,000 col"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            r"Memory ran out \(DefaultCPUAllocator: can't allocate memory: you tried\)",
        ),
    ],
)
def test_memory_that_runs_out_is_worded(error, expected, monkeypatch):
    def fail(*args):
        raise error

    monkeypatch.setattr(skwfm._training, "held_out", fail)
    for solver in ("adagrad", "adam"):
        model = WeightedFMRegressor(2, solver=solver)
        with pytest.raises(MemoryError, match=expected) as found:
            model.fit(wide_rows(), np.arange(8.0))
        assert ADVICE in str(found.value)


def test_other_errors_of_training_stay_what_they_are(monkeypatch):
    def fail(*args):
        raise RuntimeError("something else")

    monkeypatch.setattr(skwfm._training, "held_out", fail)
    with pytest.raises(RuntimeError, match="^something else$"):
        WeightedFMRegressor(2).fit(wide_rows(), np.arange(8.0))


def test_limits_of_the_machine_are_found(monkeypatch):
    found = memory_limit()
    assert found is None or found > 2**28
    skwfm._memory._machine.cache_clear()
    files = {
        "/proc/meminfo": "MemTotal: 99 kB\nSwapTotal:  7 kB\n",
        "/proc/self/cgroup": "0::/a/b\n",
        "/sys/fs/cgroup/a/b/memory.max": "4096\n",
        "/sys/fs/cgroup/memory.max": "max\n",
    }
    monkeypatch.setattr(skwfm._memory, "_read", lambda path: files.get(path, ""))
    try:
        assert memory_limit() == 4096 + 7 * 1024
        files.clear()
        skwfm._memory._machine.cache_clear()
        monkeypatch.setattr(skwfm._memory, "_physical", lambda: None)
        monkeypatch.setattr(skwfm._memory, "_process", lambda: None)
        assert memory_limit() is None
        monkeypatch.setattr(skwfm._memory, "_process", lambda: 5)
        assert memory_limit() == 5
    finally:
        skwfm._memory._machine.cache_clear()


RLIMIT = """
import resource
import numpy as np, scipy.sparse as sp
import skwfm._memory
X = sp.csr_matrix((np.ones(8, np.float32), np.arange(8), np.arange(9)), (8, 400_000))
X, y = skwfm.FieldCSR(X, fields=[200_000, 200_000]), np.arange(8) % 2
kind = skwfm.WeightedFFMClassifier
params = {"solver": options["solver"], "max_iter": 1, "early_stopping": False}
kind(2, **params).fit(X[:, :8], y)
used = int(status("VmSize")) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
if options["late"]:
    skwfm._memory.memory_limit = lambda: None
try:
    # 0.8 GB, or half of it: the limit of all memory does not tell.
    kind(options["k"], **params).fit(X, y)
    text = ""
except MemoryError as error:
    text = str(error)
print(json.dumps(text))
"""


@linux
@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "solver", [pytest.param("adagrad", marks=needs_core), "adam", "lbfgs"]
)
def test_a_limit_of_the_process_is_heard(solver, late):
    text = run(RLIMIT, solver=solver, late=late, k=4096)
    assert f"n_factors=4096 for {400_000:,} columns takes" in text and ADVICE in text
    assert text.startswith("Memory ran out (" if late else "n_factors=4096")
    if solver != "lbfgs":  # which keeps twenty vectors of all parameters
        assert run(RLIMIT, solver=solver, late=late, k=2) == ""
