"""Synthetic problems with a planted model: click rows, weighted bags and ratings.

A row has a bag of values in every field. Bag sizes are log-uniform, labels follow
Zipf's law with the ranks shuffled inside the field (hot labels are no neighbours), and
the target comes from the score z of a planted FFM or FM,

    ``logit P(y = 1) = b + signal z / std(z) + noise e``,  or
    ``y = b + signal z / std(z) + noise e``,  ``e ~ N(0, 1)``,

where b makes a quarter of the rows positive or is the mean of the target.

Label j shows the factors in row ``hash(j)`` of a pool of 65,536 rows, so that the
planted model takes little memory however many labels there are. Problems by name are
kept under ``benchmarks/cache`` as uncompressed ``.npz``: one CSR matrix, the train
rows first; the data array is left out where all values are 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import brentq
from scipy.special import expit

from skwfm import FieldCSR

__all__ = [
    "SPECS",
    "Spec",
    "Synthetic",
    "load",
    "make",
    "scaled",
    "small",
    "uneven_sizes",
]

CACHE = Path(__file__).parent / "cache"
# Part of the file names: another number makes everyone generate the data anew.
VERSION = 1
POOL_ROWS = 2**16
# Knuth's multiplicative hash; odd, so that consecutive labels never collide.
HASH = 2_654_435_761
# Values of the bag sums that are held at a time (32 MiB of float32).
CHUNK_VALUES = 2**23

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Spec:
    """What decides every row of a problem."""

    name: str
    n_train: int
    n_test: int
    sizes: tuple[int, ...]
    """Labels of each field."""
    zipf: float | tuple[float, ...] = 1.05
    """Exponent, for all fields or for each."""
    bag: tuple[int, int] = (1, 1)
    """Fewest and most values of a bag, log-uniform between."""
    parents: tuple[int | None, ...] = ()
    """Field whose label decides that of this field, or None."""
    model: Literal["ffm", "fm"] = "ffm"
    n_factors: int = 4
    linear: float = 0.0
    """Share of the planted score's variance that is linear."""
    task: Literal["logloss", "rmse"] = "logloss"
    """The metric on the test rows; it says what the target is."""
    centre: float = 0.25
    """Share of positive rows, or mean of the target."""
    signal: float = 1.0
    noise: float = 0.0
    seed: int = 0


class Synthetic(NamedTuple):
    """Rows to learn from and rows to predict."""

    name: str
    X_train: FieldCSR
    X_test: FieldCSR
    y_train: FloatArray
    y_test: FloatArray
    task: str
    """``"logloss"`` (y is 0 or 1) or ``"rmse"``."""
    sizes: tuple[int, ...]

    def first(self, n_train: int, n_test: int | None = None) -> Synthetic:
        """Return the problem with at most so many rows in each part."""
        return self._replace(
            X_train=self.X_train[:n_train],
            X_test=self.X_test[:n_test],
            y_train=self.y_train[:n_train],
            y_test=self.y_test[:n_test],
        )


