"""Padded bags from matrices and back (rows 1, 5, 6, 8 and 19)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _cases_matrices import BROKEN, OTHER_FORMS, UNUSUAL
from _cases_modules import BAD, OFFSETS, batch, put
from _inputs import SIZES, csr
from _probe import Case, equal, refuse

from skwfm import from_padded, to_padded


def _padded(X: Any) -> Any:
    return to_padded(X, SIZES)


def arrays(**changes: Callable[[Any], Any]) -> Callable[[], dict[str, Any]]:
    """Return what makes the arguments of from_padded."""

    def make() -> dict[str, Any]:
        parts: dict[str, Any] = {k: v.numpy() for k, v in batch()().items()}
        parts["n_features"] = 5
        parts["fields"] = [0, 1, 2, 2, 0]
        return {k: changes[k](v) if k in changes else v for k, v in parts.items()}

    return make


PADDED: list[tuple[int, str, Callable[[], Any], str]] = [
    (
        5,
        "label too large",
        arrays(indices=put(2, 1, 5)),
        "indices, row 2: got 5, expected labels from 0 to 4",
    ),
    (5, "label negative", arrays(indices=put(0, 3, -1)), "indices, row 0: got -1"),
    (
        5,
        "label uint64",
        arrays(indices=lambda i: put(0, 3, 2**64 - 1)(i.astype(np.uint64))),
        "indices, row 0: got",
    ),
    (
        5,
        "offset past the row",
        arrays(offsets=put(1, 2, 4)),
        f"offsets, row 1: .*{OFFSETS}",
    ),
    (
        5,
        "offset below -1",
        arrays(offsets=put(1, 0, -2)),
        f"offsets, row 1: .*{OFFSETS}",
    ),
    (
        5,
        "offset int64 minimum",
        arrays(offsets=put(1, 0, -(2**63))),
        f"offsets, row 1: .*{OFFSETS}",
    ),
    (
        5,
        "offsets that fall",
        arrays(offsets=put(0, 0, 3)),
        f"offsets, row 0: .*{OFFSETS}",
    ),
    (
        5,
        "labels of float",
        arrays(indices=lambda i: i.astype(float)),
        "indices: got float64",
    ),
    (
        5,
        "labels of one axis",
        arrays(indices=lambda i: i[0]),
        r"indices: .*shape \(4,\)",
    ),
    (
        5,
        "labels without columns",
        arrays(indices=lambda i: i[:, :0]),
        r"indices: .*shape \(3, 0\)",
    ),
    (
        5,
        "weights of other shape",
        arrays(weights=lambda w: w[:2]),
        r"weights: .*shape \(2, 4\)",
    ),
    (5, "weights of text", arrays(weights=lambda w: w.astype(str)), "weights: got"),
    (5, "weights of complex", arrays(weights=lambda w: w * 1j), "weights: got complex"),
    (
        5,
        "offsets of other rows",
        arrays(offsets=lambda o: o[:2]),
        r"offsets: got \(2, 3\)",
    ),
    (
        1,
        "a NaN weight",
        arrays(weights=put(0, 1, np.nan)),
        "weights, row 0: got nan, expected finite",
    ),
    (
        1,
        "an infinite weight",
        arrays(weights=put(2, 1, np.inf)),
        "weights, row 2: got inf, expected finite",
    ),
    (
        5,
        "a column in two bags",
        arrays(fields=lambda f: None),
        "column 2 occurs in bag",
    ),
    (19, "n_features 0", arrays(n_features=lambda n: 0), "n_features="),
    (19, "n_features negative", arrays(n_features=lambda n: -1), "n_features="),
    (19, "n_features of text", arrays(n_features=lambda n: "5"), "n_features='5'"),
    (19, "n_features None", arrays(n_features=lambda n: None), "n_features=None"),
    (19, "n_features a fraction", arrays(n_features=lambda n: 5.5), "n_features=5.5"),
]


# Forms that store zeros, which to_padded keeps as labels of weight 0.
ZEROS_STAY = ("stored zeros", "stored zeros, read-only", "bsr_matrix")


def _of_padded() -> Iterator[Case]:
    for what, make, message in (*BROKEN, *OTHER_FORMS):
        yield Case(5, f"{what}, to_padded", make, _padded, refuse(message))
    for what, form in UNUSUAL.items():
        if what.startswith("list") or "object" in what or what in ZEROS_STAY:
            continue
        yield Case(
            6,
            f"{what}, to_padded",
            lambda f=form: f(csr()),
            _padded,
            equal(lambda: _padded(csr())),
        )
    for value in (np.nan, np.inf):
        yield Case(
            1,
            f"{value}, to_padded",
            lambda v=value: csr() * v,
            _padded,
            refuse("X contains NaN or infinity: row 0"),
        )
    for what, given, message in (
        (
            "1-D",
            lambda: np.ones(6),
            r"X: got ndarray with shape \(6,\) of float64, expected a",
        ),
        ("a number", lambda: 3.0, "X: got ndarray|X: got float"),
        ("complex", lambda: csr() * 1j, "X: got csr_matrix .*complex128"),
        ("text", lambda: np.full((2, 6), "a"), "X: got ndarray .*<U1"),
        ("objects", lambda: np.full((2, 6), None), "X: got ndarray .*object"),
        ("None", lambda: None, "X: got"),
        ("a ragged list", lambda: [[1.0], [1.0, 2.0]], "inhomogeneous"),
        ("no columns", lambda: np.ones((2, 0)), "fields="),
    ):
        yield Case(8, f"{what}, to_padded", given, _padded, refuse(message, BAD))
    for row, what, make, message in PADDED:
        yield Case(
            row,
            f"{what}, from_padded",
            make,
            lambda g: from_padded(**g),
            refuse(message, BAD),
        )


def cases() -> Iterator[Case]:
    """Return the cases of to_padded and from_padded."""
    yield from _of_padded()
