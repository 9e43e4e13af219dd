"""What FM and FFM modules share, and the FM alone."""

import copy
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skwfm._bags import to_flat, to_padded
from skwfm._fields import FieldCSR
from skwfm._kernels import reference
from skwfm.nn import WeightedFFM, WeightedFM

N_FEATURES, N_FIELDS, K = 12, 3, 4
IDS = np.repeat(np.arange(N_FIELDS), 4)
NAN = float("nan")


def make_fm(**kwargs):
    return WeightedFM(N_FEATURES, K, **kwargs)


def make_ffm(**kwargs):
    return WeightedFFM(N_FEATURES, K, N_FIELDS, **kwargs)


KINDS = {"fm": make_fm, "ffm": make_ffm}


def make(name, seed=0, **kwargs):
    """Return a module whose linear part and bias are not zero."""
    generator = torch.Generator().manual_seed(seed)
    module = KINDS[name](init_scale=1.0, generator=generator, **kwargs)
    with torch.no_grad():
        for parameter in (module.linear, module.bias):
            if parameter is not None:
                parameter.normal_(generator=generator)
    return module


def matrix(n_rows=6, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(n_rows, N_FEATURES)) * (rng.random((n_rows, 12)) < 0.6)
    dense[0, IDS == 0] = 0.0  # an empty first bag
    if n_rows > 2:
        dense[1] = 0.0  # an empty row
        dense[2, IDS == 2] = 0.0
    return FieldCSR(dense.astype(dtype), fields=IDS)


def padded(X):
    return [torch.from_numpy(part) for part in to_padded(X)]


def expected_scores(module, name, X, **options):
    """Score by the float64 reference."""
    table = module.bag.weight.detach().double().numpy()
    if name == "ffm":
        table = table.reshape(N_FEATURES, N_FIELDS, K)
    flat = to_flat(X, IDS, N_FIELDS)
    linear = module.linear.detach().double().numpy()[:, 0]
    return getattr(reference, f"{name}_score")(
        module.bias.item(), linear, table, *flat[:3], N_FIELDS, **options
    )


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_rows", [1, 6])
@pytest.mark.parametrize("name", KINDS)
def test_forward_equals_reference(name, n_rows, dtype, intra_field):
    module = make(name, dtype=dtype, intra_field=intra_field)
    X = matrix(n_rows)
    scores = module(*padded(X))
    assert scores.shape == (n_rows,)
    assert scores.dtype == dtype
    expected = expected_scores(module, name, X, intra_field=intra_field)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(scores.detach(), expected, tolerance, tolerance)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_score_flat_equals_forward(name, intra_field):
    module, X = make(name, intra_field=intra_field), matrix()
    flat = to_flat(X, IDS, N_FIELDS)
    scores = module.score_flat(*[torch.from_numpy(p) for p in flat[:3]], N_FIELDS)
    assert torch.equal(scores, module(*padded(X)))


@pytest.mark.parametrize("name", KINDS)
def test_padding_is_never_read(name):
    module, X = make(name), matrix()
    indices, offsets, weights = padded(X)
    expected = module(indices, offsets, weights)
    behind = torch.arange(indices.shape[1]) > offsets[:, -1:]
    assert behind.any()
    indices[behind], weights[behind] = 10**6, NAN
    weights.requires_grad_()
    scores = module(indices, offsets, weights)
    assert torch.equal(scores, expected)
    scores.sum().backward()
    for gradient in (*[p.grad for p in module.parameters()], weights.grad):
        assert torch.isfinite(gradient).all()
    assert not weights.grad[behind].any()


@pytest.mark.parametrize("name", KINDS)
def test_empty_row_scores_the_bias(name):
    module = make(name)
    scores = module(*padded(FieldCSR(np.zeros((2, N_FEATURES)), fields=IDS)))
    assert torch.equal(scores, module.bias.expand(2))


@pytest.mark.parametrize("name", KINDS)
def test_one_bag_has_no_pairs(name):
    module = make(name)
    indices, offsets = torch.tensor([[0, 3]]), torch.tensor([[1]])
    weights = torch.tensor([[2.0, -1.0]])
    linear = module.linear[:, 0]
    expected = module.bias + 2.0 * linear[0] - linear[3]
    torch.testing.assert_close(module(indices, offsets, weights), expected)


