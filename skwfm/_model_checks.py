"""Whether the parts of a fitted object fit each other.

A signed model file may come from anyone. Before an object of it predicts, everything by
which its methods index, allocate or loop is checked against the arrays that are there.
The same checks run before a file is written, so that every file can be read.

Cost: some passes over the integer arrays; factors and coefficients are not looked at,
since predicting checks the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral
from string import Formatter
from typing import Any

import numpy as np

from skwfm._model_codec import ESTIMATORS, RECORDS, class_name
from skwfm._model_file import ModelFileError

__all__ = ["check", "check_spline_sizes"]

# scikit-learn's splines of n functions take n * n numbers: 128 MiB for all columns.
_MAX_SPLINE_NUMBERS = 2**24
# Processes that predicting may start because a file says so.
_MAX_JOBS = 1024
_STEPS = {"adagrad", "adagrad_weight", "sgd", "ftrl"}
_DATE_PARTS = {"year", "month", "weekday", "day", "hour"}
_FORMS = {"bags", "plain", "weighted", None}


def check(model: Any) -> None:
    """Raise unless an object is whole.

    Parameters
    ----------
    model : object
        Of a class among `ESTIMATORS`; any other is left to what holds it.

    Raises
    ------
    ModelFileError
        If one of its parts is missing, of another kind, or does not fit the others.
    AttributeError, LookupError, TypeError, ValueError
        In the same cases.
    """
    name = class_name(model, ESTIMATORS)
    if name is not None:
        n_jobs = getattr(model, "n_jobs", None) or 0
        _need(abs(n_jobs) <= _MAX_JOBS, model, f"n_jobs={n_jobs!r}")
        _CHECKS[name](model)


def _need(condition: Any, model: Any, what: str) -> None:
    if not condition:
        raise ModelFileError(f"{type(model).__name__}: {what} does not fit the rest.")


def _is_count(*values: Any) -> bool:
    return all(_is_whole(value) and value >= 0 for value in values)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_names(values: Any) -> bool:
    return isinstance(values, tuple) and all(isinstance(name, str) for name in values)


def _is_array(array: Any, shape: tuple[int | None, ...], kinds: str) -> bool:
    return (
        isinstance(array, np.ndarray)
        and array.dtype.kind in kinds
        and array.ndim == len(shape)
        and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    )


def _within(array: Any, low: int, high: int) -> bool:
    return not array.size or (int(array.min()) >= low and int(array.max()) < high)


def _check_inputs(model: Any) -> None:
    """Check the number of input columns and their names."""
    n_inputs = model.n_features_in_
    names = getattr(model, "feature_names_in_", None)
    good = names is None or (
        _is_array(names, (n_inputs,), "O") and all(isinstance(x, str) for x in names)
    )
    _need(_is_count(n_inputs) and good, model, "feature_names_in_")


def _check_fields(model: Any, n_columns: int) -> None:
    names, fields = model.field_names_, model.fields_
    good = _is_names(names) and _is_array(fields, (n_columns,), "i")
    good = good and fields.dtype == np.int32 and _within(fields, 0, len(names))
    _need(good, model, "fields_")


def _is_fitted(model: Any) -> bool:
    """Tell whether an object was fitted: one that is to be cloned is not.

    By scikit-learn's rule, so that nothing counts as fitted that was not looked at.
    """
    return any(name.endswith("_") and name[:2] != "__" for name in vars(model))


# --- encoders -----------------------------------------------------------------------


def _check_labels(model: Any) -> None:
    model._validate_params()
    model._check_settings()
    if not _is_fitted(model):
        return
    _check_inputs(model)
    n_inputs, pairs = model.n_features_in_, model._pairs
    parts = pairs, model._forms, model._vocabularies, model._columns
    same = len({len(part) for part in (*parts, model.field_names_)}) == 1
    _need(same and all(isinstance(part, list) for part in parts), model, "_pairs")
    used = [i for pair in pairs for i in pair if i is not None]
    good = all(len(pair) == 2 and pair[0] is not None for pair in pairs)
    good = good and all(map(_is_count, used))
    _need(good and sorted(used) == list(range(len(used))), model, "_pairs")
    _need(len(used) == n_inputs, model, "n_features_in_")
    _need(set(model._forms) <= _FORMS, model, "_forms")
    for vocabulary, columns in zip(model._vocabularies, model._columns, strict=True):
        _check_vocabulary(model, vocabulary)
        good = _is_array(columns, (vocabulary.n_columns,), "i")
        _need(good and (np.diff(columns) > 0).all(), model, "_columns")
    _check_places(model, model._columns)
    _check_fields(model, sum(map(len, model._columns)))


def _check_vocabulary(model: Any, vocabulary: Any) -> None:
    if hasattr(vocabulary, "index"):
        labels, rare = vocabulary.labels, vocabulary.rare
        good = all(_is_array(a, (None,), "bifO") for a in (labels, rare))
        rest = (-1, -2) if not vocabulary.has_bucket else (len(labels),)
        good = good and type(vocabulary.has_bucket) is bool
        good = good and _is_whole(vocabulary.unknown) and vocabulary.unknown in rest
        # Every label once: a column is found by its label.
        n_rare = len(rare) if vocabulary.unknown == -2 else 0
        good = good and len(vocabulary.index) == len(labels) + n_rare
    else:
        good = _is_count(vocabulary.n_columns) and vocabulary.n_columns > 0
    _need(good, model, "_vocabularies")


def _check_places(model: Any, blocks: Iterable[Any]) -> None:
    """Check that the columns of all blocks are 0, 1, 2, ... in some order."""
    places = np.concatenate([np.empty(0, np.int64), *blocks])
    seen = np.zeros(len(places), dtype=bool)
    if good := _within(places, 0, len(places)):
        seen[places] = True
    _need(good and seen.all(), model, "columns")


def check_spline_sizes(model: Any) -> None:
    """Raise unless the basis functions on the knots are as many as the columns.

    Parameters
    ----------
    model : SplineEncoder
        Its `_bases` need not be there yet.
    """
    model._validate_params()
    if not _is_fitted(model):
        return
    _check_inputs(model)
    knots = model.knots_
    good = isinstance(knots, list) and len(knots) == model.n_features_in_
    for array in knots:
        good = good and _is_array(array, (None,), "f") and array.dtype == np.float64
        good = good and np.isfinite(array).all() and (np.diff(array) > 0).all()
    _need(good and len(model.field_names_) == len(knots), model, "knots_")
    sizes = [len(k) + (model.degree - 1 if len(k) > 1 else 0) for k in knots]
    _check_fields(model, sum(sizes))
    if sum(size**2 for size in sizes) > _MAX_SPLINE_NUMBERS:
        raise ModelFileError(
            f"SplineEncoder: too many knots for a model file, at most "
            f"{int(_MAX_SPLINE_NUMBERS**0.5)} basis functions of one column."
        )


def _check_dates(model: Any) -> None:
    model._validate_params()
    if not _is_fitted(model):
        return
    _check_inputs(model)
    categories = model.categories_
    good = isinstance(categories, list) and len(categories) == model.n_features_in_
    good = good and set(model.parts) <= _DATE_PARTS
    for known in categories:
        good = good and tuple(known) == tuple(model.parts)
        for values in known.values():
            good = good and _is_array(values, (None,), "i")
            good = good and bool((np.diff(values) > 0).all())
    _need(good, model, "categories_")
    weekdays = [known.get("weekday", np.empty(0, int)) for known in categories]
    _need(all(_within(days, 0, 7) for days in weekdays), model, "categories_")
    sizes = (len(values) for known in categories for values in known.values())
    _check_fields(model, sum(sizes))


def _check_history(model: Any) -> None:
    model._validate_params()
    if not _is_fitted(model):
        return
    _check_inputs(model)
    encoder = model._encoder
    _need(class_name(encoder, ESTIMATORS) == "WeightedMultiLabelEncoder", model, "item")
    check(encoder)
    sizes = [len(labels) for labels in encoder.categories_]
    good = len(sizes) == model.n_features_in_ == encoder.n_features_in_
    _need(good and len(sizes) > 1 and model._sizes == sizes, model, "_encoder")
    good = len(model._histories) == len(sizes) - 1 == len(model.field_names_)
    _need(good, model, "_histories")
    for stored, n_items in zip(model._histories, sizes[1:], strict=True):
        _check_stored(model, stored, sizes[0], n_items)
    _check_fields(model, sum(sizes[1:]))


def _check_stored(model: Any, stored: Any, n_owners: int, n_items: int) -> None:
    indptr, items, spare = stored.indptr, stored.items, stored.spare
    good = _is_array(indptr, (n_owners + 2,), "i") and _is_array(items, (None,), "i")
    good = good and _is_array(spare, (n_owners + 1,), "i") and spare[-1] == -1
    good = good and stored.n_items == n_items and type(stored.n_items) is int
    good = good and _within(items, 0, n_items) and _within(spare, -1, n_items)
    good = good and indptr[0] == 0 and indptr[-1] == len(items)
    good = good and (np.diff(indptr) >= 0).all() and indptr[-2] == len(items)
    if good:  # searched, so sorted for every owner
        owners = np.repeat(np.arange(n_owners + 1), np.diff(indptr))
        good = bool((np.diff(owners * max(n_items, 1) + items) > 0).all())
    _need(good, model, "_histories")


def _check_passed(model: Any) -> None:
    """Check the FunctionTransformer by which scikit-learn passes columns through."""
    functions = ("func", "inverse_func", "kw_args", "inv_kw_args")
    good = all(getattr(model, name) is None for name in functions)
    _need(good and model.feature_names_out in (None, "one-to-one"), model, "func")
    if _is_fitted(model):
        _check_inputs(model)


# --- joined transformers ------------------------------------------------------------


def _check_transformer(model: Any) -> None:
    model._validate_params()
    _check_name_format(model)
    used = getattr(model, "_used_transformers", None)
    for _, transformer, _ in (*(model.transformers or ()), *(used or ())):
        check(transformer)
    check(model.remainder)
    if not _is_fitted(model):
        return
    _check_inputs(model)
    n_columns, n_inputs = len(model.fields_), model.n_features_in_
    _check_fields(model, n_columns)
    _need(str(model.dtype_) in ("float32", "float64"), model, "dtype_")
    blocks = model.output_indices_
    for where in blocks.values():
        good = _is_array(where, (None,), "i")
        if isinstance(where, slice):
            good = _is_count(where.start, where.stop) and where.step is None
            good = good and where.start <= where.stop <= n_columns
        _need(good, model, "output_indices_")
    _need(sum(map(_length, blocks.values())) == n_columns, model, "output_indices_")
    _check_places(model, map(_numbers, blocks.values()))
    positions = model._transformer_to_input_indices
    for name, transformer, _ in model.transformers_:
        check(transformer)
        _need(_transforms(transformer), model, "transformers_")
        own = getattr(transformer, "fields_", None)
        good = own is None or len(own) == _length(blocks[name])
        n_own = getattr(transformer, "n_features_in_", len(positions[name]))
        good = good and n_own == len(positions[name])
        _need(good and type(name) is str, model, "transformers_")
    inputs = {i for group in positions.values() for i in group}
    good = len(inputs) == n_inputs and inputs == set(range(len(inputs)))
    _need(good and all(map(_is_count, inputs)), model, "n_features_in_")


def _check_name_format(model: Any) -> None:
    """Allow the two names in a format of feature names, and no widths or attributes."""
    names = model.verbose_feature_names_out
    parts = Formatter().parse(names) if isinstance(names, str) else ()
    for _, name, spec, conversion in parts:
        good = name in (None, "transformer_name", "feature_name")
        _need(good and not spec and not conversion, model, "verbose_feature_names_out")


def _check_pipeline(model: Any) -> None:
    good = isinstance(model.steps, list) and model.memory is None
    for name, step in model.steps:
        is_last = name == model.steps[-1][0]
        is_known = class_name(step, ESTIMATORS) is not None or step == "passthrough"
        good = good and type(name) is str and is_known
        good = good and (is_last or _transforms(step))
        check(step)
    _need(good, model, "steps")


def _transforms(step: Any) -> bool:
    """Tell what may stand in the place of a transformer."""
    if isinstance(step, str):
        return step in ("drop", "passthrough")
    is_known = class_name(step, ESTIMATORS) is not None
    return is_known and hasattr(step, "transform")


def _length(where: Any) -> int:
    return where.stop - where.start if isinstance(where, slice) else len(where)


def _numbers(where: Any) -> Any:
    return np.arange(where.start, where.stop) if isinstance(where, slice) else where


# --- estimators ---------------------------------------------------------------------


def _check_estimator(model: Any) -> None:
    model._validate_params()
    if not _is_fitted(model):
        return
    _check_inputs(model)
    factors, fields, n_fields = model.factors_, model.fields_, model.n_fields_
    n_columns = len(fields)
    _check_fields(model, n_columns)
    _need(_is_count(n_fields) and n_fields == len(model.field_names_), model, "fields_")
    _need(type(model.intra_field_) is bool, model, "intra_field_")
    n_classes = _n_classes(model)
    outputs = () if n_classes <= 2 else (n_classes,)
    per_field = (n_fields,) if model._interactions == "ffm" else ()
    shape = (n_columns, *outputs, *per_field, None)
    good = _is_array(factors, shape, "f") and factors.dtype.itemsize in (4, 8)
    _need(good and factors.shape[-1] > 0, model, "factors_")
    good = _is_array(model.coef_, (*outputs, n_columns), "f")
    _need(good and model.coef_.dtype == factors.dtype, model, "coef_")
    good = type(model.intercept_) is float
    if outputs:
        good = _is_array(model.intercept_, outputs, "f")
    _need(good, model, "intercept_")
    _check_columns(model, n_columns)
    n_outputs = n_classes if outputs else 1
    _check_state(model, model.solver_state_, n_columns, n_outputs)
    good = _is_count(model.n_iter_, model.best_iter_)
    _need(good and isinstance(model.history_, dict), model, "history_")
    _check_statistics(model, n_columns)
    _check_samples(model, n_columns)
    if hasattr(model, "levels_"):
        _need(_is_levels(model.levels_), model, "levels_")


def _check_samples(model: Any, n_columns: int) -> None:
    """Check the draws of the parameters, which few models have."""
    if not hasattr(model, "samples_"):
        return
    draws = model.samples_
    _need(class_name(draws, RECORDS) == "Samples", model, "samples_")
    factors, dtype, k = draws.factors, model.factors_.dtype, model.factors_.shape[-1]
    good = model.factors_.ndim == 2 and _is_array(factors, (None, n_columns, k), "f")
    _need(good and len(factors) > 0 and factors.dtype == dtype, model, "samples_")
    n_draws = len(factors)
    tables = [draws.linear, *([] if draws.spread is None else [draws.spread])]
    for table in tables:
        good = good and _is_array(table, (n_draws, n_columns), "f")
        good = good and table.dtype == dtype
    for numbers in (draws.intercept, draws.noise):
        good = good and _is_numbers(numbers, (n_draws,))
    _need(good and (draws.noise > 0).all(), model, "samples_")
    if draws.cuts is not None or draws.levels is not None:
        good = _is_levels(draws.levels) and not hasattr(model, "classes_")
        good = good and _is_numbers(draws.cuts, (n_draws, len(draws.levels) - 1))
        # Levels have the shares between two cuts, which must not be below 0.
        _need(good and (np.diff(draws.cuts) >= 0).all(), model, "samples_")


def _is_levels(array: Any) -> bool:
    """Tell whether these are the values of an ordered target: found by bisection."""
    good = _is_numbers(array, (None,)) and len(array) > 1
    return good and bool((np.diff(array) > 0).all())


def _is_numbers(array: Any, shape: tuple[int | None, ...]) -> bool:
    """Tell whether an array holds finite float64."""
    is_wide = _is_array(array, shape, "f") and array.dtype.itemsize == 8
    return is_wide and bool(np.isfinite(array).all())


def _check_statistics(model: Any, n_columns: int) -> None:
    """Check the sums over the training rows, which older models do not have."""
    if not hasattr(model, "statistics_"):
        return
    sums = model.statistics_
    sizes = dict.fromkeys(("count", "weight", "square"), n_columns)
    sizes["bag_square"] = model.n_fields_
    good = isinstance(sums, dict) and set(sums) == {"n_rows", *sizes}
    good = good and type(sums["n_rows"]) is float
    good = good and all(_is_array(sums[key], (n,), "f") for key, n in sizes.items())
    _need(good, model, "statistics_")


def _n_classes(model: Any) -> int:
    """Return the number of classes, 0 of a regressor."""
    if not hasattr(model, "classes_"):
        _need(not hasattr(model, "class_weight"), model, "classes_")
        return 0
    classes = model.classes_
    good = _is_array(classes, (None,), "biufOUSM") and len(classes) > 1
    # Codes of classes are found by bisection.
    _need(good and np.array_equal(np.unique(classes), classes), model, "classes_")
    return len(classes)


def _check_columns(model: Any, n_columns: int) -> None:
    """Check what turns the columns of X into those of the model."""
    given, encoder = model.input_field_map_, model.field_transformer_
    n_inputs = model.n_features_in_
    if encoder is None:
        _need(n_inputs == n_columns, model, "n_features_in_")
    else:
        is_one = class_name(encoder, ESTIMATORS) == "FieldTransformer"
        _need(is_one and encoder.n_features_in_ == n_inputs, model, "encoder")
        check(encoder)
        _need(len(encoder.fields_) == n_columns, model, "field_transformer_")
    good = given is None or (
        type(given).__name__ == "FieldMap"
        and _is_names(given.names)
        # What came from the own encoder is not looked at again, and does not grow.
        and _is_array(given.ids, (n_columns if encoder is None else None,), "i")
    )
    _need(good, model, "input_field_map_")


def _check_state(model: Any, state: Any, n_columns: int, n_outputs: int) -> None:
    if state is None:  # the model of an epoch
        return
    length = model.factors_[:1].size
    shape = (n_columns, length) if state.step == "adagrad_weight" else (n_columns,)
    by_output = (n_columns, n_outputs)
    good = state.step in _STEPS and _is_whole(state.seed)
    good = good and 0 <= state.seed < 2**64
    good = good and _is_array(state.counts, (n_columns,), "f")
    good = good and _is_array(state.state, shape, "f")
    good = good and _is_array(state.linear_state, by_output, "f")
    z = state.linear_z
    good = good and (z is None) == (state.step != "ftrl")
    good = good and (z is None or _is_array(z, by_output, "f"))
    good = good and _is_array(state.bias, (2 * n_outputs,), "f")
    _need(good, model, "solver_state_")
    _check_seen(model, state.seen)


def _check_seen(model: Any, seen: Any) -> None:
    names = "shift unit weight squares total total_squares mean_square mean scale"
    numbers = [getattr(seen, name) for name in names.split()] + list(seen.first or ())
    good = all(isinstance(x, int | float | np.floating) for x in numbers)
    good = good and bool(np.isfinite(np.array(numbers, float)).all())
    good = good and min(seen.unit, seen.weight, seen.mean_square, seen.scale) > 0
    good = good and _is_count(seen.n_rows) and type(seen.is_new) is bool
    _need(good, model, "solver_state_")


_CHECKS: dict[str, Callable[[Any], None]] = {
    "DateEncoder": _check_dates,
    "FieldTransformer": _check_transformer,
    "FunctionTransformer": _check_passed,
    "HistoryEncoder": _check_history,
    "Pipeline": _check_pipeline,
    "SplineEncoder": check_spline_sizes,
    "WeightedFFMClassifier": _check_estimator,
    "WeightedFFMRegressor": _check_estimator,
    "WeightedFMClassifier": _check_estimator,
    "WeightedFMRegressor": _check_estimator,
    "WeightedMultiLabelEncoder": _check_labels,
}
