"""What the checks of the input cost, beside one epoch of training.

Run from the root of the checkout, with one thread::

    OMP_NUM_THREADS=1 python -m benchmarks.validation

*Preparation* is all that `fit` does before training begins: parameters, X, y, weights
and fields. *Conversion* is the part of it that no library could leave out: finding the
classes, coding the target, and turning X into what the core takes: sorting rows and
int32 for int64, done here by numpy and scipy on the same arrays, and CSR for a dense
array, by what the package takes, which is sooner than scipy. The *checks* are the
difference, so that whatever is not conversion counts as one. For `predict` the same,
with the check of the scores; indices are converted there in parts, with the scores.

All kinds of input take turns, and ratios are those of one turn. The epoch is that of
`fit` with one epoch on the same rows, from skorch's hook before it to the one after.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from skorch.callbacks import Callback

from benchmarks.machine import describe
from benchmarks.synthetic import SPECS, Spec, Synthetic, make, uneven_sizes
from skwfm import WeightedFFMClassifier, WeightedFMClassifier
from skwfm._bags import csr_of_dense
from skwfm._validation import check_finite_scores

__all__ = ["KINDS", "PROBLEMS", "Run", "main", "markdown"]

RESULTS = Path(__file__).parent / "results"
ROUNDS = 5
# Of preparation and conversion in each turn.
CALLS = 5
# Of the time of an epoch.
LIMIT = 0.03
N_ROWS = SPECS["A"].n_train
MODELS = {"fm": (WeightedFMClassifier, 8), "ffm": (WeightedFFMClassifier, 4)}
PROBLEMS = {
    "clicks10": replace(
        SPECS["A"], name="clicks10", n_test=1, sizes=uneven_sizes(10, 250_000)
    ),
    "clicks39": replace(SPECS["A"], name="clicks39", n_test=1),
}


class Run(NamedTuple):
    """One call on one kind of input in one turn; CPU seconds of the process."""

    problem: str
    model: str
    call: str
    kind: str
    turn: int
    preparation: float
    conversion: float
    epoch: float

    @property
    def ratio(self) -> float:
        """The checks in parts of an epoch."""
        return (self.preparation - self.conversion) / self.epoch


class Kind(NamedTuple):
    """A form that the rows may have."""

    make: Callable[[Synthetic], Any]
    fit: Callable[[Any], Any]
    """What `fit` cannot but do with X."""
    predict: Callable[[Any], Any]
    needs_fields: bool = False


def _nothing(X: Any) -> Any:
    return X


def _sorted(X: Any) -> Any:
    X = X.copy()
    X.sum_duplicates()
    return X


def _narrow(X: Any) -> Any:
    return X.indices.astype(np.int32), X.indptr.astype(np.int32)


def _plain(problem: Synthetic) -> Any:
    return sp.csr_matrix(problem.X_train)


def _wide(problem: Synthetic) -> Any:
    X = _plain(problem)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def _unsorted(problem: Synthetic) -> Any:
    """Return the rows with their entries from the last to the first."""
    X = _plain(problem)
    n_rows = X.shape[0]
    width = len(X.indices) // n_rows  # all rows have as many
    turned = X.indices.reshape(n_rows, width)[:, ::-1].ravel()
    return sp.csr_matrix((X.data.copy(), turned, X.indptr), shape=X.shape)


def _dense(problem: Synthetic) -> Any:
    """Return numbers in as many columns as there are fields."""
    shape = problem.X_train.shape[0], len(problem.sizes)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


KINDS = {
    "FieldCSR": Kind(lambda problem: problem.X_train, _nothing, _nothing),
    "CSR, fields=": Kind(_plain, _nothing, _nothing, needs_fields=True),
    "CSR, int64 indices": Kind(_wide, _narrow, _nothing, needs_fields=True),
    "CSR, unsorted": Kind(_unsorted, _sorted, _sorted, needs_fields=True),
    "dense": Kind(_dense, csr_of_dense, csr_of_dense),
}


class EpochClock(Callback):
    """CPU seconds of the last epoch."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.start = time.process_time()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.seconds = time.process_time() - self.start


def cpu_seconds(*functions: Callable[[], Any]) -> list[float]:
    """Return the medians of some calls of each, which take turns.

    The first one pays for memory that the process gets from the system.
    """
    seconds = []
    for _ in range(CALLS):
        row = []
        for function in functions:
            start = time.process_time()
            function()
            row.append(time.process_time() - start)
        seconds.append(row)
    return [float(middle) for middle in np.median(seconds, axis=0)]


def estimator_of(model: str, problem: Synthetic, kind: Kind) -> Any:
    """Return the estimator of one epoch in the core."""
    make_estimator, k = MODELS[model]
    return make_estimator(
        k,
        fields=list(problem.sizes) if kind.needs_fields else "auto",
        solver="adagrad",
        max_iter=1,
        early_stopping=False,
        random_state=0,
    )


