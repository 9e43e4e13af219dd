"""Sweeps over labels: the compiled steps against their twin and against brute force."""

import tracemalloc
from itertools import combinations, pairwise, product

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import ndtri
from scipy.stats import kstest, truncnorm

from skwfm._bags import to_flat
from skwfm._kernels import compiled, gibbs, gibbs_rows, gibbs_twin
from skwfm._kernels.gibbs import Conditional, RowState, Sweeper
from skwfm._kernels.reference import fm_score

N_ROWS = 150
# Labels of a field of one per row, of a number, of few different bags, and of many.
STARTS = np.array([0, 12, 13, 20, 31])
DTYPES = [np.float64, np.float32]

SETS = compiled.core().instruction_sets() if compiled.available() else []
needs_core = pytest.mark.skipif(not compiled.available(), reason="no compiled core")


@pytest.fixture
def steps(request, monkeypatch):
    """The compiled core with sums or without, or its twin, by name."""
    if request.param != "twin" and not compiled.available():
        pytest.skip("no compiled core")
    module = gibbs_twin if request.param == "twin" else compiled.core()
    monkeypatch.setattr(gibbs, "_steps", lambda: module)
    keep_sums(monkeypatch, request.param == "core with sums")
    return request.param


every = pytest.mark.parametrize(
    "steps", ["core with sums", "core without", "twin"], indirect=True
)


def keep_sums(monkeypatch, is_kept):
    """Let the core keep sums, or not; its twin always does."""
    monkeypatch.setattr(gibbs, "SUMS_PER_COLUMNS", np.inf if is_kept else 0)
    monkeypatch.setattr(gibbs, "SUMS_BYTES", 0)
    monkeypatch.setattr(gibbs, "FEW_LABELS", np.inf)


