"""A ColumnTransformer whose result knows the field of every column.

scikit-learn fits and applies the transformers and stacks their results; what is added
is the field map, found once after `fit` from the fitted transformers, and the type of
the result. `partial_fit` lets the transformers that append columns grow, see
`_growing`. Storage: one int32 per output column. Cost: one call of
``get_feature_names_out`` in `fit` for every transformer of more than one column.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, Self

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import sklearn
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import check_array, check_is_fitted

from skwfm._attribution import fields_of, positions_of, unique_names
from skwfm._callbacks import CallbackSupport, one_task
from skwfm._default_fields import HINTS, default_transformers, defaults
from skwfm._display import CHOSEN_IN_FIT, fitted_text, labelled_names
from skwfm._field_map import FieldMap
from skwfm._fields import FieldCSR
from skwfm._growing import extended, grow_one, growing_error, placed, places_of
from skwfm._html import FieldsHTML
from skwfm._matrix_validation import check_format
from skwfm._validation import check_not_masked, check_table_shape, old_arrow_error

__all__ = ["FieldTransformer", "make_field_transformer"]


def _force_int_remainder_cols() -> Any:
    """Return what keeps scikit-learn 1.6 to 1.8 from warning; 1.9 has no such thing."""
    parameters = inspect.signature(ColumnTransformer).parameters
    default = getattr(parameters.get("force_int_remainder_cols"), "default", False)
    return False if default is True else default


# Before, scikit-learn does not select columns of Arrow tables.
TAKES_ARROW = parse_version(sklearn.__version__) >= parse_version("1.7")


class FieldTransformer(FieldsHTML, CallbackSupport, ColumnTransformer):
    """Apply transformers to columns; the result is sparse and keeps the field map.

    A :class:`sklearn.compose.ColumnTransformer` with the same parameters, which always
    returns a `FieldCSR`: one field per transformed input column. Which column of the
    result belongs to which field follows from the fitted transformers:

    - a transformer with `fields_` (WeightedMultiLabelEncoder, FieldTransformer) says;
    - a transformer of one input column gives one field, a column that is passed
      through as well;
    - of several input columns, every output column goes to the input column whose name
      its feature name carries (OneHotEncoder, SplineTransformer, ...). If not every
      output has exactly one such name (PCA, PolynomialFeatures), the transformer mixes
      columns, and its whole result is one field with the transformer's name.

    Parameters
    ----------
    transformers : list of (name, transformer, columns) or None, default=None
        As in ColumnTransformer. None: chosen in `fit` from the columns' dtypes, and
        where these are objects from the cells that are not missing:

        - lists, sets, dicts, arrays: ``WeightedMultiLabelEncoder(normalize="l2")``;
        - text, categoricals, bools: ``WeightedMultiLabelEncoder(sep=None,
          weight_sep=None)``, one label per cell;
        - numbers: ``SplineEncoder()``, soft bins;
        - dates, datetimes: ``DateEncoder()``, year, month and weekday.

        Missing cells are empty bags in all of them, and unknown labels are ignored.
        Nothing is guessed from names or values: integers are numbers, ids or not, and
        text is not split. There is no default for durations and times of day. The
        choice is in `transformers_`, the diagram and the text of
        ``print(transformer)``.
    remainder : {"drop", "passthrough"} or estimator, default="drop"
        What to do with columns that no transformer takes.
    n_jobs : int or None, default=None
        Number of transformers that run at the same time.
    transformer_weights : dict or None, default=None
        Factor for the result of a transformer, by its name.
    verbose : bool, default=False
        Print the time each transformer takes to fit.
    verbose_feature_names_out : bool, str or callable, default=True
        Whether, or how, feature names start with the transformer's name.

    Attributes
    ----------
    transformers_ : list of (name, fitted transformer, columns)
        As in ColumnTransformer, the transformers themselves being what was given.
    named_transformers_ : Bunch
        Fitted transformers by name.
    output_indices_ : dict
        Slice of the result for each transformer's name; after `partial_fit`, where the
        columns of a transformer no longer lie side by side, an array of their numbers.
    fields_ : array of int32, shape (n_features_out,)
        Field of every output column.
    field_names_ : tuple of str, length n_fields
        The input column's name, or ``"<transformer>__<column>"`` if several fields
        would have that name. A field may own no column.
    dtype_ : dtype
        float32 if that changes no value of the rows of `fit`, and of `partial_fit`
        (one-hot, counts, parts in float32), else float64.
    n_features_in_ : int
        Number of input columns.
    feature_names_in_ : array of shape (n_features_in_,)
        Their names, where `fit` got strings.

    See Also
    --------
    make_field_transformer : Without having to name the transformers.
    WeightedMultiLabelEncoder : For cells that hold several labels.
    SplineEncoder : For numbers.
    DateEncoder : For dates.
    sklearn.compose.ColumnTransformer : The same without fields.

    Notes
    -----
    The result is always sparse: ``set_output(transform="pandas")`` raises in
    `transform`, as it does for a sparse OneHotEncoder.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from skwfm import FieldTransformer, WeightedMultiLabelEncoder
    >>> films = pd.DataFrame(
    ...     {"user": ["ann", "bob"], "item": [7, 7], "genres": ["Drama|War", "War"]}
    ... )
    >>> transformer = FieldTransformer(
    ...     [
    ...         ("ids", OneHotEncoder(handle_unknown="ignore"), ["user", "item"]),
    ...         ("tags", WeightedMultiLabelEncoder(), ["genres"]),
    ...     ]
    ... )
    >>> X = transformer.fit_transform(films)
    >>> X.toarray()
    array([[1., 0., 1., 1., 1.],
           [0., 1., 1., 0., 1.]], dtype=float32)
    >>> X.fields, X.field_names
    (array([0, 0, 1, 2, 2], dtype=int32), ('user', 'item', 'genres'))

    Without transformers they are chosen by the types of the columns:

    >>> print(FieldTransformer().fit(films))
    FieldTransformer (columns in: 3, fields: 3, columns out: 5)
      categories  WeightedMultiLabelEncoder(sep=None, weight_sep=None)  user, genres
      numbers     SplineEncoder()                                       item
    Text such as "a|b" is one label: WeightedMultiLabelEncoder() splits it.
    Numbers that are ids: make them text, X.astype({"id": str}).
    """

    # Not parameters here: any sparse part makes the stack sparse, and the columns of
    # the remainder are stored as scikit-learn 1.9 does.
    sparse_threshold = 1.0
    force_int_remainder_cols = _force_int_remainder_cols()

    transformers_: list[tuple[str, Any, Any]]
    output_indices_: dict[str, Any]
    fields_: npt.NDArray[np.int32]

    _appends_columns = True  # see _growing
    _is_growing = False  # true of the copy that partial_fit works on

    _parameter_constraints: dict[str, Any] = {
        **ColumnTransformer._parameter_constraints,
        "transformers": [
            *ColumnTransformer._parameter_constraints["transformers"],
            None,
        ],
    }
    _parameter_constraints.pop("sparse_threshold")
    _parameter_constraints.pop("force_int_remainder_cols", None)

    def __init__(
        self,
        transformers: list[tuple[str, Any, Any]] | None = None,
        *,
        remainder: Any = "drop",
        n_jobs: int | None = None,
        transformer_weights: dict[str, float] | None = None,
        verbose: bool = False,
        verbose_feature_names_out: Any = True,
    ) -> None:
        self.transformers = transformers
        self.remainder = remainder
        self.n_jobs = n_jobs
        self.transformer_weights = transformer_weights
        self.verbose = verbose
        self.verbose_feature_names_out = verbose_feature_names_out

    @one_task
    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> FieldCSR:
        """Fit all transformers, transform the rows and find the field map.

        Parameters
        ----------
        X : data frame or array of shape (n_samples, n_columns)
            Not modified.
        y : array-like of shape (n_samples,), default=None
            Target for supervised transformers.
        **params : dict
            Metadata for the transformers, if routing is enabled.

        Returns
        -------
        FieldCSR of shape (n_samples, n_features_out)
            Of `dtype_`, with sorted indices and without duplicates.

        Raises
        ------
        ValueError
            If a transformer of several columns does not tell its feature names, gives
            something that is not a number, or there is no default for a column.
        TypeError, ValueError
            What a transformer raises, such as that it cannot read a cell.

        Examples
        --------
        >>> import pandas as pd
        >>> from skwfm import FieldTransformer
        >>> films = pd.DataFrame(
        ...     {"user": ["ann", "bob"], "genres": [["War"], ["Drama", "War"]]}
        ... )
        >>> X = FieldTransformer().fit_transform(films)
        >>> X.toarray().round(2)
        array([[0.  , 1.  , 1.  , 0.  ],
               [0.71, 0.71, 0.  , 1.  ]], dtype=float32)
        >>> X.fields, X.field_names
        (array([0, 0, 1, 1], dtype=int32), ('genres', 'user'))
        """
        X = _checked_table(X)
        given = self.transformers
        if given is None:
            self.transformers = default_transformers(X)
        self._used_transformers = self.transformers
        try:
            if given is None:  # which set_output could not reach before
                self.set_output(**getattr(self, "_sklearn_output_config", {}))
            out = super().fit_transform(X, y, **params)
        except ZeroDivisionError as error:  # scikit-learn's density of an empty stack
            raise ValueError(
                "The transformers give no column at all: no cell holds a label that "
                "is kept."
            ) from error
        finally:
            self.transformers = given
        self._record_fields()
        out = sp.csr_matrix(out)
        self.dtype_ = _least_dtype(out.data)
        return self._with_fields(out)

    def transform(self, X: Any, **params: Any) -> FieldCSR:
        """Transform rows, selecting the columns of a data frame by name.

        Parameters
        ----------
        X : data frame or array of shape (n_samples, n_columns)
            Not modified.
        **params : dict
            Metadata for the transformers, if routing is enabled.

        Returns
        -------
        FieldCSR of shape (n_samples, n_features_out)
            Of `dtype_`, with sorted indices and without duplicates.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called.
        TypeError, ValueError
            If a column is missing, or what a transformer raises.

        Examples
        --------
        >>> import pandas as pd
        >>> from skwfm import FieldTransformer
        >>> films = pd.DataFrame(
        ...     {"user": ["ann", "bob"], "genres": [["War"], ["Drama", "War"]]}
        ... )
        >>> transformer = FieldTransformer().fit(films)
        >>> new = pd.DataFrame({"genres": [["War", "Western"]], "user": ["eve"]})
        >>> transformer.transform(new).toarray()
        array([[0., 1., 0., 0.]], dtype=float32)
        """
        check_is_fitted(self)
        X = _checked_table(X, ensure_min_samples=0)
        out = ColumnTransformer.transform(self._resolved(), X, **params)
        return self._with_fields(sp.csr_matrix(out))

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Add columns for the labels of more rows.

        The first call is `fit`. In later ones a WeightedMultiLabelEncoder learns the
        labels that are new, and so does a FieldTransformer inside this one. Their
        columns come after *all* columns there are, transformer by transformer, so that
        no column changes its number or its meaning: `fields_` tells the field of each.
        The fields stay as they are. Every other transformer stays as the first call
        fitted it, also one with a `partial_fit` that would change what its columns
        mean, such as StandardScaler, and so does an encoder inside a Pipeline. Numbers
        or dates that are all missing in the first call leave their field empty.

        Parameters
        ----------
        X : data frame or array of shape (n_samples, n_columns)
            More rows, of the columns of the first call. Not modified.
        y : array-like of shape (n_samples,), default=None
            Target for supervised transformers, used in the first call.

        Returns
        -------
        self
            This transformer, with the columns of the new labels.

        Raises
        ------
        ValueError
            If a WeightedMultiLabelEncoder has `min_frequency` or `max_categories`:
            which labels are rare is known only after all rows.
        TypeError, ValueError
            As in `fit` and `transform`; nothing is learned then.

        Notes
        -----
        The rows are transformed, too: `dtype_` becomes float64 once a value needs it,
        and rows that `transform` would refuse are refused here.

        Examples
        --------
        >>> import pandas as pd
        >>> from skwfm import FieldTransformer
        >>> monday = pd.DataFrame({"user": ["ann", "bob"], "film": ["Heat", "M"]})
        >>> friday = pd.DataFrame({"user": ["eve", "ann"], "film": ["Heat", "Alien"]})
        >>> transformer = FieldTransformer(verbose_feature_names_out=False)
        >>> transformer.partial_fit(monday).get_feature_names_out().tolist()
        ['user=ann', 'user=bob', 'film=Heat', 'film=M']
        >>> transformer.partial_fit(friday).get_feature_names_out()[4:].tolist()
        ['user=eve', 'film=Alien']
        >>> transformer.fields_
        array([0, 0, 1, 1, 0, 1], dtype=int32)
        """
        self._partial_fit_transform(X, y)
        return self

    def _partial_fit_transform(self, X: Any, y: Any = None) -> FieldCSR:
        """Learn from more rows, and return them transformed: `partial_fit` does both.

        The work is done on a copy, so that an error leaves this object as it was.
        """
        if hasattr(self, "dtype_"):
            return self._grow(X)
        first = copy.copy(self)
        out = first.fit_transform(X, y)
        first._check_growing()
        self.__dict__.update(vars(first))
        return out

    def _grow(self, X: Any) -> FieldCSR:
        self._check_growing()
        X = _checked_table(X, ensure_min_samples=0)
        view = copy.copy(self._resolved())
        view._is_growing = True
        stacked = sp.csr_matrix(ColumnTransformer.transform(view, X))
        view.dtype_ = np.promote_types(self.dtype_, _least_dtype(stacked.data))
        out = view._with_fields(stacked)
        grown = ("transformers_", "output_indices_", "fields_", "dtype_")
        self.__dict__.update({name: vars(view)[name] for name in grown})
        return out

    def _check_growing(self) -> None:
        if (error := self._growing_error()) is not None:
            raise ValueError(error)

    def _growing_error(self) -> str | None:
        """Return why `partial_fit` is refused, or None."""
        named = self.named_transformers_
        return growing_error((part, named[part]) for part in self._first_fields)

    def _call_func_on_transformers(self, X: Any, y: Any, func: Any, **how: Any) -> Any:
        """Call a function with every transformer and its columns.

        scikit-learn does so between its checks of `X` and the stacking: where its
        `transform` calls this for a copy that is growing, the transformers grow first.
        """
        call = super()._call_func_on_transformers
        if self._is_growing:
            self._replace(call(X, y, grow_one, **how))
        return call(X, y, func, **how)

    def _replace(self, grown: list[Any]) -> None:
        """Put grown transformers, not None, in place of those they are copies of."""
        news = dict(zip(self.output_indices_, grown, strict=False))
        ids, indices, transformers = [self.fields_], dict(self.output_indices_), []
        size = len(self.fields_)
        for part, old, columns in self.transformers_:
            if (new := news.get(part)) is not None:
                more = new.fields_[len(old.fields_) :] + self._first_fields[part]
                indices[part] = extended(indices[part], size, size + len(more))
                size += len(more)
                ids.append(more)
            transformers.append((part, old if new is None else new, columns))
        self.transformers_, self.output_indices_ = transformers, indices
        self.fields_ = np.concatenate(ids)

    def set_output(self, *, transform: str | None = None) -> FieldTransformer:
        """Set the output container, which has to be "default".

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            With a data frame container `transform` raises: the result is sparse.

        Returns
        -------
        self
            This transformer.

        Examples
        --------
        >>> import pandas as pd
        >>> from skwfm import FieldTransformer
        >>> days = pd.DataFrame({"day": ["Mon", "Tue"]})
        >>> transformer = FieldTransformer().set_output(transform="pandas")
        >>> transformer.fit_transform(days)
        Traceback (most recent call last):
        ...
        ValueError: The transformer outputs a scipy sparse matrix. ...
        >>> transformer.set_output(transform="default").fit_transform(days).shape
        (2, 2)
        """
        if self.transformers is not None:
            super().set_output(transform=transform)
        else:  # skips what looks into the transformers
            super(ColumnTransformer, self).set_output(transform=transform)
        return self

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the name of every output column.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input columns, which must be those seen in `fit`.

        Returns
        -------
        array of object, shape (n_features_out,)
            In the order of the columns.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called.
        ValueError
            If `input_features` are other names than those of `fit`.

        Examples
        --------
        >>> import pandas as pd
        >>> from skwfm import FieldTransformer
        >>> films = pd.DataFrame({"user": ["ann", "bob"], "film": ["Heat", "M"]})
        >>> FieldTransformer().fit(films).get_feature_names_out()[:3].tolist()
        ['categories__user=ann', 'categories__user=bob', 'categories__film=Heat']
        >>> short = FieldTransformer(verbose_feature_names_out=False)
        >>> short.fit(films).get_feature_names_out().tolist()
        ['user=ann', 'user=bob', 'film=Heat', 'film=M']
        """
        names: npt.NDArray[Any] = super().get_feature_names_out(input_features)
        places = places_of(list(self.output_indices_.values()))
        if places is not None:
            names[places] = names.copy()
        return names

    def get_metadata_routing(self) -> Any:
        """Return the routing of the transformers' metadata.

        Returns
        -------
        MetadataRouter
            Which method of which transformer gets what.

        Examples
        --------
        >>> from sklearn import config_context
        >>> from sklearn.preprocessing import StandardScaler
        >>> from skwfm import FieldTransformer
        >>> with config_context(enable_metadata_routing=True):
        ...     scaler = StandardScaler().set_fit_request(sample_weight=True)
        ...     transformer = FieldTransformer([("scaled", scaler, ["price"])])
        ...     routing = transformer.get_metadata_routing()
        ...     routing.consumes("fit", ["sample_weight", "groups"])
        {'sample_weight'}
        """
        return ColumnTransformer.get_metadata_routing(self._resolved())

    def __str__(self) -> str:
        """Show which columns got which transformer."""
        if hasattr(self, "field_names_"):
            return fitted_text(self, HINTS if self.transformers is None else {})
        chosen = f": transformers {CHOSEN_IN_FIT}" if self.transformers is None else ""
        return repr(self) + chosen

    def _sk_visual_block_(self) -> Any:
        """Return what scikit-learn draws, with the columns beside the names."""
        view = self._resolved()
        fitted = hasattr(self, "transformers_")
        if not fitted and self.transformers is None:
            view.transformers = [
                (f"{name}: {takes} (chosen in fit)", transformer, CHOSEN_IN_FIT)
                for name, transformer, takes in defaults()
            ]
        block = ColumnTransformer._sk_visual_block_(view)
        if fitted:
            block.names = labelled_names(block.names, block.name_details)
        return block

    def __sklearn_tags__(self) -> Any:
        """Declare what the columns may hold: the transformers decide."""
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _resolved(self) -> FieldTransformer:
        """Return self with the transformers that `fit` used in place of None.

        A shallow copy, so that `transform` never changes this object.
        """
        if self.transformers is not None:
            return self
        view = copy.copy(self)
        view.transformers = getattr(self, "_used_transformers", [])
        return view

    def _hstack(self, Xs: list[Any], *, n_samples: int) -> Any:
        """Stack results as CSR: the hook that scikit-learn offers to subclasses.

        Its own stack refuses a sparse part without columns, which is what a column
        without a label that is kept gives.
        """
        parts = list(self.output_indices_)[: len(Xs)]  # in the order of Xs
        blocks = [_numeric_csr(part, X) for part, X in zip(parts, Xs, strict=True)]
        out = sp.hstack(blocks, format="csr")
        places = places_of([self.output_indices_[part] for part in parts])
        return out if places is None else placed(out, places)

    def _with_fields(self, out: Any) -> FieldCSR:
        if not out.has_canonical_format:
            out = out.copy()
            out.sum_duplicates()
        fields = FieldMap(self.fields_, self.field_names_)
        return FieldCSR(out.astype(self.dtype_), fields=fields)

    def _record_fields(self) -> None:
        """Set `fields_` and `field_names_` from the fitted transformers."""
        self._first_fields: dict[str, int] = {}  # of transformers with columns
        columns = getattr(self, "feature_names_in_", None)
        if columns is None:
            columns = np.array([f"x{i}" for i in range(self.n_features_in_)], object)
        ids: list[npt.NDArray[np.int32]] = [np.empty(0, dtype=np.int32)]
        names: list[tuple[str, str]] = []
        for part, transformer, selection in self.transformers_:
            positions = positions_of(selection, columns.tolist())
            if isinstance(transformer, str) or not positions:
                continue
            where = self.output_indices_[part]
            inputs = [columns[i] for i in positions]
            own, fields = fields_of(part, transformer, inputs, where.stop - where.start)
            self._first_fields[part] = len(names)
            ids.append(own + np.int32(len(names)))
            names.extend((part, name) for name in fields)
        self.fields_ = np.concatenate(ids)
        self.field_names_ = unique_names(names)


def make_field_transformer(
    *transformers: tuple[Any, Any],
    remainder: Any = "drop",
    n_jobs: int | None = None,
    verbose: bool = False,
    verbose_feature_names_out: Any = True,
) -> FieldTransformer:
    """Make a FieldTransformer, naming the transformers after their types.

    Parameters
    ----------
    *transformers : tuple of (transformer, columns)
        Without any, they are chosen from the dtypes in `fit`.
    remainder : {"drop", "passthrough"} or estimator, default="drop"
        What to do with columns that no transformer takes.
    n_jobs : int or None, default=None
        Number of transformers that run at the same time.
    verbose : bool, default=False
        Print the time each transformer takes to fit.
    verbose_feature_names_out : bool, str or callable, default=True
        Whether, or how, feature names start with the transformer's name.

    Returns
    -------
    FieldTransformer
        Not fitted.

    See Also
    --------
    FieldTransformer : With names for the transformers.
    sklearn.compose.make_column_transformer : The same without fields.

    Examples
    --------
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from skwfm import make_field_transformer
    >>> transformer = make_field_transformer((OneHotEncoder(), ["user", "item"]))
    >>> transformer.transformers
    [('onehotencoder', OneHotEncoder(), ['user', 'item'])]
    """
    return FieldTransformer(
        make_column_transformer(*transformers).transformers if transformers else None,
        remainder=remainder,
        n_jobs=n_jobs,
        verbose=verbose,
        verbose_feature_names_out=verbose_feature_names_out,
    )


# --- input and result ---------------------------------------------------------------


def _checked_table(X: Any, **checks: Any) -> Any:
    """Return a data frame as it is, anything else as 2-D array or CSR."""
    if nw.dependencies.is_into_dataframe(X):
        if not TAKES_ARROW and nw.dependencies.is_pyarrow_table(X):
            raise TypeError(old_arrow_error(sklearn.__version__))
        shape = nw.from_native(X, eager_only=True).shape
        if not shape[1]:
            check_table_shape(shape, 1, "FieldTransformer")
        return X
    check_not_masked(X, "X")
    if sp.issparse(X):
        check_format(X)
    dtype = None if hasattr(X, "__array__") or sp.issparse(X) else object
    return check_array(
        X, accept_sparse="csr", dtype=dtype, ensure_all_finite=False, **checks
    )


def _numeric_csr(part: str, block: Any) -> Any:
    """Return the result of a transformer as CSR of numbers."""
    if sp.issparse(block):
        return sp.csr_matrix(block)  # type: ignore[call-overload]
    block = np.asarray(block)
    if block.dtype.kind not in "biuf":
        try:
            block = block.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"Transformer {part!r} gives {block.flat[0]!r}, expected numbers. Use "
                "an encoder for text and labels, such as WeightedMultiLabelEncoder."
            ) from None
    return sp.csr_matrix(block)


def _least_dtype(data: npt.NDArray[Any]) -> npt.DTypeLike:
    """Return float32 if it holds the values exactly, else float64."""
    with np.errstate(over="ignore"):
        exact = np.array_equal(data, data.astype(np.float32), equal_nan=True)
    return np.dtype(np.float32 if exact else np.float64)
