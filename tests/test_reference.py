"""The slow twin itself, against formulas written another way and small sums by hand."""

import numpy as np
import pytest

from skwfm._kernels import reference

N_FEATURES, N_FIELDS, K = 6, 3, 2
BAGS = {
    "indices": np.array([0, 1, 2, 4, 0, 5, 3, 2]),
    "offsets": np.array([0, 2, 3, 4, 5, 5, 8]),  # the second bag of row 1 is empty
    "weights": np.array([1.0, -0.5, 2.0, 0.3, 1.5, 0.7, -1.1, 0.4]),
}


@pytest.fixture
def params():
    rng = np.random.default_rng(0)
    return (
        0.7,
        rng.normal(size=N_FEATURES),
        rng.normal(size=(N_FEATURES, K)),
        rng.normal(size=(N_FEATURES, N_FIELDS, K)),
    )


def dense_bags(indices, offsets, weights):
    """Return W of shape (rows, fields, features)."""
    out = np.zeros((len(offsets) - 1, N_FEATURES))
    for bag, (start, end) in enumerate(zip(offsets[:-1], offsets[1:], strict=True)):
        np.add.at(out[bag], indices[start:end], weights[start:end])
    return out.reshape(-1, N_FIELDS, N_FEATURES)


def test_fm_by_square_difference(params):
    bias, linear, factors, _ = params
    W = dense_bags(**BAGS)
    S = W @ factors
    expected = bias + W.sum(1) @ linear
    expected += ((S.sum(1) ** 2).sum(-1) - (S**2).sum((1, 2))) / 2
    got = reference.fm_score(bias, linear, factors, **BAGS, n_fields=N_FIELDS)
    np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_ffm_by_einsum(params):
    bias, linear, _, factors = params
    W = dense_bags(**BAGS)
    A = np.einsum("bfj,jgk->bfgk", W, factors)
    both = np.einsum("bfgk,bgfk->b", A, A) - np.einsum("bffk,bffk->b", A, A)
    expected = bias + W.sum(1) @ linear + both / 2
    got = reference.ffm_score(bias, linear, factors, **BAGS, n_fields=N_FIELDS)
    np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_fm_intra_field_counts_all_pairs_of_entries(params):
    bias, linear, factors, _ = params
    got = reference.fm_score(
        bias, linear, factors, **BAGS, n_fields=N_FIELDS, intra_field=True
    )
    for row, score in enumerate(got):
        entries = slice(*BAGS["offsets"][[row * N_FIELDS, (row + 1) * N_FIELDS]])
        labels, w = BAGS["indices"][entries], BAGS["weights"][entries]
        E = w[:, None] * factors[labels]
        pairs = ((E.sum(0) ** 2).sum() - (E**2).sum()) / 2
        assert score == pytest.approx(bias + w @ linear[labels] + pairs, rel=1e-12)


def test_ffm_intra_field_by_hand():
    # labels 0, 1 in field 0 and 2 in field 1; V[j, g] = 10 j + g + 1
    factors = np.array([[[1.0], [2.0]], [[11.0], [12.0]], [[21.0], [22.0]]])
    bags = ([0, 1, 2], [0, 2, 3], [1.0, 2.0, 3.0])
    cross = (1 * 2 + 2 * 12) * (3 * 21)
    inside = 1 * 2 * 1 * 11
    linear = np.zeros(3)
    plain = reference.ffm_score(0.0, linear, factors, *bags, n_fields=2)
    intra = reference.ffm_score(0.0, linear, factors, *bags, 2, intra_field=True)
    assert plain == [cross]
    assert intra == [cross + inside]


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", ["fm", "ffm"])
def test_duplicate_is_its_sum(params, name, intra_field):
    bias, linear, *factors = params
    score = getattr(reference, f"{name}_score")
    table = factors[name == "ffm"]
    args = (bias, linear, table)
    twice = ([0, 0, 2, 4], [0, 2, 3, 4], [0.5, 1.0, 2.0, 3.0])
    once = ([0, 2, 4], [0, 1, 2, 3], [1.5, 2.0, 3.0])
    got = score(*args, *twice, N_FIELDS, intra_field=intra_field)
    assert got == score(*args, *once, N_FIELDS, intra_field=intra_field)


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", ["fm", "ffm"])
def test_gradient_by_differences(params, name, intra_field):
    bias, linear, *factors = params
    table = factors[name == "ffm"]
    score = getattr(reference, f"{name}_score")
    gradient = getattr(reference, f"{name}_gradient")
    grad = np.array([0.8, -1.3])
    options = {"n_fields": N_FIELDS, "intra_field": intra_field}

    def loss(b, a, v):
        return grad @ score(b, a, v, **BAGS, **options)

    d_bias, d_linear, d_table = gradient(grad, linear, table, **BAGS, **options)
    assert d_bias == pytest.approx(grad.sum())
    step = 1e-4  # the score is quadratic: central differences are exact
    for values, derivative, at in ((linear, d_linear, 1), (table, d_table, 2)):
        for position in np.ndindex(values.shape):
            moved = []
            for sign in (1, -1):
                args = [bias, linear.copy(), table.copy()]
                args[at][position] += sign * step
                moved.append(loss(*args))
            expected = (moved[0] - moved[1]) / (2 * step)
            assert derivative[position] == pytest.approx(expected, abs=1e-9)
