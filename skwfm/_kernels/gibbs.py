"""Sweeps over the labels of a matrix: each takes its block from its conditional.

The score of a row is linear in the block (v_j, a_j) of one label, since a label has no
pair with itself: ``const + w_ij (a_j + <v_j, u_i>)``, where u_i is the sum of the row's
vectors without those that the label has no pair with. Hence a whole block is drawn at
once, by a Cholesky factor of its (k + 1) x (k + 1) precision: not as a new draw beside
the old one but as ``mean - r (block - mean) + sqrt(1 - r^2) e``, with e of the
conditional's covariance, which leaves the conditional as it is for any 0 <= r < 1
(overrelaxation: Adler, 1981, Physical Review D 23).

Storage: the matrix by columns (CSC), the residual of every row, and the sum of its
vectors (k numbers, padded to a multiple of 4). Where many rows have few labels each,
such sums would be larger than the rest: u_i is then taken from the table when its turn
comes. Fields are swept one after the other, by what their rows look like:

- one label per row: labels touch different rows, and threads share them;
- several labels, but few different bags: the rows of a bag are taken together once, and
  labels see the moments of bags. A history that all rows of a user share costs little
  more than the user;
- several labels: the field's own vectors are taken out of the sums before, and put back
  after the sweep.

Cost of a sweep: O(nnz k^2), where a field of few bags counts one entry per row. The
numbers of a draw depend on key and label alone, not on threads.

Reference: Rendle (2012), "Factorization machines with libFM", ACM TIST 3(3), draws one
number of a block at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skwfm._kernels import compiled, gibbs_twin
from skwfm._kernels.gibbs_rows import Columns, Field, RowLabels

__all__ = ["Conditional", "RowState", "Sweeper"]

Array = npt.NDArray[Any]

# A field's bags are taken together where their moments need no more numbers than this
# times its entries.
MOMENTS_PER_ENTRY = 2
# Sums are kept where they take at most so many bytes, or so much of the memory of the
# columns; and where the row of an entry has more labels than this on average.
SUMS_BYTES, SUMS_PER_COLUMNS, FEW_LABELS = 2**24, 0.75, 16
# Work of one call of the core, in entries times k^2: bounds the time after which Ctrl-C
# is heard.
CALL_WORK = 2**30
# Less work than this is not worth threads.
THREAD_WORK = 2**20


class Conditional(NamedTuple):
    """What blocks are drawn from beside the rows."""

    precision: Array
    """Of the prior, shape (n_groups, dim)."""
    mean: Array
    """The same shape."""
    groups: npt.NDArray[np.int32]
    """Group of each label."""
    noise_precision: float = 1.0
    draws: bool = True
    """Else a block becomes its conditional mean."""
    overrelaxation: float = 0.0
    """Share r of a block's distance to its mean by which a draw goes beyond it."""

    def part(self, first: int, end: int) -> dict[str, Any]:
        """Return the arguments of the core for some labels."""
        return {**self._asdict(), "groups": self.groups[first:end]}


class RowState(NamedTuple):
    """What a sweep knows of each row, and changes."""

    sums: Array | None
    """Shape (n_rows, padded length of a vector); None where rows have few labels."""
    residuals: Array
    scale: Array | None
    """Square root of the row's weight in the likelihood; None: all are 1."""


