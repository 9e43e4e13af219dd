"""The torch modules, operators and optimizers, and padded bags (rows 1 to 8, 11, 19)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from _cases_matrices import BROKEN, OTHER_FORMS, UNUSUAL
from _inputs import SIZES, csr
from _probe import Case, Must, be_finite, equal, refuse

from skwfm import from_padded, to_padded
from skwfm.nn import (
    LazyAdam,
    SparseAdagrad,
    WeightedEmbeddingBag,
    WeightedFFM,
    WeightedFM,
)

BAD = (ValueError, TypeError)
MODULES: dict[str, Callable[..., Any]] = {
    "WeightedEmbeddingBag": lambda **k: _filled(WeightedEmbeddingBag(5, 2, **k)),
    "WeightedFM": lambda **k: _filled(WeightedFM(5, 2, **k)),
    "WeightedFM intra_field": lambda **k: _filled(
        WeightedFM(5, 2, intra_field=True, **k)
    ),
    "WeightedFM without linear": lambda **k: _filled(
        WeightedFM(5, 2, linear=False, bias=False, **k)
    ),
    "WeightedFM of 3 outputs": lambda **k: _filled(
        WeightedFM(5, 2, num_outputs=3, **k)
    ),
    "WeightedFFM": lambda **k: _filled(WeightedFFM(5, 2, 3, **k)),
    "WeightedFFM intra_field": lambda **k: _filled(
        WeightedFFM(5, 2, 3, intra_field=True, **k)
    ),
    "WeightedFFM sparse": lambda **k: _filled(WeightedFFM(5, 2, 3, sparse=True, **k)),
}


def _filled(module: Any) -> Any:
    """Give a module numbers that are the same in every run."""
    with torch.no_grad():
        for parameter in module.parameters():
            numbers = torch.arange(1.0, parameter.numel() + 1)
            parameter.copy_((numbers / 8).view(parameter.shape))
    return module


def batch(**changes: Callable[[Any], Any]) -> Callable[[], dict[str, Any]]:
    """Return what makes padded bags, of which some went through functions."""

    def make() -> dict[str, Any]:
        parts = {
            "indices": torch.tensor([[0, 1, 2, 3], [4, 0, 0, 0], [2, 2, 4, 1]]),
            "offsets": torch.tensor([[0, 1, 3], [-1, 0, 0], [1, 1, 3]]),
            "weights": torch.tensor(
                [[1.0, 0.5, 2.0, 1.0], [0.25, 0.0, 0.0, 0.0], [1.0, 1.0, -1.0, 3.0]]
            ),
        }
        return {k: changes[k](v) if k in changes else v for k, v in parts.items()}

    return make


def put(row: int, column: int, value: Any) -> Callable[[Any], Any]:
    """Return a function that changes one element of a tensor."""

    def change(tensor: Any) -> Any:
        tensor[row, column] = value
        return tensor

    return change


def _run(name: str, given: dict[str, Any], **options: Any) -> Any:
    return MODULES[name](**options)(**given)


def _trained(name: str, given: dict[str, Any], **options: Any) -> Any:
    """Return the output and all gradients."""
    module = MODULES[name](**options)
    out = module(**given)
    out.square().sum().backward()
    return out, [parameter.grad for parameter in module.parameters()]


OFFSETS = "expected end positions from -1 to 3 that never decrease"
BROKEN_BAGS: list[tuple[str, Callable[[], Any], str]] = [
    (
        "label too large",
        batch(indices=put(2, 1, 5)),
        "indices, row 2: got 5, expected labels from 0 to 4",
    ),
    (
        "label far away",
        batch(indices=put(2, 1, 2**40)),
        "indices, row 2: got 1099511627776",
    ),
    ("label negative", batch(indices=put(0, 3, -1)), "indices, row 0: got -1"),
    (
        "label int64 minimum",
        batch(indices=put(0, 3, -(2**63))),
        "indices, row 0: got -9223",
    ),
    (
        "label int32 far away",
        batch(indices=lambda i: put(0, 3, 2**31 - 1)(i.int())),
        "row 0: got 2147483647",
    ),
    (
        "offset past the row",
        batch(offsets=put(1, 2, 4)),
        f"offsets, row 1: .*{OFFSETS}",
    ),
    (
        "offset far away",
        batch(offsets=put(1, 2, 2**62)),
        f"offsets, row 1: .*{OFFSETS}",
    ),
    ("offset below -1", batch(offsets=put(1, 0, -2)), f"offsets, row 1: .*{OFFSETS}"),
    (
        "offset int64 minimum",
        batch(offsets=put(1, 0, -(2**63))),
        f"offsets, row 1: .*{OFFSETS}",
    ),
    ("offsets that fall", batch(offsets=put(0, 0, 3)), f"offsets, row 0: .*{OFFSETS}"),
    (
        "labels of float",
        batch(indices=lambda i: i.float()),
        "indices: got dtype torch.float32",
    ),
    (
        "labels of bool",
        batch(indices=lambda i: i.bool()),
        "indices: got dtype torch.bool",
    ),
    (
        "labels of int8",
        batch(indices=lambda i: i.to(torch.int8)),
        "indices: got dtype torch.int8",
    ),
    (
        "labels of complex",
        batch(indices=lambda i: i * 1j),
        "indices: got dtype torch.complex",
    ),
    (
        "offsets of float",
        batch(offsets=lambda o: o.float()),
        "offsets: got dtype torch.float32",
    ),
    (
        "weights of int",
        batch(weights=lambda w: w.int()),
        "weights: got dtype torch.int32",
    ),
    (
        "weights of complex",
        batch(weights=lambda w: w * 1j),
        "weights: got dtype torch.complex",
    ),
    (
        "weights of other shape",
        batch(weights=lambda w: w[:, :3]),
        r"weights: got shape \(3, 3\)",
    ),
    (
        "weights of other rows",
        batch(weights=lambda w: w[:2]),
        r"weights: got shape \(2, 4\)",
    ),
    (
        "offsets of other rows",
        batch(offsets=lambda o: o[:2]),
        r"offsets: got shape \(2, 3\)",
    ),
    (
        "offsets without bags",
        batch(offsets=lambda o: o[:, :0]),
        r"offsets: got shape \(3, 0\)",
    ),
    ("labels of one axis", batch(indices=lambda i: i[0]), r"indices: got shape \(4,\)"),
    (
        "labels of three axes",
        batch(indices=lambda i: i[None]),
        r"indices: got shape \(1, 3, 4\)",
    ),
    (
        "offsets of one axis",
        batch(offsets=lambda o: o[0]),
        r"offsets: got shape \(3,\)",
    ),
    ("no weights", batch(weights=lambda _: None), "weights .* is missing"),
    ("no labels", batch(indices=lambda _: None), "indices .* is missing"),
    ("an array of numpy", batch(indices=lambda i: i.numpy()), "indices: got ndarray"),
    ("a list", batch(weights=lambda w: w.tolist()), "weights: got list"),
    ("sparse labels", batch(indices=lambda i: i.to_sparse()), "indices: got layout"),
    ("sparse weights", batch(weights=lambda w: w.to_sparse()), "weights: got layout"),
]
# The same bags in another form.
SAME_BAGS: dict[str, Callable[[], Any]] = {
    "int32": batch(indices=lambda i: i.int(), offsets=lambda o: o.int()),
    "int32 labels": batch(indices=lambda i: i.int()),
    "int32 offsets": batch(offsets=lambda o: o.int()),
    "float64 weights": batch(weights=lambda w: w.double()),
    "float16 weights": batch(weights=lambda w: w.half()),
    "bfloat16 weights": batch(weights=lambda w: w.bfloat16()),
    "strided": batch(
        **{
            n: lambda t: torch.repeat_interleave(t, 2, 1)[:, ::2]
            for n in ("indices", "offsets", "weights")
        }
    ),
    "transposed": batch(
        **{n: lambda t: t.T.contiguous().T for n in ("indices", "offsets", "weights")}
    ),
    "NaN in the padding": batch(weights=put(1, 3, torch.nan)),
    "labels in the padding": batch(indices=put(1, 3, 2**60)),
    "negative labels in the padding": batch(indices=put(1, 1, -7)),
    "from read-only memory": batch(weights=lambda w: _read_only(w)),
}


def _read_only(tensor: Any) -> Any:
    return torch.frombuffer(bytes(tensor.numpy().tobytes()), dtype=tensor.dtype).view(
        3, 4
    )


def _of_modules() -> Iterator[Case]:
    for name in MODULES:
        for what, make, message in BROKEN_BAGS:
            yield Case(
                5, f"{what}, {name}", make, partial(_run, name), refuse(message, BAD)
            )
        for what, make in SAME_BAGS.items():
            if what == "from read-only memory":
                continue
            tolerance = 1e-2 if "float16" in what else 1e-6
            yield Case(
                6,
                f"{what}, {name}",
                make,
                partial(_trained, name),
                equal(lambda n=name: _trained(n, batch()()), tolerance),
            )
        for dtype in (torch.float64, torch.float16, torch.bfloat16):
            yield Case(
                6,
                f"table of {dtype}, {name}",
                batch(weights=lambda w, d=dtype: w.to(d)),
                lambda given, n=name, d=dtype: _run(n, given, dtype=d).double(),
                equal(
                    lambda n=name: _run(n, batch()()).double(),
                    0.3 if dtype.itemsize == 2 else 1e-6,
                ),
            )
        yield Case(
            1,
            f"a NaN weight stays in its row, {name}",
            batch(weights=put(0, 1, torch.nan)),
            lambda given, n=name: _run(n, given)[1:],
            equal(lambda n=name: _run(n, batch()())[1:]),
        )
        yield Case(
            2,
            f"weights of 1e30, {name}",
            batch(weights=lambda w: w * 1e15),
            partial(_run, name),
            be_finite(),
        )
        yield Case(
            8,
            f"no rows, {name}",
            batch(**{n: lambda t: t[:0] for n in ("indices", "offsets", "weights")}),
            lambda given, n=name: _trained(n, given)[0].numel(),
            equal(0),
        )
        yield Case(
            8,
            f"one bag, {name}",
            batch(offsets=lambda o: o[:, -1:]),
            partial(_trained, name),
            be_finite(),
        )
        yield Case(
            11,
            f"only empty bags, {name}",
            batch(offsets=lambda o: o * 0 - 1),
            partial(_trained, name),
            be_finite(),
        )
        yield Case(
            11,
            f"a weight 0 is absence, {name}",
            batch(weights=put(0, 2, 0.0)),
            partial(_run, name),
            equal(lambda n=name: _run(n, _without_entry()), 0.0),
        )
    for name in ("WeightedFFM", "WeightedFFM intra_field", "WeightedFFM sparse"):
        for what, fields, message in FIELDS:
            yield Case(
                5,
                f"fields {what}, {name}",
                lambda f=fields: {**batch()(), "fields": f()},
                partial(_run, name),
                refuse(message, BAD),
            )
        yield Case(
            8,
            f"more bags than fields, {name}",
            batch(offsets=lambda o: torch.cat([o, o[:, -1:]], 1)),
            partial(_run, name),
            refuse("offsets: got 4 bags per row, expected at most num_fields=3"),
        )


def _without_entry() -> dict[str, Any]:
    """Return the bags without what is entry 2 of row 0."""
    given = batch()()
    given["indices"][0, 2] = given["indices"][0, 3]
    given["weights"][0, 2] = given["weights"][0, 3]
    given["offsets"][0, 2] = 2
    return given


def _ids(value: int) -> Callable[[], Any]:
    return lambda: put(1, 2, value)(torch.tensor([[0, 1, 2]] * 3))


FIELDS: list[tuple[str, Callable[[], Any], str]] = [
    ("too large", _ids(3), r"fields, row 1: got \[0, 1, 3\], expected ids from 0 to 2"),
    ("far away", _ids(2**40), "fields, row 1: got"),
    ("negative", _ids(-1), "fields, row 1: got"),
    ("of float", lambda: torch.zeros(3, 3), "fields: got dtype torch.float32"),
    (
        "of other shape",
        lambda: torch.zeros(3, 2, dtype=torch.int64),
        r"fields: got shape \(3, 2\)",
    ),
    (
        "of one row",
        lambda: torch.zeros(3, dtype=torch.int64),
        r"fields: got shape \(3,\)",
    ),
    ("of a list", lambda: [[0, 1, 2]] * 3, "fields: got list, expected a Tensor"),
]

# --- operators ----------------------------------------------------------------------


def flat(**changes: Callable[[Any], Any]) -> Callable[[], dict[str, Any]]:
    """Return what makes the arguments of an operator."""

    def make() -> dict[str, Any]:
        parts = {
            "table": torch.arange(30.0).view(5, 6),
            "linear": torch.arange(5.0)[:, None],
            "indices": torch.tensor([0, 1, 2, 4]),
            "offsets": torch.tensor([0, 1, 2, 3, 3, 4, 4]),
            "weights": torch.ones(4),
            "n_fields": 3,
        }
        return {k: changes[k](v) if k in changes else v for k, v in parts.items()}

    return make


def at(place: int, value: Any) -> Callable[[Any], Any]:
    """Return a function that changes one element."""

    def change(tensor: Any) -> Any:
        tensor[place] = value
        return tensor

    return change


BROKEN_CALLS: list[tuple[str, Callable[[], Any]]] = [
    ("label too large", flat(indices=at(1, 5))),
    ("label far away", flat(indices=at(1, 2**30))),
    ("label beyond int32", flat(indices=at(1, 2**32))),
    ("label negative", flat(indices=at(1, -1))),
    ("label far below", flat(indices=at(1, -(2**30)))),
    ("offset too large", flat(offsets=at(-1, 5))),
    ("offset far away", flat(offsets=at(2, 2**40))),
    ("offset negative", flat(offsets=at(0, -5))),
    ("offsets that fall", flat(offsets=at(1, 4))),
    ("offsets of no bag", flat(offsets=lambda o: o[:0])),
    ("offsets of part of a row", flat(offsets=lambda o: o[:-1])),
    ("no fields", flat(n_fields=lambda n: 0)),
    ("negative fields", flat(n_fields=lambda n: -3)),
    ("weights too few", flat(weights=lambda w: w[:2])),
    ("labels too few", flat(indices=lambda i: i[:2])),
    ("linear too short", flat(linear=lambda a: a[:2])),
    ("linear of one axis", flat(linear=lambda a: a[:, 0])),
    ("table of one axis", flat(table=lambda t: t[0])),
    ("table without columns", flat(table=lambda t: t[:, :0])),
    ("table too narrow", flat(table=lambda t: t[:, :4].contiguous())),
    ("labels of float", flat(indices=lambda i: i.float())),
    ("table of int", flat(table=lambda t: t.int())),
]


def _call(name: str, given: dict[str, Any]) -> Any:
    return getattr(torch.ops.skwfm, name)(*given.values())


def _call_backward(name: str, given: dict[str, Any]) -> Any:
    given["table"].requires_grad_()
    _call(name, given).sum().backward()
    return given["table"].grad


def _of_operators() -> Iterator[Case]:
    errors = (ValueError, TypeError, RuntimeError, IndexError)
    for name in ("fm_score", "ffm_score"):
        for what, make in BROKEN_CALLS:
            if what == "table too narrow" and name == "fm_score":
                continue
            yield Case(
                5,
                f"{what}, torch.ops.skwfm.{name}",
                make,
                partial(_call, name),
                refuse("", errors),
            )
        yield Case(
            5,
            f"good arguments, torch.ops.skwfm.{name}",
            flat(),
            partial(_call_backward, name),
            be_finite(),
        )


# --- padded bags --------------------------------------------------------------------


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


# --- optimizers and constructors ----------------------------------------------------


def _bad_values(*values: Any) -> list[Any]:
    return [*values, "a", None, float("nan"), float("inf")]


OPTIONS: list[tuple[str, Any, str, list[Any]]] = [
    ("SparseAdagrad", SparseAdagrad, "lr", _bad_values(-1.0)),
    ("SparseAdagrad", SparseAdagrad, "eps", _bad_values(0.0, -1.0)),
    ("SparseAdagrad", SparseAdagrad, "initial_accumulator_value", _bad_values(-1.0)),
    ("LazyAdam", LazyAdam, "lr", _bad_values(-1.0)),
    ("LazyAdam", LazyAdam, "eps", _bad_values(0.0)),
    (
        "LazyAdam",
        LazyAdam,
        "betas",
        [(1.0, 0.9), (0.9,), 0.9, (0.9, -0.1), ("a", 0.9), None],
    ),
]
OPTIMIZERS = {
    "SparseAdagrad": SparseAdagrad,
    "SparseAdagrad per row": partial(SparseAdagrad, per_row=True),
    "LazyAdam": LazyAdam,
}


def _stepped(make: Any, grad: Callable[[], Any], table: Any) -> Any:
    """Return a table after two steps, made of what stands before each other row."""
    parameter = torch.nn.Parameter(table.clone())
    optimizer = make([parameter], lr=0.1)
    for _ in range(2):
        parameter.grad = grad()
        optimizer.step()
    return parameter


def _sparse_grad(labels: list[int], values: Any) -> Callable[[], Any]:
    return lambda: torch.sparse_coo_tensor(
        torch.tensor([labels]), values, (4, 2), check_invariants=False
    )


def _of_optimizers() -> Iterator[Case]:
    for name, make, option, bad in OPTIONS:
        for value in bad:
            yield Case(
                19,
                f"{option}={value!r}, {name}",
                lambda: torch.ones(4, 2),
                lambda t, m=make, o=option, v=value: m(
                    [torch.nn.Parameter(t)], **{o: v}
                ),
                refuse(f"{option}.*{'' if value is None else ''}expected", BAD),
            )
    ones = torch.ones(2, 2)
    for name, make in OPTIMIZERS.items():
        table = lambda: torch.ones(4, 2)  # noqa: E731
        for what, grad, must in (
            (
                "label too large",
                _sparse_grad([0, 4], ones),
                refuse("Got a gradient of the rows .* expected rows from 0 to 3"),
            ),
            (
                "label far away",
                _sparse_grad([0, 2**40], ones),
                refuse("Got a gradient of the rows .* expected rows from 0 to 3"),
            ),
            (
                "label negative",
                _sparse_grad([-1, 0], ones),
                refuse("Got a gradient of the rows .* expected rows from 0 to 3"),
            ),
            (
                "a label twice",
                _sparse_grad([1, 1], ones),
                equal(
                    partial(
                        _stepped,
                        make,
                        _sparse_grad([1], 2 * ones[:1]),
                        torch.ones(4, 2),
                    )
                ),
            ),
            (
                "two sparse dimensions",
                lambda: torch.ones(4, 2).to_sparse(),
                refuse("2 sparse dimensions, expected 1"),
            ),
            ("no labels", _sparse_grad([], ones[:0]), equal(torch.ones(4, 2))),
            ("huge gradient", _sparse_grad([0, 1], ones * 1e18), be_finite()),
            ("zero gradient", _sparse_grad([0, 1], ones * 0), equal(torch.ones(4, 2))),
            ("tiny gradient", _sparse_grad([0, 1], ones * 1e-44), be_finite()),
            ("dense gradient", lambda: torch.ones(4, 2), be_finite()),
        ):
            row = 2 if "gradient" in what else 11 if must.result else 5
            yield Case(
                row, f"{what}, {name}", table, partial(_stepped, make, grad), must
            )
        yield Case(
            1,
            f"a NaN gradient stays in its row, {name}",
            table,
            lambda t, m=make: _stepped(
                m, _sparse_grad([0, 1], torch.tensor([[torch.nan, 0], [1, 1]])), t
            )[1:],
            be_finite(),
        )
        for what, params in (
            ("no parameters", []),
            ("a list of numbers", [1.0]),
            ("integers", [torch.ones(3, dtype=torch.int64)]),
            ("a sparse table", [torch.ones(4, 2).to_sparse()]),
            ("complex", [torch.ones(3, dtype=torch.complex64)]),
        ):
            yield Case(
                19,
                f"{what}, {name}",
                lambda p=params: p,
                lambda p, m=make: m(p),
                refuse("", BAD),
            )
    for name, make in (
        ("WeightedFM", partial(WeightedFM, embedding_dim=2)),
        ("WeightedFFM", partial(WeightedFFM, field_dim=2, num_fields=2)),
        ("WeightedEmbeddingBag", partial(WeightedEmbeddingBag, embedding_dim=2)),
    ):
        for value in (-1, 1.5, "a", None, 2**60):
            yield Case(
                19,
                f"number of labels {value!r}, {name}",
                dict,
                lambda _, m=make, v=value: m(v),
                refuse("", (*BAD, RuntimeError)),
            )
        yield Case(
            19,
            f"mistyped, {name}",
            dict,
            lambda _, m=make: m(3, embeding_dim=2),
            refuse("embeding_dim", TypeError),
        )
    yield Case(
        19,
        "mode, WeightedEmbeddingBag",
        dict,
        lambda _: WeightedEmbeddingBag(3, 2, mode="mean"),
        refuse("mode='mean'"),
    )


def cases() -> Iterator[Case]:
    """Return the cases of `skwfm.nn` and of padded bags."""
    yield from _of_modules()
    yield from _of_operators()
    yield from _of_padded()
    yield from _of_optimizers()
