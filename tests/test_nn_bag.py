import copy
import io

import numpy as np
import pytest
import torch

from skwfm._bags import to_padded
from skwfm._fields import FieldCSR
from skwfm.nn import WeightedEmbeddingBag

TABLE = [
    [-0.4172, -0.1485, 0.9262, -0.4852],
    [0.1526, -0.5395, 0.0916, -1.2741],
    [-0.3022, -0.0705, -0.1614, -0.2234],
    [0.8110, -0.2389, 0.7278, -0.1804],
    [1.3034, 1.2308, -0.3032, 1.7542],
    [0.2870, -3.3745, 1.4647, -0.4888],
]
INDICES = [[0, 4, 2, 5], [1, 1, 4, 5], [1, 2, 3, 5]]
OFFSETS = [[0, 1, 3], [0, 2, 3], [1, 2, 3]]
WEIGHTS = [[0.2, 0.1, 0.9, 0.8], [0.5, 0.2, 0.3, 0.3], [2, -2, 0.3, 0.6]]
SUMS = [
    [
        [-0.0834, -0.0297, 0.1852, -0.0970],
        [0.1303, 0.1231, -0.0303, 0.1754],
        [-0.0424, -2.7630, 1.0265, -0.5921],
    ],
    [
        [0.0763, -0.2697, 0.0458, -0.6370],
        [0.4215, 0.2613, -0.0726, 0.2714],
        [0.0861, -1.0124, 0.4394, -0.1466],
    ],
    [
        [0.9096, -0.9380, 0.5059, -2.1014],
        [0.2433, -0.0717, 0.2183, -0.0541],
        [0.1722, -2.0247, 0.8788, -0.2933],
    ],
]
NAN = float("nan")


def make(**kwargs):
    bag = WeightedEmbeddingBag(6, 4, **kwargs)
    with torch.no_grad():
        bag.emb.weight.copy_(torch.tensor(TABLE))
    return bag


def example(int_dtype=torch.int64, dtype=torch.float32):
    return (
        torch.tensor(INDICES, dtype=int_dtype),
        torch.tensor(OFFSETS, dtype=int_dtype),
        torch.tensor(WEIGHTS, dtype=dtype),
    )


def by_hand(table, indices, offsets, weights):
    """Sum the bags in float64, one label at a time."""
    table, n_bags = np.asarray(table, dtype=np.float64), len(offsets[0])
    out = np.zeros((len(indices), n_bags, table.shape[1]))
    for row, ends in enumerate(offsets):
        start = 0
        for bag, end in enumerate(ends):
            for at in range(start, end + 1):
                out[row, bag] += weights[row][at] * table[indices[row][at]]
            start = end + 1
    return out


@pytest.mark.parametrize("int_dtype", [torch.int32, torch.int64])
def test_worked_example(int_dtype):
    emb_bag = make()
    out = emb_bag(*example(int_dtype))
    # The table is given to 4 digits: 2 (0.0916 + 0.1614) is 0.5060, printed 0.5059.
    np.testing.assert_allclose(out.detach(), SUMS, rtol=0, atol=1.01e-4)
    hand = by_hand(TABLE, INDICES, OFFSETS, WEIGHTS)
    np.testing.assert_allclose(out.detach(), hand, rtol=1e-6, atol=1e-7)


def test_mixed_integer_types():
    indices, offsets, weights = example()
    expected = make()(indices, offsets, weights)
    assert torch.equal(make()(indices.int(), offsets, weights), expected)
    assert torch.equal(make()(indices, offsets.int(), weights), expected)


def test_argument_names():
    indices, offsets, weights = example()
    expected = make()(indices, offsets, weights)
    named = make()(input=indices, offsets=offsets, per_sample_weights=weights)
    assert torch.equal(named, expected)
    named = make()(weights=weights, indices=indices, offsets=offsets)
    assert torch.equal(named, expected)
    assert torch.equal(make()(indices, offsets, per_sample_weights=weights), expected)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "indices .* is missing"),
        ((0,), {}, "offsets is missing"),
        ((0, 1), {}, "weights .* is missing"),
        ((0, 1, 2), {"input": 0}, r"indices \(or input\) under both names"),
        ((0, 1, 2), {"per_sample_weights": 2}, "under both names"),
    ],
)
def test_argument_errors(args, kwargs, message):
    tensors = example()
    args = [tensors[i] for i in args]
    kwargs = {name: tensors[i] for name, i in kwargs.items()}
    with pytest.raises(TypeError, match=message):
        make()(*args, **kwargs)


