"""Fitted objects as JSON and arrays, and back: a closed list of kinds, no code.

None, bools, whole numbers below 2**63, finite floats, text and lists are JSON as they
are. Every JSON object has one key, the kind of what it stands for:

=============== =====================================================================
``"int"``       a larger whole number, in hexadecimal
``"float"``     ``"nan"``, ``"inf"``, ``"-inf"``
``"text"``      text with surrogates, ``"bytes"``: both in base64
``"tuple"``     list of values; ``"slice"``: of three
``"dict"``      list of [key, value]
``"array"``     its number in the file
``"objects"``   [shape, values] of an array of labels or names
``"scalar"``    [dtype, bytes in base64] of a NumPy scalar
``"dtype"``     of NumPy; ``"type"``: the name of a scalar type of NumPy
``"record"``    [name, {field: value}] of one of `RECORDS`
``"estimator"`` [name, {parameter: value}, {attribute: value}] of one of `ESTIMATORS`
=============== =====================================================================

What is read becomes an object of a class that the reader passes by name. No name from
a file is ever imported, and no attribute hides one of its class.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from skwfm._callbacks import during_fit
from skwfm._model_file import (
    ModelFileError,
    dtype_spelling,
    is_dtype_spelling,
    spelling_of,
)
from skwfm._validation import shorten

__all__ = ["DERIVED", "ESTIMATORS", "RECORDS", "Decoder", "Encoder", "class_name"]

# Where each class is from, so that writing needs none of these modules.
RECORDS = {
    "FieldMap": "skwfm._field_map",
    "HashedLabels": "skwfm._hashing",
    "Samples": "skwfm._samples",
    "Seen": "skwfm._state",
    "SolverState": "skwfm._state",
    "Vocabulary": "skwfm._vocabulary",
    "_Histories": "skwfm._history",
}
ESTIMATORS = {
    "DateEncoder": "skwfm._dates",
    "FieldTransformer": "skwfm._compose",
    "FunctionTransformer": "sklearn.preprocessing._function_transformer",
    "HistoryEncoder": "skwfm._history",
    "Pipeline": "sklearn.pipeline",
    "SplineEncoder": "skwfm._numbers",
    "WeightedFFMClassifier": "skwfm._estimators",
    "WeightedFFMRegressor": "skwfm._estimators",
    "WeightedFMClassifier": "skwfm._estimators",
    "WeightedFMRegressor": "skwfm._estimators",
    "WeightedMultiLabelEncoder": "skwfm._encoders",
}
# What follows from the rest, is not written, and is made again by the reader.
DERIVED = {
    "HistoryEncoder": {"categories_", "_sizes", "fields_"},
    "SplineEncoder": {"_bases"},
    "Vocabulary": {"index"},
    "WeightedMultiLabelEncoder": {"categories_", "infrequent_categories_", "fields_"},
}

_MAX_DEPTH = 100
_PLAIN_INT = 2**63
_SCALAR_TYPES: dict[str, Any] = {
    t.__name__: t
    for t in (float, np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_)
}
_LABELS = (str, bytes, bool, int, float, type(None), np.generic)
_WAY_OUT = "Leave it out, or write the model by pickle, joblib or skops."

Array = npt.NDArray[Any]


def class_name(value: Any, known: dict[str, str]) -> str | None:
    """Return the name of an object's class if it is exactly one of those known."""
    cls = type(value)
    return cls.__name__ if known.get(cls.__name__) == cls.__module__ else None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- writing ------------------------------------------------------------------------


