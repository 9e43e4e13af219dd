"""What is measured: cases, epochs, rates and the axes of the scaling study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["MODES", "REPEATS", "TWO_PROCESSES", "Job", "jobs"]


@dataclass(frozen=True)
class Job:
    """One measurement, in one process."""

    mode: str
    problem: str
    model: str
    k: int
    library: str = "skwfm"
    option: str = ""
    """What distinguishes it from its neighbours: a mode of ours, threads, an axis."""
    n_epochs: int = 2
    params: dict[str, Any] = field(default_factory=dict)
    """Rates and other parameters, in the words of the library."""
    size: dict[str, int] = field(default_factory=dict)
    """Arguments of `synthetic.scaled`, for the problem called ``"scaled"``."""
    quick: bool = False

    def key(self) -> dict[str, Any]:
        """Return what a row of the results is known by."""
        names = ("mode", "problem", "model", "k", "library", "option")
        return {name: asdict(self)[name] for name in names}


# Problem, model, k, libraries that take turns.
EPOCH = [
    ("A", "ffm", 4, ["skwfm", "libffm"]),
    ("As", "ffm", 4, ["skwfm", "modern_fm", "libffm", "xlearn", "torch"]),
    ("Bs", "ffm", 4, ["skwfm", "modern_fm", "libffm", "xlearn", "torch"]),
    ("As", "fm", 8, ["skwfm", "modern_fm", "xlearn", "lightfm", "torch"]),
    ("Bs", "fm", 8, ["skwfm", "modern_fm", "xlearn", "torch"]),
    ("ratings", "fm", 8, ["skwfm", "modern_fm", "xlearn", "myfm", "torch"]),
]
# To time an epoch. Libraries that read files need several for the difference of two
# fits to stand out; the slow ones stand out anyway.
EPOCHS = {"modern_fm": 2, "torch": 2}
DEFAULT_EPOCHS = 5
# The same with epochs: more than it takes to overfit.
QUALITY = [
    ("A", "ffm", 4, 4, ["skwfm", "libffm"]),
    ("As", "ffm", 4, 4, ["skwfm", "modern_fm", "libffm", "xlearn", "torch"]),
    ("Bs", "ffm", 4, 5, ["skwfm", "modern_fm", "libffm", "xlearn", "torch"]),
    ("As", "fm", 8, 5, ["skwfm", "modern_fm", "xlearn", "torch"]),
    ("ratings", "fm", 8, 12, ["skwfm", "modern_fm", "xlearn", "myfm", "torch"]),
]
PREDICT = [("A", "ffm", 4), ("A", "fm", 8), ("B", "ffm", 4)]
THREADS = [("A", "ffm", 4), ("As", "ffm", 4), ("As", "fm", 8), ("Bs", "ffm", 4)]
THREADS += [("Bs", "fm", 8), ("ratings", "fm", 8)]
MEMORY = [
    ("A", "ffm", 4, ["skwfm"]),
    ("A", "fm", 8, ["skwfm"]),
    ("As", "ffm", 4, ["skwfm", "modern_fm"]),
    ("Bs", "ffm", 4, ["skwfm"]),
]
FIT_OVERHEAD = [("A", "ffm", 4), ("A", "fm", 8)]
FLOOR = [
    ("A", "ffm-weight", 4),
    ("A", "ffm-row", 4),
    ("A", "fm", 8),
    ("As", "ffm-weight", 4),
    ("As", "ffm-row", 4),
    ("As", "fm", 8),
    ("Bs", "ffm-row", 4),
    ("Bs", "fm", 8),
    ("ratings", "fm", 8),
]
# One axis at a time, the others as `synthetic.scaled` has them and k = 4.
AXES: dict[str, Sequence[int]] = {
    "rows": [25_000, 50_000, 100_000, 200_000, 400_000],
    "k": [4, 8, 16, 32, 64],
    "fields": [5, 10, 20, 40, 80],
    "values": [1, 2, 4, 8, 16],
    "vocabulary": [10_000, 100_000, 1_000_000, 4_000_000],
}
QUICK_AXES: dict[str, Sequence[int]] = {
    "rows": [100, 200],
    "k": [2, 4],
    "fields": [3, 6],
    "values": [1, 3],
    "vocabulary": [100, 400],
}
# What two processes that share nothing reach with half of the rows each: no threads
# can be faster on the machine of the moment.
TWO_PROCESSES = "processes=2"
REPEATS = {"quality": 1, "memory": 1, "scaling": 3, "floor": 3}
DEFAULT_REPEATS = 5

# libFFM's own way: a state per weight, rows of length 1, no linear term.
PER_WEIGHT = {"adagrad_state": "weight", "scale_rows": True, "fit_linear": False}
# By library, model and problem, "*" for any; ours are its defaults.
RATES: dict[tuple[str, str, str], dict[str, Any]] = {
    # Of .25, .4, .5 and .8; libFFM's best is .4.
    ("skwfm", "ffm", "A"): {"learning_rate": 0.25},
    ("modern_fm", "ffm", "*"): {"learning_rate": 0.1},
    ("modern_fm", "fm", "*"): {"learning_rate": 0.05},
    ("libffm", "ffm", "*"): {"eta": 0.4},
    ("xlearn", "ffm", "*"): {"lr": 0.4},
    ("xlearn", "fm", "*"): {"lr": 0.2},
    ("torch", "ffm", "*"): {"learning_rate": 0.05},
    ("torch", "fm", "*"): {"learning_rate": 0.01, "optimizer": "sparse_adam"},
}
PER_WEIGHT_RATES = {"learning_rate": 0.25}


def rates(library: str, model: str, problem: str) -> dict[str, Any]:
    """Return the parameters of a library for a problem."""
    general = RATES.get((library, model, "*"), {})
    return {**general, **RATES.get((library, model, problem), {})}


def _epoch() -> Iterator[Job]:
    for problem, model, k, libraries in EPOCH:
        for library in libraries:
            params = rates(library, model, problem)
            n_epochs = EPOCHS.get(library, DEFAULT_EPOCHS)
            yield Job("epoch", problem, model, k, library, "", n_epochs, params)
            if library == "skwfm" and model == "ffm":
                yield _per_weight("epoch", problem, k, n_epochs)


def _quality() -> Iterator[Job]:
    for problem, model, k, n_epochs, libraries in QUALITY:
        for library in libraries:
            params = rates(library, model, problem)
            yield Job("quality", problem, model, k, library, "", n_epochs, params)
            if library == "skwfm" and model == "ffm":
                yield _per_weight("quality", problem, k, n_epochs)


def _per_weight(mode: str, problem: str, k: int, n_epochs: int) -> Job:
    params = {**PER_WEIGHT, **PER_WEIGHT_RATES}
    return Job(mode, problem, "ffm", k, "skwfm", "per-weight", n_epochs, params)


def _with_threads(mode: str, cases: Sequence[tuple[str, str, int]]) -> Iterator[Job]:
    for problem, model, k in cases:
        for n_jobs in (1, 2):
            params = {**rates("skwfm", model, problem), "n_jobs": n_jobs}
            option = f"n_jobs={n_jobs}"
            yield Job(mode, problem, model, k, "skwfm", option, 3, params)
        alone = {**rates("skwfm", model, problem), "n_jobs": 1}
        yield Job(mode, problem, model, k, "skwfm", TWO_PROCESSES, 3, alone)


def _plain(mode: str, cases: Sequence[tuple[str, str, int]]) -> Iterator[Job]:
    for problem, model, k in cases:
        params = rates("skwfm", model, problem)
        yield Job(mode, problem, model, k, params=params)


def _scaling(axes: dict[str, Sequence[int]]) -> Iterator[Job]:
    for axis, sizes in axes.items():
        for size in sizes:
            for model in ("fm", "ffm"):
                k = size if axis == "k" else 4
                scaled = {} if axis == "k" else {axis: size}
                option = f"{axis}={size}"
                yield Job("scaling", "scaled", model, k, option=option, size=scaled)


def _memory() -> Iterator[Job]:
    for problem, model, k, libraries in MEMORY:
        for library in libraries:
            params = rates(library, model, problem)
            yield Job("memory", problem, model, k, library, params=params)


def _floor() -> Iterator[Job]:
    for problem, variant, k in FLOOR:
        model = variant.partition("-")[0]
        yield Job("floor", problem, model, k, library="", option=variant)


MODES = (
    "epoch",
    "quality",
    "predict",
    "threads",
    "memory",
    "scaling",
    "fit_overhead",
    "imports",
    "floor",
)


def jobs(mode: str, *, quick: bool = False) -> list[Job]:
    """Return the measurements of one repeat, in the order in which to make them."""
    made = {
        "epoch": _epoch,
        "quality": _quality,
        "predict": lambda: _with_threads("predict", PREDICT),
        "threads": lambda: _with_threads("threads", THREADS),
        "memory": _memory,
        "scaling": lambda: _scaling(QUICK_AXES if quick else AXES),
        "fit_overhead": lambda: _plain("fit_overhead", FIT_OVERHEAD),
        "imports": lambda: [Job("imports", "", "", 0)],
        "floor": _floor,
    }
    if mode not in made:
        raise ValueError(f"mode={mode!r}: expected one of {list(MODES)}.")
    return list(made[mode]())
