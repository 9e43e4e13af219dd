"""The twin of the compiled solvers: against differences, minima and sums by hand."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from skwfm._kernels import online
from skwfm._kernels.compiled import Options

N_COLUMNS, N_FIELDS, K = 6, 3, 2
BAGS = {
    "indices": np.array([0, 1, 2, 4, 0, 5, 3, 2]),
    "offsets": np.array([0, 2, 3, 4, 5, 5, 8]),  # the second bag of row 1 is empty
    "weights": np.array([1.0, -0.5, 2.0, 0.3, 1.5, 0.7, -1.1, 0.4]),
    "n_fields": N_FIELDS,
}
COUNTS = np.array([2, 1, 2, 1, 1, 1])
OUTPUTS = {"squared": 1, "logistic": 1, "huber": 1, "poisson": 1, "softmax": 3}
STEPS = ["adagrad", "adagrad_weight", "sgd", "ftrl"]


def make(field_aware, n_outputs=1, step="sgd", seed=0):
    rng = np.random.default_rng(seed)
    shape = (N_COLUMNS, n_outputs, *([N_FIELDS] * field_aware), K)
    linear = rng.normal(size=(N_COLUMNS, n_outputs)) * (step != "ftrl")
    state_shape = shape if step == "adagrad_weight" else N_COLUMNS
    return online.Parameters(
        factors=rng.normal(size=shape),
        linear=linear,
        bias=rng.normal(size=n_outputs),
        counts=COUNTS,
        state=rng.uniform(0.5, 1, state_shape),
        linear_state=rng.uniform(0.5, 1, linear.shape),
        bias_state=rng.uniform(0.5, 1, n_outputs),
        linear_z=np.zeros_like(linear),
    )


def copied(parameters):
    return online.Parameters(
        **{name: np.copy(value) for name, value in vars(parameters).items()}
    )


def options(step="sgd", loss="squared", **changes):
    rates = {"learning_rate": 0.3, "learning_rate_linear": 0.2}
    return Options(**({"loss": loss, "step": step} | rates | changes))


def weighted_loss(parameters, bags, row, loss, target, weight):
    scores = online.score(parameters, bags, row, True)
    return weight * online.row_loss(loss, scores, target, 0.3)[0]


@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("field_aware", [False, True])
@pytest.mark.parametrize("loss", OUTPUTS)
def test_sgd_goes_down_the_loss(loss, field_aware, intra_field):
    before = make(field_aware, OUTPUTS[loss])
    bags = online.Bags(**BAGS, intra_field=intra_field)
    target, weight = np.array([0.0, 1.0]), np.array([0.7, 1.9])
    after, rate, row = copied(before), 0.25, 1
    chosen = options(
        loss=loss, learning_rate=rate, learning_rate_linear=rate, huber_delta=0.3
    )
    got = online.train(after, bags, target, weight, chosen, order=[row])
    rest = (bags, row, loss, target[row], weight[row])
    assert got == weighted_loss(before, *rest)
    for name in ("factors", "linear", "bias"):
        for position in np.ndindex(getattr(before, name).shape):
            sides = [copied(before), copied(before)]
            getattr(sides[0], name)[position] += 1e-5
            getattr(sides[1], name)[position] -= 1e-5
            plus, minus = (weighted_loss(side, *rest) for side in sides)
            moved = getattr(before, name)[position] - getattr(after, name)[position]
            slope = (plus - minus) / 2e-5
            assert moved / rate == pytest.approx(slope, rel=1e-6, abs=2e-8)


@pytest.mark.parametrize(
    ("loss", "score", "target", "value"),
    [
        ("squared", 3.0, 1.0, 2.0),
        ("logistic", 0.0, 1.0, np.log(2)),
        ("logistic", 800.0, 0.0, 800.0),
        ("logistic", -800.0, 0.0, 0.0),
        ("huber", 1.2, 1.0, 0.02),
        ("huber", -4.0, 1.0, 0.3 * (5 - 0.15)),
        ("poisson", 0.0, 2.0, 1.0),
        ("poisson", 1.0, 2.0, np.e - 2),
    ],
)
def test_losses_by_hand(loss, score, target, value):
    got, _ = online.row_loss(loss, np.array([score]), target, 0.3)
    assert got == pytest.approx(value, abs=1e-15)


def test_softmax_by_hand():
    value, slope = online.row_loss("softmax", np.log([1.0, 2.0, 5.0]), 1.0)
    assert value == pytest.approx(np.log(4))
    assert slope == pytest.approx(np.array([1, 2 - 8, 5]) / 8)
    shifted, _ = online.row_loss("softmax", np.log([1.0, 2.0, 5.0]) + 900, 1.0)
    assert shifted == pytest.approx(value)


def gradients(parameters, bags, target, weight=1.0):
    """Return minus the sgd step of rate 1, without penalties, for row 0."""
    after = copied(parameters)
    plain = options(learning_rate=1.0, learning_rate_linear=1.0)
    online.train(after, bags, target, [weight, weight], plain, order=[0])
    return {
        name: getattr(parameters, name) - getattr(after, name)
        for name in ("factors", "linear", "bias")
    }


@pytest.mark.parametrize("field_aware", [False, True])
def test_adagrad_is_a_proximal_step(field_aware):
    before, bags = make(field_aware), online.Bags(**BAGS)
    G = gradients(before, bags, [2.0, 0.0])
    after = copied(before)
    chosen = options("adagrad", l2_factors=0.4, l2_linear=0.6)
    online.train(after, bags, [2.0, 0.0], None, chosen, order=[0])
    for j in (0, 1, 2, 4):  # the labels of row 0
        mean = (G["factors"][j] ** 2).mean()
        assert after.state[j] == pytest.approx(before.state[j] + mean)
        rate = 0.3 / np.sqrt(after.state[j])
        # Where G v + |v - v_0|^2 / (2 rate) + l2 / (2 n) |v|^2 is smallest.
        v, change = after.factors[j], after.factors[j] - before.factors[j]
        slope = G["factors"][j] + change / rate + 0.4 / COUNTS[j] * v
        np.testing.assert_allclose(slope, 0, atol=1e-13)
        rate = 0.2 / np.sqrt(before.linear_state[j, 0] + G["linear"][j, 0] ** 2)
        change = after.linear[j] - before.linear[j]
        slope = G["linear"][j] + change / rate + 0.6 / COUNTS[j] * after.linear[j]
        np.testing.assert_allclose(slope, 0, atol=1e-13)
    root = np.sqrt(before.bias_state + G["bias"] ** 2)
    np.testing.assert_allclose(after.bias, before.bias - 0.2 * G["bias"] / root)
    for j in (3, 5):
        assert (after.factors[j] == before.factors[j]).all()
        assert after.linear[j] == before.linear[j]


@pytest.mark.parametrize("field_aware", [False, True])
def test_adagrad_weight_has_the_penalty_inside(field_aware):
    before, bags = make(field_aware, step="adagrad_weight"), online.Bags(**BAGS)
    G = gradients(before, bags, [2.0, 0.0], weight=1.7)["factors"]
    after = copied(before)
    chosen = options("adagrad_weight", l2_factors=0.4)
    online.train(after, bags, [2.0, 0.0], [1.7, 1.0], chosen, order=[0])
    touched = [0, 1, 2, 4]
    shape = (-1, *[1] * (G.ndim - 1))
    D = (G + 0.4 * before.factors / COUNTS.reshape(shape))[touched]
    state = before.state[touched] + D**2
    expected = before.factors[touched] - 0.3 * D / np.sqrt(state)
    np.testing.assert_allclose(after.factors[touched], expected, rtol=1e-13)


def test_ftrl_is_at_the_minimum_of_its_sum():
    """The linear term alone, replayed from the definition of FTRL-Proximal."""
    parameters = make(False, step="ftrl")
    parameters.factors[:] = 0
    bags = online.Bags(**BAGS)
    chosen = options("ftrl", l1_linear=0.1, l2_linear=0.3, fit_bias=False)
    target, j = [4.0, -1.0], 0
    h = parameters.linear_state[j, 0]
    terms = [(0.0, np.sqrt(h) / 0.2, 0.0)]  # (gradient, c, where the step was)
    steps = []
    for i in (0, 1, 1, 0, 1):
        at = parameters.linear[j, 0]
        score = online.score(parameters, bags, i, True)[0]
        value = BAGS["weights"][0] if i == 0 else BAGS["weights"][4]
        G = (score - target[i]) * value
        terms.append((G, (np.sqrt(h + G**2) - np.sqrt(h)) / 0.2, at))
        h += G**2
        online.train(parameters, bags, target, None, chosen, order=[i])
        past = list(terms)

        def total(a, past=past):
            near = sum(g * a + c / 2 * (a - b) ** 2 for g, c, b in past)
            return near + 0.1 * abs(a) + 0.15 * a**2

        best = minimize_scalar(total, bounds=(-5, 5), options={"xatol": 1e-9})
        steps.append(parameters.linear[j, 0])
        assert steps[-1] == pytest.approx(best.x, abs=1e-6)
    assert np.count_nonzero(steps) >= 3


def test_ftrl_l1_leaves_zeros():
    parameters = make(False, step="ftrl")
    chosen = options("ftrl", l1_linear=1e3)
    online.train(parameters, online.Bags(**BAGS), [4.0, -1.0], None, chosen)
    assert (parameters.linear == 0).all()
    assert (parameters.linear_z[[0, 2]] != 0).all()


@pytest.mark.parametrize("step", STEPS)
def test_what_is_not_fitted_stays(step):
    before = make(True, step=step)
    after = copied(before)
    chosen = options(step, fit_linear=False, fit_bias=False)
    online.train(after, online.Bags(**BAGS), [4.0, -1.0], None, chosen)
    for name in ("linear", "linear_state", "bias", "bias_state"):
        assert (getattr(after, name) == getattr(before, name)).all()
    assert (after.factors != before.factors).any()


def test_linear_that_is_not_fitted_does_not_score():
    parameters, bags = make(False), online.Bags(**BAGS)
    with_linear = online.score(parameters, bags, 0, True)
    without = online.score(parameters, bags, 0, False)
    linear = parameters.linear[:, 0]
    expected = linear[0] - 0.5 * linear[1] + 2 * linear[2] + 0.3 * linear[4]
    assert with_linear - without == pytest.approx(expected)