class Encoder:
    """Turn objects into JSON and a list of arrays.

    Attributes
    ----------
    arrays : list of array
        Those met so far.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._model_codec import Encoder
    >>> encoder = Encoder()
    >>> encoder.encode({"a": (1, 2.5)}, "x")
    {'dict': [['a', {'tuple': [1, 2.5]}]]}
    >>> encoder.encode(np.arange(3), "x"), len(encoder.arrays)
    ({'array': 0}, 1)
    """

    def __init__(self) -> None:
        self.arrays: list[Array] = []

    def encode(self, value: Any, path: str) -> Any:
        """Return what stands for a value.

        Parameters
        ----------
        value : object
            Anything.
        path : str
            Where it is, for the error.

        Raises
        ------
        TypeError
            If the file has no way to hold it.
        """
        if value is None or type(value) is bool:
            return value
        if type(value) is str:
            return _text(value)
        if type(value) is int:
            plain = -_PLAIN_INT < value < _PLAIN_INT
            return value if plain else {"int": hex(value)}
        if type(value) is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if type(value) is bytes:
            return {"bytes": _base64(value)}
        return self._compound(value, path)

    def _compound(self, value: Any, path: str) -> Any:
        if type(value) is list:
            return self._items(value, path)
        if type(value) is tuple:
            return {"tuple": self._items(value, path)}
        if type(value) is dict:
            keys = self._items(list(value), f"{path}, key ")
            values = [self.encode(v, f"{path}[{k!r}]") for k, v in value.items()]
            return {"dict": [list(pair) for pair in zip(keys, values, strict=True)]}
        if type(value) is slice:
            return {"slice": self._items([value.start, value.stop, value.step], path)}
        if isinstance(value, np.ndarray | np.generic | np.dtype):
            return self._of_numpy(value, path)
        if isinstance(value, type) and value in _SCALAR_TYPES.values():
            return {"type": value.__name__}
        return self._object(value, path)

    def _items(self, values: Any, path: str) -> list[Any]:
        return [self.encode(value, f"{path}[{i}]") for i, value in enumerate(values)]

    def _of_numpy(self, value: Any, path: str) -> Any:
        if isinstance(value, np.dtype):
            if dtype_spelling(value):
                return {"dtype": value.str}
        elif value.dtype == object:
            if all(isinstance(x, _LABELS) for x in value.flat):
                return {"objects": [list(value.shape), self._items(value.flat, path)]}
            return self._items(value.flat, path)  # which names the one to blame
        elif spelling := spelling_of(np.asarray(value)):
            if isinstance(value, np.generic):
                data = np.asarray(value).astype(spelling[0]).tobytes()
                return {"scalar": [spelling[0], _base64(data)]}
            self.arrays.append(np.asarray(value))
            return {"array": len(self.arrays) - 1}
        raise TypeError(_refusal(path, value))

    def _object(self, value: Any, path: str) -> Any:
        if name := class_name(value, RECORDS):
            skipped = DERIVED.get(name, set())
            names = [f.name for f in dataclasses.fields(value)]
            state = {n: getattr(value, n) for n in names if n not in skipped}
            return {"record": [name, self._state(state, path)]}
        if name := class_name(value, ESTIMATORS):
            parameters = value.get_params(deep=False)
            skipped = {*DERIVED.get(name, ()), *parameters, *during_fit(value)}
            state = {n: v for n, v in vars(value).items() if n not in skipped}
            states = self._state(parameters, path), self._state(state, path)
            return {"estimator": [name, *states]}
        raise TypeError(_refusal(path, value))

    def _state(self, state: dict[str, Any], path: str) -> dict[str, Any]:
        # In order, so that equal models give equal files.
        return {
            name: self.encode(state[name], f"{path}.{name}") for name in sorted(state)
        }


