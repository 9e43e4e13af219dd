"""Bags of labels -> CSR: the estimator.

Entry (i, j) is the scaled sum of the weights that row i gives to label j. The steps,
each in its module: take the table apart (`_frames`), read the cells (`_cells`, `_text`,
`_arrow`, `_pairs`), look the labels up (`_vocabulary`, `_hashing`), scale the weights
(`_scaling`). Columns are read and encoded one after the other, so that at most one is
held as bags. The fitted state is the labels and one dictionary of them per column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

from skwfm._callbacks import CallbackSupport, one_task
from skwfm._cells import Spelling, as_table, read_column, table_columns
from skwfm._columns import Bags, Column, Form, check_unique, sorted_bags
from skwfm._field_map import FieldMap
from skwfm._fields import FieldCSR
from skwfm._file_validation import float_type
from skwfm._growing import placed
from skwfm._hashing import HashedLabels
from skwfm._html import FieldsHTML
from skwfm._labels import keys_of
from skwfm._matrix_validation import check_format
from skwfm._pairs import Pair, read_pair, resolve_pairs
from skwfm._scaling import Normalize, WeightTransform, scaled
from skwfm._validation import check_table_shape, growing_limits_error
from skwfm._vocabulary import Limits, Vocabulary

__all__ = ["WeightedMultiLabelEncoder"]

_MAX_COLUMNS = 2**31 - 1  # numbers of columns are int32


class WeightedMultiLabelEncoder(
    FieldsHTML, CallbackSupport, TransformerMixin, BaseEstimator
):
    """Encode columns of weighted labels, one field per column.

    Every cell is a bag of (label, weight): a list, set, dict ``{label: weight}``, list
    of ``(label, weight)`` pairs, text such as ``"Drama|War"`` or ``"Drama:0.8|War:1"``,
    a single label, or nothing (None, NaN, empty). The output has a column per label
    and in it the summed weight of the label in the row's bag.

    Parameters
    ----------
    categories : "auto", "hash" or list of array-like, default="auto"
        Which label has which output column:

        - ``"auto"``: the labels seen in `fit`, sorted by kind (number, text, ...) and
          value.
        - list: the labels of every field, in the order of the output columns. Labels
          outside them count as unknown.
        - ``"hash"``: every label goes to one of `n_hash_features` columns by its hash,
          see Notes. No label is unknown, and labels may share a column.
    n_hash_features : int, default=2**18
        Output columns per field for ``categories="hash"``.
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
    duplicates : {"sum", "error"}, default="sum"
        What a label that occurs twice in a cell means: the sum of its weights, or a
        ValueError. Entries of weight 0 do not count.
    weights : dict or None, default=None
        Columns whose weights stand in another column, ``{"tags": "tag_counts"}``, by
        name or position. In every row the two cells hold as many labels as weights,
        as lists, tuples, arrays, delimited text or single values. Both columns make
        one field, with the name of the column of labels.
    sep : str or None, default="|"
        Separator of labels inside text; None: every text is one label. Blanks around
        a label are dropped in both cases, and a text of blanks is an empty bag.
    weight_sep : str or None, default=":"
        Separator of label and weight inside text, at its last occurrence and only
        before a decimal number. All text labels of a column must have a weight, or
        none of them; None: text never carries weights.
    quotechar : str of length 1 or None, default=None
        Character around labels in text that hold a separator: ``'"a|b"|c'`` are two
        labels. Inside it is doubled; it is a letter like others where a label does not
        start with it. None: there is no such character.
    dtype : {np.float32, np.float64}, default=np.float32
        Type of the output.

    Attributes
    ----------
    categories_ : list of array of shape (n_labels,)
        Labels with a column of their own, per field, in the order of the columns.
        Arrays of numbers or bools where all labels are of one such type, of objects
        otherwise; empty for ``categories="hash"``.
    infrequent_categories_ : list of array
        Rare labels, per field, sorted.
    n_features_in_ : int
        Number of input columns.
    feature_names_in_ : array of shape (n_features_in_,)
        Names of the input columns, where `fit` got names that are all strings. A
        Series with a name is a data frame of one column.
    fields_ : array of int32, shape (n_features_out,)
        Field of every output column.
    field_names_ : tuple of str, length n_fields
        Names of the input columns (those of weights aside), ``"x0"``, ``"x1"``, ...
        without names.

    See Also
    --------
    sklearn.preprocessing.MultiLabelBinarizer : Labels without weights, for targets.
    sklearn.preprocessing.OneHotEncoder : One label per cell.
    FieldTransformer : This and other transformers side by side.

    Notes
    -----
    A weight 0 is the same as the label being absent, also for `fit`. Labels are the
    same if they are equal and of one kind: 1 and 1.0 are, 1, "1" and True are not. A
    1-D input (Series, list, array of objects or text) is one column of cells, a list of
    lists included. Arrow and polars columns of lists, maps and lists of structs with
    two fields are read without a Python object per label.

    The columns of a field lie side by side after `fit`. `partial_fit` puts new labels
    after *all* columns, so that no column ever changes its number or its meaning.

    The hash is BLAKE2b (RFC 7693) with a digest of 8 bytes and no key, read as a
    little-endian integer, modulo `n_hash_features`. It is taken of ``"t"`` and the text
    in UTF-8 for text; of ``"n"`` and the exact fraction in lowest terms and lower-case
    hexadecimal for numbers (``"n1/1"`` for 1 and 1.0, ``"n-1/2"`` for -0.5); of
    ``"b1"`` or ``"b0"`` for bools; of ``"y"`` and the bytes for bytes; of ``"d"`` and
    the ISO format for dates and times (in UTC if they have a zone). It is the same on
    every machine and in every version.

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

    _appends_columns = True  # see _growing

    _parameter_constraints: dict[str, Any] = {
        "categories": [StrOptions({"auto", "hash"}), list],
        "n_hash_features": [Interval(Integral, 1, 2**31 - 1, closed="both")],
        "min_frequency": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
            None,
        ],
        "max_categories": [Interval(Integral, 1, None, closed="left"), None],
        "handle_unknown": [StrOptions({"ignore", "error", "infrequent"})],
        "normalize": [StrOptions({"l1", "l2", "sqrt", "max"}), None],
        "weight_transform": [StrOptions({"log1p"}), callable, None],
        "duplicates": [StrOptions({"sum", "error"})],
        "weights": [dict, None],
        "sep": [str, None],
        "weight_sep": [str, None],
        "quotechar": [str, None],
        "dtype": "no_validation",  # checked in fit: numpy takes many spellings
    }

    def __init__(
        self,
        *,
        categories: Literal["auto", "hash"] | list[Any] = "auto",
        n_hash_features: int = 2**18,
        min_frequency: float | None = None,
        max_categories: int | None = None,
        handle_unknown: Literal["ignore", "error", "infrequent"] = "ignore",
        normalize: Normalize | None = None,
        weight_transform: WeightTransform | None = None,
        duplicates: Literal["sum", "error"] = "sum",
        weights: dict[Any, Any] | None = None,
        sep: str | None = "|",
        weight_sep: str | None = ":",
        quotechar: str | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.categories = categories
        self.n_hash_features = n_hash_features
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.handle_unknown = handle_unknown
        self.normalize = normalize
        self.weight_transform = weight_transform
        self.duplicates = duplicates
        self.weights = weights
        self.sep = sep
        self.weight_sep = weight_sep
        self.quotechar = quotechar
        self.dtype = dtype

    @one_task
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

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Add the labels of more rows to those already known.

        New labels get columns after all columns there are, sorted within the call, so
        that a model of the old columns stays right: `fields_` tells the field of each.
        With explicit or hashed categories nothing is learned. The first call is `fit`.

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
        ValueError
            If `min_frequency` or `max_categories` is set, or was in `fit`: which labels
            are rare is known only after all rows. Take ``categories="hash"``, or a list
            of categories.
        TypeError, ValueError
            As in `fit`; nothing is learned then.

        Examples
        --------
        >>> from skwfm import WeightedMultiLabelEncoder
        >>> encoder = WeightedMultiLabelEncoder()
        >>> encoder = encoder.partial_fit([["b"], ["c"]]).partial_fit([["a", "c"]])
        >>> encoder.get_feature_names_out()
        array(['x0=b', 'x0=c', 'x0=a'], dtype=object)
        """
        self._validate_params()
        if (error := self._growing_error()) is not None:
            raise ValueError(error)
        if not hasattr(self, "fields_"):
            return self.fit(X)
        self._check_settings()
        table = validate_data(self, as_table(X), reset=False, skip_check_array=True)
        self._grow(list(self._read(table, self._forms)))
        return self

    @one_task
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
        return self._stack(self._fit(X, encode=True))

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
        bags = self._read(table, self._forms)
        return self._stack(
            [
                self._block(vocabulary, column, name)
                for vocabulary, column, name in zip(
                    self._vocabularies, bags, self.field_names_, strict=True
                )
            ]
        )

    def inverse_transform(self, X: Any) -> list[list[list[tuple[Any, float]]]]:
        """Return the labels and weights of encoded rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features_out)
            Weights as `transform` returns them; scaling is not undone.

        Returns
        -------
        list
            For every field a list of the rows, each a list of (label, weight).
            The label of the infrequent bucket is ``"<infrequent>"``, that of a column
            of hashed labels ``"<hash 17>"``.
        """
        check_is_fitted(self)
        check_format(X)
        X = sp.csr_matrix(
            check_array(
                X, accept_sparse="csr", ensure_min_samples=0, ensure_min_features=0
            )
        )
        if X.shape[1] != len(self.fields_):
            raise ValueError(
                f"X has {X.shape[1]} columns, expected the {len(self.fields_)} that "
                "transform returns."
            )
        return [
            vocabulary.decode(X[:, columns])
            for columns, vocabulary in zip(
                self._columns, self._vocabularies, strict=True
            )
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
        inputs = _check_feature_names_in(self, input_features)
        names = np.empty(len(self.fields_), dtype=object)
        for (i, _), columns, vocabulary in zip(
            self._pairs, self._columns, self._vocabularies, strict=True
        ):
            names[columns] = [f"{inputs[i]}={text}" for text in vocabulary.texts()]
        return names

    def _fit(self, X: Any, encode: bool = False) -> list[sp.csr_matrix]:
        """Learn from the cells; return the block of every field if asked to."""
        self._validate_params()
        self._check_settings()
        table = validate_data(self, as_table(X), skip_check_array=True)
        check_table_shape(table.shape, 1, type(self).__name__)
        names = list(map(str, _check_feature_names_in(self)))
        self._pairs = resolve_pairs(self.weights, names, self.n_features_in_)
        self.field_names_ = tuple(names[i] for i, _ in self._pairs)
        n_hashed = len(self._pairs) * self.n_hash_features
        if self.categories == "hash" and n_hashed > _MAX_COLUMNS:
            raise ValueError(
                f"n_hash_features={self.n_hash_features!r} for {len(self._pairs)} "
                f"fields: expected at most {_MAX_COLUMNS} columns in all."
            )
        given = self._given_categories()
        self._forms, self._vocabularies, blocks = [], [], []
        columns = self._read(table, [None] * len(given))
        for name, labels in zip(self.field_names_, given, strict=True):
            vocabulary, bags = self._learn(next(columns), labels, name)
            self._forms.append(bags.form)
            self._vocabularies.append(vocabulary)
            if encode:
                blocks.append(self._block(vocabulary, bags, name))
        ends = np.cumsum(
            [0, *(v.n_columns for v in self._vocabularies)], dtype=np.int32
        )
        self._columns = [np.arange(*ends[i : i + 2]) for i in range(len(given))]
        self._publish()
        return blocks

    def _learn(
        self, bags: Bags, given: list[Any] | None, name: str
    ) -> tuple[Vocabulary | HashedLabels, Bags]:
        """Return the vocabulary of a field, and its bags, canonical where needed."""
        if self.categories == "hash":
            hashed = HashedLabels(self.n_hash_features)
            hashed.columns(bags, name)  # raises for labels without a hash
            return hashed, bags
        bags = sorted_bags(bags)
        limits = Limits(self.min_frequency, self.max_categories, self.handle_unknown)
        vocabulary = Vocabulary.learn(bags, given, limits)
        if self.handle_unknown == "error":
            vocabulary.check_known(bags, name)  # in fit already, as OneHotEncoder
        return vocabulary, bags

    def _has_limits(self) -> bool:
        return self.min_frequency is not None or self.max_categories is not None

    def _growing_error(self) -> str | None:
        """Return why labels cannot be added, or None."""
        dropped = map(len, getattr(self, "infrequent_categories_", []))
        if not self._has_limits() and not any(dropped):
            return None
        return growing_limits_error(self.min_frequency, self.max_categories)

    def _grow(self, columns: list[Bags]) -> None:
        """Append the labels that are new; an error changes nothing."""
        forms = [
            bags.form if form is None else form
            for form, bags in zip(self._forms, columns, strict=True)
        ]
        if self.categories != "auto":
            self._forms = forms
            return
        size, places = len(self.fields_), []
        vocabularies: list[Vocabulary | HashedLabels] = []
        for vocabulary, own, bags in zip(
            self._vocabularies, self._columns, map(sorted_bags, columns), strict=True
        ):
            assert isinstance(vocabulary, Vocabulary)  # the labels are not hashed
            new = vocabulary.unseen(bags)
            vocabularies.append(vocabulary.grown(new) if new else vocabulary)
            places.append(np.concatenate([own, np.arange(size, size + len(new))]))
            size += len(new)
        # New lists: a shallow copy may grow by itself.
        self._forms, self._vocabularies, self._columns = forms, vocabularies, places
        self._publish()

    def _publish(self) -> None:
        """Set the public fitted attributes."""
        self.categories_ = [v.labels for v in self._vocabularies]
        self.infrequent_categories_ = [v.rare for v in self._vocabularies]
        self.fields_ = np.empty(sum(map(len, self._columns)), dtype=np.int32)
        for field, columns in enumerate(self._columns):
            self.fields_[columns] = field

    def _check_settings(self) -> None:
        """Check what parameter constraints cannot say."""
        if float_type(self.dtype) is None:
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
        quote, seps = self.quotechar, f"{self.sep}{self.weight_sep}"
        if quote is not None and (len(quote) != 1 or quote.isspace() or quote in seps):
            raise ValueError(
                f"quotechar={quote!r}: expected one character that is neither blank "
                "nor part of sep and weight_sep, or None."
            )
        limited = self._has_limits() or self.handle_unknown != "ignore"
        if self.categories == "hash" and limited:
            raise ValueError(
                "categories='hash' knows no rare and no unknown labels: expected "
                "min_frequency=None, max_categories=None and handle_unknown='ignore'."
            )

    def _given_categories(self) -> list[list[Any] | None]:
        if isinstance(self.categories, str):
            return [None] * len(self.field_names_)
        given = [np.asarray(c, dtype=object).tolist() for c in self.categories]
        if len(given) != len(self.field_names_):
            raise ValueError(
                f"categories has {len(given)} lists of labels, expected one for each "
                f"of the {len(self.field_names_)} columns."
            )
        for name, labels in zip(self.field_names_, given, strict=True):
            if len(set(keys_of(labels))) != len(labels):
                raise ValueError(f"categories of column {name!r} repeat a label.")
        return list(given)

    def _read(self, table: Any, forms: Sequence[Form | None]) -> Iterator[Bags]:
        """Read one field after the other."""
        cells = table_columns(table)
        names = getattr(self, "feature_names_in_", None)
        names = [f"x{i}" for i in range(len(cells))] if names is None else names
        spelling = Spelling(self.sep, self.weight_sep, self.quotechar)
        for pair, form in zip(self._pairs, forms, strict=True):
            # Not in a variable, so that the bags are gone as soon as they are used.
            unique = self.duplicates == "error"
            yield _read_field(cells, names, pair, spelling, form, unique)

    def _block(
        self, vocabulary: Vocabulary | HashedLabels, bags: Bags, name: str
    ) -> sp.csr_matrix:
        """Return the scaled weights of one field."""
        block = vocabulary.encode(bags, name)
        return scaled(block, name, self.weight_transform, self.normalize, self.dtype)

    def _stack(self, blocks: list[sp.csr_matrix]) -> FieldCSR:
        """Put the blocks of the fields where their columns are."""
        out = sp.hstack(blocks, format="csr") if len(blocks) > 1 else blocks[0]
        places = np.concatenate(self._columns)
        if (places[1:] < places[:-1]).any():  # partial_fit has appended columns
            out = placed(out, places)
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


def _read_field(
    cells: list[Any],
    names: Any,
    pair: Pair,
    spelling: Spelling,
    form: Form | None,
    unique: bool,
) -> Bags:
    """Read the columns of labels, and perhaps of weights, of one field."""
    i, j = pair
    if j is None:
        bags = read_column(cells[i], names[i], spelling=spelling, form=form)
    else:
        both = (cells[i], cells[j]), (names[i], names[j])
        bags = read_pair(*both, spelling, form)
    if unique:
        check_unique(Column(cells[i], names[i]), bags)
    return bags
