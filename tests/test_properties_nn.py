"""Properties of the torch modules on any padded bags, against float64 formulas.

Bags hold labels twice and weights of 0, may be empty, and what is behind the last one
is any label with a weight of NaN.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skwfm import from_padded, to_padded
from skwfm._kernels import reference
from skwfm.nn import WeightedEmbeddingBag, WeightedFFM, WeightedFM

N_LABELS, N_FIELDS, K = 7, 3, 2
NAN = float("nan")
# Of a result, relative to the sum of the sizes of its terms.
RTOL = {torch.float32: 1e-6, torch.float64: 1e-13}
WEIGHTS = st.floats(-4, 4, width=32) | st.sampled_from([0.0, 1.0])
ENTRIES = st.tuples(st.integers(0, N_LABELS - 1), WEIGHTS)
BAGS = st.lists(ENTRIES, max_size=4)
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from(list(RTOL))


def rows_of(n_bags, bags=BAGS):
    row = st.lists(bags, min_size=n_bags, max_size=n_bags)
    return st.lists(row, min_size=1, max_size=4)


ROWS = st.integers(1, 4).flatmap(rows_of)


def padded(rows, n_more=0, dtype=torch.float32):
    """Return indices, offsets and weights; `n_more` places more than are needed."""
    flat = [[entry for bag in row for entry in bag] for row in rows]
    width = max(1, *map(len, flat)) + n_more
    indices = torch.full((len(rows), width), N_LABELS - 1)
    weights = torch.full((len(rows), width), NAN, dtype=dtype)
    for i, entries in enumerate(flat):
        for at, (label, weight) in enumerate(entries):
            indices[i, at], weights[i, at] = label, weight
    lengths = torch.tensor([[len(bag) for bag in row] for row in rows])
    return indices, lengths.cumsum(1) - 1, weights


def filled(offsets, width):
    """Tell which places hold an entry."""
    return torch.arange(width) <= offsets[:, -1:]


def sums_of(rows, table):
    """Return S_f of every bag and the sum of the sizes of its terms."""
    found = np.zeros((2, len(rows), len(rows[0]), table.shape[1]))
    for i, row in enumerate(rows):
        for f, bag in enumerate(row):
            for label, weight in bag:
                term = weight * table[label]
                found[:, i, f] += term, np.abs(term)
    return found


def embedding_bag(seed, dtype):
    torch.manual_seed(seed)
    bag = WeightedEmbeddingBag(N_LABELS, K, dtype=dtype)
    return bag, bag.weight.detach().double().numpy()


def assert_close(got, want, size, dtype):
    __tracebackhide__ = True
    error = np.abs(got.detach().double().numpy() - want)
    assert (error <= RTOL[dtype] * np.maximum(size, 1e-30)).all(), error.max()


@given(ROWS, st.integers(0, 2), SEEDS, DTYPES)
def test_sums_equal_the_formula(rows, n_more, seed, dtype):
    bag, table = embedding_bag(seed, dtype)
    sums = bag(*padded(rows, n_more))
    assert sums.shape == (len(rows), len(rows[0]), K) and sums.dtype == dtype
    assert_close(sums, *sums_of(rows, table), dtype)


@given(ROWS, st.floats(-3, 3), st.floats(-3, 3), SEEDS)
def test_sums_are_linear_in_the_weights(rows, a, b, seed):
    bag, table = embedding_bag(seed, torch.float64)
    indices, offsets, first = padded(rows, dtype=torch.float64)
    second = torch.randn(first.shape, dtype=torch.float64)
    joint = bag(indices, offsets, a * first + b * second)
    apart = a * bag(indices, offsets, first) + b * bag(indices, offsets, second)
    size = np.abs(table).max() * (4 * abs(a) + 9 * abs(b) + 1) * 16
    np.testing.assert_allclose(
        joint.detach(), apart.detach(), rtol=0, atol=1e-14 * size
    )


@given(ROWS, SEEDS, st.randoms(), DTYPES)
def test_order_in_a_bag_does_not_matter(rows, seed, random, dtype):
    bag, table = embedding_bag(seed, dtype)
    shuffled = [[random.sample(b, len(b)) for b in row] for row in rows]
    _, size = sums_of(rows, table)
    want = bag(*padded(rows)).detach().double().numpy()
    assert_close(bag(*padded(shuffled)), want, 2 * size, dtype)


@given(ROWS, SEEDS)
def test_rows_do_not_know_of_each_other(rows, seed):
    bag, _ = embedding_bag(seed, torch.float32)
    together = bag(*padded(rows))
    for i, row in enumerate(rows):
        assert torch.equal(together[i : i + 1], bag(*padded([row])))


@given(ROWS, SEEDS)
def test_weight_0_is_absence(rows, seed):
    bag, _ = embedding_bag(seed, torch.float32)
    without = [[[e for e in b if e[1] != 0] for b in row] for row in rows]
    assert torch.equal(bag(*padded(rows)), bag(*padded(without)))


@given(ROWS, SEEDS)
def test_gradients_of_the_sums(rows, seed):
    """d/dv_j = sum of w_ij g_if, and d/dw_ij = <v_j, g_if>."""
    bag, table = embedding_bag(seed, torch.float64)
    indices, offsets, weights = padded(rows, 1, dtype=torch.float64)
    sums = bag(indices, offsets, weights.requires_grad_())
    upstream = torch.randn_like(sums)
    sums.backward(upstream)
    d_table, d_weights = np.zeros_like(table), np.zeros(weights.shape)
    for i, row in enumerate(rows):
        at = 0
        for g, one in zip(upstream[i].numpy(), row, strict=True):
            for label, weight in one:
                d_table[label] += weight * g
                d_weights[i, at] = table[label] @ g
                at += 1
    np.testing.assert_allclose(bag.weight.grad, d_table, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(weights.grad, d_weights, rtol=1e-12, atol=1e-12)


# --- scores -------------------------------------------------------------------------


def module_of(name, seed, dtype, **options):
    generator = torch.Generator().manual_seed(seed)
    options = {**options, "dtype": dtype, "init_scale": 1.0, "generator": generator}
    if name == "fm":
        module = WeightedFM(N_LABELS, K, **options)
    else:
        module = WeightedFFM(N_LABELS, K, N_FIELDS, **options)
    with torch.no_grad():
        module.linear.normal_(generator=generator)
        module.bias.normal_(generator=generator)
    return module


def by_reference(module, name, rows, upstream, **options):
    """Return the reference's scores and gradients, and the sizes of all terms."""
    flat = [entry for row in rows for bag in row for entry in bag]
    indices = np.array([label for label, _ in flat], dtype=int)
    weights = np.array([weight for _, weight in flat], dtype=float)
    offsets = np.cumsum([0, *(len(bag) for row in rows for bag in row)])
    table = module.bag.weight.detach().double().numpy()
    if name == "ffm":
        table = table.reshape(N_LABELS, N_FIELDS, K)
    linear = module.linear.detach().double().numpy()[:, 0]
    found = []
    for size in (lambda x: x, np.abs):
        bags = indices, offsets, size(weights), len(rows[0])
        args = size(linear), size(table), *bags
        score = getattr(reference, f"{name}_score")
        gradient = getattr(reference, f"{name}_gradient")
        scores = score(size(module.bias.item()), *args, **options)
        found.append([scores, *gradient(size(upstream), *args, **options)])
    return found