def uneven_sizes(n_fields: int, total: int, smallest: int = 4) -> tuple[int, ...]:
    """Return sizes that grow by a constant factor, shuffled, and sum to `total`."""
    if total <= n_fields * smallest:
        return tuple(int(size) for size in np.full(n_fields, total // n_fields))
    steps = np.arange(n_fields)
    ratio = brentq(lambda r: smallest * (r**steps).sum() - total, 1.0, total)
    sizes = np.floor(smallest * ratio**steps).astype(int)
    sizes[-1] += total - sizes.sum()
    return tuple(int(size) for size in np.random.default_rng(0).permutation(sizes))


SPECS = {
    spec.name: spec
    for spec in (
        Spec("A", 1_000_000, 100_000, uneven_sizes(39, 1_000_000), signal=2.05),
        Spec(
            "B",
            200_000,
            20_000,
            uneven_sizes(10, 208_000, 400),
            bag=(1, 50),
            signal=3.0,
        ),
        Spec(
            "ratings",
            900_000,
            100_000,
            # Users and films of MovieLens 1M, occupation of the user, year of the film.
            sizes=(6040, 3706, 21, 81),
            zipf=(0.5, 0.8, 0.3, 0.3),
            parents=(None, None, 0, 1),
            model="fm",
            n_factors=8,
            linear=0.6,
            task="rmse",
            centre=3.58,
            signal=0.72,
            noise=0.84,
        ),
    )
}
# A: constant .56, FFM .521 after 2 to 3 epochs; B: .56, FFM .536 after 3.
# The first rows of another problem, which share its file.
SUBSETS = {"As": ("A", 200_000), "Bs": ("B", 40_000)}


def load(name: str, cache: str | Path = CACHE) -> Synthetic:
    """Return a problem by name: A, As, B, Bs or ratings; its file is made once.

    Examples
    --------
    ``problem = load("As")``, then ``model.fit(problem.X_train, problem.y_train)``.
    """
    if name in SUBSETS:
        whole, n_rows = SUBSETS[name]
        return load(whole, cache).first(n_rows)._replace(name=name)
    if name not in SPECS:
        raise ValueError(f"name={name!r}: expected one of {[*SPECS, *SUBSETS]}.")
    path = Path(cache) / f"{name}-{VERSION}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _save(path, *_generate(SPECS[name]))
    return _read(path, SPECS[name])


def make(spec: Spec) -> Synthetic:
    """Return a problem without a file."""
    return _split(spec, *_generate(spec))


def small(name: str, n_train: int = 300, n_test: int = 100) -> Synthetic:
    """Return a small relative of a problem by name, for tests and ``--quick``."""
    spec = SPECS[SUBSETS[name][0] if name in SUBSETS else name]
    sizes = tuple(min(size, 60) for size in spec.sizes)
    small_spec = replace(spec, n_train=n_train, n_test=n_test, sizes=sizes)
    return make(small_spec)._replace(name=name)


def scaled(
    rows: int = 50_000, fields: int = 10, values: int = 1, vocabulary: int = 100_000
) -> Spec:
    """Return what the scaling study varies: `values` in every bag."""
    sizes = uneven_sizes(fields, vocabulary, max(4, 2 * values))
    n_test = max(rows // 50, 20)
    return Spec("scaled", rows, n_test, sizes, bag=(values, values), signal=2.0)


def _generate(spec: Spec) -> tuple[sp.csr_matrix, FloatArray]:
    """Return all rows and targets, train rows first."""
    rng = np.random.default_rng(spec.seed)
    X = _rows(spec, rng)
    z = _planted(spec, X, rng)
    z = spec.signal * (z - z.mean()) / z.std()
    z += spec.noise * rng.standard_normal(len(z))
    if spec.task == "rmse":
        return X, (spec.centre + z).astype(np.float32)
    b = brentq(lambda b: expit(b + z).mean() - spec.centre, -20, 20)
    return X, (rng.random(len(z)) < expit(b + z)).astype(np.float32)


def _rows(spec: Spec, rng: np.random.Generator) -> sp.csr_matrix:
    """Return the matrix: sorted, no label twice in a row."""
    n_rows, n_fields = spec.n_train + spec.n_test, len(spec.sizes)
    counts = np.empty((n_rows, n_fields), dtype=np.int64)
    labels: list[IntArray] = []
    for field, size in enumerate(spec.sizes):
        counts[:, field] = np.minimum(_bag_sizes(spec.bag, n_rows, rng), size)
        parent = spec.parents[field] if spec.parents else None
        if parent is None:
            exponent = spec.zipf if isinstance(spec.zipf, float) else spec.zipf[field]
            labels.append(_draw(counts[:, field], size, exponent, rng))
        else:
            child = rng.integers(size, size=spec.sizes[parent])
            labels.append(child[labels[parent]])
    return _assemble(spec.sizes, counts, labels, rng)


def _bag_sizes(bag: tuple[int, int], n_rows: int, rng: np.random.Generator) -> IntArray:
    fewest, most = bag
    draws = np.exp(rng.uniform(np.log(fewest), np.log(most + 1), n_rows))
    return np.clip(draws.astype(np.int64), fewest, most)


def _draw(
    counts: IntArray, size: int, exponent: float, rng: np.random.Generator
) -> IntArray:
    """Draw `counts[i]` different labels for bag i, sorted inside the bag."""
    odds = np.cumsum(np.arange(1, size + 1, dtype=float) ** -exponent)
    label_of_rank = rng.permutation(size)

    def some(n: int) -> IntArray:
        ranks = np.searchsorted(odds, rng.random(n) * odds[-1], side="right")
        return label_of_rank[np.minimum(ranks, size - 1)]

    bags = np.repeat(np.arange(len(counts)), counts)
    # Bag and label in one key, so that a sort brings repeated labels together.
    keys = bags * size + some(len(bags))
    keys.sort()
    repeated = np.flatnonzero(keys[1:] == keys[:-1])
    while repeated.size:
        keys[repeated] = keys[repeated] // size * size + some(len(repeated))
        keys.sort()
        repeated = np.flatnonzero(keys[1:] == keys[:-1])
    return keys % size


def _assemble(
    sizes: Sequence[int],
    counts: IntArray,
    labels: list[IntArray],
    rng: np.random.Generator,
) -> sp.csr_matrix:
    """Put the labels of all fields side by side; weights are 1 in bags of one."""
    starts = np.concatenate([[0], np.cumsum(counts.ravel())])
    indices = np.empty(starts[-1], dtype=np.int32)
    first = 0
    for field, size in enumerate(sizes):
        own = counts[:, field]
        # Where each value goes: the start of its bag and its place in there.
        begin = starts[:-1].reshape(counts.shape)[:, field]
        place = np.arange(len(labels[field])) - np.repeat(np.cumsum(own) - own, own)
        indices[np.repeat(begin, own) + place] = labels[field] + first
        first += size
    per_value = np.repeat(counts.ravel(), counts.ravel())
    data = np.ones(len(indices), dtype=np.float32)
    if (per_value > 1).any():
        data = rng.uniform(0.5, 1.5, len(indices)).astype(np.float32)
        data /= np.sqrt(per_value, dtype=np.float32)
    indptr = starts[:: len(sizes)].astype(np.int32)
    return sp.csr_matrix((data, indices, indptr), shape=(len(counts), first))


def _planted(spec: Spec, X: sp.csr_matrix, rng: np.random.Generator) -> FloatArray:
    """Return the planted score of every row."""
    n_fields, k = len(spec.sizes), spec.n_factors
    width = k * (n_fields if spec.model == "ffm" else 1)
    pool = rng.standard_normal((POOL_ROWS, width)).astype(np.float32)
    pairs = np.empty(X.shape[0], dtype=np.float32)
    step = max(1, CHUNK_VALUES // (n_fields * width))
    for start in range(0, X.shape[0], step):
        sums = _bag_sums(X[start : start + step], spec.sizes, pool)
        pairs[start : start + step] = _pairs(sums.reshape(-1, n_fields, width // k, k))
    if spec.linear == 0:
        return pairs
    linear = X @ rng.standard_normal(X.shape[1]).astype(np.float32)
    share = np.sqrt([1 - spec.linear, spec.linear])
    return share[0] * pairs / pairs.std() + share[1] * linear / linear.std()


def _bag_sums(X: sp.csr_matrix, sizes: Sequence[int], pool: FloatArray) -> FloatArray:
    """Return the sums of the bags, a row of the pool's width for each."""
    n_fields = len(sizes)
    field = np.repeat(np.arange(n_fields), sizes)[X.indices]
    row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    counts = np.bincount(row * n_fields + field, minlength=X.shape[0] * n_fields)
    slots = (X.indices.astype(np.int64) * HASH % 2**32 % POOL_ROWS).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    bags = sp.csr_matrix((X.data, slots, indptr), shape=(len(counts), POOL_ROWS))
    return bags @ pool


def _pairs(sums: FloatArray) -> FloatArray:
    """Return the sum over pairs of fields; `sums` is (rows, F, F or 1, k)."""
    if sums.shape[2] == 1:
        total = sums.sum(axis=1)
        return 0.5 * ((total**2).sum(axis=(1, 2)) - (sums**2).sum(axis=(1, 2, 3)))
    turned = sums.transpose(0, 2, 1, 3)
    diagonal = np.einsum("nffk,nffk->n", sums, sums)
    return 0.5 * (np.einsum("nfgk,nfgk->n", sums, turned) - diagonal)


def _save(path: Path, X: sp.csr_matrix, y: FloatArray) -> None:
    arrays = {"indices": X.indices, "indptr": X.indptr, "y": y}
    if not (X.data == 1).all():
        arrays["data"] = X.data
    # Renamed when complete: an interrupted run leaves nothing that looks finished.
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.rename(path)


def _read(path: Path, spec: Spec) -> Synthetic:
    with np.load(path) as file:
        indices, indptr, y = (file[name] for name in ("indices", "indptr", "y"))
        data = file["data"] if "data" in file else np.ones(len(indices), np.float32)
    shape = (len(indptr) - 1, sum(spec.sizes))
    return _split(spec, sp.csr_matrix((data, indices, indptr), shape=shape), y)


def _split(spec: Spec, X: sp.csr_matrix, y: FloatArray) -> Synthetic:
    """Return the problem; the train rows share the memory of `X`."""
    n, cut = spec.n_train, X.indptr[spec.n_train]
    field_map = FieldCSR((0, X.shape[1]), fields=list(spec.sizes)).field_map
    parts = [
        FieldCSR((data, indices, indptr), shape=(rows, X.shape[1]), fields=field_map)
        for data, indices, indptr, rows in (
            (X.data[:cut], X.indices[:cut], X.indptr[: n + 1], n),
            (X.data[cut:], X.indices[cut:], X.indptr[n:] - cut, X.shape[0] - n),
        )
    ]
    return Synthetic(spec.name, *parts, y[:n], y[n:], spec.task, spec.sizes)
