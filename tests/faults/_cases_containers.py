"""Unknown labels (row 9), and the same cells in every container (row 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from _cases_cells import AT, column, encode, encoded
from _probe import Case, equal, refuse

from skwfm import (
    FieldTransformer,
    WeightedFFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)

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
                equal(lambda r=rows: encoded(*r), 0.0),
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
    """Return the cases of rows 9 and 12."""
    yield from _of_unknown()
    yield from _of_containers()
