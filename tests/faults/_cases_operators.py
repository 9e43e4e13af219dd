"""Calls of the operators of torch, optimizers and constructors (5, 1, 2, 11, 19)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from _cases_modules import BAD
from _probe import Case, be_finite, equal, refuse

from skwfm.nn import (
    LazyAdam,
    SparseAdagrad,
    WeightedEmbeddingBag,
    WeightedFFM,
    WeightedFM,
)

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


def _call_gradient(name: str, given: dict[str, Any]) -> Any:
    batch = list(given.values())
    grad = given.get("grad", torch.ones(2, 1))
    options = (name == "ffm_score", batch[5], 1, False, True, [True, True, True])
    return torch.ops.skwfm.gradient(grad, *batch[:5], *options)


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
        for what, make in (
            *BROKEN_CALLS,
            ("gradient of other rows", lambda: {**flat()(), "grad": torch.ones(3, 1)}),
            ("gradient of one axis", lambda: {**flat()(), "grad": torch.ones(2)}),
        ):
            if what == "table too narrow" and name == "fm_score":
                continue
            title = f"{what}, torch.ops.skwfm.gradient of {name}"
            act = partial(_call_gradient, name)
            yield Case(5, title, make, act, refuse("", errors))
        yield Case(
            5,
            f"good arguments, torch.ops.skwfm.{name}",
            flat(),
            partial(_call_backward, name),
            be_finite(),
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
    """Return the cases of operators and optimizers."""
    yield from _of_operators()
    yield from _of_optimizers()
