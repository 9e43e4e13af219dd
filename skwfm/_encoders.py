"""Vocabulary, unknown labels and weight scaling: bags of labels -> CSR.

Entry (i, j) is the scaled sum of the weights that row i gives to label j; the columns
of one input column lie side by side and form one field. The steps, each in its module:
read the cells (`_cells`), look the labels up (`_vocabulary`), scale the weights
(`_scaling`). The fitted state is the labels and one dictionary of them per column.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_array,
    check_is_fitted,
    validate_data,
)

from skwfm._cells import as_table, read_column, table_columns
from skwfm._field_map import FieldMap
from skwfm._fields import FieldCSR
from skwfm._labels import Bags, Form, keys_of
from skwfm._scaling import Normalize, WeightTransform, scaled
from skwfm._vocabulary import Limits, Vocabulary

__all__ = ["WeightedMultiLabelEncoder"]


class WeightedMultiLabelEncoder(TransformerMixin, BaseEstimator):
    """Encode columns of weighted labels, one field per column.

    Every cell is a bag of (label, weight): a list, set, dict ``{label: weight}``, list
    of ``(label, weight)`` pairs, text such as ``"Drama|War"`` or ``"Drama:0.8|War:1"``,
    a single label, or nothing (None, NaN, empty). The output has a column per label
    and in it the summed weight of the label in the row's bag.

    Parameters
    ----------
    categories : "auto" or list of array-like, default="auto"
        The labels of every input column, in the order of the output columns.
        ``"auto"``: the labels seen in `fit`, sorted by kind (number, text, ...) and
        value. With explicit categories, labels outside them count as unknown.
    min_frequency : int, float in (0, 1) or None, default=None
        Labels held by fewer rows (int) or a smaller share of the rows (float) of
        `fit` are rare: they get no column of their own.
    max_categories : int or None, default=None
        The most output columns for one input column, the infrequent bucket included.
        The labels in the fewest rows are rare; of equals, the last in order.
    handle_unknown : {"ignore", "error", "infrequent"}, default="ignore"
        What happens to labels not seen in `fit`, and to rare ones:

        - ``"ignore"``: both are dropped, as if the cell did not hold them.
        - ``"error"``: an unknown label raises ValueError, rare ones are dropped.
        - ``"infrequent"``: both go to one column, the last of its field and named
          ``"<column>=<infrequent>"``. As in OneHotEncoder it exists only if
          `fit` saw a rare label; without it unknown labels are dropped.
    normalize : {"l1", "l2", "sqrt", "max"} or None, default=None
        Divide the weights of a bag by ``sum|w|``, ``sqrt(sum w^2)``,
        ``sqrt(sum|w|)`` or ``max|w|``, taken over the labels that are kept: an
        unknown label changes nothing. A bag of norm 0 stays as it is. ``"sqrt"`` gives
        each of n labels of weight 1 the weight ``1/sqrt(n)``.
    weight_transform : "log1p", callable or None, default=None
        Function of the summed weights, applied before `normalize`. A callable gets a
        1-D float64 array and must work on every element alone.
    sep : str or None, default="|"
        Separator of labels inside text; None: every text is one label.
    weight_sep : str or None, default=":"
        Separator of label and weight inside text, at its last occurrence and only
        before a decimal number. All text labels of a column must have a weight, or
        none of them; None: text never carries weights.
    dtype : {np.float32, np.float64}, default=np.float32
        Type of the output.

    Attributes
    ----------
    categories_ : list of array of shape (n_labels,)
        Labels with a column of their own, per input column. Arrays of numbers or bools
        where all labels are of one such type, of objects otherwise.
    infrequent_categories_ : list of array
        Rare labels, per input column, sorted.
    n_features_in_ : int
        Number of input columns.
    feature_names_in_ : array of shape (n_features_in_,)
        Names of the input columns, where `fit` got names that are all strings. A
        Series with a name is a data frame of one column.
    fields_ : array of int32, shape (n_features_out,)
        Input column of every output column.
    field_names_ : tuple of str, length n_features_in_
        Names of the input columns, ``"x0"``, ``"x1"``, ... without names.

    See Also
    --------
    sklearn.preprocessing.MultiLabelBinarizer : Labels without weights, for targets.
    sklearn.preprocessing.OneHotEncoder : One label per cell.
    FieldTransformer : This and other transformers side by side.

    Notes
    -----
    A label that occurs twice in a cell has the sum of its weights; a weight 0 is the
    same as the label being absent, also for `fit`. Labels are the same if they are
    equal and of one kind: 1 and 1.0 are, 1, "1" and True are not. A 1-D input (Series,
    list, array of objects or text) is one column of cells, a list of lists included.

    Examples
    --------
    >>> from skwfm import WeightedMultiLabelEncoder
    >>> encoder = WeightedMultiLabelEncoder()
    >>> X = encoder.fit_transform([["Drama", "War"], {"War": 0.5}, None])
    >>> X.toarray()
    array([[1. , 1. ],
           [0. , 0.5],
           [0. , 0. ]], dtype=float32)
    >>> encoder.get_feature_names_out()
    array(['x0=Drama', 'x0=War'], dtype=object)
    >>> X.fields, X.field_names
    (array([0, 0], dtype=int32), ('x0',))
    """

    _parameter_constraints: dict[str, Any] = {
        "categories": [StrOptions({"auto"}), list],
        "min_frequency": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
            None,
        ],
        "max_categories": [Interval(Integral, 1, None, closed="left"), None],
        "handle_unknown": [StrOptions({"ignore", "error", "infrequent"})],
        "normalize": [StrOptions({"l1", "l2", "sqrt", "max"}), None],
        "weight_transform": [StrOptions({"log1p"}), callable, None],
        "sep": [str, None],
        "weight_sep": [str, None],
        "dtype": "no_validation",  # checked in fit: numpy takes many spellings
    }

    def __init__(
        self,
        *,
        categories: Literal["auto"] | list[Any] = "auto",
        min_frequency: float | None = None,
        max_categories: int | None = None,
        handle_unknown: Literal["ignore", "error", "infrequent"] = "ignore",
        normalize: Normalize | None = None,
        weight_transform: WeightTransform | None = None,
        sep: str | None = "|",
        weight_sep: str | None = ":",
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.categories = categories
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.handle_unknown = handle_unknown
        self.normalize = normalize
        self.weight_transform = weight_transform
        self.sep = sep
        self.weight_sep = weight_sep
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the labels of every column.

        Parameters
        ----------
        X : data frame or array of shape (n_samples, n_columns), or 1-D
            The cells. Not modified.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a cell cannot be read (the message names its column and row), there is
            no row or column, or a parameter is not valid.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> FieldCSR:
        """Learn the labels and encode the same rows, reading the cells once.

        Parameters
        ----------
        X : data frame or array of shape (n_samples, n_columns), or 1-D
            The cells. Not modified.
        y : None
            Ignored.
        **fit_params : dict
            Must be empty.

        Returns
        -------
        FieldCSR of shape (n_samples, n_features_out)
        """
        if fit_params:
            raise TypeError(f"fit got unexpected parameters: {sorted(fit_params)}.")
        return self._encode(self._fit(X))

    def transform(self, X: Any) -> FieldCSR:
        """Encode rows; each row on its own, whatever else is in `X`.

        Parameters
        ----------
        X : data frame or array of shape (n_samples, n_columns), or 1-D
            The cells. Not modified.

        Returns
        -------
        FieldCSR of shape (n_samples, n_features_out)
            With sorted indices, without duplicates or stored zeros.

        Raises
        ------
        TypeError, ValueError
            If a cell cannot be read, the columns are not those of `fit`, or a label
            is unknown and ``handle_unknown="error"``.
        """
        check_is_fitted(self)
        table = validate_data(self, as_table(X), reset=False, skip_check_array=True)
        return self._encode(self._read(table, self._forms))

    def inverse_transform(self, X: Any) -> list[list[list[tuple[Any, float]]]]:
        """Return the labels and weights of encoded rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features_out)
            Weights as `transform` returns them; scaling is not undone.

        Returns
        -------
        list
            For every input column a list of the rows, each a list of (label, weight).
            The label of the infrequent bucket is ``"<infrequent>"``.
        """
        check_is_fitted(self)
        X = sp.csr_matrix(check_array(X, accept_sparse="csr", ensure_min_samples=0))
        if X.shape[1] != len(self.fields_):
            raise ValueError(
                f"X has {X.shape[1]} columns, expected the {len(self.fields_)} that "
                "transform returns."
            )
        ends = np.cumsum([v.n_columns for v in self._vocabularies])
        return [
            vocabulary.decode(X[:, end - vocabulary.n_columns : end])
            for end, vocabulary in zip(ends, self._vocabularies, strict=True)
        ]

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return ``"<column>=<label>"`` for every output column.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input columns; by default those seen in `fit`.

        Returns
        -------
        array of object, shape (n_features_out,)
        """
        check_is_fitted(self)
        columns = _check_feature_names_in(self, input_features)
        names = [
            f"{column}={text}"
            for column, vocabulary in zip(columns, self._vocabularies, strict=True)
            for text in vocabulary.texts()
        ]
        return np.array(names, dtype=object)

    def _fit(self, X: Any) -> list[Bags]:
        """Learn from the cells and return them as they were read."""
        self._validate_params()
        self._check_settings()
        table = validate_data(self, as_table(X), skip_check_array=True)
        _check_not_empty(table)
        self.field_names_ = tuple(map(str, _check_feature_names_in(self)))
        bags = self._read(table, [None] * self.n_features_in_)
        given = self._given_categories()
        limits = Limits(self.min_frequency, self.max_categories, self.handle_unknown)
        self._forms = [b.form for b in bags]
        self._vocabularies = [
            Vocabulary.learn(b, labels, limits)
            for b, labels in zip(bags, given, strict=True)
        ]
        self._publish()
        if self.handle_unknown == "error" and self.categories != "auto":
            self._encode(bags)  # raises, as for OneHotEncoder, in fit already
        return bags

    def _publish(self) -> None:
        """Set the public fitted attributes."""
        self.categories_ = [v.labels for v in self._vocabularies]
        self.infrequent_categories_ = [v.rare for v in self._vocabularies]
        sizes = [v.n_columns for v in self._vocabularies]
        self.fields_ = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)

    def _check_settings(self) -> None:
        """Check what parameter constraints cannot say."""
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(
                f"dtype={self.dtype!r}, expected np.float32 or np.float64."
            )
        if "" in (self.sep, self.weight_sep) or (
            self.sep is not None and self.sep == self.weight_sep
        ):
            raise ValueError(
                f"sep={self.sep!r}, weight_sep={self.weight_sep!r}: expected two "
                "different texts, or None for text that is not split."
            )

    def _given_categories(self) -> list[list[Any] | None]:
        if isinstance(self.categories, str):
            return [None] * self.n_features_in_
        given = [np.asarray(c, dtype=object).tolist() for c in self.categories]
        if len(given) != self.n_features_in_:
            raise ValueError(
                f"categories has {len(given)} lists of labels, expected one for each "
                f"of the {self.n_features_in_} columns."
            )
        for name, labels in zip(self.field_names_, given, strict=True):
            if len(set(keys_of(labels))) != len(labels):
                raise ValueError(f"categories of column {name!r} repeat a label.")
        return list(given)

    def _read(self, table: Any, forms: Sequence[Form | None]) -> list[Bags]:
        columns = table_columns(table)
        names = getattr(self, "feature_names_in_", self.field_names_)
        return [
            read_column(
                cells, name, sep=self.sep, weight_sep=self.weight_sep, form=form
            )
            for cells, name, form in zip(columns, names, forms, strict=True)
        ]

    def _encode(self, bags: list[Bags]) -> FieldCSR:
        blocks = [
            scaled(
                vocabulary.encode(column, name),
                name,
                self.weight_transform,
                self.normalize,
                self.dtype,
            )
            for column, vocabulary, name in zip(
                bags, self._vocabularies, self.field_names_, strict=True
            )
        ]
        out = sp.hstack(blocks, format="csr")
        return FieldCSR(out, fields=FieldMap(self.fields_, self.field_names_))

    def __sklearn_tags__(self) -> Any:
        """Declare what the cells may be."""
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.dict = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _check_not_empty(table: Any) -> None:
    n_rows, n_columns = table.shape
    for size, what in ((n_rows, "sample"), (n_columns, "feature")):
        if size == 0:  # the words of sklearn.utils.check_array
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={table.shape}) while a minimum "
                "of 1 is required by WeightedMultiLabelEncoder."
            )
