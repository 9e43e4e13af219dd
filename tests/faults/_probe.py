"""What a case of the fault probe is, and how it is judged.

A case provokes a fault and says what must happen: an exception whose message names what
is wrong, a result equal to another one, or a finite result, perhaps with a warning. In
every case the input must be as before, bit for bit; a result that is not finite where
nobody was told is a *silent NaN*.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

GOOD, WRONG, SILENT_NAN = "good", "wrong", "silent NaN"
CRASH, HANG = "crash", "hang"


class Outcome(NamedTuple):
    """How a case went."""

    kind: str
    detail: str = ""


class Must(NamedTuple):
    """What must happen; see `refuse`, `equal`, `be_finite` and `survive`."""

    error: tuple[type[BaseException], ...] = ()
    message: str = ""
    result: bool = False
    """Whether a result is allowed (or, without `error`, expected)."""
    same_as: Callable[[], Any] | None = None
    tolerance: float = 0.0
    warning: type[Warning] | None = None
    warning_message: str = ""
    warning_may_fail: bool = False


def refuse(message: str, error: Any = ValueError, warning: Any = None) -> Must:
    """Raise an error of this very type whose message matches."""
    errors = error if isinstance(error, tuple) else (error,)
    return Must(errors, message, warning=warning, warning_may_fail=True)


def equal(same_as: Any, tolerance: float = 1e-6, warning: Any = None) -> Must:
    """Return what `same_as`, a value or a function, returns."""
    other = same_as if callable(same_as) else lambda: same_as
    return Must(result=True, same_as=other, tolerance=tolerance, warning=warning)


def be_finite(warning: Any = None, message: str = "") -> Must:
    """Return finite numbers, with a warning if one is given."""
    return Must(result=True, warning=warning, warning_message=message)


def survive(message: str, warning: Any = None, error: Any = ValueError) -> Must:
    """Return finite numbers, perhaps with a warning, or raise an error that matches."""
    errors = error if isinstance(error, tuple) else (error,)
    return Must(errors, message, True, warning=warning, warning_may_fail=True)


class Case(NamedTuple):
    """A line of the probe."""

    row: int
    """Of the table of faults, see `ROWS`."""
    name: str
    make: Callable[[], Any]
    """Makes the input."""
    act: Callable[[Any], Any]
    """Does with the input what is faulty, and returns what comes out."""
    must: Must

    @property
    def id(self) -> str:
        """The name under which it is reported."""
        return f"{self.row:02}: {self.name}"


def judge(case: Case) -> Outcome:
    """Run a case; also a mistake of its own is an outcome."""
    try:
        return _judge(case)
    except Exception as error:
        return Outcome(WRONG, f"the case itself raised {error!r}")


def _judge(case: Case) -> Outcome:
    given = case.make()
    before = snapshot(given)
    result, error = None, None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = case.act(given)
        except Exception as raised:
            error = raised
    if snapshot(given) != before:
        return Outcome(WRONG, "the input was modified")
    if error is not None:
        return _judge_error(case.must, error)
    found = _judge_warnings(case.must, caught)
    bad = None if case.must.error and not case.must.result else _not_finite(result)
    if bad is not None:
        return Outcome(WRONG if caught else SILENT_NAN, bad)
    if found is not None:
        return Outcome(WRONG, found)
    return _judge_result(case.must, result)


def _judge_error(must: Must, error: Exception) -> Outcome:
    got = f"{type(error).__name__}: {error}"
    if not must.error:
        return Outcome(WRONG, f"raised {got}")
    if not isinstance(error, must.error):
        return Outcome(WRONG, f"raised {got}, expected {must.error}")
    if not re.search(must.message, str(error), re.DOTALL):
        return Outcome(WRONG, f"raised {got}, expected a match of {must.message!r}")
    return Outcome(GOOD, got)


def _judge_warnings(must: Must, caught: list[Any]) -> str | None:
    for item in caught:
        if must.warning is None or not issubclass(item.category, must.warning):
            return f"warned {item.category.__name__}: {item.message}"
        if not re.search(must.warning_message, str(item.message), re.DOTALL):
            return f"warned {item.message}, expected {must.warning_message!r}"
    if must.warning is not None and not caught and not must.warning_may_fail:
        return f"did not warn, expected {must.warning.__name__}"
    return None


def _judge_result(must: Must, result: Any) -> Outcome:
    if not must.result:
        return Outcome(WRONG, f"returned {_short(result)}, expected {must.error}")
    if must.same_as is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = must.same_as()
        different = difference(result, expected, must.tolerance)
        if different is not None:
            return Outcome(WRONG, different)
    return Outcome(GOOD, _short(result))


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) < 300 else f"{text[:300]}..."


# --- looking into inputs and results ------------------------------------------------


def snapshot(value: Any) -> Any:
    """Return what can be compared to tell whether a value was modified."""
    if isinstance(value, dict):
        return {key: snapshot(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value).__name__, [snapshot(part) for part in value]
    if sp.issparse(value):
        parts = ("data", "indices", "indptr", "coords", "offsets", "rows")
        arrays = {name: getattr(value, name, None) for name in parts}
        return type(value).__name__, value.shape, snapshot(arrays)
    if isinstance(value, np.ndarray):
        whole = value.dtype == object
        content = repr(value.tolist()) if whole else np.asarray(value).tobytes()
        return type(value).__name__, value.dtype, value.shape, content
    if hasattr(value, "detach"):
        return "tensor", str(value.dtype), snapshot(_array(value))
    if hasattr(value, "iloc"):  # of pandas
        parts = value.dtypes, value.axes, value.to_numpy(dtype=object).tolist()
        return repr(parts)
    if hasattr(value, "to_pydict"):  # of Arrow
        return repr((value.schema, value.to_pydict()))
    if hasattr(value, "to_dict"):  # of polars
        return repr((value.schema, value.to_dict(as_series=False)))
    for name in ("to_pylist", "to_list"):  # of a column
        if hasattr(value, name):
            return repr((type(value), getattr(value, name)()))
    return repr(value)


def numbers_of(value: Any) -> Iterator[np.ndarray]:
    """Yield all arrays of numbers inside a result."""
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers_of(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers_of(part)
    elif sp.issparse(value):
        yield np.asarray(value.data)
    elif hasattr(value, "detach"):
        yield _array(value)
    elif isinstance(value, np.ndarray | float | int | complex | np.generic):
        yield np.asarray(value)


def _not_finite(result: Any) -> str | None:
    for array in numbers_of(result):
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            return f"returned {_short(array)}"
    return None


def difference(found: Any, expected: Any, tolerance: float) -> str | None:
    """Return how two results differ, None if they do not."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if found.keys() != expected.keys():
            return f"has {list(found)}, expected {list(expected)}"
        pairs = [(found[key], expected[key]) for key in expected]
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        if len(found) != len(expected):
            return f"has {len(found)} parts, expected {len(expected)}"
        pairs = list(zip(found, expected, strict=True))
    else:
        return _difference_of_arrays(_dense(found), _dense(expected), tolerance)
    parts = (difference(*pair, tolerance) for pair in pairs)
    return next((part for part in parts if part is not None), None)


def _dense(value: Any) -> np.ndarray:
    if sp.issparse(value):
        return value.toarray()
    if hasattr(value, "detach"):
        return _array(value)
    return np.asarray(value)


def _array(tensor: Any) -> np.ndarray:
    """Return what a tensor holds; NumPy has no bfloat16."""
    tensor = tensor.detach().cpu().to_dense()
    is_narrow = tensor.is_floating_point() and tensor.dtype.itemsize < 4
    return (tensor.float() if is_narrow else tensor).numpy()


def _difference_of_arrays(
    found: np.ndarray, expected: np.ndarray, tolerance: float
) -> str | None:
    same_shape = found.shape == expected.shape
    if same_shape and expected.dtype.kind in "fc" and found.dtype.kind in "fciu":
        same = np.allclose(found, expected, rtol=tolerance, atol=tolerance)
    else:
        same = same_shape and np.array_equal(found, expected)
    return None if same else f"is {_short(found)}, expected {_short(expected)}"