@pytest.mark.parametrize("name", KINDS)
def test_no_rows(name):
    arrays = (torch.zeros(0, 2).long(), torch.zeros(0, 3).long(), torch.zeros(0, 2))
    assert make(name)(*arrays).shape == (0,)
    assert make(name, num_outputs=2)(*arrays).shape == (0, 2)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_zero_weight_is_absence(name, intra_field):
    module = make(name, intra_field=intra_field)
    offsets, weights = torch.tensor([[1, 2, 4]]), [0.7, 0.0, -1.2, 0.0, 0.4]
    got = module(torch.tensor([[0, 1, 5, 9, 8]]), offsets, torch.tensor([weights]))
    short = [0.7, -1.2, 0.4]
    want = module(
        torch.tensor([[0, 5, 8]]), torch.tensor([[0, 1, 2]]), torch.tensor([short])
    )
    assert torch.equal(got, want)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_duplicate_is_its_sum(name, intra_field):
    module = make(name, intra_field=intra_field, dtype=torch.float64)
    got = module(
        torch.tensor([[0, 1, 0, 5]]),
        torch.tensor([[2, 3, 3]]),
        torch.tensor([[0.5, 2.0, 1.25, 3.0]]),
    )
    want = module(
        torch.tensor([[0, 1, 5]]),
        torch.tensor([[1, 2, 2]]),
        torch.tensor([[1.75, 2.0, 3.0]]),
    )
    torch.testing.assert_close(got, want, rtol=1e-14, atol=0)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(KINDS)), st.booleans())
