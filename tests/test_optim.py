"""SparseAdagrad and LazyAdam against torch's optimizers, with and without the core."""

import copy
import math
import pickle

import pytest
import torch

from skwfm._kernels import compiled, row_steps
from skwfm.nn import LazyAdam, SparseAdagrad, WeightedFM

CORE = compiled._core
N_ROWS, DIM = 30, 7
# torch's own optimizers build sparse tensors without saying whether to check them.
torch_builds_sparse = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
PAIRS = {
    "adagrad": (SparseAdagrad, torch.optim.Adagrad, {"lr": 0.3, "eps": 1e-6}),
    "adagrad start": (
        SparseAdagrad,
        torch.optim.Adagrad,
        {"lr": 0.1, "initial_accumulator_value": 0.5},
    ),
    "adam": (LazyAdam, torch.optim.SparseAdam, {"lr": 0.1}),
    "adam betas": (
        LazyAdam,
        torch.optim.SparseAdam,
        {"lr": 0.2, "betas": (0.5, 0.0), "eps": 1e-3},
    ),
}
OPTIMIZERS = {"adagrad": SparseAdagrad, "adam": LazyAdam}


@pytest.fixture(params=[*(CORE.instruction_sets() if CORE else []), "no core"])
def core(request, monkeypatch):
    """Every way in which a step can be computed."""
    if request.param == "no core":
        monkeypatch.setattr(compiled, "_core", None)
        yield
        return
    before = CORE.instruction_set()
    CORE.set_instruction_set(request.param)
    yield
    CORE.set_instruction_set(before)


def make_parameter(shape=(N_ROWS, DIM), dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, dtype=dtype, generator=generator)
    return torch.nn.Parameter(values.to(device))


def make_gradients(parameter, n_steps=4):
    """Return coalesced gradients of some rows; none at all in one step."""
    generator = torch.Generator().manual_seed(1)
    for number in range(n_steps):
        n_labels = 0 if number == 1 else 9
        labels = torch.randperm(len(parameter), generator=generator)[:n_labels].sort()
        shape = (n_labels, *parameter.shape[1:])
        values = torch.randn(shape, dtype=parameter.dtype, generator=generator)
        yield torch.sparse_coo_tensor(
            labels.values[None],
            values,
            parameter.shape,
            is_coalesced=True,
            check_invariants=True,
        ).to(parameter.device)


def train(parameter, optimizer, make=lambda grad: grad):
    for grad in make_gradients(parameter):
        parameter.grad = make(grad)
        optimizer.step()
    return parameter.detach()


