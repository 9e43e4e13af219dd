"""Losses against their formulas, and the coding of targets."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skwfm._losses import Logistic, Softmax, Squared

SCORES = np.array([[-40.0], [-1.5], [0.0], [0.7], [900.0]])
WEIGHTS = np.array([0.5, 1.0, 2.0, 0.25, 1.25])


def value(loss, scores, target, weights=WEIGHTS):
    parts = (torch.tensor(target), torch.tensor(weights))
    return loss(torch.tensor(scores), parts).item()


def test_squared():
    target = np.array([0.1, -0.3, 2.0, 0.0, 899.0])
    expected = np.sum(WEIGHTS * (SCORES[:, 0] - target) ** 2 / 2) / 5
    assert value(Squared(), SCORES, target) == pytest.approx(expected, rel=1e-14)


def test_logistic_is_finite_at_any_score():
    target = np.array([0.0, 1.0, 1.0, 0.0, 0.0])
    margins = np.where(target == 1, -SCORES[:, 0], SCORES[:, 0])
    expected = np.sum(WEIGHTS * np.logaddexp(0, margins)) / 5
    assert value(Logistic(), SCORES, target) == pytest.approx(expected, rel=1e-14)


def test_softmax():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, 3)) * [1, 10, 500]
    target = np.array([0, 2, 1, 1, 0])
    log_sums = np.logaddexp.reduce(scores, axis=1)
    expected = np.sum(WEIGHTS * (log_sums - scores[np.arange(5), target])) / 5
    assert value(Softmax(3), scores, target) == pytest.approx(expected, rel=1e-13)


def test_two_classes_by_softmax_are_logistic():
    target = np.array([0, 1, 1, 0, 1])
    both = np.column_stack([np.zeros(5), SCORES[:, 0]])
    expected = value(Logistic(), SCORES, target.astype(float))
    assert value(Softmax(2), both, target) == pytest.approx(expected)


def test_squared_standardises_with_the_weights():
    y = np.array([1.0, 2.0, 7.0])
    weights = np.array([1.0, 2.0, 1.0])
    target = Squared().encode(y, weights, center=True)
    repeated = np.array([1.0, 2.0, 2.0, 7.0])
    assert target.shift == repeated.mean()
    assert target.scale == pytest.approx(repeated.std())
    assert_allclose(target.values * target.scale + target.shift, y)
    assert_allclose(target.code(np.array([2.0])), target.values[1:2])
    assert_array_equal(target.start, [0])
    raw = Squared().encode(y, weights, center=False)
    assert raw.shift == 0
    assert raw.scale == pytest.approx(np.sqrt(np.mean(repeated**2)))


@pytest.mark.parametrize("size", [0.0, 1e-200, 1e300])
def test_squared_takes_targets_of_any_size(size):
    y = size * np.array([1.0, -1.0, 1.0, -1.0])
    target = Squared().encode(y, np.ones(4), center=True)
    assert np.isfinite(target.values).all()
    assert_allclose(target.values * target.scale, y)
    if size:
        assert_allclose(np.abs(target.values), 1)


def test_classes_start_from_their_shares():
    weights = np.array([1.0, 1.0, 2.0])
    start = Logistic().encode(np.array([0, 0, 1]), weights, center=True).start
    assert_allclose(start, [0])
    start = Logistic().encode(np.array([0, 1, 1]), weights, center=True).start
    assert_allclose(start, [np.log(3)])
    start = Softmax(3).encode(np.array([0, 1, 1]), weights, center=True).start
    assert start[1] - start[0] == pytest.approx(np.log(3))
    assert np.isfinite(start).all()
    assert not Softmax(3).encode(np.array([0, 1, 1]), weights, center=False).start.any()
