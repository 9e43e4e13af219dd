"""Fast flat scores against the slow reference: values and gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skwfm._kernels import reference
from skwfm._kernels.torch_autograd import _others
from skwfm._kernels.torch_ops import (
    bag_sums,
    coalesce_flat,
    ffm_score,
    fm_score,
    merge_fields,
)

K = 3
RTOL = {torch.float32: 1e-6, torch.float64: 1e-12}
DTYPES = list(RTOL)


class Batch:
    """A random flat batch with distinct labels in each bag, and tables for it."""

    def __init__(self, lengths, n_features=40, dtype=torch.float64, scale=1.0, seed=0):
        rng = np.random.default_rng(seed)
        lengths = np.asarray(lengths)
        self.n_rows, self.n_fields = lengths.shape
        labels = [
            rng.choice(n_features, size=length, replace=False)
            for length in lengths.ravel()
        ]
        self.indices = np.concatenate([*labels, np.empty(0, int)]).astype(np.int64)
        self.offsets = np.concatenate(([0], np.cumsum(lengths.ravel())))
        self.dtype = dtype
        self.weights = self.rounded(rng.normal(size=len(self.indices)))
        self.bias = self.rounded(rng.normal(size=1) * scale)
        self.linear = self.rounded(rng.normal(size=(n_features, 1)) * scale)
        shape = (n_features, self.n_fields, K)
        self.ffm_factors = self.rounded(rng.normal(size=shape) * scale)
        self.fm_factors = self.ffm_factors[:, 0].copy()
        self.grad = self.rounded(rng.normal(size=(self.n_rows, 1)))

    def rounded(self, values):
        """Round to the dtype, so that the reference gets the same numbers."""
        return torch.tensor(values, dtype=self.dtype).double().numpy()

    def tensor(self, values):
        return torch.tensor(values, dtype=self.dtype)

    def parameters(self, name):
        table = self.tensor(getattr(self, f"{name}_factors")).flatten(1)
        parameters = (table, self.tensor(self.linear), self.tensor(self.bias))
        return tuple(p.requires_grad_() for p in parameters)

    def bags(self, int_dtype=torch.int64):
        return (
            torch.tensor(self.indices, dtype=int_dtype),
            torch.tensor(self.offsets, dtype=int_dtype),
            self.tensor(self.weights),
        )

    def reference(self, name, **options):
        """Return reference scores and gradients, and the magnitude of each."""
        score = getattr(reference, f"{name}_score")
        gradient = getattr(reference, f"{name}_gradient")
        out = []
        for size in (lambda x: x, np.abs):
            table = size(getattr(self, f"{name}_factors"))
            linear, weights = size(self.linear[:, 0]), size(self.weights)
            args = (linear, table, self.indices, self.offsets, weights, self.n_fields)
            scores = score(size(self.bias)[0], *args, **options)
            out.append((scores, *gradient(size(self.grad)[:, 0], *args, **options)))
        return out


SCORES = {"fm": fm_score, "ffm": ffm_score}
LENGTHS = {
    "one value": [[1]],
    "one bag": [[4]],
    "two fields": [[1, 1]],
    "one row": [[3, 1, 2]],
    "empty first": [[0, 2, 1], [1, 1, 1]],
    "empty middle": [[2, 0, 1], [1, 2, 3]],
    "empty last": [[2, 1, 0], [1, 1, 0]],
    "empty row": [[2, 1], [0, 0], [1, 3]],
    "all empty": [[0, 0], [0, 0]],
    "many": np.random.default_rng(1).integers(0, 5, size=(12, 7)),
}


def assert_close(got, expected, magnitude, rtol):
    __tracebackhide__ = True
    error = np.abs(np.asarray(got, dtype=np.float64).ravel() - np.ravel(expected))
    size = np.ravel(magnitude)
    # What is a sum less a label's own part rounds as the sum does.
    assert np.all(error <= rtol * (size + 0.01 * size.max(initial=0))), error.max()


def check(batch, name, int_dtype=torch.int64, sparse=False, rtol=None, **options):
    """Compare scores and all gradients of a batch with the reference."""
    rtol = rtol or RTOL[batch.dtype]
    table, linear, bias = batch.parameters(name)
    scores = SCORES[name](
        table,
        linear,
        bias,
        *batch.bags(int_dtype),
        batch.n_fields,
        sparse=sparse,
        **options,
    )
    assert scores.shape == (batch.n_rows, 1)
    assert scores.dtype == batch.dtype
    scores.backward(batch.tensor(batch.grad))
    got = [scores.detach(), bias.grad, linear.grad, table.grad]
    got = [g.to_dense() if g.is_sparse else g for g in got]
    assert table.grad.is_sparse == linear.grad.is_sparse == sparse
    expected, magnitude = batch.reference(name, **options)
    for one, want, size in zip(got, expected, magnitude, strict=True):
        assert_close(one, want, size, rtol)


shapes = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 4), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


@given(
    shapes,
    st.sampled_from(list(SCORES)),
    st.sampled_from(DTYPES),
    st.sampled_from([torch.int32, torch.int64]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_batch_equals_reference(
    lengths, name, dtype, int_dtype, intra_field, sparse, seed
):
    batch = Batch(lengths, dtype=dtype, seed=seed)
    check(batch, name, int_dtype, sparse=sparse, intra_field=intra_field)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", SCORES)
def test_equals_reference(name, lengths, dtype, intra_field):
    check(Batch(LENGTHS[lengths], dtype=dtype), name, intra_field=intra_field)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_sparse_gradients(name, intra_field):
    batch = Batch(LENGTHS["many"])
    check(batch, name, sparse=True, intra_field=intra_field)


@pytest.mark.parametrize("name", SCORES)
def test_int32(name):
    check(Batch(LENGTHS["many"]), name, int_dtype=torch.int32)


@pytest.mark.parametrize("name", SCORES)
def test_int32_labels_with_int64_offsets(name):
    batch = Batch(LENGTHS["many"])
    table, linear, bias = batch.parameters(name)
    indices, offsets, weights = batch.bags()
    args = (table, linear, bias)
    mixed = SCORES[name](*args, indices.int(), offsets, weights, batch.n_fields)
    same = SCORES[name](*args, indices, offsets, weights, batch.n_fields)
    assert torch.equal(mixed, same)
    mixed.sum().backward()
    assert torch.isfinite(table.grad).all()


@pytest.mark.parametrize("name", SCORES)
def test_long_bags(name):
    lengths = [[20_000, 1], [3, 20_000]]
    batch = Batch(lengths, n_features=25_000, dtype=torch.float32)
    check(batch, name)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_dominating_bag_costs_no_accuracy(name, intra_field):
    """The square difference is wrong by more than the score here, in float32."""
    batch = Batch([[1, 1, 1]] * 4, dtype=torch.float32)
    batch.weights[::3] = batch.rounded(batch.weights[::3] * 1e6)
    check(batch, name, intra_field=intra_field)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_gradcheck(name, intra_field):
    batch = Batch([[2, 0, 1], [1, 3, 2]], n_features=8)
    indices, offsets, weights = batch.bags()

    def score(table, linear, bias, weights):
        return SCORES[name](
            table,
            linear,
            bias,
            indices,
            offsets,
            weights,
            batch.n_fields,
            intra_field=intra_field,
        )

    parameters = batch.parameters(name)
    assert torch.autograd.gradcheck(score, (*parameters, weights.requires_grad_()))


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_second_derivative_raises_instead_of_being_wrong(name, intra_field):
    batch = Batch([[2, 1]])
    parameters = batch.parameters(name)
    score = SCORES[name](*parameters, *batch.bags(), 2, intra_field=intra_field).sum()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(score, parameters[0], create_graph=True)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_outputs_are_separate_models(name, intra_field):
    batches = [Batch(LENGTHS["many"], seed=0) for _ in range(3)]
    for seed, batch in enumerate(batches):
        tables = Batch(LENGTHS["many"], seed=10 + seed)
        batch.fm_factors, batch.ffm_factors = tables.fm_factors, tables.ffm_factors
        batch.linear, batch.bias = tables.linear, tables.bias
    options = {"n_fields": batches[0].n_fields, "intra_field": intra_field}
    parts = [batch.parameters(name) for batch in batches]
    joined = [torch.cat(p, -1) for p in zip(*parts, strict=True)]
    got = SCORES[name](*joined, *batches[0].bags(), **options, n_outputs=3)
    for output, part in enumerate(parts):
        alone = SCORES[name](*part, *batches[0].bags(), **options)
        torch.testing.assert_close(got[:, [output]], alone, rtol=1e-12, atol=1e-12)
    check_grad = torch.autograd.grad(got[:, 1].sum(), parts[1])
    alone = SCORES[name](*parts[1], *batches[0].bags(), **options)
    for one, want in zip(
        check_grad, torch.autograd.grad(alone.sum(), parts[1]), strict=True
    ):
        torch.testing.assert_close(one, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_without_linear_and_bias(name):
    batch = Batch(LENGTHS["many"])
    table, linear, bias = batch.parameters(name)
    zeros = (torch.zeros_like(linear), torch.zeros_like(bias))
    with_zeros = SCORES[name](table, *zeros, *batch.bags(), batch.n_fields)
    without = SCORES[name](table, None, None, *batch.bags(), batch.n_fields)
    assert torch.equal(without, with_zeros)


@pytest.mark.parametrize("name", SCORES)
def test_no_rows(name):
    batch = Batch(np.zeros((0, 3), dtype=int))
    table, linear, bias = batch.parameters(name)
    scores = SCORES[name](table, linear, bias, *batch.bags(), 3)
    assert scores.shape == (0, 1)
    scores.sum().backward()
    assert not table.grad.any()


def test_fm_intra_field_ignores_the_fields():
    batch = Batch(LENGTHS["many"])
    parameters = batch.parameters("fm")
    indices, offsets, weights = batch.bags()
    rows = offsets[:: batch.n_fields]
    one = fm_score(*parameters, indices, rows, weights, 1, intra_field=True)
    all_fields = fm_score(
        *parameters, indices, offsets, weights, batch.n_fields, intra_field=True
    )
    assert torch.equal(one, all_fields)


def test_fm_of_singletons_is_one_field_with_intra_field():
    batch = Batch(np.ones((6, 5), dtype=int))
    parameters = batch.parameters("fm")
    indices, offsets, weights = batch.bags()
    apart = fm_score(*parameters, indices, offsets, weights, 5)
    rows = offsets[::5]
    joined = fm_score(*parameters, indices, rows, weights, 1, intra_field=True)
    torch.testing.assert_close(joined, apart, rtol=1e-12, atol=1e-12)


def test_ffm_fewer_bags_than_fields():
    batch = Batch([[2, 1, 0], [1, 0, 0]])
    parameters = batch.parameters("ffm")
    indices, offsets, weights = batch.bags()
    want = ffm_score(*parameters, indices, offsets, weights, 3)
    # without the last, empty field
    fewer = offsets[torch.tensor([0, 1, 2, 4, 5])]
    got = ffm_score(*parameters, indices, fewer, weights, 3, n_bags=2)
    assert torch.equal(got, want)
    grads = [torch.autograd.grad(s.sum(), parameters) for s in (got, want)]
    for one, other in zip(*grads, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("intra_field", [False, True])
def test_ffm_fields_argument(intra_field):
    batch = Batch([[2, 1, 3], [1, 2, 0]])
    parameters = batch.parameters("ffm")
    bags = batch.bags()
    options = {"n_fields": 3, "intra_field": intra_field}
    plain = ffm_score(*parameters, *bags, **options)
    named = ffm_score(
        *parameters, *bags, fields=torch.tensor([[0, 1, 2]] * 2), **options
    )
    assert torch.equal(named, plain)
    fields = torch.tensor([[2, 0, 1], [1, 1, 0]], dtype=torch.int32)
    got = ffm_score(*parameters, *bags, fields=fields, n_bags=3, **options)
    merged = merge_fields(*bags, fields, 3)
    np.testing.assert_array_equal(merged[1], [0, 1, 4, 6, 6, 9, 9])
    want = ffm_score(*parameters, *merged, **options)
    assert torch.equal(got, want)
    expected = reference.ffm_score(
        batch.bias[0],
        batch.linear[:, 0],
        batch.ffm_factors,
        *[part.numpy() for part in merged],
        3,
        intra_field=intra_field,
    )
    np.testing.assert_allclose(got.detach().numpy()[:, 0], expected, rtol=1e-12)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), max_size=5),
        min_size=1,
        max_size=5,
    )
)
def test_coalesce(bags):
    entries = [entry for bag in bags for entry in bag]
    indices = torch.tensor([label for label, _ in entries], dtype=torch.int64)
    weights = torch.tensor([float(w) for _, w in entries])
    lengths = torch.tensor([0, *[len(bag) for bag in bags]])
    labels, starts, sums = coalesce_flat(indices, lengths.cumsum(0), weights, 4)
    assert len(starts) == len(bags) + 1
    for number, bag in enumerate(bags):
        part = slice(starts[number], starts[number + 1])
        want = {}
        for label, w in bag:
            want[label] = want.get(label, 0.0) + w
        assert labels[part].tolist() == sorted(want)
        assert sums[part].tolist() == [want[label] for label in sorted(want)]


def test_coalesce_passes_gradients_to_every_weight():
    weights = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    indices, offsets = torch.tensor([5, 0, 5]), torch.tensor([0, 3])
    _, _, sums = coalesce_flat(indices, offsets, weights, 6)
    sums.backward(torch.tensor([10.0, 20.0]))
    assert weights.grad.tolist() == [20.0, 10.0, 20.0]


@pytest.mark.parametrize("dim", [1, 2, 3, 16])
def test_bag_sums_gradient_equals_torch(dim):
    batch = Batch(LENGTHS["many"])
    indices, offsets, weights = batch.bags()
    table = torch.randn(40, dim, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(len(offsets) - 1, dim, dtype=torch.float64)
    weights.requires_grad_()
    got = bag_sums(table, indices, offsets, weights)
    want = torch.nn.functional.embedding_bag(
        indices,
        table,
        offsets,
        mode="sum",
        per_sample_weights=weights,
        include_last_offset=True,
    )
    assert torch.equal(got, want)
    for one, other in zip(
        torch.autograd.grad(got, (table, weights), upstream),
        torch.autograd.grad(want, (table, weights), upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_bag_sums_of_a_frozen_table():
    batch = Batch(LENGTHS["many"])
    indices, offsets, weights = batch.bags()
    table = torch.randn(40, 4, dtype=torch.float64)
    weights.requires_grad_()
    bag_sums(table, indices, offsets, weights).sum().backward()
    torch.testing.assert_close(weights.grad, table.sum(1)[indices])


@pytest.mark.parametrize("n_fields", [1, 2, 7])
def test_sums_of_the_other_fields_in_few_steps(n_fields):
    generator = torch.Generator().manual_seed(0)
    sums = torch.randn(5, n_fields, 2, 3, generator=generator, dtype=torch.float64)
    sums[:, 0] *= 1e6  # which a difference would leave its error to
    others = [[g for g in range(n_fields) if g != f] for f in range(n_fields)]
    expected = torch.stack([sums[:, these].sum(1) for these in others], dim=1)
    torch.testing.assert_close(_others(sums), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_cuda_equals_cpu(name, intra_field):
    batch = Batch(LENGTHS["many"])
    results = []
    for device in ("cpu", "cuda"):
        parameters = [
            p.detach().to(device).requires_grad_() for p in batch.parameters(name)
        ]
        bags = [part.to(device) for part in batch.bags()]
        score = SCORES[name](
            *parameters, *bags, batch.n_fields, intra_field=intra_field
        )
        score.sum().backward()
        results.append([score.detach().cpu(), *[p.grad.cpu() for p in parameters]])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
