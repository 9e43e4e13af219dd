"""The speed benchmarks run on tiny sizes and report. Nothing here measures time."""

import importlib
import json
import platform
from dataclasses import asdict
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


floor = _module("floor")
grid = _module("grid")
machine = _module("machine")
plots = _module("plots")
report = _module("report")
run = _module("run")
targets = _module("targets")
worker = _module("worker")
of_skwfm = _module("libraries.bench_skwfm")


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
    found = worker.measure(grid.Job("imports", "", "", 0))
    assert [name for _, name, _ in found] == ["wall_seconds", "estimators_wall_seconds"]
    assert all(seconds > 0 for _, _, seconds in found)


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
    for n, seconds, losses in [(1, 10.0, (0.5, 0.6)), (2, 5.0, (0.5004, 0.61))]:
        of = {"option": f"n_jobs={n}"}
        rows += [
            ("threads", "A", "skwfm", 0, seconds, {**of, "measure": "wall_seconds"})
        ]
        rows += [
            ("threads", "A", "skwfm", 0, loss, {**of, "measure": "test", "step": step})
            for step, loss in enumerate(losses, start=1)
        ]
    found = _verdicts(_table(rows))
    assert found.loc["Training, FFM k=4, A, two threads", "figure"] == 2
    change = found.loc["FFM k=4, A: best loss of two threads"]
    assert change["figure"] == pytest.approx(0.0004)
    assert change["met"] == "yes"
    change = found.loc["FFM k=4, A: loss, overfitted epochs too, of two threads"]
    assert change["figure"] == pytest.approx(0.01)
    assert change["met"] == "no"


def test_two_processes_are_the_measure_of_two_threads():
    rows = [
        ("threads", "A", "skwfm", 0, seconds, {"option": o, "measure": "wall_seconds"})
        for o, seconds in [("n_jobs=1", 6.0), ("n_jobs=2", 4.0), ("processes=2", 3.0)]
    ]
    text = report.cores_block(_table(rows))
    assert "| training | A | FFM k=4 | 1.50 x | 2.00 x |" in text


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
