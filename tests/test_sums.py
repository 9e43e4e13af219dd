"""Sums that do not depend on the number of threads."""

import math

import pytest
import torch

from skwfm._kernels.sums import SteadySums, add_bias, steady_sum


@pytest.fixture
def threads():
    """Set torch's number of threads, and put it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def with_threads(threads, function):
    """Return what a function returns with one and with three threads."""
    results = []
    for n_threads in (1, 3):
        threads(n_threads)
        results.append(function())
    return results


def draw(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("size", [0, 1, 2**14, 2**14 + 1, 100_000, 2**19])
def test_steady_sum_is_the_sum(size):
    values = draw(size)
    expected = math.fsum(values.tolist())
    assert steady_sum(values).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [20_000, 100_000, 300_001])
def test_steady_sum_does_not_depend_on_threads(threads, size, dtype):
    values = draw(size, dtype=dtype)
    one, three = with_threads(threads, lambda: steady_sum(values))
    assert torch.equal(one, three)


@pytest.mark.parametrize("size", [5000, 100_000])
def test_optimizers_sums_do_not_depend_on_threads(threads, size):
    first, second = draw(2, size)

    def sums():
        with SteadySums():
            return torch.stack([first.dot(second), first.sum(), first.abs().sum()])

    one, three = with_threads(threads, sums)
    assert torch.equal(one, three)
    expected = [math.fsum((first * second).tolist()), math.fsum(first.tolist())]
    assert one[:2].tolist() == pytest.approx(expected)


def test_other_sums_stay_torchs():
    values = draw(4, 3)
    with SteadySums():
        assert torch.equal(values.sum(dim=0), torch.sum(values, 0))


@pytest.mark.parametrize("n_rows", [3, 2**14 + 1, 100_000])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_add_bias(threads, n_rows, n_outputs):
    scores, outer = draw(2, n_rows, n_outputs)

    def gradient():
        bias = torch.arange(n_outputs, dtype=scores.dtype).requires_grad_()
        moved = add_bias(scores, bias)
        assert torch.equal(moved, scores + bias)
        (moved * outer).sum().backward()
        return bias.grad

    one, three = with_threads(threads, gradient)
    assert torch.equal(one, three)
    assert one.tolist() == pytest.approx(outer.sum(0).tolist())
