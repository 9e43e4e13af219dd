"""The sampler as a whole: does it draw from the posterior of the model that it says?

Geweke (2004), "Getting it right": parameters drawn from the prior, and parameters of a
chain that draws parameters given data and data given parameters in turn, have the same
distribution. Talts et al. (2018), "Validating Bayesian inference algorithms with
simulation-based calibration": the rank of a parameter that made the data among draws
given these data is uniform.
"""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import chi2

from skwfm import _cut_points
from skwfm._bags import to_flat
from skwfm._chain import (
    Chain,
    LatentTarget,
    LeastSquares,
    NormalTarget,
    Priors,
    groups_of,
)
from skwfm._kernels import compiled, gibbs
from skwfm._kernels.gibbs import Sweeper
from skwfm._kernels.reference import fm_gradient

# With few data a chain is far from its start soon, and all moments are finite.
PRIORS = Priors(
    noise=(12.0, 12.0),
    precision=(12.0, 12.0),
    mean_weight=3.0,
    intercept=2.0,
    spread=(8.0, 30.0),
)
N_ROWS, K = 14, 2
# Two fields of one label per row, one of few bags, one of many.
STARTS = np.array([0, 3, 6, 9, 12])
N_GROUPS = 5


def make_sweeper(seed=0):
    rng = np.random.default_rng(seed)
    parts = [
        sp.csr_array(
            (np.ones(N_ROWS), (np.arange(N_ROWS), rng.integers(0, 3, N_ROWS))),
            shape=(N_ROWS, 3),
        )
        for _ in range(2)
    ]
    few = sp.csr_array([[1.0, 0.5, 0], [0, 1, 2]])[rng.integers(0, 2, N_ROWS)]
    many = sp.csr_array(rng.uniform(-1, 1, (N_ROWS, 3)))
    X = sp.hstack([*parts, few, many]).tocsr()
    return Sweeper(X, STARTS, K, fit_linear=True)


GROUPS = np.array([0, 0, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4], np.int32)
UNITS = np.array([1.0, 1.0, 1.0, 2.0, 0.5])


def squashed(x):
    """Return numbers between -1 and 1, no two of them the same by rounding."""
    return x / (1 + np.abs(x))


class World:
    """A chain, and how its data come about."""

    def __init__(self, sweeper, rng, kind="normal", priors=PRIORS):
        self.rng, self.latent, self.priors = rng, kind != "normal", priors
        self.ordered = kind == "ordered"
        if self.latent:
            cuts = np.array([-np.inf, 0.0, np.inf])
            codes = np.zeros(N_ROWS, np.int32)
            target = LatentTarget(
                codes, cuts, None, np.float64, draws_cuts=self.ordered
            )
        else:
            target = NormalTarget(np.zeros(N_ROWS))
        blocks = np.zeros((12, K + 1))
        self.chain = Chain(
            sweeper,
            target,
            blocks,
            0.0,
            GROUPS,
            priors,
            rng,
            fit_intercept=not self.ordered,
            units=UNITS,
        )

    def draw_parameters(self):
        """Draw all parameters from their priors."""
        chain, rng, priors = self.chain, self.rng, self.priors
        shape, rate = priors.precision
        sizes = N_GROUPS, K + 1
        precision = rng.gamma(shape / 2, size=sizes) / (rate / 2)
        precision *= UNITS[:, None] ** 2
        mean = rng.normal(size=sizes) / np.sqrt(priors.mean_weight * precision)
        noise = rng.normal(size=(12, K + 1))
        chain.blocks[:] = mean[GROUPS] + noise / np.sqrt(precision[GROUPS])
        chain.precision = precision
        if self.ordered:
            inner = np.sort(rng.normal(size=2))
            chain.target.cuts = np.concatenate([[-np.inf], inner, [np.inf]])
        else:
            chain.intercept = rng.normal() / np.sqrt(priors.intercept)
        if not self.latent:
            self.draw_noise()
        chain.refresh()

    def draw_noise(self):
        chain, rng, target = self.chain, self.rng, self.chain.target
        shape, rate = self.priors.noise
        target.noise_precision = rng.gamma(shape / 2) / (rate / 2)
        target.scale[:] = 1
        for number, field, _ in target.fields:
            freedom = rng.choice(self.priors.spread)
            target.freedom[number] = freedom
            spread = rng.gamma(freedom / 2, size=3) / (freedom / 2)
            target.spread[field.first : field.end] = spread
            chain.sweeper.scale_rows(field, chain.rows, spread)

    def draw_data(self):
        """Draw targets given all parameters."""
        chain, rng = self.chain, self.rng
        mean = chain.target.values - chain.rows.residuals
        noise = rng.normal(size=N_ROWS)
        if not self.latent:
            noise /= np.sqrt(chain.target.noise_precision) * chain.target.scale
        chain.target.values[:] = mean + noise
        chain.rows.residuals[:] = noise
        if self.latent:
            inner = chain.target.cuts[1:-1]
            chain.target.codes[:] = np.searchsorted(inner, chain.target.values)

    def functions(self):
        """Return what is compared: of parameters and scores, with light tails."""
        chain = self.chain
        scores = chain.target.values - chain.rows.residuals
        by_group = [chain.blocks[GROUPS == g] for g in range(N_GROUPS)]
        # With cut points there is no intercept.
        inner = chain.target.cuts[1:-1] if self.ordered else np.array([chain.intercept])
        out = [
            *inner,
            *inner**2,
            *[part.mean() for part in by_group],
            *[np.log((part**2).mean()) for part in by_group],
            *np.log(chain.precision[:, [0, K]]).ravel(),
            squashed(scores).mean(),
            squashed(scores).std(),
            squashed(scores[0] * scores[1]),
        ]
        if not self.latent:
            target = chain.target
            out += [np.log(target.noise_precision), *np.log(target.spread[:6])]
            out += [
                float(value == PRIORS.spread[0]) for value in target.freedom.values()
            ]
        return out


