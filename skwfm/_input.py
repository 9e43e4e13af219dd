"""What becomes of X: from raw input to canonical CSR and its field map.

A DataFrame with columns that are not numbers goes through an inner encoder; all else is
checked as it is. What was learned of the columns (`n_features_in_`, `fields_`, ...)
stays with the estimator.

Cost: where the matrix is clean already, one pass over its entries and no copy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs
from scipy.sparse import csr_array, csr_matrix, issparse
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.utils import check_X_y
from sklearn.utils.validation import validate_data

from skwfm import _validation as val
from skwfm._bags import csr_of_dense, narrow_csr, put_right
from skwfm._compose import FieldTransformer
from skwfm._default_fields import needs_encoding
from skwfm._field_map import FieldMap
from skwfm._fields import FieldCSR, resolve_fields
from skwfm._kernels import compiled
from skwfm._kernels.checks import Faults, narrow
from skwfm._kernels.checks import faults as find_faults
from skwfm._kernels.stretches import row_stretches
from skwfm._matrix_validation import check_csr, check_format
from skwfm._size_validation import check_n_columns

__all__ = ["FieldInput"]

# scikit-learn's part of the checks; ours of finiteness names the row and the column.
_CHECKS = {
    "accept_sparse": "csr",
    "dtype": [np.float64, np.float32],
    "ensure_all_finite": False,
}

Array = npt.NDArray[Any]


class FieldInput(BaseEstimator):
    """The part of the estimators that reads X."""

    _interactions: ClassVar[Literal["fm", "ffm"]]

    # Parameters.
    fields: Any
    intra_field: bool
    n_jobs: int | None

    def _learn_input(
        self, X: Any, y: Any, *, go_on: bool
    ) -> tuple[Any, Any, np.dtype[Any]]:
        """Encode and check X and y; learn the columns and their fields."""
        val.check_not_masked(X, "X")
        val.check_not_masked(y, "y")
        if go_on:
            return self._learn_further(X, y)
        encode = needs_encoding(X)
        self.field_transformer_ = FieldTransformer() if encode else None
        if encode:
            X, y = validate_data(self, X, y, skip_check_array=True)
            X = self._encoded(X, y)
            matrix, y = check_X_y(X, y, **_CHECKS)
            faults = None
        else:
            X, faults = self._narrowed(X)
            matrix, y = validate_data(self, X, y, **_CHECKS)
        self._learn_fields(self._field_map(X, matrix))
        self.input_field_map_ = getattr(X, "field_map", None)
        matrix = self._canonical(matrix, _kept(faults, X, matrix))
        return matrix, y, _width(X)

    def _learn_further(self, X: Any, y: Any) -> tuple[Any, Any, np.dtype[Any]]:
        """Encode and check more rows, which may have further columns at the end."""
        val.check_unique_names(X)
        faults, given = None, getattr(X, "field_map", None)
        if self.field_transformer_ is not None:
            X, y = validate_data(self, X, y, reset=False, skip_check_array=True)
            # A copy shares the labels and grows by itself: an error undoes it.
            self.field_transformer_ = copy.copy(self.field_transformer_)
            with config_context(transform_output="default"):
                X = self.field_transformer_._partial_fit_transform(X)
            matrix, y = check_X_y(X, y, **_CHECKS)
        else:
            X, faults = self._narrowed(X)
            if given is not None and given.extends(self.input_field_map_):
                self.n_features_in_, self.input_field_map_ = given.n_columns, given
            matrix, y = validate_data(self, X, y, reset=False, **_CHECKS)
            val.check_same_fields(given, self.input_field_map_)
        field_map = self._field_map(X, matrix)
        before = FieldMap(self.fields_, self.field_names_)
        if not field_map.extends(before):
            val.check_same_fields(field_map.take(slice(before.n_columns)), before)
        self._learn_fields(field_map)
        matrix = self._canonical(matrix, _kept(faults, X, matrix))
        return matrix, y, self.factors_.dtype

    def _field_map(self, X: Any, matrix: Any) -> FieldMap:
        check_n_columns(matrix.shape[1])
        # Whatever is not sparse is a table: each column is a field.
        known = X if issparse(X) else np.empty((0, matrix.shape[1]))
        return resolve_fields(known, self.fields, interactions=self._interactions)

    def _learn_fields(self, field_map: FieldMap) -> None:
        self.fields_, self.field_names_ = field_map.ids, field_map.names
        self.n_fields_ = field_map.n_fields
        # An FM over fields of one column each counts all pairs of a row.
        one_each = self._interactions == "fm" and field_map.singletons
        self.intra_field_ = bool(self.intra_field or one_each)

    def _encoded(self, X: Any, y: Any = None) -> Any:
        """Encode a data frame, fitting the encoder where `y` is given."""
        encoder: Any = self.field_transformer_
        # This matrix is ours: a global set_config must not make it a frame.
        with config_context(transform_output="default"):
            return encoder.transform(X) if y is None else encoder.fit_transform(X, y)

    def _n_threads(self) -> int:
        """Return how many threads of this machine to use."""
        if self.n_jobs is None:
            # Also in a context of joblib's, where None may mean its workers: several
            # threads train another model each time.
            return 1
        workers = effective_n_jobs(self.n_jobs)
        return compiled.n_threads(
            min(self.n_jobs, workers) if self.n_jobs > 0 else workers
        )

    def _narrowed(self, X: Any) -> tuple[Any, Faults | None]:
        """Check the format of X; return it with indices of 32 bits, and its faults.

        To look at indices of 64 bits would take longer than at those of 32.
        """
        arrays = narrow(X) if type(X) in (FieldCSR, csr_matrix, csr_array) else None
        if arrays is None:
            return X, self._check_format(X)
        check_n_columns(X.shape[1])
        known = {"fields": X.field_map} if isinstance(X, FieldCSR) else {}
        indptr, indices = arrays
        out = type(X)((X.data, indices, indptr), shape=X.shape, **known)
        return out, self._check_format(out, given=X)

    def _check_format(self, X: Any, given: Any = None) -> Faults | None:
        """Refuse a broken matrix in terms of the one given; return its other faults."""
        if getattr(X, "format", None) == "csr":
            check_n_columns(X.shape[1])
        faults = find_faults(X, self._n_threads())
        if faults is None or faults & Faults.BROKEN:
            check_format(X if given is None else given)
        return faults

    def _canonical(self, X: Any, faults: Faults | None = None) -> Any:
        """Return X as plain CSR: finite, sorted, summed, without zeros.

        What is known of its faults is not looked for again.
        """
        is_dense = not issparse(X)
        matrix: Any = csr_of_dense(X) if is_dense else csr_matrix(X)
        if is_dense and _surely_finite(matrix.data):
            return matrix
        if faults is None:
            faults = find_faults(matrix, self._n_threads()) or Faults.NONE
        if faults & (Faults.BROKEN | Faults.NOT_FINITE):
            check_csr(matrix, columns=self._column_names)
        return put_right(matrix, faults)

    def _column_names(self) -> Any:
        """Return the names of the (encoded) columns, or None."""
        if self.field_transformer_ is not None:
            return self.field_transformer_.get_feature_names_out()
        return getattr(self, "feature_names_in_", None)

    def _checked(self, X: Any) -> Any:
        """Encode and check X against what was fitted; return a canonical CSR."""
        matrix, faults = self._looked_at(X)
        if matrix.dtype.kind != "f":
            matrix = matrix.astype(np.float64)
        return self._canonical(matrix, faults)

    def _looked_at(self, X: Any) -> tuple[Any, Faults | None]:
        """Encode and check X against what was fitted; return it and its faults.

        A CSR matrix or an array comes back as it is, since converting all of it may
        take much memory: all that is still to do is done by `_parts`.
        """
        val.check_unique_names(X)
        val.check_not_masked(X, "X")
        if self.field_transformer_ is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            X = self._encoded(X)
            shape = X.shape[0], self.n_features_in_
            val.check_table_shape(shape, 1, type(self).__name__)
            return self._canonical(X), Faults.NONE
        faults = self._check_format(X)
        # A row tells what scikit-learn thinks of all, without making floats of them.
        some = X[:1] if _holds_integers(X) and X.shape[0] else X
        matrix = validate_data(self, some, reset=False, **_CHECKS)
        val.check_same_fields(getattr(X, "field_map", None), self.input_field_map_)
        if some is not X:
            return X, faults
        faults = _kept(faults, X, matrix)
        known = faults is not None and not faults & Faults.NOT_FINITE
        if known or (not issparse(matrix) and _surely_finite(matrix)):
            return matrix, faults
        return self._canonical(matrix, faults), Faults.NONE

    def _parts(
        self, X: Any, faults: Faults | None, dtype: Any, n_rows: int, n_entries: int
    ) -> Iterator[tuple[slice, Any]]:
        """Yield consecutive rows of what was looked at, as canonical CSR in a dtype.

        A part has at most so many rows, and entries unless its only row has more.
        """
        for rows in row_stretches(X, n_rows, n_entries):
            part = X[rows]
            if part.dtype.kind != "f":
                part = part.astype(np.float64)
            part = self._canonical(part, faults).astype(dtype, copy=False)
            yield rows, narrow_csr(part)


def _surely_finite(values: Array) -> bool:
    """Tell by their sum that numbers are finite; False if it may have overflowed."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))


def _kept(faults: Faults | None, X: Any, matrix: Any) -> Faults | None:
    """Return the faults of X if scikit-learn's checks left its numbers as they were."""
    if faults is None or not (matrix.data is X.data or _holds_integers(X)):
        return None
    return faults


def _holds_integers(X: Any) -> bool:
    return getattr(X, "format", None) == "csr" and X.dtype.kind in "biu"


def _width(X: Any) -> np.dtype[Any]:
    """Return the type to train many rows in: float64 where X has it, else float32."""
    given = getattr(X, "dtype", None)
    if not isinstance(given, np.dtype):  # a list, a frame, another library's array
        return np.dtype(np.float64)
    wide = given.kind == "O" or (given.kind == "f" and given.itemsize >= 8)
    return np.dtype(np.float64 if wide else np.float32)