def make_rows(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    one = sp.csr_array(
        (np.ones(N_ROWS), (np.arange(N_ROWS), rng.integers(0, 12, N_ROWS))),
        shape=(N_ROWS, 12),
    )
    number = sp.csr_array(rng.normal(size=(N_ROWS, 1)))
    few = sp.csr_array(sp.random(5, 7, density=0.5, random_state=7, format="csr"))
    many = sp.csr_array(
        sp.random(N_ROWS, 11, density=0.3, random_state=7, format="csr")
    )
    blocks = [one, number, few[rng.integers(0, 5, N_ROWS)], many]
    return sp.hstack(blocks).tocsr().astype(dtype)


class Case:
    """A matrix, a state and what blocks are drawn from."""

    def __init__(self, k, dtype=np.float64, *, linear=True, inside=False, scale=None):
        self.X = make_rows(dtype)
        self.sweeper = Sweeper(
            self.X, STARTS, k, fit_linear=linear, pairs_inside=inside, n_threads=1
        )
        rng = np.random.default_rng(1)
        self.k, self.inside = k, inside
        self.blocks = rng.normal(size=(31, k + linear)).astype(dtype)
        self.target = rng.normal(size=N_ROWS).astype(dtype)
        scale = rng.uniform(0.5, 2, N_ROWS).astype(dtype) if scale else None
        scores, sums = self.sweeper.scores(self.blocks)
        self.rows = RowState(sums, self.target - scores, scale)
        self.given = Conditional(
            rng.uniform(0.5, 2, (3, k + linear)),
            rng.normal(size=(3, k + linear)),
            rng.integers(0, 3, 31).astype(np.int32),
            noise_precision=1.7,
            overrelaxation=0.3,
        )

        self.dense = self.X.toarray()

    def score(self, blocks):
        """Score by ``sum_j w_j a_j + sum_{f<g} <S_f, S_g>``, and the pairs inside."""
        vectors, scores = blocks[:, : self.k], np.zeros(N_ROWS)
        if blocks.shape[1] > self.k:
            scores += self.dense @ blocks[:, self.k]
        bags = [self.dense[:, a:b] @ vectors[a:b] for a, b in pairwise(STARTS)]
        for one, two in combinations(bags, 2):
            scores += (one * two).sum(axis=1)
        if self.inside:
            squares = self.dense**2 @ (vectors**2).sum(axis=1)
            scores += (sum((bag**2).sum(axis=1) for bag in bags) - squares) / 2
        return scores


@every
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("linear", [False, True])
def test_scores_are_those_of_the_formula(steps, linear, inside):
    case = Case(3, linear=linear, inside=inside)
    scores, sums = case.sweeper.scores(case.blocks)
    bags = to_flat(case.X, np.repeat(np.arange(4, dtype=np.int32), np.diff(STARTS)), 4)
    a = case.blocks[:, 3] if linear else np.zeros(31)
    flat = bags.indices, bags.offsets, bags.weights, 4
    expected = fm_score(0.0, a, case.blocks[:, :3], *flat, intra_field=inside)
    for found in (
        scores,
        case.score(case.blocks),
        case.sweeper.score(case.X, case.blocks),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-10)
    assert (sums is None) == (steps == "core without")
    if sums is not None:
        np.testing.assert_allclose(sums[:, :3], case.X @ case.blocks[:, :3], atol=1e-10)


@needs_core
@pytest.mark.parametrize(
    ("lengths", "k", "is_kept"),
    [([2] * 50, 8, False), ([8] * 50, 8, True), ([8] * 50, 32, False)]
    # Many labels in all but few rows: what counts is the row that an entry is in.
    + [([40] * 50, 129, True), ([1] * 49 + [50], 32, True), ([1] * 50, 1, False)],
)
def test_sums_are_kept_where_they_are_small_or_rows_are_long(
    lengths, k, is_kept, monkeypatch
):
    monkeypatch.setattr(gibbs, "SUMS_BYTES", 0)
    lengths = np.array(lengths)
    X = sp.csr_array((np.arange(50) < lengths[:, None]).astype(np.float32))
    sweeper = Sweeper(X, np.arange(51), k, fit_linear=True)
    sums = sweeper.scores(np.ones((50, k + 1), np.float32))[1]
    assert (sums is not None) == is_kept
    monkeypatch.undo()
    assert Sweeper(X, np.arange(51), k, fit_linear=True).row_labels is None


def test_every_kind_of_field_is_there():
    kinds = [
        (field.is_single, field.members is not None) for field in Case(3).sweeper.fields
    ]
    assert kinds == [(True, False), (True, False), (False, True), (False, False)]
    inside = Case(1, inside=True).sweeper.fields
    assert all(field.members is None for field in inside)


@every
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_conditionals_are_those_of_brute_force(steps, k, linear, inside, scale):
    """Mean and precision of every block, from the scores alone.

    The score is linear in a block, so that the difference that each of its numbers
    makes is a column of a linear regression.
    """
    case = Case(k, linear=linear, inside=inside, scale=scale)
    dim, weights = k + linear, np.ones(N_ROWS)
    if scale:
        weights = case.rows.scale.astype(float) ** 2
    blocks = case.blocks.copy()
    given = case.given._replace(draws=False)
    assert case.sweeper.sweep(case.rows, case.blocks, given, key=3)
    for j in range(31):
        zero = blocks.copy()
        zero[j] = 0
        base = case.score(zero)
        design = np.empty((N_ROWS, dim))
        for d in range(dim):
            unit = zero.copy()
            unit[j, d] = 1
            design[:, d] = case.score(unit) - base
        prior = given.precision[given.groups[j]]
        precision = np.diag(prior) + 1.7 * (design.T * weights) @ design
        vector = prior * given.mean[given.groups[j]]
        vector = vector + 1.7 * (design.T * weights) @ (case.target - base)
        # The sweep goes on from here with the new block.
        blocks[j] = np.linalg.solve(precision, vector)
        np.testing.assert_allclose(case.blocks[j], blocks[j], rtol=1e-7, atol=1e-9)
    residuals = case.target - case.score(case.blocks)
    np.testing.assert_allclose(case.rows.residuals, residuals, atol=1e-8)


@every
@pytest.mark.parametrize("over", [0.0, 0.6])
def test_draws_have_the_covariance_of_the_conditional(steps, over):
    """Many draws of one label: mean and covariance are those of its normal.

    From one block, an overrelaxed draw lies on the other side of the mean, and what its
    distance does not say is normal.
    """
    rng = np.random.default_rng(2)
    columns = np.arange(N_ROWS) % 3 == 0, rng.normal(size=N_ROWS)
    X = sp.csr_array(np.column_stack(columns))
    sweeper = Sweeper(X, np.array([0, 1, 2]), 2, fit_linear=True)
    other, target = rng.normal(size=3), rng.normal(size=N_ROWS)
    given = Conditional(np.ones((1, 3)), np.ones((1, 3)), np.zeros(2, np.int32), 1.7)
    given = given._replace(overrelaxation=over)
    start, draws = np.array([2.0, 0, -1]), []
    for key in range(0, 40_000, 10):
        blocks = np.stack([start, other])
        scores, sums = sweeper.scores(blocks)
        sweeper.sweep(RowState(sums, target - scores, None), blocks, given, key)
        draws.append(blocks[0])
    own = X.toarray()[:, 0] == 1
    number = X.toarray()[own, 1]
    design = np.column_stack([number[:, None] * other[:2], np.ones(len(number))])
    precision = np.diag(given.precision[0]) + 1.7 * design.T @ design
    covariance = np.linalg.inv(precision)
    residuals = target[own] - number * other[2]
    vector = given.precision[0] * given.mean[0] + 1.7 * design.T @ residuals
    centre = covariance @ vector
    centre, covariance = centre - over * (start - centre), covariance * (1 - over**2)
    deviation = np.sqrt(np.diag(covariance))
    mean = (np.mean(draws, axis=0) - centre) / deviation
    assert np.abs(mean).max() < 4 / np.sqrt(len(draws))
    found = np.cov(np.array(draws).T) / np.outer(deviation, deviation)
    expected = covariance / np.outer(deviation, deviation)
    assert np.abs(found - expected).max() < 0.08


@needs_core
@pytest.mark.parametrize(
    ("k", "dtype"),
    # A panel of 129 factors has room for fewer rows than a label has.
    [*product([1, 2, 4, 5, 8, 11, 16, 33], DTYPES), (129, np.float64)],
)
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("isa", SETS)
def test_core_equals_twin(isa, k, inside, dtype, monkeypatch):
    core = compiled.core()
    before = core.instruction_set()
    core.set_instruction_set(isa)
    tolerance = dict.fromkeys(["rtol", "atol"], 1e-8 if dtype == np.float64 else 5e-3)
    try:
        results = []
        for module, is_kept in ((core, True), (core, False), (gibbs_twin, True)):
            monkeypatch.setattr(gibbs, "_steps", lambda module=module: module)
            keep_sums(monkeypatch, is_kept)
            case = Case(k, dtype, inside=inside, scale=True)
            # A key whose places pass the largest number.
            for key in (2**64 - 9, 12345):
                assert case.sweeper.sweep(case.rows, case.blocks, case.given, key)
            results.append((case.blocks, case.rows.residuals))
            if is_kept:
                sums = case.X @ case.blocks[:, :k]
                np.testing.assert_allclose(case.rows.sums[:, :k], sums, **tolerance)
    finally:
        core.set_instruction_set(before)
    *fast, slow = results
    for found in fast:
        for one, two in zip(found, slow, strict=True):
            np.testing.assert_allclose(one, two, **tolerance)


@needs_core
@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_change_nothing(dtype, is_kept, monkeypatch):
    monkeypatch.setattr(gibbs, "THREAD_WORK", 0)
    keep_sums(monkeypatch, is_kept)
    results = []
    for n_threads in (1, 2, 7):
        case = Case(4, dtype, scale=True)
        case.sweeper.n_threads = n_threads
        for key in range(3):
            assert case.sweeper.sweep(case.rows, case.blocks, case.given, key)
        for field in case.sweeper.fields[:2]:
            case.sweeper.scale_rows(
                field, case.rows, np.full(field.end - field.first, 2.0)
            )
        squares = case.sweeper.squared_errors(case.sweeper.fields[0], case.rows)
        results.append((case.blocks, case.rows.residuals, squares))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@every
def test_stretches_of_a_sweep_change_nothing(steps, monkeypatch):
    results = []
    for work in (2**30, 40):
        monkeypatch.setattr(gibbs, "CALL_WORK", work)
        case = Case(3)
        assert case.sweeper.sweep(case.rows, case.blocks, case.given, 5)
        results.append(case.blocks)
    assert len(case.sweeper._calls(case.sweeper.fields[0].columns.indptr)) > 1
    np.testing.assert_array_equal(*results)


@every
def test_bags_taken_together_are_rows_taken_one_by_one(steps, monkeypatch):
    results = []
    for per_entry in (2, 0):
        monkeypatch.setattr(gibbs, "MOMENTS_PER_ENTRY", per_entry)
        case = Case(2, scale=True)
        assert (case.sweeper.fields[2].members is None) == (per_entry == 0)
        np.testing.assert_array_equal(
            case.sweeper.counts(), np.bincount(case.X.indices, minlength=31)
        )
        assert case.sweeper.sweep(case.rows, case.blocks, case.given, 5)
        results.append((case.blocks, case.rows.residuals))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)