@torch_builds_sparse
@pytest.mark.parametrize("shape", [(N_ROWS, DIM), (N_ROWS, 64), (N_ROWS, 1), (N_ROWS,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pair", PAIRS)
def test_equals_torch(pair, dtype, shape, core):
    ours, theirs, options = PAIRS[pair]
    results = []
    for make in (ours, theirs):
        parameter = make_parameter(shape, dtype)
        optimizer = make([parameter], **options)
        train(parameter, optimizer)
        results.append((parameter.detach(), optimizer.state[parameter]))
    (got, state), (want, their_state) = results
    rtol = 2e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(got, want, rtol=rtol, atol=rtol)
    for name in state.keys() - {"step"}:
        one, other = state[name], their_state[name]
        torch.testing.assert_close(one, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("pair", ["adagrad", "adam"])
def test_dense_gradients(pair, core):
    """They move every row: as torch's AdaGrad, and as sparse ones with all rows."""
    ours, _, options = PAIRS[pair]
    dense, sparse = make_parameter(), make_parameter()
    train(dense, ours([dense], **options), torch.Tensor.to_dense)

    def with_all_rows(grad):
        every = torch.arange(N_ROWS)[None]
        values = grad.to_dense()
        return torch.sparse_coo_tensor(
            every, values, values.shape, is_coalesced=True, check_invariants=True
        )

    train(sparse, ours([sparse], **options), with_all_rows)
    torch.testing.assert_close(dense, sparse, rtol=1e-12, atol=1e-12)
    if pair == "adagrad":
        other = make_parameter()
        train(other, torch.optim.Adagrad([other], **options), torch.Tensor.to_dense)
        torch.testing.assert_close(dense, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(N_ROWS, DIM), (N_ROWS, 2, 3), (N_ROWS,)])
@pytest.mark.parametrize("is_dense", [False, True])
def test_one_state_per_row(shape, is_dense, core):
    parameter = make_parameter(shape)
    optimizer = SparseAdagrad([parameter], lr=0.2, per_row=True)
    expected = parameter.detach().clone()
    sums = torch.zeros(N_ROWS, dtype=torch.float64)
    for grad in make_gradients(parameter):
        values = grad.to_dense().view(N_ROWS, -1)
        sums += values.square().mean(1)
        moved = values / (sums.sqrt() + 1e-10)[:, None]
        expected -= 0.2 * moved.view(shape)
        parameter.grad = grad.to_dense() if is_dense else grad
        optimizer.step()
    torch.testing.assert_close(parameter.detach(), expected, rtol=1e-12, atol=1e-12)
    assert optimizer.state[parameter]["sum"].shape == (N_ROWS,)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_other_rows_do_not_move(name, core):
    parameter = make_parameter()
    before = parameter.detach().clone()
    optimizer = OPTIMIZERS[name]([parameter], lr=0.1)
    grad = next(make_gradients(parameter))
    parameter.grad = grad
    optimizer.step()
    moved = (parameter.detach() != before).any(1)
    assert moved.nonzero().flatten().tolist() == grad.indices()[0].tolist()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_unordered_and_repeated_rows_are_coalesced(name, core):
    def scatter(grad):
        labels, values = grad.indices(), grad.values()
        shuffled = torch.cat([labels.flip(1), labels], 1)
        halves = torch.cat([values.flip(0), values]) / 2
        return torch.sparse_coo_tensor(
            shuffled, halves, grad.shape, check_invariants=True
        )

    one, other = make_parameter(), make_parameter()
    train(one, OPTIMIZERS[name]([one], lr=0.1))
    train(other, OPTIMIZERS[name]([other], lr=0.1), scatter)
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_odd_parameters(name, core):
    """Scalars, empty and transposed tensors, and such without a gradient."""
    scalar, empty = make_parameter(()), make_parameter((0, 3))
    unused, plain = make_parameter(), make_parameter()
    turned = torch.nn.Parameter(plain.detach().clone().t().contiguous().t())
    assert not turned.is_contiguous()
    parameters = [scalar, empty, unused, plain, turned]
    optimizer = OPTIMIZERS[name](parameters, lr=0.1)
    before = scalar.item()
    for part in (scalar, empty, plain, turned):
        part.grad = torch.ones_like(part)
    optimizer.step()
    assert scalar.item() == pytest.approx(before - 0.1)
    assert torch.equal(unused, make_parameter())
    torch.testing.assert_close(turned, plain)
    assert not torch.equal(plain, unused)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_dict_continues(name, core):
    def half(parameter, optimizer, part):
        for grad in list(make_gradients(parameter, 6))[part]:
            parameter.grad = grad
            optimizer.step()

    parameter = make_parameter()
    optimizer = OPTIMIZERS[name]([parameter], lr=0.1)
    half(parameter, optimizer, slice(3))
    again = torch.nn.Parameter(parameter.detach().clone())
    fresh = OPTIMIZERS[name]([again], lr=0.7)
    fresh.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    copied, twin = copy.deepcopy((parameter, optimizer))
    for pair in ((parameter, optimizer), (again, fresh), (copied, twin)):
        half(*pair, slice(3, 6))
    assert torch.equal(again, parameter)
    assert torch.equal(copied, parameter)


def test_lazy_adam_continues_sparse_adam():
    parameter = make_parameter()
    theirs = torch.optim.SparseAdam([parameter], lr=0.1)
    ours = LazyAdam([parameter])
    ours.load_state_dict(theirs.state_dict())
    assert ours.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_and_schedulers(name):
    first, second = make_parameter(), make_parameter()
    groups = [{"params": [first]}, {"params": [second], "lr": 0.0}]
    optimizer = OPTIMIZERS[name](groups, lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    first.grad, second.grad = torch.ones_like(first), torch.ones_like(second)
    optimizer.step()
    scheduler.step()
    assert torch.equal(second, make_parameter())
    assert optimizer.param_groups[0]["lr"] == 0.05


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_closure(name):
    parameter = make_parameter()
    optimizer = OPTIMIZERS[name]([parameter], lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_autograd_notices_the_step(name, core):
    parameter = make_parameter()
    loss = parameter.square().sum()
    parameter.grad = torch.ones_like(parameter)
    OPTIMIZERS[name]([parameter], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.skipif(CORE is None, reason="the core is not compiled")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_threads_change_nothing(name, monkeypatch):
    one, other = make_parameter(), make_parameter()
    train(one, OPTIMIZERS[name]([one], lr=0.1))
    monkeypatch.setattr(row_steps, "n_threads", lambda work: 4)
    train(other, OPTIMIZERS[name]([other], lr=0.1))
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("sparse", [False, True])
def test_training_lowers_the_loss(name, sparse, core):
    generator = torch.Generator().manual_seed(0)
    fm = WeightedFM(20, 4, sparse=sparse, generator=generator)
    indices = torch.randint(0, 20, (50, 6), generator=generator)
    offsets = torch.tensor([[1, 3, 5]]).expand(50, 3)
    y = torch.randint(0, 2, (50,), generator=generator).float()
    optimizer = OPTIMIZERS[name](fm.parameters(), lr=0.1)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        scores = fm(indices, offsets, torch.ones(50, 6))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, r"lr=-0.1, expected a finite number at least 0"),
        ({"lr": math.inf}, r"lr=inf, expected a finite number"),
        ({"lr": math.nan}, r"lr=nan, expected a finite number"),
        ({"lr": "fast"}, r"lr='fast', expected a finite number"),
        ({"eps": 0.0}, r"eps=0.0, expected a finite number above 0"),
    ],
)
def test_options_out_of_range(name, options, message):
    with pytest.raises(ValueError, match=message):
        OPTIMIZERS[name]([make_parameter()], **options)


def test_options_of_one_optimizer_out_of_range():
    with pytest.raises(ValueError, match=r"initial_accumulator_value=-1, expected"):
        SparseAdagrad([make_parameter()], initial_accumulator_value=-1)
    for betas in ((1.0, 0.9), (0.9, -0.1), (0.9,), 0.9):
        with pytest.raises(ValueError, match="betas"):
            LazyAdam([make_parameter()], betas=betas)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_that_cannot_be_moved(name):
    complex_one = make_parameter(dtype=torch.complex64)
    with pytest.raises(ValueError, match=r"params, tensor 1: got torch.complex64"):
        OPTIMIZERS[name]([make_parameter(), complex_one])
    optimizer = OPTIMIZERS[name]([make_parameter()])
    with pytest.raises(ValueError, match=r"lr=-1, expected"):
        optimizer.add_param_group({"params": [make_parameter()], "lr": -1})
    assert len(optimizer.param_groups) == 1
    parameter = make_parameter()
    parameter.grad = torch.ones_like(parameter).to_sparse()
    with pytest.raises(ValueError, match="2 sparse dimensions, expected 1"):
        OPTIMIZERS[name]([parameter]).step()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_cuda_equals_cpu(name):
    here, there = make_parameter(), make_parameter(device="cuda")
    train(here, OPTIMIZERS[name]([here], lr=0.1))
    train(there, OPTIMIZERS[name]([there], lr=0.1))
    torch.testing.assert_close(there.detach().cpu(), here.detach())