NAMES = st.sampled_from(["fm", "ffm"])


@given(rows_of(N_FIELDS), NAMES, st.booleans(), SEEDS, DTYPES, st.integers(0, 2))
def test_scores_and_gradients_equal_the_reference(
    rows, name, intra_field, seed, dtype, n_more
):
    module = module_of(name, seed, dtype, intra_field=intra_field)
    upstream = np.random.default_rng(seed).normal(size=len(rows)).astype(np.float32)
    scores = module(*padded(rows, n_more))
    scores.backward(torch.from_numpy(upstream).to(dtype))
    parameters = module.bias, module.linear, module.bag.weight
    got = [scores, *(p.grad for p in parameters)]
    wanted = by_reference(module, name, rows, upstream, intra_field=intra_field)
    for one, want, size in zip(got, *wanted, strict=True):
        # Terms that cancel inside a bag are in no size of the reference's: 1e-5.
        want, size = np.reshape(want, one.shape), np.reshape(size, one.shape)
        assert_close(one, want, 10 * (size + 1), dtype)


@given(rows_of(N_FIELDS), NAMES, st.booleans(), SEEDS)
def test_gradient_of_a_weight_is_its_difference(rows, name, intra_field, seed):
    """A score is a line in each weight, so a step of 1 gives its slope exactly."""
    module = module_of(name, seed, torch.float64, intra_field=intra_field)
    indices, offsets, weights = padded(rows, 1, dtype=torch.float64)
    scores = module(indices, offsets, weights.requires_grad_())
    scores.sum().backward()
    assert not weights.grad[~filled(offsets, weights.shape[1])].any()
    for i, at in torch.nonzero(filled(offsets, weights.shape[1])).tolist():
        moved = weights.detach().clone()
        moved[i, at] += 1
        slope = module(indices, offsets, moved)[i] - scores[i]
        torch.testing.assert_close(weights.grad[i, at], slope, rtol=1e-9, atol=1e-9)