class Sweeper:
    """The rows of a matrix, ready to be swept.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_columns)
        Canonical; its columns stand in the order of their fields.
    starts : array of int, shape (n_fields + 1,)
        First column of each field.
    n_factors : int
        Length k of a vector.
    fit_linear : bool
        Blocks have k + 1 numbers, the last one linear; else k.
    pairs_inside : bool
        Pairs of labels inside a field count.
    n_threads : int
        They do not change a bit.
    """

    def __init__(
        self,
        X: Any,
        starts: Array,
        n_factors: int,
        *,
        fit_linear: bool,
        pairs_inside: bool = False,
        n_threads: int = 1,
    ) -> None:
        self.n_rows, self.n_columns = X.shape
        self.n_factors, self.dim = n_factors, n_factors + fit_linear
        self.padded = -(-n_factors // 4) * 4
        self.pairs_inside, self.n_threads = pairs_inside, n_threads
        self.X, self.dtype = X, X.dtype
        self.row_labels = None if self._keeps_sums() else RowLabels.of(X)
        columns = Columns.of(X.tocsc())
        # Labels that have pairs inside their bag do not see it as a whole.
        per_entry = 0 if pairs_inside else MOMENTS_PER_ENTRY / self.dim**2
        self.fields = [
            Field.of(columns, int(first), int(end), self.n_rows, per_entry)
            for first, end in zip(starts[:-1], starts[1:], strict=True)
        ]

    def _keeps_sums(self) -> bool:
        X, size = self.X, self.dtype.itemsize
        sums = self.padded * size * self.n_rows
        few = max(SUMS_BYTES, SUMS_PER_COLUMNS * (4 + size) * X.nnz)
        if _steps() is gibbs_twin or sums <= few:
            return True
        lengths = np.diff(X.indptr).astype(np.float64)
        return bool(lengths @ lengths > FEW_LABELS * X.nnz)

    def counts(self, weights: Array | None = None) -> Array:
        """Return the rows with each label, or the sum of their weights."""
        if weights is None:
            weights = np.ones(self.n_rows)
        weights = weights.astype(np.float64)
        return np.concatenate(
            [self._row_counts(field, weights) for field in self.fields]
        )

    def _row_counts(self, field: Field, weights: Array) -> Array:
        """Sum the weights of the rows of each label of a field."""
        if field.members is None:
            labels = field.columns.matrix(self.n_rows, np.float64)
        else:
            weights = field.members.matrix(self.n_rows, np.float64).T @ weights
            labels = field.bags
        pattern = labels.astype(bool).astype(np.float64)
        counts: Array = pattern.T @ weights
        return counts

    def scores(self, blocks: Array) -> tuple[Array, Array | None]:
        """Return the scores of the rows without an intercept, and the sums to keep.

        With the sums of the fields before, ``score += <sum, S_f> + linear term`` field
        by field; the core, where there is one, needs no memory for it.
        """
        if self.row_labels is not None:
            return self._core_score(self.X, blocks), None
        k = self.n_factors
        sums = np.zeros((self.n_rows, self.padded), self.dtype)
        if compiled.available():
            for field in self.fields:
                own, columns = blocks[field.first : field.end], field.columns
                if field.members is not None:
                    own, columns = self._bag_blocks(field, own), field.members
                self._add(columns, own, sums, 1.0)
            return self._core_score(self.X, blocks), sums
        scores = np.zeros(self.n_rows, self.dtype)
        for field in self.fields:
            own = blocks[field.first : field.end]
            part = self._field_sums(field, own)
            scores += np.einsum("ik,ik->i", sums[:, :k], part[:, :k])
            if self.dim > k:
                scores += part[:, k]
            if self.pairs_inside:
                matrix = field.columns.matrix(self.n_rows, self.dtype)
                squares = matrix.power(2) @ (own[:, :k] ** 2).sum(axis=1)
                scores += (np.square(part[:, :k]).sum(axis=1) - squares) / 2
            sums[:, :k] += part[:, :k]
        return scores, sums

    def score(self, X: Any, blocks: Array) -> Array:
        """Score other rows, without an intercept.

        Parameters
        ----------
        X : CSR matrix of shape (n_samples, n_columns)
            Canonical, with columns as those of the sweeper.
        blocks : array of shape (n_columns, dim)
            As in a sweep.
        """
        if compiled.available():
            return self._core_score(X, blocks)
        starts = [field.first for field in self.fields] + [self.n_columns]
        others = Sweeper(
            X,
            np.array(starts),
            self.n_factors,
            fit_linear=self.dim > self.n_factors,
            pairs_inside=self.pairs_inside,
        )
        return others.scores(blocks)[0]

    def _core_score(self, X: Any, blocks: Array) -> Array:
        k = self.n_factors
        ends = np.array([field.end for field in self.fields], np.int64)
        scheme = compiled.Scheme(
            field_aware=False,
            n_factors=k,
            n_fields=1 if self.pairs_inside else len(ends),
            intra_field=self.pairs_inside,
            field_ends=None if self.pairs_inside else ends,
        )
        rows, linear = compiled.Rows.of(X), blocks[:, k:] if self.dim > k else None
        threads = self._threads(None, X.nnz)
        return compiled.score(
            scheme, rows, blocks[:, :k], linear, None, n_threads=threads
        )[:, 0]

    def _field_sums(self, field: Field, blocks: Array) -> Array:
        """Return the sums of the blocks of every row of a field."""
        if field.members is None:
            part: Array = field.columns.matrix(self.n_rows, self.dtype) @ blocks
            return part
        out = np.empty((self.n_rows, self.dim), self.dtype)
        sizes = np.diff(field.members.indptr)
        out[field.members.rows] = np.repeat(
            self._bag_blocks(field, blocks), sizes, axis=0
        )
        return out

    def _bag_blocks(self, field: Field, blocks: Array) -> Array:
        """Return the sums of the blocks of every bag."""
        return np.ascontiguousarray(field.bags @ blocks, self.dtype)

    def sweep(
        self, rows: RowState, blocks: Array, given: Conditional, key: int
    ) -> bool:
        """Take every block from its conditional, in place.

        Parameters
        ----------
        rows : RowState
            Kept right for the blocks.
        blocks : array of shape (n_columns, dim)
            Vectors, and linear coefficients behind them.
        given : Conditional
            Prior and noise.
        key : int
            Decides the draws.

        Returns
        -------
        bool
            Whether all went well; else a block was not finite, and the sweep stopped
            before it.
        """
        for field in self.fields:
            how = given.part(field.first, field.end)
            how["key"] = (key + field.first * self.dim) % 2**64
            if field.members is not None:
                good = self._sweep_bags(field, rows, blocks, how)
            else:
                good = self._sweep_rows(field, rows, blocks, how)
            if not good:
                return False
        return True

    def _sweep_rows(
        self, field: Field, rows: RowState, blocks: Array, how: dict[str, Any]
    ) -> bool:
        own = blocks[field.first : field.end]
        is_added = not (field.is_single or self.pairs_inside or rows.sums is None)
        if is_added:
            self._add(field.columns, own, rows.sums, -1.0)
        good = True
        for first, end in self._calls(field.columns.indptr):
            good = end - first == _steps().sweep(
                **field.columns._asdict(),
                blocks=own,
                sums=rows.sums,
                others=self._others(field, blocks),
                residuals=rows.residuals,
                row_scale=rows.scale,
                n_factors=self.n_factors,
                **how,
                own_in_sums=not is_added,
                first=first,
                end=end,
                n_threads=self._threads(field, len(field.columns.rows)),
            )
            if not good:
                break
        if is_added:
            self._add(field.columns, own, rows.sums, 1.0)
        return good

    def _others(self, field: Field, blocks: Array) -> RowLabels | None:
        """Return what sums are taken from where none are kept."""
        if self.row_labels is None:
            return None
        return self.row_labels._replace(
            table=blocks,
            first=field.first,
            end=field.end,
            pairs_inside=self.pairs_inside,
        )

    def _add(self, columns: Columns, blocks: Array, sums: Any, sign: float) -> None:
        _steps().add_bags(
            **columns._asdict(),
            blocks=blocks,
            sums=sums,
            n_factors=self.n_factors,
            sign=sign,
            first=0,
            end=len(blocks),
        )

    def _sweep_bags(
        self, field: Field, rows: RowState, blocks: Array, how: dict[str, Any]
    ) -> bool:
        own = blocks[field.first : field.end]
        before = self._bag_blocks(field, own)
        n_bags, dim = len(before), self.dim
        moments = {
            "squares": np.empty((n_bags, dim, dim)),
            "errors": np.empty((n_bags, dim)),
        }
        members: Any = field.members
        of_rows = {
            "indptr": members.indptr,
            "rows": members.rows,
            "sums": rows.sums,
            "others": self._others(field, blocks),
            "residuals": rows.residuals,
            "n_factors": self.n_factors,
            "n_threads": self._threads(None, self.n_rows),
        }
        _steps().collect_bags(**of_rows, blocks=before, row_scale=rows.scale, **moments)
        columns = field.columns
        done = _steps().sweep_bags(
            indptr=columns.indptr,
            bags=columns.rows,
            values=columns.values,
            blocks=own,
            n_factors=self.n_factors,
            **moments,
            **how,
            first=0,
            end=len(own),
        )
        after = self._bag_blocks(field, own)
        _steps().correct_bags(**of_rows, before=before, blocks=after)
        return bool(done == len(own))

    def _calls(self, indptr: Array) -> list[tuple[int, int]]:
        """Cut labels into stretches of bounded work."""
        work = (indptr[1:] + np.arange(1, len(indptr))) * self.dim**2
        cuts = np.flatnonzero(np.diff(work // CALL_WORK)) + 1
        ends = [0, *cuts.tolist(), len(indptr) - 1]
        return list(zip(ends[:-1], ends[1:], strict=True))

    def _threads(self, field: Field | None, n_entries: int) -> int:
        if field is not None and not field.is_single:
            return 1
        return self.n_threads if n_entries * self.dim**2 > THREAD_WORK else 1

    def squared_errors(self, field: Field, rows: RowState) -> Array:
        """Sum c e^2 over the rows of each label of a field of one label per row."""
        squares = np.empty(field.end - field.first)
        self._scale_labels(field, rows, squares=squares, factor=None)
        return squares

    def scale_rows(self, field: Field, rows: RowState, factor: Array) -> None:
        """Take the weights c of the rows of each label times a factor."""
        self._scale_labels(field, rows, squares=None, factor=factor)

    def _scale_labels(self, field: Field, rows: RowState, **what: Any) -> None:
        _steps().scale_labels(
            indptr=field.columns.indptr,
            rows=field.columns.rows,
            residuals=rows.residuals,
            row_scale=rows.scale,
            **what,
            first=0,
            end=field.end - field.first,
            n_threads=self._threads(field, len(field.columns.rows)),
        )

    def draw_latent(
        self, values: Array, rows: RowState, codes: Array, cuts: Array, key: int
    ) -> None:
        """Draw the latent score of every row between two cut points, in place.

        Parameters
        ----------
        values : array of shape (n_rows,)
            Latent scores, normal around their mean with variance 1. Those of a row of
            weight c get the mean and the variance of the mean of c draws.
        rows : RowState
            Its residuals are these scores without their mean.
        codes : array of int32, shape (n_rows,)
            Number of the cut point below.
        cuts : array of float64, shape (n_classes + 1,)
            Cut points, the outer ones infinite.
        key : int
            Decides the draws.
        """
        _steps().draw_latent(
            values=values,
            residuals=rows.residuals,
            row_scale=rows.scale,
            codes=codes,
            cuts=np.asarray(cuts, np.float64),
            key=key,
            n_threads=self._threads(None, self.n_rows),
        )


def _steps() -> Any:
    """Return where the steps are: in the compiled core, or in its twin."""
    return gibbs_twin if compiled.core() is None else compiled.core()
