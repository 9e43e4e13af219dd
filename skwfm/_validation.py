"""All input checks.

Those of matrices, files, solvers, sizes and of training that goes on are in modules
whose names end in ``_validation``.

An error names the parameter or the column and row, shows the value, and says what
was expected and the way out. Functions ending in ``_error`` return the text; functions
starting with ``check_`` raise.
"""

from __future__ import annotations

import inspect
from typing import Any
from warnings import warn

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

__all__ = [
    "bag_conflict_error",
    "cell_error",
    "check_not_masked",
    "check_table_shape",
    "field_names_error",
    "fields_error",
    "growing_limits_error",
    "holds_dates",
    "hstack_rows_error",
    "no_default_error",
    "not_numbers_error",
    "padded_error",
    "pair_error",
    "parts_error",
    "plain_sparse_message",
    "shorten",
    "shorten_text",
]

_FIELDS_FORMS = "'auto', one field id (>= 0) per column, or one positive size per field"
_FIELDS_ADVICE = (
    "Build the matrix with FieldTransformer or skwfm.hstack, which keep the field of "
    "every column, or pass fields= (ids per column, or sizes per field)."
)

# Sums of weights, and of weights times targets, stay far from the largest float64.
_LARGEST_TOTAL = 1e300

# An ordered target has no more levels: each is a parameter.
MAX_LEVELS = 100

# A cell may hold ten thousand labels: the message shows so many characters of it.
_CELL_WIDTH = 200


def shorten(value: object, width: int = 60) -> str:
    """Return ``repr(value)``, cut in the middle when it is longer than `width`."""
    return shorten_text(" ".join(repr(value).split()), width)


