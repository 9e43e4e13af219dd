"""The torch modules: batches that are broken, or only unusual (1, 2, 5, 6, 8, 11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from _probe import Case, be_finite, equal, refuse

from skwfm.nn import (
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


def cases() -> Iterator[Case]:
    """Return the cases of the modules."""
    yield from _of_modules()