@given(ROWS, st.booleans(), SEEDS, st.data())
def test_bags_of_any_fields_are_joined(rows, intra_field, seed, data):
    """Bags of one field count as one bag, in whatever order they come."""
    module = module_of("ffm", seed, torch.float64, intra_field=intra_field)
    n_bags = len(rows[0])
    one = st.lists(st.integers(0, N_FIELDS - 1), min_size=n_bags, max_size=n_bags)
    fields = data.draw(st.lists(one, min_size=len(rows), max_size=len(rows)))
    joined = [
        [
            [entry for f, bag in zip(own, row, strict=True) if f == g for entry in bag]
            for g in range(N_FIELDS)
        ]
        for own, row in zip(fields, rows, strict=True)
    ]
    got = module(*padded(rows), fields=torch.tensor(fields))
    want = module(*padded(joined))
    torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


# --- matrices and padded bags ---------------------------------------------------------


@given(rows_of(N_FIELDS, st.dictionaries(st.integers(0, 2), WEIGHTS)), st.booleans())
def test_padded_bags_and_matrices_are_the_same(rows, given_fields):
    """Field f owns the labels 3 f + 0, 1, 2."""
    rows = [
        [[(3 * f + label, w) for label, w in bag.items()] for f, bag in enumerate(row)]
        for row in rows
    ]
    dense = np.zeros((len(rows), 9), dtype=np.float32)
    for i, row in enumerate(rows):
        for bag in row:
            for label, weight in bag:
                dense[i, label] = weight
    arrays = [part.numpy() for part in padded(rows)]
    arrays[0][~filled(torch.from_numpy(arrays[1]), arrays[0].shape[1]).numpy()] = 0
    fields = np.repeat(np.arange(3), 3) if given_fields else None
    X = from_padded(*arrays, 9, fields=fields)
    np.testing.assert_array_equal(X.toarray(), dense)
    again = from_padded(*to_padded(X), 9, fields=X.field_map)
    assert again.field_map == X.field_map
    np.testing.assert_array_equal(again.toarray(), dense)
    held = dense.any(axis=0)
    np.testing.assert_array_equal(X.fields[held], np.repeat(np.arange(3), 3)[held])


@given(ROWS, st.sampled_from(["indices", "offsets"]), st.data())
def test_what_is_out_of_range_is_an_error_that_names_the_row(rows, what, data):
    bag, _ = embedding_bag(0, torch.float32)
    indices, offsets, weights = padded(rows)
    places = filled(offsets, indices.shape[1]) if what == "indices" else offsets >= -1
    if not places.any():
        return
    i, at = data.draw(st.sampled_from(torch.nonzero(places).tolist()))
    if what == "indices":
        indices[i, at] = data.draw(st.sampled_from([-1, N_LABELS, 2**31 - 1]))
    else:
        offsets[i, at] = data.draw(st.sampled_from([-2, indices.shape[1], 2**31 - 1]))
    with pytest.raises(ValueError, match=rf"row {i}\b"):
        bag(indices, offsets, weights)