PADDED = {
    "empty first": ([[0, 1, NAN]], [[-1, 1]]),
    "empty middle": ([[0, 1, 2]], [[0, 0, 2]]),
    "empty last": ([[0, 1, 2]], [[1, 2, 2]]),
    "empty row": ([[NAN, NAN], [1, 2]], [[-1, -1], [0, 1]]),
    "all empty": ([[NAN, NAN]], [[-1, -1, -1]]),
    "one bag": ([[1, 2, NAN], [1, NAN, NAN]], [[1], [0]]),
    "one row": ([[3]], [[0]]),
}


@pytest.mark.parametrize("label", [0, -7, 10**6], ids=["valid", "negative", "large"])
@pytest.mark.parametrize("name", PADDED)
def test_empty_bags_and_padding(name, label):
    values, offsets = PADDED[name]
    indices = [[label if x != x else int(x) for x in row] for row in values]
    weights = [[x if x != x else x + 0.5 for x in row] for row in values]
    emb_bag = make(dtype=torch.float64)
    w = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
    out = emb_bag(torch.tensor(indices), torch.tensor(offsets), w)
    expected = by_hand(emb_bag.weight.detach(), indices, offsets, weights)
    np.testing.assert_allclose(out.detach(), expected, rtol=1e-14)
    out.sum().backward()
    assert torch.isfinite(emb_bag.weight.grad).all()
    assert torch.isfinite(w.grad).all()
    assert not w.grad[w.isnan()].any()


def test_no_rows():
    out = make()(torch.zeros(0, 3).long(), torch.zeros(0, 2).long(), torch.zeros(0, 3))
    assert out.shape == (0, 2, 4)


def test_no_columns():
    out = make()(torch.zeros(2, 0).long(), torch.full((2, 3), -1), torch.zeros(2, 0))
    assert out.shape == (2, 3, 4)
    assert not out.any()


def test_nan_stays_in_its_bag():
    indices, offsets, weights = example()
    weights[0, 0] = NAN
    out = make()(indices, offsets, weights)
    assert out[0, 0].isnan().all()
    clean = make()(*example())
    assert torch.equal(out[0, 1:], clean[0, 1:])
    assert torch.equal(out[1:], clean[1:])


def test_long_bag_beside_a_huge_one():
    rng = np.random.default_rng(0)
    bag = WeightedEmbeddingBag(50, 4)
    indices = rng.integers(0, 50, size=(1, 20_001))
    weights = rng.normal(size=(1, 20_001)).astype(np.float32)
    weights[0, 0] = 1e7  # a bag of its own, which must not touch the next
    offsets = [[0, 20_000]]
    got = bag(torch.tensor(indices), torch.tensor(offsets), torch.tensor(weights))
    table = bag.weight.detach().numpy()
    expected = by_hand(table, indices, offsets, weights.astype(np.float64))
    magnitude = by_hand(np.abs(table), indices, offsets, np.abs(weights).astype(float))
    error = np.abs(got.detach().numpy() - expected)
    assert np.all(error <= 1e-6 * magnitude)


def test_zero_weight_is_absence():
    indices, offsets, weights = example()
    weights[:, 1] = 0.0
    dropped = (indices[:, [0, 2, 3]], torch.tensor([[0, 0, 2], [0, 1, 2], [0, 1, 2]]))
    got = make()(indices, offsets, weights)
    assert torch.equal(got, make()(*dropped, weights[:, [0, 2, 3]]))


def test_weights_are_cast():
    indices, offsets, weights = example(dtype=torch.float64)
    assert make()(indices, offsets, weights).dtype == torch.float32
    assert make(dtype=torch.float64)(indices, offsets, weights.float()).dtype == (
        torch.float64
    )


def test_gradcheck():
    indices, offsets, weights = example(dtype=torch.float64)
    offsets[0, 0], offsets[1, 2] = -1, 2
    emb_bag = make(dtype=torch.float64)

    def sums(table, weights):
        return torch.func.functional_call(
            emb_bag, {"emb.weight": table}, (indices, offsets, weights)
        )

    table = emb_bag.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(sums, (table, weights.requires_grad_()))


def test_sparse_gradient():
    dense, sparse = make(), make(sparse=True)
    for emb_bag in (dense, sparse):
        (emb_bag(*example()) ** 2).sum().backward()
    assert sparse.weight.grad.is_sparse
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)


@pytest.mark.parametrize("kwargs", [{"padding_idx": 5}, {"max_norm": 1.0}])
def test_embedding_options_are_honoured(kwargs):
    bag = make(**kwargs)
    out = bag(*example())
    table = torch.tensor(TABLE)
    if "padding_idx" in kwargs:
        table[5] = 0.0
    else:
        table = torch.renorm(table, 2, 0, 1.0)
    expected = by_hand(table, INDICES, OFFSETS, WEIGHTS)
    np.testing.assert_allclose(out.detach(), expected, rtol=1e-5, atol=1e-6)