def test_bags_differ_where_a_label_or_weight_does():
    rows = sp.csr_array(
        np.array([[1.0, 2, 0], [1, 2, 0], [2, 1, 0], [1, 0, 2], [0, 0, 0], [1, 2, 0]])
    )
    digests = gibbs_rows._digests(rows)
    assert len(np.unique(digests)) == 4
    assert digests[0] == digests[1] == digests[5]


def test_bags_in_stretches_of_rows_are_the_same(monkeypatch):
    rows = make_rows()
    whole = gibbs_rows._digests(rows)
    monkeypatch.setattr(gibbs_rows, "DIGEST_ENTRIES", 9)
    np.testing.assert_array_equal(gibbs_rows._digests(rows), whole)


def test_telling_bags_apart_takes_little_memory():
    """Less than three times the columns, in which the field is copied once."""
    rng = np.random.default_rng(0)
    bags = sp.csr_array(sp.random(100, 200, density=0.25, random_state=0)).astype("f4")
    X = bags[rng.integers(0, 100, 30_000)]
    tracemalloc.start()
    try:
        sweeper = Sweeper(X, np.array([0, 200]), 2, fit_linear=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sweeper.fields[0].members is not None
    assert peak < 3 * 8 * X.nnz


@every
def test_sums_of_squares_and_scales_of_rows(steps):
    case = Case(2, scale=True)
    field = case.sweeper.fields[0]
    before = case.rows.scale.copy()
    labels = case.X[:, :12].toarray().argmax(axis=1)
    squares = (case.rows.residuals * before) ** 2
    np.testing.assert_allclose(
        case.sweeper.squared_errors(field, case.rows),
        np.bincount(labels, squares, minlength=12),
    )
    factor = np.linspace(0.5, 3, 12)
    case.sweeper.scale_rows(field, case.rows, factor)
    np.testing.assert_allclose(case.rows.scale, before * np.sqrt(factor[labels]))


@every
def test_a_block_that_is_not_finite_stops_the_sweep(steps):
    case = Case(2)
    before = case.blocks.copy()
    case.rows.residuals[:] = np.inf
    assert not case.sweeper.sweep(case.rows, case.blocks, case.given, 5)
    np.testing.assert_array_equal(case.blocks, before)


@every
@pytest.mark.parametrize(
    ("low", "high", "mean"),
    [
        (-np.inf, 0, 0),
        (0, np.inf, -3),
        (0, np.inf, -20),
        (-np.inf, 0, 9),
        (1, 2, 0),
        (-2, -1.5, 4),
        (0, np.inf, -45),
    ],
)
def test_latent_scores_lie_between_their_cuts(steps, low, high, mean):
    """Moments of the truncated normal, at the quantiles of its own distribution."""
    case = Case(1)
    n = 4000
    values, residuals = np.full(n, float(mean)), np.zeros(n)
    cuts = np.array([low, high])
    rows = RowState(case.rows.sums, residuals, None)
    case.sweeper.draw_latent(values, rows, np.zeros(n, np.int32), cuts, key=9)
    assert ((values >= low) & (values <= high)).all()
    np.testing.assert_allclose(values - residuals, mean, atol=1e-9)
    if mean > -40:  # further out, SciPy's own does not tell them apart
        exact = truncnorm(low - mean, high - mean, loc=mean)
        assert kstest(values, exact.cdf).pvalue > 1e-4


@needs_core
def test_normal_numbers_are_the_quantiles():
    n = 200_000
    values, residuals = np.zeros(n), np.zeros(n)
    compiled.core().draw_latent(
        values=values,
        residuals=residuals,
        row_scale=None,
        codes=np.zeros(n, np.int32),
        cuts=np.array([-np.inf, np.inf]),
        key=17,
        n_threads=2,
    )
    expected = ndtri(gibbs_twin.uniforms(17, n))
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-15)
    assert np.abs(values).max() > 4  # both tails were there


@every
@pytest.mark.parametrize("mean", [-2.0, 0.3, 12.0])
@pytest.mark.parametrize("weight", [0.25, 3.0])
def test_weights_of_latent_scores_keep_two_moments(steps, mean, weight):
    """As of the mean of so many scores between the same cuts."""
    case, n = Case(1), 40_000
    scale = np.full(n, np.sqrt(weight))
    values, residuals = np.full(n, mean), np.zeros(n)
    cuts, codes = np.array([-np.inf, 0.5]), np.zeros(n, np.int32)
    rows = RowState(case.rows.sums, residuals, scale)
    case.sweeper.draw_latent(values, rows, codes, cuts, key=3)
    exact = truncnorm(-np.inf, 0.5 - mean, loc=mean)
    deviation = exact.std() / np.sqrt(weight)
    assert abs(values.mean() - exact.mean()) < 4 * deviation / np.sqrt(n)
    assert abs(values.std() / deviation - 1) < 0.03