def _text(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:  # two halves of a pair would come back as one letter
        return {"text": _base64(value.encode("utf-32-le", "surrogatepass"))}
    return value


def _refusal(path: str, value: Any) -> str:
    if "callbacks" in path:
        return (
            f"{path}: {shorten(value)} is no data, and a model file holds no callback. "
            "Set callbacks=None, and call set_callbacks() without any."
        )
    kind = type(value).__name__
    return (
        f"{path}: a model file cannot hold {shorten(value)} of type {kind!r}. "
        f"{_WAY_OUT}"
    )


# --- reading ------------------------------------------------------------------------


class Decoder:
    """Turn JSON and arrays into objects; what makes no sense raises.

    Parameters
    ----------
    arrays : list of array
        Those of the file.
    records : dict of callable
        What makes a record from its fields, by name.
    estimators : dict of callable
        What makes an estimator from its parameters and attributes, by name.
    """

    def __init__(
        self,
        arrays: list[Array],
        records: dict[str, Callable[..., Any]],
        estimators: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]],
    ) -> None:
        self._arrays = arrays
        self._records = records
        self._estimators = estimators
        self._kinds: dict[str, Callable[[Any, int], Any]] = {
            "int": lambda given, _: int(given, 16),
            "float": lambda given, _: _special(given),
            "text": lambda given, _: _bytes(given).decode("utf-32-le", "surrogatepass"),
            "bytes": lambda given, _: _bytes(given),
            "tuple": lambda given, depth: tuple(self._list(given, depth)),
            "slice": self._slice,
            "dict": self._dict,
            "array": lambda given, _: self._array(given),
            "objects": self._objects,
            "scalar": lambda given, _: _scalar(*given),
            "dtype": lambda given, _: _dtype(given),
            "type": lambda given, _: _SCALAR_TYPES[given],
            "record": self._record,
            "estimator": self._estimator,
        }

    def decode(self, given: Any, depth: int = 0) -> Any:
        """Return what a JSON value stands for.

        Parameters
        ----------
        given : JSON
            Anything.
        depth : int
            How many values it is inside of.

        Raises
        ------
        ModelFileError, ArithmeticError, LookupError, TypeError, ValueError
            If it does not stand for anything.
        """
        if depth > _MAX_DEPTH:
            raise ModelFileError("the header nests too deeply.")
        if isinstance(given, list):
            return self._list(given, depth)
        if not isinstance(given, dict):
            return given
        ((kind, content),) = given.items()
        return self._kinds[kind](content, depth + 1)

    def _list(self, given: Any, depth: int) -> list[Any]:
        if not isinstance(given, list):
            raise ModelFileError(
                "the header has something else where a list should be."
            )
        return [self.decode(item, depth + 1) for item in given]

    def _slice(self, given: Any, depth: int) -> slice:
        start, stop, step = self._list(given, depth)
        if not all(isinstance(x, int | str | None) for x in (start, stop, step)):
            raise ModelFileError(
                "the header holds a slice of neither numbers nor text."
            )
        return slice(start, stop, step)

    def _dict(self, given: Any, depth: int) -> dict[Any, Any]:
        pairs = [self._list(pair, depth) for pair in given]
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ModelFileError("the header repeats a key.")
        return found

    def _array(self, number: Any) -> Array:
        if type(number) is not int or number < 0:
            raise ModelFileError("the header names an array that is not there.")
        return self._arrays[number]

    def _objects(self, given: Any, depth: int) -> Array:
        shape, items = given
        values = self._list(items, depth)
        if not all(isinstance(value, _LABELS) for value in values):
            raise ModelFileError("an array holds something other than labels.")
        array = np.empty(len(values), dtype=object)
        array[:] = values
        if not all(type(n) is int and 0 <= n <= len(values) for n in shape):
            raise ModelFileError("an array of labels has no shape.")
        return array.reshape(shape)

    def _record(self, given: Any, depth: int) -> Any:
        name, state = given
        return self._records[name](**self._state(state, depth))

    def _estimator(self, given: Any, depth: int) -> Any:
        name, parameters, state = given
        states = self._state(parameters, depth), self._state(state, depth)
        return self._estimators[name](*states)

    def _state(self, given: dict[str, Any], depth: int) -> dict[str, Any]:
        return {name: self.decode(v, depth + 1) for name, v in given.items()}


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _special(text: str) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[text]


def _dtype(text: str) -> np.dtype[Any]:
    if not is_dtype_spelling(text):
        raise ModelFileError("the header holds a dtype that cannot be.")
    return np.dtype(text)


def _scalar(spelling: str, text: str) -> Any:
    data = np.frombuffer(_bytes(text), _dtype(spelling))
    (scalar,) = data.astype(data.dtype.newbyteorder("="))
    return scalar
