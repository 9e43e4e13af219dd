"""Synthetic problems, adapters, the floor. Nothing here measures time."""

import importlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def _module(name):
    """Import a module of the folder benchmarks, which is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module(f"benchmarks.{name}")


base = _module("libraries._base")
floor = _module("floor")
libraries = _module("libraries")
synthetic = _module("synthetic")
of_skwfm = _module("libraries.bench_skwfm")


# Problems


def test_the_problems_have_the_published_sizes():
    a, b, ratings = (synthetic.SPECS[name] for name in ("A", "B", "ratings"))
    assert (a.n_train, a.n_test, len(a.sizes)) == (1_000_000, 100_000, 39)
    assert sum(a.sizes) == 1_000_000
    assert min(a.sizes) < 10 < 200_000 < max(a.sizes)
    assert (b.n_train, b.bag, len(b.sizes), sum(b.sizes)) == (
        200_000,
        (1, 50),
        10,
        208_000,
    )
    assert ratings.sizes[:2] == (6040, 3706)
    assert {a.zipf, b.zipf} == {1.05}
    assert synthetic.SUBSETS == {"As": ("A", 200_000), "Bs": ("B", 40_000)}


@pytest.mark.parametrize("name", ["As", "Bs", "ratings"])
def test_rows_are_canonical_and_come_from_the_seed(name):
    problem, again = (synthetic.small(name, 200, 50) for _ in range(2))
    for X, same, n_rows in [
        (problem.X_train, again.X_train, 200),
        (problem.X_test, again.X_test, 50),
    ]:
        assert X.shape == (n_rows, sum(problem.sizes))
        assert X.has_canonical_format
        assert (X.data.dtype, X.indices.dtype) == (np.float32, np.int32)
        assert (X != same).nnz == 0
        np.testing.assert_array_equal(np.bincount(X.fields), problem.sizes)
    np.testing.assert_array_equal(problem.y_train, again.y_train)
    assert problem.y_train.std() > 0.1
    other = synthetic.make(replace(synthetic.SPECS["ratings"], n_train=50, seed=1))
    assert not np.array_equal(other.y_train[:50], problem.y_train[:50])


def test_a_row_of_b_has_about_122_values():
    spec = replace(synthetic.SPECS["B"], n_train=2000, n_test=10)
    problem = synthetic.make(spec)
    counts = np.diff(problem.X_train.indptr)
    assert counts.mean() == pytest.approx(122, abs=3)
    bags = np.concatenate(
        [
            np.diff(problem.X_train[:, problem.X_train.fields == field].indptr)
            for field in range(10)
        ]
    )
    assert (bags.min(), bags.max()) == (1, 50)


def test_hot_labels_follow_zipf_and_are_no_neighbours():
    rng = np.random.default_rng(0)
    labels = synthetic._draw(np.ones(200_000, int), 1000, 1.05, rng)
    counts = np.bincount(labels, minlength=1000)
    order = np.argsort(-counts)
    assert counts[order[0]] / counts[order[9]] == pytest.approx(10**1.05, rel=0.15)
    assert np.abs(np.diff(order[:10])).min() > 1


def test_a_bag_has_no_label_twice():
    labels = synthetic._draw(np.full(50, 9), 10, 2.0, np.random.default_rng(0))
    for bag in labels.reshape(50, 9):
        assert len(set(bag)) == 9


@pytest.mark.parametrize("model", ["ffm", "fm"])
def test_the_planted_score_sums_over_pairs_of_fields(model):
    spec = replace(
        synthetic.scaled(20, 3, 2, 30), model=model, n_factors=2, n_test=2, signal=1
    )
    X = synthetic._rows(spec, np.random.default_rng(0))
    found = synthetic._planted(spec, X, np.random.default_rng(1))
    width = 6 if model == "ffm" else 2
    pool = np.random.default_rng(1).standard_normal((synthetic.POOL_ROWS, width))
    fields = np.repeat(np.arange(3), spec.sizes)
    for row in range(3):
        columns, values = X[row].indices.astype(np.int64), X[row].data
        table = pool[columns * synthetic.HASH % 2**32 % synthetic.POOL_ROWS]
        table = table.reshape(len(columns), -1, 2)
        score = 0.0
        for i in range(len(columns)):
            for j in range(len(columns)):
                f, g = fields[columns[i]], fields[columns[j]]
                if f < g:
                    at = (g, f) if model == "ffm" else (0, 0)
                    product = table[i, at[0]] @ table[j, at[1]]
                    score += values[i] * values[j] * product
        assert found[row] == pytest.approx(score, rel=1e-4, abs=1e-4)


def test_side_fields_depend_on_the_user_and_the_item():
    X = synthetic.small("ratings", 3000, 10).X_train
    labels = X.indices.reshape(-1, 4)
    for child, parent in [(2, 0), (3, 1)]:
        pairs = np.unique(labels[:, [parent, child]], axis=0)
        assert len(pairs) == len(np.unique(labels[:, parent]))


def test_a_problem_is_generated_once(monkeypatch, tmp_path):
    spec = replace(synthetic.SPECS["A"], n_train=300, n_test=20, sizes=(5,) * 4)
    monkeypatch.setitem(synthetic.SPECS, "A", spec)
    monkeypatch.setitem(synthetic.SUBSETS, "As", ("A", 100))
    problem = synthetic.load("A", tmp_path)
    (path,) = tmp_path.iterdir()
    with np.load(path) as file:
        assert set(file) == {"indices", "indptr", "y"}  # all values are 1
    monkeypatch.setattr(synthetic, "_generate", None)
    subset = synthetic.load("As", tmp_path)
    assert (subset.name, subset.X_train.shape[0]) == ("As", 100)
    assert (subset.X_train != problem.X_train[:100]).nnz == 0
    assert (subset.X_test != problem.X_test).nnz == 0
    np.testing.assert_array_equal(subset.y_train, problem.y_train[:100])


def test_weights_survive_the_file(monkeypatch, tmp_path):
    spec = replace(synthetic.SPECS["B"], n_train=30, n_test=5, sizes=(60,) * 10)
    monkeypatch.setitem(synthetic.SPECS, "B", spec)
    first, second = (synthetic.load("B", tmp_path) for _ in range(2))
    assert len(set(first.X_train.data)) > 100
    assert (first.X_train != second.X_train).nnz == 0


def test_an_unknown_problem_is_named():
    with pytest.raises(ValueError, match="name='C'"):
        synthetic.load("C")


def test_uneven_sizes_sum_to_the_total():
    sizes = synthetic.uneven_sizes(7, 5000, 3)
    assert (len(sizes), sum(sizes), min(sizes)) == (7, 5000, 3)
    assert max(sizes) > 1000
    assert synthetic.uneven_sizes(4, 16, 4) == (4, 4, 4, 4)


# Libraries


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", libraries.NAMES)
@pytest.mark.parametrize("case", [("As", "ffm"), ("Bs", "fm"), ("ratings", "fm")])
def test_an_adapter_learns_something(name, case, monkeypatch):
    monkeypatch.setenv("USER", "test")
    adapter = libraries.get(name)
    if not adapter.available():
        pytest.skip(f"{name} is not installed")
    problem, model = synthetic.small(case[0], 400, 100), case[1]
    reason = adapter.why_not(problem, model)
    if reason:
        pytest.skip(reason)
    curve = adapter.fit_curve(problem, model, 2, 2)
    assert len(curve) == 2
    assert math.isfinite(curve[0].cpu_seconds)
    assert math.isfinite(curve[-1].test)
    predictions = adapter.predict(problem.X_test)
    assert predictions.shape == (100,)
    own = base.metric(problem.task, problem.y_test, predictions)
    assert own == pytest.approx(curve[-1].test, rel=1e-4)
    if problem.task == "logloss":
        assert 0 <= predictions.min() < predictions.max() <= 1
    timed = libraries.get(name).fit_curve(problem, model, 2, 3, evaluate=False)
    assert len(timed) == 3
    assert all(math.isnan(point.test) for point in timed)


def test_an_adapter_says_what_it_cannot_do():
    libffm, torchfm = libraries.get("libffm"), libraries.get("torchfm")
    clicks, bags, ratings = (
        synthetic.small(name, 20, 5) for name in ("As", "Bs", "ratings")
    )
    assert libffm.why_not(clicks, "ffm") == ""
    assert "no fm" in libffm.why_not(clicks, "fm")
    assert "rmse" in libffm.why_not(ratings, "ffm")
    assert torchfm.why_not(clicks, "fm") == ""
    assert "one value" in torchfm.why_not(bags, "fm")


def test_an_unknown_library_is_named():
    with pytest.raises(ValueError, match="name='sofia'"):
        libraries.get("sofia")


class _Clockwork(base.Refit):
    """Takes 5 seconds to start and 2 per epoch."""

    name = package = "clockwork"

    def __init__(self):
        self.now = 0.0

    def train(self, problem, model, k, n_epochs, **rates):
        self.now += 5 + 2 * n_epochs

    def predict(self, X):
        self.now += 100  # evaluation must not count
        return np.full(X.shape[0], 0.5)


@pytest.mark.parametrize("evaluate", [True, False])
def test_refits_leave_their_setup_out(monkeypatch, evaluate):
    adapter = _Clockwork()
    monkeypatch.setattr(base.time, "process_time", lambda: adapter.now)
    problem = synthetic.small("As", 20, 5)
    curve = adapter.fit_curve(problem, "ffm", 2, 4, evaluate=evaluate)
    assert [point.cpu_seconds for point in curve] == pytest.approx([2, 4, 6, 8])
    expected = math.log(2) if evaluate else math.nan
    assert curve[-1].test == pytest.approx(expected, nan_ok=True)


def test_the_clock_stops_while_rows_are_validated(monkeypatch):
    now = np.zeros(2)
    monkeypatch.setattr(of_skwfm, "_now", lambda: now.copy())
    clock = of_skwfm.EpochClock()
    for _ in range(2):
        clock.on_batch_begin(None, training=True)
        now += 3
        clock.on_batch_begin(None, training=False)
        now += 50
        clock.on_batch_begin(None, training=False)
        now += 50
        clock.on_epoch_end(None)
    assert clock.points == [(3, 3), (6, 6)]


def test_our_parameters_are_those_of_this_version():
    adapter, problem = libraries.get("skwfm"), synthetic.small("ratings", 20, 5)
    made = adapter.make(problem, "fm", 3, 7, learning_rate=0.3, no_such=1)
    assert (made.n_factors, made.max_iter, made.learning_rate) == (3, 7, 0.3)
    assert made.solver == "adagrad"
    assert adapter.missing({"n_jobs": 1, "learning_rate": 1, "scale_rows": True}) == []


def test_rows_are_scaled_to_length_one():
    adapter, problem = libraries.get("skwfm"), synthetic.small("Bs", 20, 5)
    adapter.make(problem, "ffm", 2, 1, scale_rows=True)
    X = adapter._input(problem.X_train)
    lengths = np.sqrt(X.multiply(X).sum(axis=1))
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    np.testing.assert_array_equal(X.fields, problem.X_train.fields)


# Floor


def test_parameter_rows_are_whole_cache_lines():
    assert floor.width("ffm-weight", 39, 4) == 320
    assert floor.width("ffm-row", 39, 4) == 160
    assert floor.width("ffm-row", 4, 4) == 32  # no room for the state
    assert floor.width("fm", 39, 8) == 16
    with pytest.raises(ValueError, match="variant='bf16'"):
        floor.width("bf16", 39, 4)


@pytest.mark.skipif(not floor.available(), reason="there is no C++ compiler")
def test_the_floor_compiles_and_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(floor, "CACHE", tmp_path)
    floor._library.cache_clear()
    problem = synthetic.small("Bs", 50, 5)
    found = [floor.floor(problem, variant, 4, 1) for variant in floor.VARIANTS]
    assert all(math.isfinite(value) and value > 0 for value in found)
    assert floor.triad(2**14, 2) > 0
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]
    floor._library.cache_clear()
