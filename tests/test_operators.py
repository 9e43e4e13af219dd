"""The operators on the compiled core against the slow reference and the torch twin."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skwfm._kernels import compiled, core_batches, operators, reference, torch_ops
from skwfm.nn import WeightedFFM, WeightedFM

CORE = compiled._core
needs_core = pytest.mark.skipif(CORE is None, reason="the core is not compiled")
NAMES = ["fm", "ffm"]
SCORE_RTOL = {torch.float32: 1e-6, torch.float64: 1e-13}
GRADIENT_RTOL = {torch.float32: 1e-5, torch.float64: 1e-13}
MANY = np.random.default_rng(1).integers(0, 5, size=(12, 7))


class Problem:
    """A random flat batch with different labels in each bag, and a model for it."""

    def __init__(self, name, lengths, k=3, n_outputs=1, dtype=torch.float64, seed=0):
        rng = np.random.default_rng(seed)
        lengths = np.asarray(lengths)
        self.name, self.n_outputs, self.dtype = name, n_outputs, dtype
        self.n_rows, self.n_fields = lengths.shape
        n_features = max(40, int(lengths.max(initial=0)) + 10)
        bags = [rng.choice(n_features, size, replace=False) for size in lengths.flat]
        self.indices = torch.from_numpy(np.concatenate([np.empty(0, int), *bags]))
        self.offsets = torch.from_numpy(np.append(0, np.cumsum(lengths)))
        width = k * (self.n_fields if name == "ffm" else 1)

        def draw(*shape):
            return torch.from_numpy(rng.normal(size=shape)).to(dtype)

        self.weights = draw(len(self.indices))
        self.table = draw(n_features, n_outputs * width)
        self.linear = draw(n_features, n_outputs)
        self.bias = draw(n_outputs)
        self.grad = draw(self.n_rows, n_outputs)

    def trained(self):
        """Return leaves to differentiate: table, linear, bias, weights."""
        parts = (self.table, self.linear, self.bias, self.weights)
        return [part.clone().requires_grad_() for part in parts]

    def score(self, leaves, module=operators, **options):
        table, linear, bias, weights = leaves
        batch = (self.indices, self.offsets, weights, self.n_fields)
        score = getattr(module, f"{self.name}_score")
        return score(table, linear, bias, *batch, n_outputs=self.n_outputs, **options)

    def run(self, module=operators, **options):
        """Return the scores, and the gradients of all leaves."""
        leaves = self.trained()
        scores = self.score(leaves, module, **options)
        scores.backward(self.grad)
        return [scores.detach(), *[leaf.grad for leaf in leaves]]

    def reference(self, **options):
        """Return what `run` should, weights left out, and the magnitude of each."""
        found = []
        for size in (lambda x: x, np.abs):
            parts = (self.table, self.linear[:, 0], self.weights, self.bias, self.grad)
            table, linear, weights, bias, grad = (
                size(part.double().numpy()) for part in parts
            )
            if self.name == "ffm":
                table = table.reshape(len(table), self.n_fields, -1)
            args = (linear, table, self.indices, self.offsets, weights, self.n_fields)
            score = getattr(reference, f"{self.name}_score")
            gradient = getattr(reference, f"{self.name}_gradient")
            d_bias, d_linear, d_table = gradient(grad[:, 0], *args, **options)
            found.append([score(bias[0], *args, **options), d_table, d_linear, d_bias])
        return found


def check_reference(problem, sparse=False, **options):
    """Compare scores and gradients with the reference."""
    scores, d_table, d_linear, d_bias, _ = problem.run(sparse=sparse, **options)
    assert scores.shape == (problem.n_rows, 1)
    assert scores.dtype == problem.dtype
    expected, magnitude = problem.reference(**options)
    rtol = [SCORE_RTOL[problem.dtype], *[GRADIENT_RTOL[problem.dtype]] * 3]
    got = [scores, d_table, d_linear, d_bias]
    for one, want, size, tolerance in zip(got, expected, magnitude, rtol, strict=True):
        dense = one.to_dense() if one.is_sparse else one
        error = np.abs(dense.double().numpy().ravel() - np.ravel(want))
        assert np.all(error <= tolerance * np.ravel(size)), error.max()


def check_twin(problem, **options):
    """Compare scores and all gradients with those of `torch_ops`."""
    got, want = problem.run(**options), problem.run(torch_ops, **options)
    for one, other in zip(got, want, strict=True):
        assert one.is_sparse == other.is_sparse
        dense = [part.to_dense() if part.is_sparse else part for part in (one, other)]
        torch.testing.assert_close(*dense, rtol=1e-11, atol=1e-11)


@pytest.fixture(params=CORE.instruction_sets() if CORE else [])
def instruction_set(request):
    before = CORE.instruction_set()
    CORE.set_instruction_set(request.param)
    yield request.param
    CORE.set_instruction_set(before)


shapes = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 4), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


@needs_core  # the formulas have their own such test, with their own tolerance
@given(
    shapes,
    st.sampled_from(NAMES),
    st.integers(1, 9),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_equals_reference(lengths, name, k, dtype, intra_field, sparse, seed):
    problem = Problem(name, lengths, k=k, dtype=dtype, seed=seed)
    check_reference(problem, sparse=sparse, intra_field=intra_field)


EXTREMES = {
    "one value": [[1]],
    "one field": [[3], [0], [2]],
    "all empty": [[0, 0], [0, 0]],
    "no rows": np.zeros((0, 3), dtype=int),
    "long bag": [[10_000, 1], [2, 10_000]],
}


@needs_core
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("lengths", EXTREMES)
@pytest.mark.parametrize("name", NAMES)
def test_extreme_shapes(name, lengths, k, dtype, sparse):
    check_reference(Problem(name, EXTREMES[lengths], k=k, dtype=dtype), sparse=sparse)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_all_rows_identical(name, sparse):
    problem = Problem(name, [[2, 1, 3]] * 300, dtype=torch.float32)
    problem.indices = problem.indices[:6].repeat(300)
    problem.weights = problem.weights[:6].repeat(300)
    check_reference(problem, sparse=sparse)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("k", [4, 5])
@pytest.mark.parametrize("name", NAMES)
def test_equals_twin_on_every_instruction_set(
    name, k, n_outputs, intra_field, instruction_set
):
    """Gradients of the weights and several outputs, which the reference lacks."""
    problem = Problem(name, MANY, k=k, n_outputs=n_outputs)
    check_twin(problem, intra_field=intra_field)
    check_twin(problem, intra_field=intra_field, sparse=True)


@pytest.mark.parametrize("name", NAMES)
def test_int32_and_strided_batches(name):
    problem = Problem(name, MANY)
    want = problem.run()
    problem.indices, problem.offsets = problem.indices.int(), problem.offsets.int()
    problem.weights = problem.weights.repeat_interleave(2)[::2]
    for one, other in zip(problem.run(), want, strict=True):
        assert torch.equal(one, other)


def test_ffm_fewer_bags_than_fields():
    problem = Problem("ffm", [[2, 1, 0], [1, 0, 0], [0, 0, 0]])
    want = problem.run()
    kept = torch.tensor([0, 1, 3, 4, 6, 7, 9])  # without the last, empty field
    problem.offsets = problem.offsets[kept]
    for one, other in zip(problem.run(n_bags=2), want, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("intra_field", [False, True])
def test_ffm_fields_argument(intra_field):
    problem = Problem("ffm", [[2, 1, 3], [1, 2, 0]])
    fields = torch.tensor([[2, 0, 1], [1, 1, 0]], dtype=torch.int32)
    check_twin(problem, fields=fields, n_bags=3, intra_field=intra_field)


@pytest.mark.parametrize("name", NAMES)
def test_without_linear_and_bias(name):
    problem = Problem(name, MANY)
    table, _, _, weights = problem.trained()
    results = []
    for module in (operators, torch_ops):
        scores = problem.score((table, None, None, weights), module)
        grads = torch.autograd.grad(scores, (table, weights), problem.grad)
        results.append((scores, *grads))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("trained", range(4))
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_each_input_alone(name, sparse, trained):
    problem = Problem(name, MANY)
    want = problem.run(sparse=sparse)[1 + trained]
    leaves = [leaf.detach() for leaf in problem.trained()]
    leaves[trained].requires_grad_()
    problem.score(leaves, sparse=sparse).backward(problem.grad)
    got = leaves[trained].grad.to_dense()
    torch.testing.assert_close(got, want.to_dense(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name, intra_field):
    problem = Problem(name, [[2, 0, 1], [1, 3, 2]], k=2, n_outputs=2)

    def score(*leaves):
        return problem.score(leaves, intra_field=intra_field)

    assert torch.autograd.gradcheck(score, problem.trained())


@pytest.mark.parametrize("name", NAMES)
def test_second_derivative_raises(name):
    problem = Problem(name, [[2, 1]])
    leaves = problem.trained()
    scores = problem.score(leaves)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(scores.sum(), leaves[0], create_graph=True)


@needs_core
@pytest.mark.parametrize("name", NAMES)
def test_sparse_gradients_are_coalesced(name):
    problem = Problem(name, MANY)
    table, linear, bias, weights = leaves = problem.trained()
    problem.score(leaves, sparse=True).backward(problem.grad)
    labels = problem.indices.unique()
    for leaf in (table, linear):
        assert leaf.grad.is_coalesced()
        assert torch.equal(leaf.grad.indices()[0], labels)
    once = table.grad.to_dense()
    problem.score(leaves, sparse=True).backward(problem.grad)
    torch.testing.assert_close(table.grad.to_dense(), 2 * once)
    scores = problem.score((table, linear, bias, weights), sparse=True)
    assert torch.autograd.grad(scores.sum(), table)[0].is_coalesced()
    scores = problem.score((2 * table, linear, bias, weights), sparse=True)
    d_table = torch.autograd.grad(scores, table, problem.grad)[0]
    assert d_table.is_sparse


@needs_core
@pytest.mark.parametrize("n_features", [1, 63, 64, 1000, 2**31 - 1])
@pytest.mark.parametrize("n_entries", [0, 1, 1000])
def test_unique_labels(n_features, n_entries):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_features, n_entries)
    labels[:1] = n_features - 1
    indices = torch.from_numpy(labels.astype(np.int32))
    got, place = core_batches._unique(CORE, indices, n_features)
    want, inverse = np.unique(labels, return_inverse=True)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(place, inverse)


@needs_core
@pytest.mark.parametrize("name", NAMES)
def test_the_core_is_used(name, monkeypatch):
    """Also for the gradient of a sum, which is one number seen many times."""

    def refuse(*args, **options):
        raise AssertionError("the formulas were called")

    for each in NAMES:
        monkeypatch.setattr(torch_ops, f"{each}_score", refuse)
    problem = Problem(name, MANY, dtype=torch.float32)
    problem.score(problem.trained(), sparse=True).sum().backward()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_without_the_core(name, sparse, monkeypatch):
    monkeypatch.setattr(compiled, "_core", None)
    problem = Problem(name, MANY)
    got = problem.run(sparse=sparse)
    for one, other in zip(got, problem.run(torch_ops, sparse=sparse), strict=True):
        assert one.is_sparse == other.is_sparse
        assert torch.equal(one.to_dense(), other.to_dense())


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_traced_operator_runs_without_the_core(name, sparse, monkeypatch):
    problem = Problem(name, MANY)
    want = problem.run()

    def run_operator():
        table, linear, _, weights = problem.trained()
        batch = (problem.indices, problem.offsets, weights, problem.n_fields)
        operator = getattr(torch.ops.skwfm, f"{name}_score")
        scores = operator(table, linear, *batch, sparse=sparse)
        scores.backward(problem.grad)
        grads = (part.grad.to_dense() for part in (table, linear, weights))
        return scores.detach() + problem.bias, *grads

    want = [want[at] for at in (0, 1, 2, 4)]
    for core in (CORE, None):
        monkeypatch.setattr(compiled, "_core", core)
        for one, other in zip(run_operator(), want, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_tables_that_are_not_contiguous(name):
    problem = Problem(name, MANY)
    want = problem.run()[0]
    problem.table = problem.table.t().contiguous().t()
    leaves = [problem.table, problem.linear, problem.bias, problem.weights]
    assert operators.core_for(problem.table) is None
    torch.testing.assert_close(problem.score(leaves), want, rtol=1e-12, atol=1e-12)


@needs_core
@pytest.mark.parametrize("name", NAMES)
def test_threads_change_nothing(name, monkeypatch):
    problem = Problem(name, MANY)
    alone = problem.run()
    monkeypatch.setattr(core_batches, "n_threads", lambda work: 5)
    for one, other in zip(problem.run(), alone, strict=True):
        assert torch.equal(one, other)


def test_threads_are_worth_their_start(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert core_batches.n_threads(0) == 1
    assert core_batches.n_threads(2**19) == 2
    assert core_batches.n_threads(2**30) == 4


MODULES = {"fm": lambda: WeightedFM(40, 3), "ffm": lambda: WeightedFFM(40, 3, 7)}


@pytest.mark.parametrize("name", NAMES)
def test_modules_without_gradients_copied_and_pickled(name):
    problem = Problem(name, MANY, dtype=torch.float32)
    batch = (problem.indices, problem.offsets, problem.weights, problem.n_fields)
    module = MODULES[name]()
    want = module.score_flat(*batch)
    want.sum().backward()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            scores = module.score_flat(*batch)
        assert not scores.requires_grad
        assert torch.equal(scores, want)
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(again.score_flat(*batch), want)


@needs_core
@pytest.mark.filterwarnings("ignore")  # of what opcheck imports
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_opcheck(name, sparse):
    problem = Problem(name, [[2, 0, 1], [1, 3, 2]])
    table, linear, _, weights = problem.trained()
    inputs = (table, linear, problem.indices, problem.offsets, weights)
    # A sparse gradient cannot be traced, of torch's own operators neither.
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    checks += [] if sparse else ["test_aot_dispatch_dynamic"]
    operator = getattr(torch.ops.skwfm, f"{name}_score").default
    options = (problem.n_fields, 1, False, sparse)
    torch.library.opcheck(operator, (*inputs, *options), test_utils=checks)
    detached = [part.detach() for part in inputs]
    options = (name == "ffm", problem.n_fields, 1, False, sparse, [True] * 3)
    checks = ["test_schema", "test_faketensor"]
    args = (problem.grad, *detached, *options)
    torch.library.opcheck(torch.ops.skwfm.gradient.default, args, test_utils=checks)


def test_first_calls_do_not_import_the_compiler_of_torch():
    """It takes 1.5 seconds."""
    code = """
import sys, torch
from skwfm.nn import WeightedFM
fm = WeightedFM(4, 2, sparse=True)
arrays = torch.tensor([[0, 1]]), torch.tensor([[0, 1]]), torch.ones(1, 2)
fm(*arrays).sum().backward()
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_cuda_equals_cpu(name, sparse):
    problem = Problem(name, MANY)
    want = problem.run(sparse=sparse)
    for part in ("indices", "offsets", "weights", "table", "linear", "bias", "grad"):
        setattr(problem, part, getattr(problem, part).cuda())
    for one, other in zip(problem.run(sparse=sparse), want, strict=True):
        torch.testing.assert_close(one.to_dense().cpu(), other.to_dense())