def measure(problem: Synthetic, model: str, name: str, turn: int) -> list[Run]:
    """Measure the checks of fit and predict, and the epoch between them."""
    kind = KINDS[name]
    X, y = kind.make(problem), problem.y_train
    clock = EpochClock()
    estimator = estimator_of(model, problem, kind)

    def prepare() -> None:
        estimator._validate_params()
        estimator._whole_problem(X, y, None, None, None)

    def convert() -> None:
        np.searchsorted(np.unique(y), y)
        kind.fit(X)

    fit = cpu_seconds(prepare, convert)
    estimator.set_params(callbacks=[("clock", clock)]).fit(X, y)
    scores = np.zeros((len(y), 1), np.float32)

    def check() -> None:
        estimator._checked(X)
        check_finite_scores(scores)

    predict = cpu_seconds(check, lambda: kind.predict(X))
    case = problem.name, model
    return [
        Run(*case, call, name, turn, *seconds, clock.seconds)
        for call, seconds in (("fit", fit), ("predict", predict))
    ]


def run_problem(spec: Spec, models: Sequence[str], rounds: int) -> Iterator[Run]:
    """Let models and kinds of input take turns."""
    problem = make(spec)._replace(name=spec.name)
    for turn in range(rounds):
        for model in models:
            for name in KINDS:
                yield from measure(problem, model, name, turn)


def markdown(runs: Sequence[Run]) -> str:
    """Return the table of medians."""
    table = pd.DataFrame(runs).assign(ratio=[run.ratio for run in runs])
    n_turns = table["turn"].nunique()
    fields = " and ".join(
        str(len(PROBLEMS[p].sizes)) for p in table["problem"].unique()
    )
    lines = [
        "# What the checks of the input cost",
        "",
        f"CPU seconds on {N_ROWS:,} rows of clicks with {fields} fields, medians of "
        f"{n_turns} turns; the last column is the median ratio of one turn, at most "
        f"{LIMIT:.0%} by the rule. FM with k = 8, FFM with k = 4, AdaGrad on one "
        "thread. *Checks* are all that comes before training (`fit`) or scoring "
        "(`predict`) without the *conversion*: classes and codes of the target, "
        "sorting, int32 for int64 indices (by `predict` in parts, not counted), as "
        "numpy and scipy do them, and CSR for a dense array, as the package does it. "
        "The dense arrays have a column per field. Written by `python -m "
        "benchmarks.validation`.",
        "",
        "| problem | model | call | input | conversion | checks | epoch | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    keys = ["problem", "model", "call", "kind"]
    for case, group in table.groupby(keys, sort=False):
        checks = (group["preparation"] - group["conversion"]).median()
        middle = group[["conversion", "epoch", "ratio"]].median()
        numbers = f"{middle['conversion']:.4f} | {checks:.4f} | {middle['epoch']:.3f}"
        lines.append(f"| {' | '.join(case)} | {numbers} | {middle['ratio']:.1%} |")
    return "\n".join([*lines, "", _environment(), ""])


def _environment() -> str:
    """Return date, processor and versions."""
    info = describe()
    names = ("skwfm", "numpy", "scipy", "scikit-learn")
    versions = [f"{name} {info['packages'][name]}" for name in names]
    parts = [info["date"], info["processor"], info["system"]]
    return ", ".join([*parts, f"Python {info['python']}", *versions]) + "."


def write(runs: Sequence[Run], folder: Path) -> None:
    """Write every turn to ``validation.csv`` and the table to ``validation.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(runs).assign(ratio=[run.ratio for run in runs])
    table.round(5).to_csv(folder / "validation.csv", index=False)
    (folder / "validation.md").write_text(markdown(runs), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> list[Run]:
    """Run what the command line asks for."""
    options = _parser().parse_args(arguments)
    runs = []
    for name in options.problems:
        spec = PROBLEMS[name]
        if options.quick:
            sizes = tuple(min(size, 60) for size in spec.sizes)
            spec = replace(spec, n_train=3000, sizes=sizes)
        rounds = 1 if options.quick else options.rounds
        for run in run_problem(spec, options.models, rounds):
            print(*run[:5], f"{run.ratio:.1%}", flush=True)
            runs.append(run)
    print(f"\n{markdown(runs)}")
    output = options.output or (None if options.quick else RESULTS)
    if output is not None:
        write(runs, output)
    return runs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.validation")
    names = list(PROBLEMS)
    parser.add_argument("--problems", nargs="+", choices=names, default=names)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, help="folder; default: results/")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few rows, one turn; no file unless --output is given",
    )
    return parser


if __name__ == "__main__":
    main()