@pytest.fixture(autouse=True)
def narrow_cuts(monkeypatch):
    monkeypatch.setattr(_cut_points, "PRIOR", 1.0)


KINDS = ["normal", "classes", "ordered"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_joint_distribution(kind):
    """Geweke's test: both ways to draw parameters have the same moments."""
    n = 4000
    rng = np.random.default_rng(11)
    world = World(make_sweeper(), rng, kind)
    first, second = [], []
    for _ in range(2 * n):
        world.draw_parameters()
        first.append(world.functions())
    world.draw_data()
    for _ in range(5 * n):
        assert world.chain.sweep()
        world.draw_data()
        second.append(world.functions())
    first, second = np.array(first), np.array(second)
    # Draws of a chain depend on those before: deviations come from means of batches.
    batches = second.reshape(25, -1, second.shape[1]).mean(axis=1)
    error = np.hypot(
        batches.std(axis=0, ddof=1) / np.sqrt(len(batches)),
        first.std(axis=0, ddof=1) / np.sqrt(len(first)),
    )
    z = (second.mean(axis=0) - first.mean(axis=0)) / error
    assert np.abs(z).max() < 4.5, z.round(1)
    assert (z**2).sum() < chi2.isf(1e-4, len(z)) * 2, z.round(1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_simulation_based_calibration(kind):
    """The rank of what made the data is uniform among draws given them."""
    # Far enough apart: of draws that resemble each other, ranks are not uniform.
    n_worlds, n_draws, every = 100, 15, 30
    rng = np.random.default_rng(5)
    ranks = []
    for _ in range(n_worlds):
        world = World(make_sweeper(), rng, kind)
        world.draw_parameters()
        world.draw_data()
        truth, draws = world.functions(), []
        # The chain begins elsewhere.
        values, codes = world.chain.target.values.copy(), None
        if world.latent:
            codes = world.chain.target.codes.copy()
        world.draw_parameters()
        world.chain.target.values[:] = values
        if world.latent:
            world.chain.target.codes[:] = codes
        world.chain.refresh()
        for sweep in range(60 + n_draws * every):
            assert world.chain.sweep()
            if sweep >= 60 and sweep % every == 0:
                draws.append(world.functions())
        ranks.append((np.array(draws) < truth).sum(axis=0))
    ranks = np.array(ranks)
    # Four bins of equally many ranks; what takes two values has no ranks.
    counts = np.array([((ranks // 4) == part).sum(axis=0) for part in range(4)])
    statistic = ((counts - n_worlds / 4) ** 2).sum(axis=0) / (n_worlds / 4)
    is_number = np.ones(ranks.shape[1], bool)
    if kind == "normal":
        is_number[-2:] = False
    assert (statistic[is_number] < chi2.isf(2e-4, 3)).all(), counts.T


def test_groups_are_labels_about_as_frequent():
    counts = np.r_[np.full(30, 1), np.full(15, 2), np.full(25, 40), 900, 3, 3]
    groups = groups_of(counts, np.array([0, 71, 73]))
    # 15 labels of two rows are too few for a group.
    assert groups[:71].tolist() == [0] * 30 + [1] * 41
    assert groups[71:].tolist() == [2, 2]
    without_rows = np.r_[np.zeros(40), np.ones(30)]
    assert (groups_of(without_rows, np.array([0, 70])) == 0).all()
    assert groups_of([], np.array([0, 0])).size == 0


def test_fields_without_rows_to_tell_have_no_spread():
    X = sp.csr_array(np.eye(6).repeat(2, axis=0)[:, [0, 1, 2, 3, 4, 5]])
    number = sp.csr_array(np.ones((12, 1)))
    unique = sp.csr_array(np.eye(12))
    sweeper = Sweeper(
        sp.hstack([X, number, unique]).tocsr(), np.array([0, 6, 7, 19]), 1,
        fit_linear=True,
    )  # fmt: skip
    target = NormalTarget(np.zeros(12))
    rng = np.random.default_rng(0)
    groups = np.zeros(19, np.int32)
    Chain(sweeper, target, np.zeros((19, 2)), 0.0, groups, Priors(), rng)
    assert list(target.freedom) == [0]


def test_residuals_of_float32_do_not_drift():
    rng = np.random.default_rng(0)
    sweeper = make_sweeper()
    X = sp.hstack([field.columns.matrix(N_ROWS, np.float32) for field in sweeper.fields
                   if field.members is None]).tocsr().astype(np.float32)  # fmt: skip
    sweeper = Sweeper(X, np.array([0, 3, 6, 9]), K, fit_linear=True)
    target = NormalTarget(rng.normal(size=N_ROWS).astype(np.float32))
    blocks = np.zeros((9, K + 1), np.float32)
    chain = Chain(sweeper, target, blocks, 0.0, GROUPS[:9], Priors(), rng)
    for _ in range(200):
        assert chain.sweep()
    kept = chain.rows.residuals.copy()
    chain.refresh()
    np.testing.assert_allclose(kept, chain.rows.residuals, atol=1e-4)


class ByLabel:
    """The steps of a sweep, label by label, with the objective after each."""

    def __init__(self, steps, watch):
        self.steps, self.watch = steps, watch

    def __getattr__(self, name):
        return getattr(self.steps, name)

    def sweep(self, *, first, end, **given):
        for j in range(first, end):
            assert self.steps.sweep(first=j, end=j + 1, **given) == 1
            self.watch()
        return end - first


@pytest.mark.parametrize("inside", [False, True])
def test_least_squares_fall_with_every_label(inside, monkeypatch):
    """And end where the gradient of the penalised loss is 0."""
    rng = np.random.default_rng(3)
    X = sp.csr_array(sp.random(120, 18, density=0.3, random_state=7, format="csr"))
    fields, starts = np.repeat(np.arange(3, dtype=np.int32), 6), np.arange(0, 24, 6)
    y, weights = rng.normal(size=120), rng.uniform(0.5, 2, 120)
    penalties = np.array([2.0, 2.0, 5.0])
    monkeypatch.setattr(gibbs, "MOMENTS_PER_ENTRY", 0)
    sweeper = Sweeper(X, starts, K, fit_linear=True, pairs_inside=inside)
    blocks = rng.normal(0, 0.3, (X.shape[1], K + 1))
    target = LeastSquares(y, weights, penalties)
    groups = np.zeros(X.shape[1], np.int32)
    chain = Chain(sweeper, target, blocks, 0.0, groups, Priors(), rng)
    values = []

    def watch():
        squares = weights @ chain.rows.residuals**2
        values.append((squares + (penalties * blocks**2).sum()) / 2)

    steps = gibbs._steps()
    monkeypatch.setattr(gibbs, "_steps", lambda: ByLabel(steps, watch))
    for _ in range(300):
        assert chain.sweep()
        watch()
    assert len(values) > 300 * 18
    assert all(two <= one * (1 + 1e-10) for one, two in pairwise(values))
    flat = to_flat(X, fields, 3)
    args = blocks[:, K], blocks[:, :K], flat.indices, flat.offsets, flat.weights, 3
    errors = -weights * chain.rows.residuals
    bias, linear, factors = fm_gradient(errors, *args, intra_field=inside)
    gradient = np.column_stack([factors, linear]) + penalties * blocks
    assert abs(bias) < 1e-4
    assert np.abs(gradient).max() < 1e-3


@pytest.mark.skipif(not compiled.available(), reason="no compiled core")
def test_draws_do_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(gibbs, "THREAD_WORK", 0)
    results = []
    for n_threads in (1, 3):
        sweeper = make_sweeper()
        sweeper.n_threads = n_threads
        world = World(sweeper, np.random.default_rng(4))
        world.draw_parameters()
        world.draw_data()
        for _ in range(5):
            assert world.chain.sweep()
        results.append(world.functions())
    assert results[0] == results[1]
