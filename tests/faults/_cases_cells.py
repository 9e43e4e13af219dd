"""Raw cells: missing and bad ones (1, 10), unknown labels (9), the maths of a cell (11).

The same cells in every container are row 12.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from _probe import Case, be_finite, equal, refuse, survive
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from skwfm import (
    DateEncoder,
    FieldTransformer,
    HistoryEncoder,
    SplineEncoder,
    WeightedFFMClassifier,
    WeightedFMRegressor,
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
            equal(partial(_encoded, *rest, same), 0.0),
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
                equal(partial(_encoded, *rest, same, normalize=scaling), 1e-7),
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


def _encoded(*cells: Any, **params: Any) -> Any:
    return encode(column(*cells)(), **params)


# --- unknown labels -----------------------------------------------------------------

KNOWN = (["a", "b"], ["b", "c"], ["a"])


def _unknown(X: Any, **params: Any) -> Any:
    encoder = WeightedMultiLabelEncoder(**params).fit(column(*KNOWN)())
    return encoder.transform(X).toarray()


def _of_unknown() -> Iterator[Case]:
    for what, cell, same in (
        ("an unknown label", ["a", "z"], ["a"]),
        ("only unknown labels", ["z", "y"], []),
        ("unknown with a weight", {"a": 2.0, "z": 1e30}, {"a": 2.0}),
        ("unknown of another kind", [1, 2], []),
        ("unknown that is empty", ["", "a"], ["a"]),
    ):
        for scaling in (None, "l1", "l2", "sqrt", "max"):
            yield Case(
                9,
                f"{what}, ignored, normalize {scaling}",
                column(cell),
                partial(_unknown, normalize=scaling),
                equal(
                    lambda s=same, n=scaling: _unknown(column(s)(), normalize=n), 0.0
                ),
            )
        yield Case(
            9,
            f"{what}, error",
            column(["a"], cell),
            partial(_unknown, handle_unknown="error"),
            refuse(f"{AT}.*(unknown|labels seen in fit)"),
        )
        yield Case(
            9,
            f"{what}, infrequent without rare labels",
            column(cell),
            partial(_unknown, handle_unknown="infrequent"),
            equal(lambda s=same: _unknown(column(s)()), 0.0),
        )
    yield Case(
        9,
        "an unknown label, infrequent",
        column(["a", "z"]),
        partial(_unknown, handle_unknown="infrequent", min_frequency=2),
        equal(np.array([[1.0, 0.0, 1.0]])),
    )
    yield Case(
        9,
        "an unknown label, hashed",
        column(["a", "z"]),
        lambda X: _unknown(X, categories="hash", n_hash_features=8).sum(),
        equal(2.0),
    )
    yield Case(
        9,
        "an unknown label in fit, error",
        column(["a"], ["z"]),
        partial(encode, categories=[["a"]], handle_unknown="error"),
        refuse(f"{AT}.*(unknown|expected)"),
    )
    for model in (WeightedFMRegressor, WeightedFFMClassifier):
        for cell, same in ((["a", "z"], ["a"]), (["z"], []), (["z"], None)):
            yield Case(
                9,
                f"unknown {cell} is {same}, {model.__name__}.predict",
                _films(cell),
                partial(_predicted, model),
                equal(lambda m=model, s=same: _predicted(m, _films(s)()), 0.0),
            )


def _films(cell: Any) -> Callable[[], Any]:
    def make() -> Any:
        frame = column(["a", "b"], ["b"], cell)()
        return frame.assign(year=[1.0, np.nan, 3.0], country=["x", None, "unknown"])

    return make


def _predicted(model: Any, X: Any) -> Any:
    frame = column(*KNOWN * 4)()
    frame = frame.assign(year=np.arange(12.0), country=list("xyx") * 4)
    y = np.arange(12) % 2
    fitted = model(n_factors=2, max_iter=2, random_state=0).fit(frame, y)
    return fitted.predict_proba(X) if hasattr(fitted, "classes_") else fitted.predict(X)


# --- containers ---------------------------------------------------------------------

ROWS = [[("a", 0.5), ("b", 2.0)], None, [], [("c", -1.0)], [("b", 1.0), ("a", 0.25)]]
LISTS = [None if row is None else [label for label, _ in row] for row in ROWS]
TEXTS = [None if row is None else "|".join(f"{x}:{w}" for x, w in row) for row in ROWS]
SINGLES = ["a", None, "c", "b", "a"]
MAP = pa.map_(pa.string(), pa.float64())
CONTAINERS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "pairs": {
        "pandas objects": lambda rows: pd.DataFrame({"x0": rows}),
        "list": list,
        "numpy objects": lambda rows: _objects(rows)[:, None],
        "dicts": lambda rows: [None if r is None else dict(r) for r in rows],
        "pandas text": lambda _: pd.DataFrame({"x0": TEXTS}),
        "pandas string": lambda _: pd.DataFrame(
            {"x0": pd.Series(TEXTS, dtype="string")}
        ),
        "pandas categorical": lambda _: pd.DataFrame(
            {"x0": pd.Series(TEXTS, dtype="category")}
        ),
        "pandas Arrow map": lambda rows: pd.DataFrame(
            {"x0": pd.Series(rows, dtype=pd.ArrowDtype(MAP))}
        ),
        "pandas Arrow text": lambda _: pd.DataFrame(
            {"x0": pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.string()))}
        ),
        "numpy text objects": lambda _: _objects(TEXTS)[:, None],
        "polars structs": lambda rows: pl.DataFrame({"x0": _structs(rows)}),
        "polars text": lambda _: pl.DataFrame({"x0": TEXTS}),
        "pyarrow map": lambda rows: pa.table({"x0": pa.array(rows, MAP)}),
        "pyarrow text": lambda _: pa.table({"x0": TEXTS}),
    },
    "lists": {
        "pandas objects": lambda rows: pd.DataFrame({"x0": rows}),
        "list": list,
        "numpy objects": lambda rows: _objects(rows)[:, None],
        "pandas Arrow list": lambda rows: pd.DataFrame(
            {"x0": pd.Series(rows, dtype=pd.ArrowDtype(pa.list_(pa.string())))}
        ),
        "polars list": lambda rows: pl.DataFrame({"x0": rows}),
        "pyarrow list": lambda rows: pa.table({"x0": rows}),
        "arrays": lambda rows: [None if r is None else np.array(r, "O") for r in rows],
    },
    "singles": {
        "pandas objects": lambda rows: pd.DataFrame({"x0": pd.Series(rows, dtype="O")}),
        "list": list,
        "numpy objects": lambda rows: _objects(rows)[:, None],
        "pandas string": lambda rows: pd.DataFrame(
            {"x0": pd.Series(rows, dtype="string")}
        ),
        "pandas categorical": lambda rows: pd.DataFrame(
            {"x0": pd.Series(rows, dtype="category")}
        ),
        "polars": lambda rows: pl.DataFrame({"x0": rows}),
        "polars categorical": lambda rows: pl.DataFrame(
            {"x0": pl.Series(rows, dtype=pl.Categorical)}
        ),
        "pyarrow": lambda rows: pa.table({"x0": rows}),
        "pyarrow dictionary": lambda rows: pa.table(
            {"x0": pa.array(rows).dictionary_encode()}
        ),
    },
}


def _objects(cells: Any) -> Any:
    out = np.empty(len(cells), dtype=object)
    out[:] = cells
    return out


def _structs(rows: Any) -> Any:
    return [
        None if row is None else [{"label": x, "weight": w} for x, w in row]
        for row in rows
    ]


def _of_containers() -> Iterator[Case]:
    for kind, rows in (("pairs", ROWS), ("lists", LISTS), ("singles", SINGLES)):
        for what, wrap in CONTAINERS[kind].items():
            yield Case(
                12,
                f"{kind} as {what}, WeightedMultiLabelEncoder",
                lambda w=wrap, r=rows: w(r),
                encode,
                equal(lambda r=rows: _encoded(*r), 0.0),
            )
            if "list" not in what.split() and what not in ("dicts", "arrays"):
                yield Case(
                    12,
                    f"{kind} as {what}, a model",
                    lambda w=wrap, r=rows: w(r),
                    _modelled,
                    equal(
                        lambda k=kind: _modelled(
                            CONTAINERS[k]["pandas objects"](
                                {"pairs": ROWS, "lists": LISTS, "singles": SINGLES}[k]
                            )
                        )
                    ),
                )


def _modelled(X: Any) -> Any:
    encoder = FieldTransformer([("x", WeightedMultiLabelEncoder(), [0])])
    y = [1.0, 2.0, 3.0, 4.0, 5.0]
    rows = encoder.fit_transform(
        X if hasattr(X, "shape") else np.array(X, dtype=object)
    )
    return WeightedFMRegressor(2, max_iter=2, random_state=0).fit(rows, y).predict(rows)


def cases() -> Iterator[Case]:
    """Return the cases of rows 9 to 12, and of row 1 in cells."""
    yield from _of_cells()
    yield from _of_unknown()
    yield from _of_containers()
