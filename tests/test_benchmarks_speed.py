"""The speed benchmarks run on tiny sizes. Nothing here measures time."""

import importlib
import json
import math
import platform
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]


def _module(name):
    """Import a module of the folder benchmarks, which is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module(f"benchmarks.{name}")


base = _module("libraries._base")
floor = _module("floor")
grid = _module("grid")
libraries = _module("libraries")
machine = _module("machine")
plots = _module("plots")
report = _module("report")
run = _module("run")
synthetic = _module("synthetic")
targets = _module("targets")
worker = _module("worker")
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


# Runs


def _quick(*arguments):
    return run.main(["--quick", *arguments])


def test_every_mode_runs(tmp_path):
    floor_too = ["floor"] if floor.available() else []
    modes = [m for m in grid.MODES if m not in ("floor", "imports")] + floor_too
    few = ["--problems", "A", "B", "Bs", "scaled", "--libraries", "skwfm", "torch"]
    table = _quick(*modes, *few, "--output", str(tmp_path))
    assert set(table["mode"]) == set(modes)
    assert np.isfinite(table["value"]).all()
    scaling = table[table["mode"] == "scaling"]
    assert {text.split("=")[0] for text in scaling["option"]} == set(grid.AXES)
    assert set(table.loc[table["mode"] == "epoch", "library"]) == {"skwfm", "torch"}
    written = run.read(tmp_path / "speed.csv")
    assert list(written.columns) == run.COLUMNS
    assert len(written) == len(table)
    about = (tmp_path / "speed.json").read_text(encoding="utf-8")
    assert set(json.loads(about)) == set(modes)
    # The page and the plots come of it.
    report.main(["--results", str(tmp_path), "--fill"])
    page = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert all(target.text in page for target in targets.TARGETS)
    for name in ("scaling.png", "time_to_quality.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_measurement_in_a_process_of_its_own():
    job = grid.Job("epoch", "ratings", "fm", 2, quick=True)
    found = {name: value for _, name, value in run._run(job, in_process=False)}
    assert set(found) == {"cpu_seconds", "wall_seconds"}


def test_a_process_says_why_it_measures_nothing(capsys, monkeypatch):
    job = grid.Job("epoch", "ratings", "ffm", 2, "libffm", quick=True)
    worker.main(json.dumps(asdict(job)))
    answer = capsys.readouterr().out
    assert "libffm" in json.loads(answer)["skipped"]
    answer = SimpleNamespace(stdout=answer)
    monkeypatch.setattr(run.subprocess, "run", lambda *args, **options: answer)
    with pytest.raises(run.SkippedError, match="libffm"):
        run._run(job, in_process=False)


def test_importing_skwfm_takes_some_time():
    ((_, name, seconds),) = worker.measure(grid.Job("imports", "", "", 0))
    assert name == "wall_seconds"
    assert seconds > 0


def test_a_quick_run_writes_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")
    table = _quick("epoch", "--problems", "ratings", "--libraries", "torch")
    assert set(table["problem"]) == {"ratings"}
    assert not run.RESULTS.exists()


def test_what_is_missing_is_skipped(monkeypatch, capsys):
    monkeypatch.setattr(of_skwfm.Adapter, "missing", lambda self, params: ["n_jobs"])
    table = _quick("threads", "--problems", "Bs")
    assert table.empty
    assert "no parameter n_jobs" in capsys.readouterr().out


def test_rates_reach_the_library(monkeypatch):
    seen = []
    monkeypatch.setattr(run, "measure", lambda job: seen.append(job) or [(0, "x", 1.0)])
    _quick("epoch", "--models", "fm", "--set", "skwfm:learning_rate=0.7")
    rates = {job.library: job.params.get("learning_rate") for job in seen}
    assert rates["skwfm"] == 0.7
    assert rates["modern_fm"] == grid.RATES["modern_fm", "fm", "*"]["learning_rate"]


def test_libraries_take_turns(monkeypatch):
    seen = []
    monkeypatch.setattr(run, "_run", lambda job, _: seen.append(job.library) or [])
    monkeypatch.setattr(run, "write", lambda *args: None)
    run.main(["epoch", "--problems", "A", "--repeats", "2"])
    turn = seen[: len(seen) // 2]
    assert len(set(turn)) > 1
    assert seen == turn * 2


def test_a_new_measurement_replaces_the_old_one():
    old = _table([("epoch", "A", "skwfm", 0, 5.0), ("epoch", "A", "torch", 0, 6.0)])
    new = _table([("epoch", "A", "skwfm", 0, 1.0)])
    merged = run.merge(old, new).set_index("library")["value"]
    assert merged.to_dict() == {"skwfm": 1.0, "torch": 6.0}
    assert run.merge(old[:1], new)["value"].tolist() == [1.0]


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="mode='nap'"):
        grid.jobs("nap")


def test_the_machine_is_described_but_not_named():
    text = json.dumps(machine.describe())
    assert '"numpy"' in text
    assert platform.node() not in text
    assert str(ROOT) not in text
    assert machine.peak_memory() >= machine.memory_now() * 0.99 > 1


# Reports


def _row(mode, problem, library, repeat, value, **changes):
    row = dict.fromkeys(run.COLUMNS, "")
    row |= {"mode": mode, "problem": problem, "model": "ffm", "k": 4, "step": 0}
    row |= {"library": library, "repeat": repeat, "value": value}
    return row | {"measure": "cpu_seconds"} | changes


def _table(rows):
    made = [_row(*row[:5], **(row[5] if len(row) > 5 else {})) for row in rows]
    return pd.DataFrame(made, columns=run.COLUMNS)


def _verdicts(table):
    return targets.assess(table).set_index("target")


def test_ratios_are_taken_within_a_repeat():
    rows = []
    for repeat, load in enumerate([1.0, 10.0, 3.0]):  # a machine that others use too
        rows += [("epoch", "As", "skwfm", repeat, load)]
        rows += [("epoch", "As", "modern_fm", repeat, 25 * load)]
    line = _verdicts(_table(rows)).loc["FFM k=4, As: epoch against modern-fm"]
    assert (line["figure"], line["met"]) == (25, "yes")


def test_targets_are_met_missed_or_not_measured():
    rows = [("epoch", "As", "skwfm", 0, 2.0), ("epoch", "Bs", "skwfm", 0, 0.4)]
    found = _verdicts(_table(rows))
    assert found.loc["FFM k=4, As: rows of an epoch", "figure"] == 100_000
    assert found.loc["FFM k=4, As: rows of an epoch", "met"] == "no"
    assert found.loc["FFM k=4, Bs: epoch", "met"] == "yes"
    assert found.loc["FM k=8, Bs: epoch", "met"] == "not measured"


def test_an_epoch_is_compared_with_the_floor():
    floor_row = {"option": "ffm-row", "measure": "us_per_row"}
    rows = [("epoch", "As", "skwfm", 0, 0.8), ("floor", "As", "", 0, 1.6, floor_row)]
    found = _verdicts(_table(rows))
    name = "FFM k=4, As: epoch over the floor, row state"
    assert found.loc[name, "figure"] == pytest.approx(2.5)


def _curve(option, points):
    return [
        ("quality", "A", "skwfm", 0, value, {"step": s, "measure": m, "option": option})
        for s, point in enumerate(points, start=1)
        for m, value in zip(("cpu_seconds", "test"), point, strict=True)
    ]


def test_time_to_quality_is_that_of_the_peers_best():
    table = _table(
        _curve("", [(2, 0.55), (4, 0.52), (6, 0.51)])
        + _curve("per-weight", [(3, 0.54), (6, 0.53), (9, 0.56)])
    )
    name = "FFM k=4, A: time to the best loss of our per-weight mode"
    assert _verdicts(table).loc[name, "figure"] == pytest.approx(6 / 4)
    page = report.quality_block(table)
    assert "| 0.5300 | 6.00 CPU s | 4.00 CPU s | 1.50 x |" in page


def test_never_as_good_is_said():
    table = _table(_curve("", [(1, 0.6)]) + _curve("per-weight", [(1, 0.5)]))
    assert "| never | - |" in report.quality_block(table)


def test_memory_beyond_the_parameters():
    rows = [
        ("memory", "A", "skwfm", 0, value, {"measure": name})
        for name, value in [
            ("extra_mib", 700.0),
            ("parameters_mib", 600.0),
            ("states_mib", 8.0),
        ]
    ]
    line = _verdicts(_table(rows)).loc[
        "FFM k=4, A: memory of fit beyond X, parameters, states"
    ]
    assert (line["figure"], line["met"]) == (92, "no")


def test_threads_are_judged_by_time_and_loss():
    rows = []
    for n, seconds, loss in [(1, 10.0, 0.5), (2, 5.0, 0.5004)]:
        of = {"option": f"n_jobs={n}"}
        rows += [
            ("threads", "A", "skwfm", 0, seconds, {**of, "measure": "wall_seconds"})
        ]
        rows += [
            ("threads", "A", "skwfm", 0, loss, {**of, "measure": "test", "step": 1})
        ]
    found = _verdicts(_table(rows))
    assert found.loc["Training, FFM k=4, A, two threads", "figure"] == 2
    change = found.loc["FFM k=4, A: loss of two threads"]
    assert change["figure"] == pytest.approx(0.0004)
    assert change["met"] == "yes"


def test_exponents_are_slopes_in_logarithms():
    sizes = np.array([10, 20, 50, 80])
    assert plots.exponent(sizes, 3 * sizes**1.25) == pytest.approx(1.25)


def test_marked_blocks_are_filled_and_nothing_else(tmp_path):
    table = _table([("epoch", "As", "skwfm", 0, 2.0)])
    old = "before\n<!-- benchmark:begin epoch -->\nold\n<!-- benchmark:end epoch -->\n"
    new = report.fill(old + "after\n", table)
    assert new.startswith("before\n<!-- benchmark:begin epoch -->\n")
    assert new.endswith("<!-- benchmark:end epoch -->\nafter\n")
    assert "old" not in new
    assert "| As | FFM k=4 | skwfm | 2.00 CPU s | 1.00 x |" in new
    assert report.fill(new, table) == new
    with pytest.raises(ValueError, match="'speedup'"):
        report.fill(old.replace("epoch", "speedup"), table)


def test_no_result_is_said():
    empty = _table([])
    assert report.epoch_block(empty) == "Not measured."
    assert set(_verdicts(empty)["met"]) == {"not measured"}