def test_label_order_in_a_bag_does_not_matter(seed, name, intra_field):
    rng = np.random.default_rng(seed)
    module = make(name, intra_field=intra_field, dtype=torch.float64)
    bags = [
        [(rng.integers(N_FEATURES), rng.normal()) for _ in range(length)]
        for length in (rng.integers(5), 3, rng.integers(5))
    ]

    def score():
        entries = [entry for bag in bags for entry in bag]
        ends = np.cumsum([len(bag) for bag in bags]) - 1
        indices = torch.tensor([[int(label) for label, _ in entries]])
        weights = torch.tensor([[float(weight) for _, weight in entries]])
        return module(indices, torch.from_numpy(ends)[None], weights)

    before = score()
    for bag in bags:
        bag[:] = [bag[at] for at in rng.permutation(len(bag))]
    torch.testing.assert_close(score(), before, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", KINDS)
def test_int32_and_aliases(name):
    module = make(name)
    indices, offsets, weights = padded(matrix())
    expected = module(indices, offsets, weights)
    got = module(
        input=indices.int(), offsets=offsets.int(), per_sample_weights=weights.double()
    )
    assert torch.equal(got, expected)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_gradcheck(name, intra_field):
    module = make(name, dtype=torch.float64, intra_field=intra_field)
    indices, offsets, weights = padded(matrix(3, dtype=np.float64))
    indices[2, 1] = indices[2, 0]  # a duplicate
    names = [parameter for parameter, _ in module.named_parameters()]

    def score(weights, *parameters):
        state = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(module, state, (indices, offsets, weights))

    values = [p.detach().clone().requires_grad_() for p in module.parameters()]
    inputs = (weights.requires_grad_(), *values)
    assert torch.autograd.gradcheck(score, inputs, fast_mode=True)


@pytest.mark.parametrize("name", KINDS)
def test_gradients_equal_reference(name):
    module, X = make(name, dtype=torch.float64), matrix()
    grad = np.random.default_rng(3).normal(size=X.shape[0])
    module(*padded(X)).backward(torch.from_numpy(grad))
    table = module.bag.weight.detach().numpy()
    if name == "ffm":
        table = table.reshape(N_FEATURES, N_FIELDS, K)
    linear = module.linear.detach().numpy()[:, 0]
    gradient = getattr(reference, f"{name}_gradient")
    d_bias, d_linear, d_table = gradient(
        grad, linear, table, *to_flat(X, IDS, N_FIELDS)[:3], N_FIELDS
    )
    assert module.bias.grad.item() == pytest.approx(d_bias)
    np.testing.assert_allclose(module.linear.grad[:, 0], d_linear, atol=1e-12)
    got = module.bag.weight.grad.reshape(table.shape)
    np.testing.assert_allclose(got, d_table, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_num_outputs(name):
    parts = [make(name, seed=seed) for seed in range(3)]
    joined = KINDS[name](num_outputs=3)
    with torch.no_grad():
        joined.bag.weight.copy_(torch.cat([p.bag.weight for p in parts], 1))
        joined.linear.copy_(torch.cat([p.linear for p in parts], 1))
        joined.bias.copy_(torch.cat([p.bias for p in parts]))
    scores = joined(*padded(matrix()))
    assert scores.shape == (6, 3)
    for output, part in enumerate(parts):
        torch.testing.assert_close(scores[:, output], part(*padded(matrix())))


@pytest.mark.parametrize("name", KINDS)
def test_sparse_gradients(name):
    dense, sparse = make(name), make(name, sparse=True)
    for module in (dense, sparse):
        module(*padded(matrix())).sum().backward()
    for one, other in zip(dense.parameters(), sparse.parameters(), strict=True):
        assert other.grad.is_sparse == (other.ndim == 2)
        torch.testing.assert_close(other.grad.to_dense(), one.grad)
    torch.optim.SGD(sparse.parameters(), lr=0.1).step()


@pytest.mark.parametrize("name", KINDS)
def test_parameters_and_initialization(name):
    module = KINDS[name](generator=torch.Generator().manual_seed(0))
    shapes = {n: tuple(p.shape) for n, p in module.named_parameters()}
    width = K if name == "fm" else K * N_FIELDS
    expected = {"bias": (1,), "linear": (12, 1), "bag.emb.weight": (12, width)}
    assert shapes == expected
    assert not module.linear.any()
    assert not module.bias.any()
    assert 0.005 < module.bag.weight.std().item() < 0.02
    assert not KINDS[name](init_scale=0.0).bag.weight.any()
    bare = KINDS[name](bias=False, linear=False)
    assert list(bare.state_dict()) == ["bag.emb.weight"]
    assert bare.bias is None
    assert bare.linear is None
    assert bare(*padded(matrix())).shape == (6,)


@pytest.mark.parametrize("name", KINDS)
def test_generator_leaves_the_global_one_alone(name):
    before = torch.get_rng_state()
    first, second = (
        KINDS[name](generator=torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.bag.weight, second.bag.weight)


@pytest.mark.parametrize("name", KINDS)
def test_state(name):
    module, arrays = make(name), padded(matrix())
    other = KINDS[name]()
    other.load_state_dict(module.state_dict())
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    expected = module(*arrays)
    for again in (other, copy.deepcopy(module), torch.load(file, weights_only=False)):
        assert torch.equal(again(*arrays), expected)
    assert "num_outputs=1" in repr(module)
    assert module.double()(*arrays).dtype == torch.float64


@pytest.mark.parametrize("name", KINDS)
def test_errors_before_any_kernel(name):
    indices, offsets, weights = padded(matrix())
    bad = indices.clone()
    bad[3, 0] = N_FEATURES
    with pytest.raises(ValueError, match=r"indices, row 3: got 12, .* 0 to 11"):
        make(name)(bad, offsets, weights)
    bad = offsets.clone()
    bad[4, 0] = indices.shape[1]
    with pytest.raises(ValueError, match=r"offsets, row 4: got \["):
        make(name)(indices, bad, weights)
    with pytest.raises(ValueError, match=r"weights: got dtype torch\.int64"):
        make(name)(indices, offsets, weights.long())
    with pytest.raises(TypeError, match="weights .* is missing"):
        make(name)(indices, offsets)


@pytest.mark.parametrize("name", KINDS)
def test_long_bags(name):
    rng = np.random.default_rng(0)
    n = 20_000
    module = make(name)
    indices, weights = rng.integers(0, 12, (1, n)), rng.normal(size=(1, n))
    offsets = np.array([[n // 2, n // 2, n - 1]])
    starts = np.concatenate(([0], offsets[0] + 1))
    weights = weights.astype(np.float32)
    got = module(*[torch.from_numpy(part) for part in (indices, offsets, weights)])
    table = module.bag.weight.detach().double().numpy()
    if name == "ffm":
        table = table.reshape(N_FEATURES, N_FIELDS, K)
    linear = module.linear.detach().double().numpy()[:, 0]
    score = getattr(reference, f"{name}_score")
    bags = (indices[0], starts, weights[0], N_FIELDS)
    expected = score(module.bias.item(), linear, table, *bags)
    # duplicates cancel in the sums, so the terms are those before summing
    size = float(abs(weights).sum()) ** 2
    assert abs(got.item() - expected[0]) <= 1e-6 * size
    np.testing.assert_allclose(got.item(), expected[0], rtol=1e-4)


def test_with_each_column_a_field_this_is_rendles_machine():
    fm = make("fm", dtype=torch.float64)
    dense = matrix(dtype=np.float64).toarray()
    scores = fm(*padded(dense))
    V = fm.bag.weight.detach().numpy()
    pairs = ((dense @ V) ** 2 - dense**2 @ V**2).sum(1) / 2
    linear = dense @ fm.linear.detach().numpy()[:, 0]
    np.testing.assert_allclose(scores.detach(), fm.bias.item() + linear + pairs)


def test_training_lowers_the_loss():
    fm = make("fm")
    arrays = padded(matrix())
    y = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
    optimizer = torch.optim.Adam(fm.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(fm(*arrays), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_cuda_equals_cpu(name, intra_field):
    module = make(name, intra_field=intra_field)
    arrays = padded(matrix())
    expected = module(*arrays)
    expected.sum().backward()
    gradients = [p.grad for p in module.parameters()]
    there = copy.deepcopy(module).cuda()
    there.zero_grad()
    scores = there(*[part.cuda() for part in arrays])
    torch.testing.assert_close(scores.cpu(), expected, rtol=1e-5, atol=1e-5)
    scores.sum().backward()
    for parameter, gradient in zip(there.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad.cpu(), gradient, rtol=1e-5, atol=1e-5)
