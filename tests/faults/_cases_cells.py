"""Raw cells: missing and bad ones (rows 1 and 10), the maths of a cell (row 11)."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from _probe import Case, equal, refuse, survive

from skwfm import (
    FieldTransformer,
    WeightedMultiLabelEncoder,
)

BAD = (ValueError, TypeError)


def column(*cells: Any) -> Callable[[], Any]:
    """Return what makes a frame of one column "tags" of objects."""

    def make() -> Any:
        values = np.empty(len(cells), dtype=object)
        values[:] = cells
        return pd.DataFrame({"tags": pd.Series(values, dtype=object)})

    return make


def encode(X: Any, **params: Any) -> Any:
    """Fit and transform; the names tell which label has which column."""
    encoder = WeightedMultiLabelEncoder(**params)
    out = encoder.fit_transform(X)
    labels = [part.tolist() for part in encoder.categories_]
    return out.toarray(), repr(labels)


def later(X: Any, **params: Any) -> Any:
    """Transform by an encoder fitted to good cells of the same kind."""
    good = column(["a", "b"], {"a": 2.0}, [("b", 1.0)])()
    return WeightedMultiLabelEncoder(**params).fit(good).transform(X).toarray()


# A cell in row 1 that cannot be read, the cell before it, and what the error says.
AT = "Column 'tags', row 1: got "
CELLS: list[tuple[int, str, Any, Any, str]] = [
    (1, "weight NaN in a dict", {"a": 1.0}, {"a": np.nan}, "finite weights"),
    (1, "weight inf in a dict", {"a": 1.0}, {"a": np.inf}, "finite weights"),
    (1, "weight -inf in pairs", [("a", 1.0)], [("a", -np.inf)], "finite weights"),
    (1, "weight of numpy NaN", {"a": 1.0}, {"a": np.float32("nan")}, "finite weights"),
    (1, "weight beyond float64", {"a": 1.0}, {"a": 10**400}, "finite weights"),
    (1, "weight Decimal NaN", {"a": 1.0}, {"a": decimal.Decimal("NaN")}, "finite"),
    (1, "weight Decimal sNaN", {"a": 1.0}, {"a": decimal.Decimal("sNaN")}, "finite"),
    (1, "weight NaN in text", "a:1", "a:nan", "number|weight"),
    (1, "weight inf in text", "a:1", "a:inf", "number|weight"),
    (1, "weight 1e999 in text", "a:1", "a:1e999", "finite|number|weight"),
    (1, "label NaN in a list", ["a"], ["a", np.nan], "no missing label inside a cell"),
    (1, "label None in a list", ["a"], ["a", None], "no missing label inside a cell"),
    (1, "label NaT in a list", ["a"], ["a", pd.NaT], "no missing label inside a cell"),
    (1, "label pd.NA in a list", ["a"], ["a", pd.NA], "no missing label inside a cell"),
    (1, "label None in a dict", {"a": 1.0}, {None: 1.0}, "no missing label"),
    (10, "1 and '1'", [1], [1, "1"], "labels of one kind"),
    (10, "1 and True", [1], [1, True], "labels of one kind"),
    (10, "text and bytes", ["a"], ["a", b"a"], "labels of one kind"),
    (
        10,
        "date and text",
        ["a"],
        [datetime.date(2020, 1, 1), "a"],
        "labels of one kind",
    ),
    (10, "a pair among labels", ["a"], ["a", ("b", 2.0)], "only labels or only"),
    (10, "a label among pairs", [("a", 1.0)], [("a", 1.0), "b"], "only labels or only"),
    (10, "a triple", [("a", 1.0)], [("a", 1.0, 2.0)], "only labels or only"),
    (10, "a single in a tuple", [("a", 1.0)], [("a",)], "only labels or only"),
    (10, "an empty tuple", ["a"], ["a", ()], "only labels or only"),
    (10, "a scalar among lists", ["a"], "a", "like the other cells of the column"),
    (10, "a number among lists", ["a"], 3, "like the other cells of the column"),
    (10, "a list among scalars", "a", ["a"], "like the other cells of the column"),
    (10, "a dict among scalars", "a", {"a": 1.0}, "like the other cells"),
    (10, "a list in a list", ["a"], ["a", ["b"]], "hashable single values"),
    (10, "a dict in a list", ["a"], ["a", {"b": 1.0}], "hashable single values"),
    (10, "a set in a list", ["a"], ["a", {"b"}], "hashable single values"),
    (10, "a frozenset in a list", ["a"], ["a", frozenset("b")], "single values"),
    (10, "a tuple as a key", {"a": 1.0}, {("a", "b"): 1.0}, "hashable single values"),
    (10, "an array in a list", ["a"], ["a", np.array(["b"])], "hashable single values"),
    (10, "weight text", {"a": 1.0}, {"a": "b"}, "weights that are real numbers"),
    (10, "weight number as text", {"a": 1.0}, {"a": "1"}, "weights that are real"),
    (10, "weight None", {"a": 1.0}, {"a": None}, "weights that are real numbers"),
    (10, "weight bool", {"a": 1.0}, {"a": True}, "weights that are real numbers"),
    (10, "weight numpy bool", {"a": 1.0}, {"a": np.True_}, "weights that are real"),
    (10, "weight complex", {"a": 1.0}, {"a": 1j}, "weights that are real numbers"),
    (10, "weight list", {"a": 1.0}, {"a": [1.0]}, "weights that are real numbers"),
    (
        10,
        "weight array",
        {"a": 1.0},
        {"a": np.ones(2)},
        "weights that are real numbers",
    ),
    (10, "weight date", {"a": 1.0}, {"a": datetime.date(2020, 1, 1)}, "real numbers"),
    (10, "weight timedelta", {"a": 1.0}, {"a": datetime.timedelta(1)}, "real numbers"),
    (10, "weight pd.NA", {"a": 1.0}, {"a": pd.NA}, "weights that are real numbers"),
    (10, "weight text in a pair", [("a", 1.0)], [("a", "b")], "weights that are real"),
    (10, "0-d array", np.array(["a"]), np.array("a"), "1-D array|like the other"),
    (10, "2-D array", np.array(["a"]), np.array([["a", "b"]]), "single values"),
    (10, "a generator", ["a"], (x for x in "ab"), "list, set|hashable|like the other"),
    (10, "weighted and plain text", "a:1", "b", "weight"),
    (10, "weighted and plain labels", "a:1", "a:1|b", "weight"),
    (10, "text with a bad weight", "a:1|b:2", "a:1|b:x", "weight"),
]
# Cells that are the same bag.
SAME: list[tuple[str, Any, Any]] = [
    ("a label twice", ["a", "b", "a"], {"a": 2.0, "b": 1.0}),
    ("a pair twice", [("a", 0.5), ("a", 1.0), ("b", 1.0)], {"a": 1.5, "b": 1.0}),
    ("weight 0", {"a": 1.0, "c": 0.0}, {"a": 1.0}),
    ("weight -0.0", {"a": 1.0, "c": -0.0}, {"a": 1.0}),
    ("weights that cancel", [("a", 1.0), ("c", 2.0), ("c", -2.0)], {"a": 1.0}),
    ("only weight 0", {"a": 0.0}, None),
    ("an empty dict", {}, None),
    ("an empty tuple", (), None),
    ("an empty array", np.array([], dtype=object), None),
    ("NaN", np.nan, None),
    ("pd.NA", pd.NA, None),
    ("NaT", pd.NaT, None),
    ("a set", {"a", "b"}, ["a", "b"]),
    ("a tuple", ("a", "b"), ["a", "b"]),
    ("an array", np.array(["a", "b"]), ["a", "b"]),
    ("an object array", np.array(["a", "b"], dtype=object), ["a", "b"]),
    ("a Series", pd.Series(["a", "b"]), ["a", "b"]),
    ("numpy labels", [np.str_("a"), np.str_("b")], ["a", "b"]),
    ("dict keys", {"a": 1, "b": 1}.keys(), ["a", "b"]),
    ("a negative weight", [("a", -1.0)], {"a": -1.0}),
    ("a Fraction", {"a": Fraction(1, 4)}, {"a": 0.25}),
    ("a Decimal", {"a": decimal.Decimal("0.25")}, {"a": 0.25}),
    ("numpy weights", {"a": np.float16(0.25), "b": np.int8(2)}, {"a": 0.25, "b": 2.0}),
    ("the other order", [("b", 2.0), ("a", 1.0)], {"a": 1.0, "b": 2.0}),
]


def _of_cells() -> Iterator[Case]:
    for row, what, first, cell, message in CELLS:
        for doing, act in (("fit", encode), ("transform", later)):
            if doing == "transform" and not isinstance(first, list | dict):
                continue
            cells = column(first, cell, first)
            yield Case(
                row,
                f"{what}, WeightedMultiLabelEncoder.{doing}",
                cells,
                act,
                refuse(f"^{AT}.*{message}", BAD),
            )
        yield Case(
            row,
            f"{what}, FieldTransformer.fit",
            column(first, cell, first),
            lambda X: FieldTransformer(
                [("x", WeightedMultiLabelEncoder(), ["tags"])]
            ).fit_transform(X),
            refuse(f"^{AT}.*{message}", BAD),
        )
    for what, cell, same in SAME:
        rest = ({"a": 1.0, "b": 2.0}, {"b": -1.0})
        yield Case(
            11,
            f"{what}, WeightedMultiLabelEncoder.fit",
            column(*rest, cell),
            encode,
            equal(partial(encoded, *rest, same), 0.0),
        )
        yield Case(
            11,
            f"{what}, WeightedMultiLabelEncoder.transform",
            column(cell),
            later,
            equal(lambda s=same: later(column(s)()), 0.0),
        )
        for scaling in ("l1", "l2", "sqrt", "max"):
            yield Case(
                11,
                f"{what}, normalize {scaling}",
                column(*rest, cell),
                partial(encode, normalize=scaling),
                equal(partial(encoded, *rest, same, normalize=scaling), 1e-7),
            )
    for what, cell in (("empty bags", []), ("None", None), ("weights 0", {"a": 0.0})):
        yield Case(
            11,
            f"only {what}, WeightedMultiLabelEncoder.fit",
            column(cell, cell),
            lambda X: WeightedMultiLabelEncoder().fit_transform(X).toarray(),
            equal(np.zeros((2, 0))),
        )
    for scaling in ("l1", "l2", "sqrt", "max"):
        yield Case(
            11,
            f"weights that sum to 0, normalize {scaling}",
            column({"a": 1.0, "b": -1.0}, {"a": 5e-324}, {"a": 1e308, "b": 1e308}),
            partial(encode, normalize=scaling, dtype=np.float64),
            survive("Column 'tags', row 2: .* finite after scaling"),
        )
    yield Case(
        11,
        "a negative weight, log1p",
        column({"a": 1.0}, {"a": -2.0}),
        partial(encode, weight_transform="log1p"),
        refuse("Column 'tags', row 1.*-2"),
    )
    yield Case(
        11,
        "duplicates refused",
        column(["a"], ["b", "b"]),
        partial(encode, duplicates="error"),
        refuse(f"{AT}.*'b' twice"),
    )
    yield Case(
        1,
        "a weight beyond float32",
        column({"a": 1.0}, {"a": 1e39}),
        encode,
        refuse("Column 'tags', row 1.*1e.39"),
    )
    yield Case(
        1,
        "weights whose sum overflows",
        column({"a": 1.0}, [("a", 1e308), ("a", 1e308)]),
        partial(encode, dtype=np.float64),
        refuse("Column 'tags', row 1"),
    )
    for what, function in {
        "NaN": lambda w: w * np.nan,
        "inf": lambda w: w / 0,
        "too few": lambda w: w[1:],
        "text": lambda w: w.astype(str),
        "None": lambda w: None,
        "complex": lambda w: w * 1j,
    }.items():
        yield Case(
            1,
            f"weight_transform that gives {what}",
            column({"a": 1.0}, {"a": 2.0}),
            partial(_quiet, weight_transform=function),
            refuse("weight_transform|finite after scaling", BAD),
        )


def _quiet(X: Any, **params: Any) -> Any:
    with np.errstate(all="ignore"):
        return encode(X, **params)


def encoded(*cells: Any, **params: Any) -> Any:
    return encode(column(*cells)(), **params)


def cases() -> Iterator[Case]:
    """Return the cases of rows 1, 10 and 11 in cells."""
    yield from _of_cells()
