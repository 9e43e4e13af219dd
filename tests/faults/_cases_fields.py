"""Parameters of the encoders (row 19), and what makes matrices with fields (5, 8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from _cases_encoders import BAD, ENCODERS, labels
from _probe import Case, Must, be_finite, refuse
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.utils._param_validation import InvalidParameterError

from skwfm import (
    FieldCSR,
    FieldMap,
    FieldTransformer,
    WeightedMultiLabelEncoder,
    hstack,
    make_field_transformer,
)

# --- parameters ---------------------------------------------------------------------

BAD_PARAMS: dict[str, dict[str, list[Any]]] = {
    "WeightedMultiLabelEncoder": {
        "categories": ["none", 3, None],
        "n_hash_features": [0, 2**31, 1.5, None],
        "min_frequency": [0, -1, 1.0, 0.0, "a", np.nan],
        "max_categories": [0, 1.5, "a"],
        "handle_unknown": ["raise", None],
        "normalize": ["l3", 2],
        "weight_transform": ["log", 3],
        "duplicates": ["first", None],
        "weights": ["a", [1]],
        "sep": [3],
        "weight_sep": [3],
        "quotechar": [3],
    },
    "HistoryEncoder": {"max_items": [0, -1, 1.5, "a"]},
    "SplineEncoder": {
        "n_knots": [1, 2.5, "a", None],
        "degree": [-1, 1.5, None],
        "knots": ["median", None, 3],
    },
    "DateEncoder": {"parts": ["year", None, 3], "split_fields": ["yes", None]},
}
OTHER_PARAMS: list[tuple[str, dict[str, Any], str]] = [
    ("WeightedMultiLabelEncoder", {"sep": ""}, "sep=''"),
    ("WeightedMultiLabelEncoder", {"sep": ":", "weight_sep": ":"}, "sep=':'"),
    ("WeightedMultiLabelEncoder", {"quotechar": "ab"}, "quotechar='ab'"),
    ("WeightedMultiLabelEncoder", {"dtype": np.int32}, "dtype="),
    ("WeightedMultiLabelEncoder", {"dtype": "a type"}, "dtype|type"),
    ("WeightedMultiLabelEncoder", {"categories": [["a"]]}, "categories has 1"),
    (
        "WeightedMultiLabelEncoder",
        {"categories": [["a", "a"], ["u"]]},
        "repeat a label",
    ),
    ("WeightedMultiLabelEncoder", {"categories": [3, 4]}, "categories|iterable"),
    ("WeightedMultiLabelEncoder", {"categories": "hash", "min_frequency": 2}, "'hash'"),
    (
        "WeightedMultiLabelEncoder",
        {"categories": "hash", "n_hash_features": 2**31 - 1},
        "n_hash_features=",
    ),
    ("WeightedMultiLabelEncoder", {"weights": {"a": "c"}}, "weights=.*'c'"),
    ("WeightedMultiLabelEncoder", {"weights": {"a": "a"}}, "takes a column twice"),
    ("WeightedMultiLabelEncoder", {"weights": {"a": "b"}}, "row 0"),
    ("WeightedMultiLabelEncoder", {"weights": {9: 1}}, "weights="),
    ("DateEncoder", {"parts": ["years"]}, "parts=.*'year'"),
    ("DateEncoder", {"parts": []}, "parts="),
    ("DateEncoder", {"parts": ["year", "year"]}, "parts="),
    (
        "FieldTransformer",
        {"transformers": [("x", WeightedMultiLabelEncoder(), ["c"])]},
        "c",
    ),
    ("FieldTransformer", {"transformers": [("x", 3, ["a"])]}, "fit|transform"),
    (
        "FieldTransformer",
        {"transformers": [("x", WeightedMultiLabelEncoder(), ["a"])] * 2},
        "unique",
    ),
    (
        "FieldTransformer",
        {"transformers": [("x", "passthrough", ["a"])]},
        "expected numbers",
    ),
    ("FieldTransformer", {"transformers": "auto"}, "transformers"),
    (
        "FieldTransformer",
        {"transformers": [("x", FunctionTransformer(lambda X: X[:2]), ["a"])]},
        "expected|dimensions|rows",
    ),
]


def _of_parameters() -> Iterator[Case]:
    for name, params in BAD_PARAMS.items():
        make, good = ENCODERS[name]
        for parameter, bad in params.items():
            for value in bad:
                yield Case(
                    19,
                    f"{parameter}={value!r}, {name}.fit",
                    good,
                    lambda X, m=make, p=parameter, v=value: (
                        m().set_params(**{p: v}).fit(X)
                    ),
                    refuse(
                        f"The '{parameter}' parameter of .*Got ", InvalidParameterError
                    ),
                )
    for name, params, message in OTHER_PARAMS:
        make, good = ENCODERS[name]
        yield Case(
            19,
            f"{_short(params)}, {name}.fit",
            good,
            lambda X, m=make, p=params: m().set_params(**p).fit(X),
            refuse(message, BAD),
        )
    for name, (make, _) in ENCODERS.items():
        yield Case(
            19,
            f"mistyped, {name}.set_params",
            dict,
            lambda _, m=make: m().set_params(degre=3),
            refuse("Invalid parameter 'degre'"),
        )


def _short(params: dict[str, Any]) -> str:
    """Return parameters as a name: short, and the same in every process."""
    return re.sub(r" at 0x\w+", "", repr(params))[:60]


# --- maps of fields -----------------------------------------------------------------

EYE = np.eye(3)


def _broken(label: int = 99) -> Any:
    X = sp.csr_matrix(EYE)
    X.indices[1] = label
    return X


def _broken_rows() -> Any:
    X = sp.csr_matrix(EYE)
    X.indptr[2] = 2**30
    return X


def _passing() -> Any:
    return FieldTransformer([("x", "passthrough", [0, 1]), ("y", "passthrough", [2])])


def _passed(X: Any) -> Any:
    return _passing().fit_transform(X)


def _passed_later(X: Any) -> Any:
    return _passing().fit(EYE).transform(X)


def _decoded(X: Any) -> Any:
    return WeightedMultiLabelEncoder().fit([["a"], ["b", "c"]]).inverse_transform(X)


FIELDS: list[tuple[str, Callable[[], Any], Callable[[Any], Any], Must]] = [
    (
        "too many sizes",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=[1, 1, 1, 1]),
        refuse(r"fields=\[1, 1, 1, 1\]"),
    ),
    (
        "a negative id",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=[0, -1, 2]),
        refuse("fields="),
    ),
    (
        "an id of NaN",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=[0, np.nan, 2]),
        refuse("fields="),
    ),
    (
        "an id beyond int32",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=[0, 1, 2**31]),
        refuse("fields="),
    ),
    (
        "an id beyond int64",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=[0, 1, 2**64]),
        refuse("fields="),
    ),
    (
        "an id of text",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=list("abc")),
        refuse("fields=", BAD),
    ),
    (
        "too few names",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=[1, 2], field_names=["a"]),
        refuse("field_names="),
    ),
    (
        "a name twice",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=[1, 2], field_names=["a", "a"]),
        refuse("field_names="),
    ),
    (
        "names of numbers",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=[1, 2], field_names=[1, 2]),
        refuse("field_names=", BAD),
    ),
    (
        "names alone",
        lambda: EYE,
        lambda X: FieldCSR(X, field_names=["a"]),
        refuse("without fields"),
    ),
    (
        "a map of another width",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=FieldMap.from_fields([2], 2)),
        refuse("fields="),
    ),
    (
        "a map of fields without a name",
        lambda: EYE,
        lambda X: FieldCSR(X, fields=FieldMap([0, -(10**8), 1], ("a", "b"))),
        refuse("ids="),
    ),
    ("hstack of nothing", list, hstack, refuse("blocks is empty")),
    (
        "hstack of other rows",
        lambda: [EYE, EYE[:2]],
        hstack,
        refuse(r"blocks\[1\] has 2 rows"),
    ),
    (
        "hstack of a vector",
        lambda: [EYE, np.ones(3)],
        hstack,
        refuse(r"blocks\[1\]: got"),
    ),
    (
        "hstack of text",
        lambda: [EYE, np.full((3, 1), "a")],
        hstack,
        refuse(r"blocks\[1\]: got"),
    ),
    ("hstack of complex", lambda: [EYE, EYE * 1j], hstack, refuse(r"blocks\[1\]: got")),
    (
        "hstack of objects",
        lambda: [EYE, EYE.astype(object)],
        hstack,
        refuse(r"blocks\[1\]: got"),
    ),
    ("hstack of None", lambda: [EYE, None], hstack, refuse(r"blocks\[1\]: got")),
    (
        "hstack of a broken CSR",
        lambda: [EYE, _broken()],
        hstack,
        refuse(r"blocks\[1\], row 1: got column index 99"),
    ),
    (
        "hstack of a label beyond its block",
        lambda: [_broken(3), EYE],
        hstack,
        refuse(r"blocks\[0\], row 1: got column index 3"),
    ),
    (
        "hstack of a broken indptr",
        lambda: [EYE, _broken_rows()],
        hstack,
        refuse(r"blocks\[1\].indptr"),
    ),
    (
        "FieldTransformer of a broken CSR",
        _broken,
        _passed,
        refuse("row 1: got column index 99"),
    ),
    (
        "FieldTransformer of a broken indptr",
        lambda: _broken_rows(),
        _passed,
        refuse("indptr"),
    ),
    (
        "FieldTransformer.transform of a broken CSR",
        _broken,
        _passed_later,
        refuse("row 1: got column index 99"),
    ),
    (
        "inverse_transform of a broken CSR",
        _broken,
        _decoded,
        refuse("row 1: got column index 99"),
    ),
    (
        "inverse_transform of a broken indptr",
        lambda: _broken_rows(),
        _decoded,
        refuse("indptr"),
    ),
    (
        "inverse_transform of other columns",
        lambda: EYE[:, :2],
        _decoded,
        refuse("X has 2 columns, expected the 3"),
    ),
    ("inverse_transform of NaN", lambda: EYE * np.nan, _decoded, refuse("NaN")),
    (
        "make_field_transformer of nothing",
        labels,
        lambda X: make_field_transformer().fit_transform(X),
        be_finite(),
    ),
    (
        "make_field_transformer of a class",
        labels,
        lambda X: make_field_transformer((OneHotEncoder, ["a"])).fit(X),
        refuse("", BAD),
    ),
]


def _of_fields() -> Iterator[Case]:
    for what, make, act, must in FIELDS:
        yield Case(5 if "broken" in what else 8, f"fields: {what}", make, act, must)


def cases() -> Iterator[Case]:
    """Return the cases of parameters and fields."""
    yield from _of_parameters()
    yield from _of_fields()