def shorten_text(text: str, width: int = 60) -> str:
    """Return `text`, cut in the middle when it is longer than `width`."""
    if len(text) <= width:
        return text
    half = (width - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def cell_error(column: object, row: int, value: object, expected: str) -> str:
    """Word the error for one raw cell; of a long one, its beginning and end."""
    text = shorten_text(repr(value), _CELL_WIDTH)
    return f"Column {column!r}, row {row}: got {text}, expected {expected}."


def no_default_error(column: object, kind: str) -> str:
    """Word the error for a column that no default transformer fits."""
    return (
        f"Column {column!r} holds {kind}, for which there is no default. Turn it into "
        "numbers or text, or give every column its transformer."
    )


def growing_limits_error(min_frequency: object, max_categories: object) -> str:
    """Word the error for `partial_fit` where `fit` may drop rare labels."""
    return (
        f"partial_fit with min_frequency={min_frequency!r}, "
        f"max_categories={max_categories!r}: which labels are rare is known only after "
        "all rows. Call fit, or set categories to a list or 'hash'."
    )


def not_numbers_error(column: object) -> str:
    """Word the error for a column of dates where numbers are expected."""
    return (
        f"Column {column!r} holds dates or durations, expected numbers. Take a "
        "DateEncoder for dates, and turn durations into numbers."
    )


def parts_error(parts: object, known: list[str]) -> str:
    """Word the error for the parts of a date."""
    return f"parts={shorten(parts)}: expected one or more different ones of {known}."


def old_arrow_error(version: str) -> str:
    """Word the error for an Arrow table that scikit-learn cannot take apart."""
    return (
        f"X is an Arrow table, of which scikit-learn {version} selects no columns. "
        "Pass X.to_pandas() or polars.from_arrow(X), or take scikit-learn 1.7 or newer."
    )


def check_table_shape(shape: tuple[int, int], least_columns: int, name: str) -> None:
    """Raise when a table of raw cells has no row, or too few columns for `name`."""
    for size, least, what in (
        (shape[0], 1, "sample"),
        (shape[1], least_columns, "feature"),
    ):
        if size < least:  # the words of sklearn.utils.check_array
            raise ValueError(
                f"Found array with {size} {what}(s) (shape={shape}) while a minimum "
                f"of {least} is required by {name}."
            )


def pair_error(
    columns: tuple[object, object], row: int, n_labels: int, n_weights: int
) -> str:
    """Word the error for a row of a column of labels and its column of weights."""
    return (
        f"Columns {columns[0]!r} and {columns[1]!r}, row {row}: got {n_labels} labels "
        f"and {n_weights} weights, expected one weight for every label."
    )


def fields_error(fields: object, n_columns: int, problem: str) -> str:
    """Word the error for a `fields` parameter that fits neither reading."""
    return (
        f"fields={shorten(fields)} {problem}. Expected {_FIELDS_FORMS}: {n_columns} "
        f"ids, or sizes that sum to {n_columns}, the number of columns."
    )


def check_map_ids(ids: npt.NDArray[Any], n_fields: int) -> None:
    """Raise unless every column has a field with a name: the core trusts it."""
    whole = ids.ndim == 1 and (not ids.size or ids.dtype.kind in "iu")
    if not whole or (ids.size and not 0 <= ids.min() <= ids.max() < n_fields):
        raise ValueError(
            f"ids={shorten(ids.tolist())}: expected one field id per column, in [0, "
            f"{n_fields}) where there are {n_fields} names."
        )


def field_names_error(names: object, n_fields: int) -> str:
    """Word the error for field names that are too few, too many or repeated."""
    return (
        f"field_names={shorten(names)}: expected {n_fields} different strings, "
        "one per field."
    )


def plain_sparse_message(n_columns: int, interactions: str) -> str:
    """Word what is missing when a sparse matrix says nothing about its fields."""
    head = (
        f"fields='auto', but X is a plain sparse matrix of {n_columns} columns that "
        "does not say which columns form a field"
    )
    tail = "" if interactions == "ffm" else "; every column is taken as its own field"
    return f"{head}{tail}. {_FIELDS_ADVICE}"


def hstack_rows_error(position: int, n_rows: int, expected: int) -> str:
    """Word the error for blocks of `hstack` with different numbers of rows."""
    return (
        f"blocks[{position}] has {n_rows} rows, expected {expected} like blocks[0]. "
        "All blocks must describe the same rows."
    )


def padded_error(name: str, row: int | None, value: object, expected: str) -> str:
    """Word the error for one array of the padded bag format."""
    where = name if row is None else f"{name}, row {row}"
    text = value if isinstance(value, str) else shorten(value)
    return f"{where}: got {text}, expected {expected}."


def bag_conflict_error(column: int, row: int, first: int, second: int) -> str:
    """Word the error for a column that occurs in bags of two fields."""
    return (
        f"indices, row {row}: column {column} occurs in bag {second}, but elsewhere in "
        f"bag {first}. A column belongs to one field: pass fields= to say which."
    )


def check_not_masked(values: Any, name: str) -> None:
    """Raise for a masked array with masked values, whose mask NumPy would drop."""
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return
    place = [int(axis[0]) for axis in np.nonzero(np.ma.getmaskarray(values))]
    axes = ["row", "column", "part"][: len(place)]
    where = ", ".join(f"{axis} {at}" for axis, at in zip(axes, place, strict=True))
    raise ValueError(
        f"{name}, {where}: is masked, expected a value. Fill masked values, or pass a "
        "data frame, in which they are missing."
    )


def holds_dates(values: Any) -> bool:
    """Tell arrays of dates or durations, which NumPy would turn into numbers."""
    return getattr(getattr(values, "dtype", None), "kind", "") in ("m", "M")


def check_row_weights(sample_weight: Any, X: Any) -> npt.NDArray[np.float64]:
    """Return one float64 weight >= 0 per row, not all of them zero."""
    if sample_weight is None:
        return np.ones(X.shape[0])
    check_not_masked(sample_weight, "sample_weight")
    weights = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not weights.any():
        raise ValueError(
            "sample_weight is zero for every row, expected a positive weight somewhere."
        )
    return np.asarray(weights)


def check_total_weight(weights: npt.NDArray[Any]) -> None:
    """Raise when the weights of all rows are too small or too large to be summed."""
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if not 0 < total <= _LARGEST_TOTAL:
        raise ValueError(
            f"sample_weight (times class_weight) sums to {total!r}, expected a sum "
            f"above 0 and at most {_LARGEST_TOTAL:g}. Divide it by its mean."
        )


def check_target_left(loss: str, n_classes: int, values: npt.NDArray[Any]) -> None:
    """Raise when the rows of positive weight leave nothing to learn."""
    if n_classes and values.min() == values.max():
        raise ValueError(
            "y has one class only among the rows of positive sample_weight, expected "
            "at least two classes."
        )
    if loss == "poisson" and not values.any():
        raise ValueError(
            "y holds zeros only among the rows of positive sample_weight, expected a "
            "positive sum with loss='poisson'."
        )


def check_same_fields(given: Any, fitted: Any) -> None:
    """Raise when X says its columns belong to other fields than it did in fit.

    Parameters
    ----------
    given, fitted : FieldMap or None
        Nothing is said, and nothing checked, where either is None.
    """
    if given is None or fitted is None or given == fitted:
        return
    moved = given.ids != fitted.ids
    if moved.any():
        column = int(np.argmax(moved))
        problem = (
            f"column {column} belongs to field {int(given.ids[column])}, but to field "
            f"{int(fitted.ids[column])} in fit"
        )
    else:
        names = shorten(given.names), shorten(fitted.names)
        problem = f"the fields are {names[0]}, but {names[1]} in fit"
    raise ValueError(f"X, {problem}. Transform X by the same FieldTransformer.")


def check_validation_part(fraction: float, n_rows: int) -> int:
    """Return how many rows to hold out; both parts must have one."""
    n_valid = round(fraction * n_rows)
    if not 0 < n_valid < n_rows:
        raise ValueError(
            f"validation_fraction={fraction!r} of {n_rows} different rows leaves none "
            "to learn from or to stop by. Set early_stopping=False, or pass eval_set."
        )
    return n_valid


def strata(codes: Any, n_valid: int) -> Any:
    """Return class codes to split by, or None if a class has too few rows for it."""
    counts = np.bincount(codes.astype(np.int64))
    parts = min(n_valid, len(codes) - n_valid)
    return codes if counts.min() >= 2 and parts >= len(counts) else None


def check_class_weights(weights: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
    """Raise when the weight of a class is negative or not finite."""
    good = np.isfinite(weights) & (weights >= 0)
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(
            f"class_weight of class {labels.tolist()[row]!r} is {weights[row]!s}, "
            "expected a finite number >= 0."
        )


def check_real_target(y: Any) -> npt.NDArray[np.float64]:
    """Return a regression target as float64, shape (n_samples,)."""
    if holds_dates(y):
        raise TypeError(
            f"y holds dates or durations, {y.dtype}, expected numbers. Turn them into "
            "numbers, such as days since a first one."
        )
    try:
        values = np.asarray(column_or_1d(y, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y={shorten(np.asarray(y).tolist())}: {error}. A regressor expects one "
            "number per row."
        ) from error
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"y, row {row}: got {values[row]!s}, expected finite numbers.")
    return values


def check_counts(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the target of a Poisson regression if it can be one."""
    if y.min(initial=0) < 0:
        row = int(np.argmax(y < 0))
        raise ValueError(
            f"y, row {row}: got {float(y[row])!r}, expected a value >= 0 with "
            "loss='poisson'."
        )
    return y


def check_levels(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the levels of an ordered target, sorted."""
    levels = np.unique(y)
    if not 2 <= len(levels) <= MAX_LEVELS:
        raise ValueError(
            f"y has {len(levels)} different values, expected 2 to {MAX_LEVELS} levels "
            "with loss='ordinal'. For other numbers take loss='squared_error'."
        )
    return levels.astype(np.float64)


def check_label_kinds(y: npt.NDArray[Any]) -> None:
    """Raise when some labels are text and others are not: they have no order."""
    if y.dtype != object:
        return
    is_text = [isinstance(label, str) for label in y]
    if any(is_text) and not all(is_text):
        row = is_text.index(False)
        raise TypeError(
            f"y, row {row}: got {y[row]!r}, expected text as in row "
            f"{is_text.index(True)}. Drop rows without a label, or make all labels "
            "text."
        )


def check_two_classes(classes: npt.NDArray[Any]) -> None:
    """Raise when a classifier is given fewer than two classes."""
    if len(classes) < 2:
        raise ValueError(
            f"y has one class only, {classes.tolist()!r}: a classifier needs at least "
            "two classes."
        )


def check_eval_set(eval_set: Any) -> tuple[Any, Any]:
    """Return the X and y of an eval_set."""
    if not isinstance(eval_set, tuple | list) or len(eval_set) != 2:
        raise ValueError(
            f"eval_set={shorten(eval_set)}: expected a pair (X, y) of rows to stop by."
        )
    X, y = eval_set
    return X, y


def check_known_classes(
    y: npt.NDArray[Any], classes: npt.NDArray[Any], name: str
) -> None:
    """Raise when a target holds a class that the model does not have."""
    known = np.isin(y, classes)
    if not known.all():
        row = int(np.argmin(known))
        raise ValueError(
            f"{name}, row {row}: got class {y.tolist()[row]!r}, expected one of "
            f"{shorten(classes.tolist())}."
        )


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's own code that led here.

    Filters that show a warning once per line would otherwise show it once at all.
    """
    frame, level = inspect.currentframe(), 1
    while frame is not None and _is_library(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warn(message, category, stacklevel=level)


def _is_library(module: str) -> bool:
    return module.partition(".")[0] in {"skwfm", "sklearn", "skorch"}


def warn_interrupted(epoch: int) -> None:
    """Warn that Ctrl-C ended the training."""
    warn_user(
        f"Training was interrupted: the model of epoch {epoch} is kept.",
        ConvergenceWarning,
    )


def warn_diverged(epoch: int, loss: float, learning_rate: float) -> None:
    """Warn that training went to infinity and the epoch before is kept."""
    warn_user(
        f"Training diverged in epoch {epoch} (loss {loss}): the model of the epoch "
        f"before is kept. Lower learning_rate={learning_rate:g}, or scale the "
        "features.",
        ConvergenceWarning,
    )


def warn_worse_than_constant(
    loss: float, constant: float, field: str, norm: float
) -> None:
    """Warn that a model has learned nothing, and name the field to blame."""
    warn_user(
        "The model predicts the rows that it learned from worse than a constant: its "
        f"loss is {loss:.3g}, that of a constant {constant:.3g}. Field {field!r} has "
        f"weights of {norm:.3g} per row (root of the mean squared norm), where about 1 "
        "is usual: scale them, as by normalize or weight_transform of "
        "WeightedMultiLabelEncoder or by StandardScaler.",
        ConvergenceWarning,
    )


def check_callbacks(callbacks: list[Any] | None) -> list[Any]:
    """Return the callbacks of a parameter, all of them skorch's."""
    for at, item in enumerate(callbacks or []):
        callback = item[1] if isinstance(item, tuple | list) else item
        if callback is None or hasattr(callback, "on_epoch_end"):
            continue
        raise TypeError(
            f"callbacks[{at}]={shorten(item)}: expected a callback of skorch, or a "
            "tuple (name, callback). Callbacks of scikit-learn go into set_callbacks."
        )
    return callbacks or []


def check_has_samples(model: Any) -> None:
    """Raise where a model has no draws that could differ."""
    check_is_fitted(model, "factors_")
    if not hasattr(model, "samples_"):
        raise ValueError(
            f"return_std=True needs draws of the parameters, which solver="
            f"{model.solver!r} does not have. Fit with solver='mcmc'."
        )


def core_error(solver: str) -> str:
    """Return the message for a solver that only the compiled core has."""
    return (
        f"solver={solver!r} needs the compiled core and a CPU. Install skwfm where a"
        " C++ compiler is found, or choose another solver."
    )


def warn_no_core() -> None:
    """Say what an installation without the compiled core lacks."""
    warn_user(
        "skwfm was installed without its compiled core: torch and NumPy do its work,"
        " several times slower. Install it where a C++ compiler is found.",
        RuntimeWarning,
    )


def l1_error(l1_linear: float, solver: str) -> str:
    """Return the message for an L1 penalty that a solver does not know."""
    return (
        f"l1_linear={l1_linear!r} is known to solver='ftrl' only, not to {solver!r}."
        " Choose that solver, or l1_linear=0."
    )


def missing_extra_error(package: str, extra: str) -> str:
    """Word the error for a package that an extra of this one installs."""
    return (
        f"{package.replace('_', '-')} is not installed. Install what this needs by: "
        f'pip install "skwfm[{extra}]"'
    )


def check_finite_scores(scores: npt.NDArray[Any]) -> None:
    """Raise where a score overflows: no prediction is ever NaN or infinite."""
    if not np.isfinite(scores).all():
        row = int(np.argmin(np.isfinite(scores).all(axis=1)))
        raise ValueError(
            f"X, row {row}: the score overflows, {scores[row].tolist()}. The values "
            "are too large to multiply; scale the features."
        )


def checked_exp(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the exponentials of scores, all finite."""
    with np.errstate(over="ignore"):
        values: npt.NDArray[Any] = np.exp(scores)
    check_finite_scores(values[:, None])
    return values


def check_unique_names(X: Any) -> None:
    """Raise when two columns of a data frame have one name."""
    seen: set[str] = set()
    # The columns of an Arrow table are the data, not their names.
    for name in getattr(X, "column_names", getattr(X, "columns", [])):
        if isinstance(name, str) and name in seen:
            raise ValueError(
                f"X, column {name!r} occurs twice, expected different names."
            )
        seen.add(name)