def test_mode_is_fixed():
    with pytest.raises(ValueError, match="mode='mean', expected 'sum'"):
        WeightedEmbeddingBag(3, 2, mode="mean")
    assert WeightedEmbeddingBag(3, 2, mode="sum").emb.mode == "sum"


def test_state():
    emb_bag = make()
    assert list(emb_bag.state_dict()) == ["emb.weight"]
    assert isinstance(emb_bag.emb, torch.nn.EmbeddingBag)
    assert emb_bag.weight is emb_bag.emb.weight
    other = WeightedEmbeddingBag(6, 4)
    other.load_state_dict(emb_bag.state_dict())
    file = io.BytesIO()
    torch.save(emb_bag, file)
    file.seek(0)
    expected = emb_bag(*example())
    for again in (other, copy.deepcopy(emb_bag), torch.load(file, weights_only=False)):
        assert torch.equal(again(*example()), expected)
    assert emb_bag.double()(*example()).dtype == torch.float64


def test_takes_what_to_padded_makes():
    dense = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    dense[abs(dense) < 0.5] = 0.0
    dense[2] = 0.0
    X = FieldCSR(dense, fields=[2, 3, 1])
    out = make()(*[torch.from_numpy(part) for part in to_padded(X)])
    for field in range(3):
        columns = X.fields == field
        expected = dense[:, columns] @ np.array(TABLE)[columns]
        np.testing.assert_allclose(out[:, field].detach(), expected, atol=1e-6)


def changed(name, row, column, value):
    def change(arrays):
        arrays[name][row, column] = value

    return change


def replaced(name, function):
    def change(arrays):
        arrays[name] = function(arrays[name])

    return change


ERRORS = [
    (
        changed("indices", 1, 2, 6),
        r"indices, row 1: got 6, expected labels from 0 to 5",
    ),
    (changed("indices", 2, 0, -1), r"indices, row 2: got -1, expected labels"),
    (changed("offsets", 1, 1, 4), r"offsets, row 1: got \[0, 4, 3\].*-1 to 3"),
    (changed("offsets", 2, 2, 4), r"offsets, row 2: got \[1, 2, 4\]"),
    (changed("offsets", 0, 0, -2), r"offsets, row 0: got \[-2, 1, 3\]"),
    (changed("offsets", 0, 1, -1), r"offsets, row 0: got \[0, -1, 3\].*never decrease"),
    (replaced("indices", torch.Tensor.float), r"indices: got dtype torch\.float32"),
    (replaced("indices", torch.Tensor.short), r"indices: got dtype torch\.int16"),
    (replaced("offsets", torch.Tensor.double), r"offsets: got dtype torch\.float64"),
    (replaced("weights", torch.Tensor.long), r"weights: got dtype torch\.int64"),
    (replaced("indices", torch.ravel), r"indices: got shape \(12,\).*\(B, N\)"),
    (replaced("offsets", torch.ravel), r"offsets: got shape \(9,\).*\(B, M\)"),
    (replaced("offsets", lambda x: x[:2]), r"offsets: got shape \(2, 3\).*\(3, M\)"),
    (replaced("offsets", lambda x: x[:, :0]), r"offsets: .*\(3, 0\).*M at least 1"),
    (replaced("weights", lambda x: x[:, :3]), r"weights: got shape \(3, 3\).*\(3, 4\)"),
    (replaced("weights", torch.ravel), r"weights: got shape \(12,\)"),
]


@pytest.mark.parametrize(("change", "message"), ERRORS)
def test_errors(change, message):
    arrays = dict(zip(("indices", "offsets", "weights"), example(), strict=True))
    change(arrays)
    with pytest.raises(ValueError, match=message):
        make()(**arrays)


def test_error_names_the_row_behind_padding():
    indices, offsets, weights = example()
    offsets[0] = torch.tensor([-1, -1, 0])
    offsets[1] = -1
    indices[2, 3] = 9
    with pytest.raises(ValueError, match=r"indices, row 2: got 9"):
        make()(indices, offsets, weights)


def test_error_cuts_long_rows():
    offsets = torch.full((1, 50), 7)
    with pytest.raises(ValueError, match=r"7, 7, \.\.\.\], expected"):
        make()(torch.zeros(1, 3).long(), offsets, torch.zeros(1, 3))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda():
    emb_bag = make(device="cuda")
    arrays = [part.cuda() for part in example()]
    np.testing.assert_allclose(emb_bag(*arrays).detach().cpu(), SUMS, 0, 1.01e-4)
    arrays[0][1, 1] = 6
    with pytest.raises(ValueError, match="indices, row 1: got 6"):
        emb_bag(*arrays)
