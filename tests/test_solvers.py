"""Solvers by name or class, schedules of the rate, and dropout on factors."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.utils import estimator_html_repr
from sklearn.utils._param_validation import InvalidParameterError
from skorch.callbacks import LRScheduler

from skwfm import (
    FieldCSR,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)
from skwfm._bags import to_flat
from skwfm._dropout import FactorDropout
from skwfm._kernels import compiled, operators, reference
from skwfm._optimizers import OPTIMIZERS, UNFIT, arguments, resolve_solver
from skwfm._schedules import FINAL_STEP, SCHEDULES, rate_share
from skwfm._solvers import SOLVERS
from skwfm.nn import LazyAdam, SparseAdagrad, WeightedFFM, WeightedFM

ALL = [
    WeightedFMRegressor,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFFMClassifier,
]
SIZES = [6, 8, 5]
FIT = sorted(set(OPTIMIZERS) - set(UNFIT))
SMALL = {"l2_factors": 1.0, "l2_linear": 1.0, "random_state": 0}
needs_core = pytest.mark.skipif(not compiled.available(), reason="needs the core")


def make_rows(n_rows=1500, seed=0, noise=0.0):
    """Return two weighted labels per field, and a score with interactions."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((n_rows, sum(SIZES)), np.float32)
    first = 0
    for size in SIZES:
        for _ in range(2):
            labels = first + rng.integers(size, size=n_rows)
            dense[np.arange(n_rows), labels] = rng.uniform(0.5, 1.0, n_rows)
        first += size
    factors = np.random.default_rng(9).normal(size=(sum(SIZES), 2))
    a, b, c = (dense[:, i:j] @ factors[i:j] for i, j in ((0, 6), (6, 14), (14, 19)))
    score = (a * b + a * c + b * c).sum(1)
    score += noise * score.std() * rng.normal(size=n_rows)
    return FieldCSR(csr_matrix(dense), fields=SIZES), score - score.mean()


def target_of(estimator_class, score):
    return score if "Regressor" in estimator_class.__name__ else score > 0


class TwoClosures(torch.optim.SGD):
    """An optimizer that evaluates the loss twice a step."""

    def step(self, closure=None):
        closure()
        return super().step(closure)


class Handing(torch.optim.AdamW):
    """One whose arguments are those of its base."""

    def __init__(self, params, lr=0.02, **kwargs):
        super().__init__(params, lr=lr, **kwargs)


class NeedsRate(torch.optim.Adam):
    def __init__(self, params, lr):
        super().__init__(params, lr=lr)


class NeedsMore(torch.optim.Adam):
    def __init__(self, params, lr, base):
        super().__init__(params, lr=lr)


class NoRate(torch.optim.Adam):
    def __init__(self, params, speed=1.0):
        super().__init__(params, lr=speed)


class Foreign(torch.optim.Optimizer):
    """One of nobody's family, open to any argument."""

    def __init__(self, params, lr=0.3, **kwargs):
        super().__init__(params, {"lr": lr, **kwargs})

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for part in group["params"]:
                part -= group["lr"] * group["boost"] * part.grad
        return loss


# Any optimizer.

# Plain gradient descent takes larger steps than what scales them by itself.
RATES = {"ASGD": 0.5, "SGD": 0.5, "Adadelta": 2.0, "Rprop": 0.01, "LBFGS": 1.0}


@pytest.mark.parametrize("name", FIT)
def test_every_optimizer_of_torch_learns_interactions(name):
    X, score = make_rows(600)
    linear = WeightedFMRegressor(init_scale=0.0, **SMALL).fit(X, score)
    rate = RATES.get(name, 0.05)
    fm = WeightedFMRegressor(
        solver=name, learning_rate=rate, init_scale=0.3, **SMALL
    ).fit(X, score)
    assert fm.score(X, score) > 0.85 > 0.7 > linear.score(X, score)


@pytest.mark.parametrize("name", FIT)
def test_a_class_is_its_name(name):
    X, score = make_rows(200)
    by_name, by_class = (
        WeightedFMRegressor(solver=solver, max_iter=2, random_state=0).fit(X, score)
        for solver in (name, OPTIMIZERS[name])
    )
    assert_array_equal(by_class.factors_, by_name.factors_)
    assert_array_equal(by_class.coef_, by_name.coef_)


@pytest.mark.parametrize("name", FIT)
def test_rate_of_an_optimizer_is_its_own_default(name):
    X, score = make_rows(300)
    fm = WeightedFMClassifier(solver=name, max_iter=3, random_state=0)
    fm.fit(X, score > 0)
    default = arguments(OPTIMIZERS[name]).defaults["lr"]
    assert dict(resolve_solver(name).learning_rate) == {"fm": default, "ffm": default}
    if name != "LBFGS":  # which has no schedule
        assert fm.history_["learning_rate"][0] == default
    losses = fm.history_["train_loss"]
    assert losses[-1] < losses[0]
    assert np.isfinite(fm.decision_function(X)).all()


# The factors stay at zero: ridge regression, of which all must find the minimum.
@pytest.mark.parametrize("name", [*FIT, "adam", LazyAdam, SparseAdagrad, Handing])
def test_every_optimizer_minimises_the_same_objective(name):
    X, score = make_rows(300)
    ridge = {"init_scale": 0.0, "l2_linear": 30.0, "fit_intercept": False}
    exact = WeightedFMRegressor(solver="lbfgs", **ridge).fit(X, score)
    rate = {"ASGD": 0.5, "SGD": 0.5, "Adadelta": 30.0, "SparseAdagrad": 0.3}
    rate |= {
        "Adagrad": 0.3,
        "Rprop": 0.01,
        "LBFGS": 1.0,
        "Adafactor": 0.3,
        "RAdam": 0.15,
    }
    fm = WeightedFMRegressor(
        solver=name,
        learning_rate=rate.get(getattr(name, "__name__", name), 0.05),
        batch_size=300,
        max_iter=200,
        n_iter_no_change=200,
        random_state=0,
        **ridge,
    ).fit(X, score)
    assert_allclose(fm.coef_, exact.coef_, atol=0.01 * np.abs(exact.coef_).max())
    free = WeightedFMRegressor(solver="lbfgs", **ridge | {"l2_linear": 0.0})
    free.fit(X, score)
    assert np.abs(free.coef_ - exact.coef_).max() > 0.1 * np.abs(exact.coef_).max()


@pytest.mark.parametrize("name", ["AdamW", "SGD", "LBFGS"])
@pytest.mark.parametrize("estimator_class", ALL)
def test_all_estimators_take_them(estimator_class, name):
    X, score = make_rows(400)
    y = target_of(estimator_class, score)
    rate = {"learning_rate": 0.05} if name == "AdamW" else {}
    params = {"solver": name, "max_iter": 5, **rate, **SMALL}
    first, second = (estimator_class(**params).fit(X, y) for _ in range(2))
    assert_array_equal(first.factors_, second.factors_)
    assert first.history_["train_loss"][-1] < first.history_["train_loss"][0]


@pytest.mark.parametrize("rate", [1e4, 1e30])
@pytest.mark.parametrize("name", [*FIT, LazyAdam, SparseAdagrad])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_wild_rate_leaves_no_nan(name, rate):
    X, score = make_rows(300)
    fm = WeightedFMRegressor(solver=name, learning_rate=rate, max_iter=5)
    fm.fit(X, score)
    assert np.isfinite(fm.factors_).all()
    assert np.isfinite(fm.coef_).all()
    assert np.isfinite(fm.intercept_)


def test_a_divergence_is_told():
    X, score = make_rows(300)
    with pytest.warns(ConvergenceWarning, match=r"Lower learning_rate=1e\+30"):
        WeightedFMRegressor(solver="SGD", learning_rate=1e30).fit(X, score)


@pytest.mark.parametrize("name", sorted(set(UNFIT) & set(OPTIMIZERS)))
@pytest.mark.parametrize("as_class", [False, True])
def test_optimizers_that_cannot_serve_say_what_does(name, as_class):
    X, score = make_rows(100)
    solver = type("Mine", (OPTIMIZERS[name],), {}) if as_class else name
    shown = "Mine" if as_class else name
    with pytest.raises(ValueError, match=f"solver='{shown}' cannot train .*; take "):
        WeightedFMRegressor(solver=solver).fit(X, score)


@pytest.mark.parametrize(
    ("solver", "params"),
    [
        (SparseAdagrad, {"per_row": True}),
        (LazyAdam, {"betas": (0.8, 0.99)}),
        (TwoClosures, {"momentum": 0.9}),
        (Handing, {"betas": (0.8, 0.99)}),
        (NeedsRate, None),
        (Foreign, {"boost": 1.5}),
        ("adam", {"betas": (0.8, 0.99)}),
        ("lbfgs", {"history_size": 5}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("ASGD", {"lambd": 1e-4}),
    ],
)
def test_arguments_of_an_optimizer(solver, params):
    X, score = make_rows(1000)
    name = getattr(solver, "__name__", solver)
    by_size = {"TwoClosures": 0.1, "Foreign": 0.5, "ASGD": 0.5, "SGD": 0.05}
    rate = by_size.get(name, "auto" if name in ("lbfgs", "adam") else 0.1)
    fm = WeightedFMRegressor(
        solver=solver,
        solver_params=params,
        learning_rate=rate,
        init_scale=0.3,
        max_iter=12,
        **SMALL,
    ).fit(X, score)
    assert fm.score(X, score) > 0.85
    if params and solver is not Foreign:
        once = clone(fm).set_params(max_iter=1)
        plain = clone(once).set_params(solver_params=None)
        assert (plain.fit(X, score).factors_ != once.fit(X, score).factors_).any()


def test_what_a_class_takes():
    assert arguments(torch.optim.SGD).defaults["momentum"] == 0
    assert not arguments(torch.optim.SGD).is_open
    assert arguments(Handing).defaults["lr"] == 0.02
    assert arguments(Handing).defaults["weight_decay"] == 0.01
    assert set(arguments(Foreign).defaults) == {"params", "lr"}
    assert arguments(Foreign).is_open
    assert dict(resolve_solver(NeedsRate).learning_rate)["fm"] == 0.01


def test_the_penalty_goes_where_it_is_one():
    for name in ("Adam", "SGD", "RMSprop"):
        assert not resolve_solver(name).adds_penalty
    for solver in ("AdamW", "Adafactor", "Rprop", "LBFGS", Handing, LazyAdam):
        if solver == "Adafactor" and solver not in OPTIMIZERS:
            continue  # torch 2.5 brought it
        assert resolve_solver(solver).adds_penalty
    # No penalty that was not asked for.
    for solver in ("AdamW", Handing):
        assert dict(resolve_solver(solver).options) == {"weight_decay": 0}
    assert dict(resolve_solver("ASGD").options) == {"weight_decay": 0, "lambd": 0}
    assert not resolve_solver("NAdam", {"decoupled_weight_decay": False}).adds_penalty
    assert resolve_solver("NAdam", {"decoupled_weight_decay": True}).adds_penalty


def test_names_are_those_of_torch():
    assert {"Adam", "AdamW", "NAdam", "RMSprop", "SGD", "LBFGS"} <= set(OPTIMIZERS)
    assert "Optimizer" not in OPTIMIZERS
    assert not set(OPTIMIZERS) & set(SOLVERS)


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        ("adamw", r"parameter of WeightedFMRegressor must be .* Got 'adamw' instead"),
        ("adamw", "Did you mean 'AdamW' or 'adam' or 'Adam'?"),
        ("RMSProp", "Did you mean 'RMSprop'"),
        ("lgbfs", "Did you mean 'lbfgs'"),
        ("xyz", "Names: 'auto', 'adam'"),
        (3, "must be a str among"),
        (torch.nn.Linear, "must be a str among"),
    ],
)
def test_unknown_solvers_are_refused(solver, message):
    X, score = make_rows(50)
    with pytest.raises(InvalidParameterError, match=message):
        WeightedFMRegressor(solver=solver).fit(X, score)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"solver": torch.optim.Optimizer}, "expected a name, or a subclass"),
        ({"solver": NoRate}, "solver='NoRate' cannot train .*: it takes no rate lr"),
        ({"solver": "auto", "solver_params": {"eps": 1}}, "not for solver='auto'"),
        ({"solver": "sgd", "solver_params": {"momentum": 0}}, "not for solver='sgd'"),
        (
            {"solver": "AdamW", "solver_params": {"weight_decay": 0.1}},
            "'weight_decay' cannot stand there, the penalties are l2_factors and l2_l",
        ),
        ({"solver": "SGD", "solver_params": {"lr": 0.1}}, "pass it as learning_rate"),
        ({"solver": "SGD", "solver_params": {"momentun": 0.1}}, "SGD takes momentum,"),
        (
            {"solver": "SGD", "solver_params": {"momentum": -1}},
            r"with lr=0.001 and .*'momentum': -1\}: Invalid momentum value: -1. Change",
        ),
        ({"solver": NeedsMore}, "missing 1 required positional argument: 'base'"),
        ({"solver": "Adam", "solver_params": {"maximize": True}}, "loss is minimised"),
        ({"solver": "SGD", "solver_params": [1]}, "The 'solver_params' parameter"),
        ({"solver": "AdamW", "l1_linear": 1.0}, "l1_linear=1.0 is known to"),
    ],
)
def test_arguments_that_cannot_be_are_refused(params, message):
    X, score = make_rows(50)
    with pytest.raises(ValueError, match=message):
        WeightedFMRegressor(**params).fit(X, score)


def test_an_optimizer_itself_is_no_solver():
    X, score = make_rows(50)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(ValueError, match="the class, not an optimizer made by it"):
        WeightedFMRegressor(solver=optimizer).fit(X, score)


def test_solvers_are_parameters_like_others():
    X, score = make_rows(300)
    fm = WeightedFMRegressor(solver=LazyAdam, solver_params={"eps": 1e-6})
    assert fm.get_params()["solver"] is LazyAdam
    assert clone(fm).solver is LazyAdam
    assert clone(fm).solver_params == {"eps": 1e-6}
    assert "LazyAdam" in repr(fm)
    assert "LazyAdam" in estimator_html_repr(fm)
    again = pickle.loads(pickle.dumps(fm.set_params(learning_rate=0.1).fit(X, score)))
    assert again.solver is LazyAdam
    assert_array_equal(again.predict(X), fm.predict(X))


def test_search_over_names_and_classes():
    X, score = make_rows(300)
    grid = {"solver": ["lbfgs", "AdamW", LazyAdam, torch.optim.NAdam, "adagrad"]}
    search = GridSearchCV(
        WeightedFMRegressor(max_iter=3, n_factors=2, random_state=0), grid, cv=2
    ).fit(X, score)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["solver"] in grid["solver"]


@needs_core
def test_steps_in_the_core_import_no_compiler_of_torch():
    code = (
        "import sys, numpy as np\n"
        "from skwfm import WeightedFFMRegressor\n"
        "X = np.random.default_rng(0).choice([-1.0, 1.0], (1500, 2))\n"
        "y = X.prod(1)\n"
        "before = 'torch._dynamo' in sys.modules\n"  # by another library
        "ffm = WeightedFFMRegressor(max_iter=2).fit(X, y)\n"
        "ffm.partial_fit(X, y).predict(X)\n"
        "print('torch._dynamo' in sys.modules and not before)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Schedules.


def expected_rates(schedule, n_epochs):
    t = np.arange(n_epochs)
    return {
        "auto": 0.01 + 0.99 * (1 + np.cos(np.pi * t / n_epochs)) / 2,
        "cosine": 0.01 + 0.99 * (1 + np.cos(np.pi * t / n_epochs)) / 2,
        "linear": 1 - 0.99 * t / n_epochs,
        "exponential": 0.01 ** (t / n_epochs),
        "inverse_sqrt": 1 / np.sqrt(t + 1),
        "constant": np.ones(n_epochs),
    }[schedule]


@pytest.mark.parametrize("schedule", ["auto", *SCHEDULES])
@pytest.mark.parametrize(
    "solver", [pytest.param("adagrad", marks=needs_core), "adam", "AdamW", "Rprop"]
)
def test_a_schedule_is_the_same_for_all_solvers(schedule, solver):
    X, score = make_rows(300)
    fm = WeightedFMRegressor(
        solver=solver,
        learning_rate=0.04,
        learning_rate_schedule=schedule,
        max_iter=6,
        n_iter_no_change=6,
        random_state=0,
    ).fit(X, score)
    rates = fm.history_["learning_rate"]
    assert_allclose(rates, 0.04 * expected_rates(schedule, 6), rtol=1e-12)


@pytest.mark.parametrize("schedule", ["auto", *SCHEDULES])
def test_a_schedule_starts_at_one_and_never_rises(schedule):
    shares = [rate_share(schedule, epoch, 10) for epoch in range(11)]
    assert_allclose(shares[:10], expected_rates(schedule, 10))
    assert (np.diff(shares) <= 0).all()
    if schedule not in ("constant", "inverse_sqrt"):
        assert shares[-1] == pytest.approx(FINAL_STEP)
    assert rate_share(schedule, 0, 1) == 1


@pytest.mark.parametrize(
    "solver", [pytest.param("adagrad", marks=needs_core), "adam", "sgd", "SGD"]
)
def test_a_schedule_sets_the_steps(solver):
    X, score = make_rows(300)
    params = {"solver": solver, "max_iter": 4, "random_state": 0}
    plain, cosine, constant = (
        WeightedFMRegressor(learning_rate_schedule=name, **params).fit(X, score)
        for name in ("auto", "cosine", "constant")
    )
    assert_array_equal(plain.factors_, cosine.factors_)
    assert (plain.factors_ != constant.factors_).any()


@pytest.mark.parametrize(
    "solver", [pytest.param("adagrad", marks=needs_core), "adam", "SGD"]
)
@pytest.mark.parametrize("form", ["instance", "pair"])
def test_a_scheduler_of_the_users_takes_the_place(solver, form):
    X, score = make_rows(300)
    step = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    fm = WeightedFMRegressor(
        solver=solver,
        callbacks=[step if form == "instance" else ("mine", step)],
        learning_rate=0.4,
        learning_rate_schedule="linear",
        max_iter=3,
    ).fit(X, score)
    assert_allclose(fm.history_["learning_rate"], [0.4, 0.2, 0.1])


@pytest.mark.parametrize("solver", ["lbfgs", "LBFGS", torch.optim.LBFGS])
def test_full_batch_solvers_have_no_schedule(solver):
    X, score = make_rows(100)
    fm = WeightedFMRegressor(solver=solver, max_iter=2, learning_rate_schedule="auto")
    assert "learning_rate" not in fm.fit(X, score).history_
    fm.set_params(learning_rate_schedule="constant").fit(X, score)
    with pytest.raises(ValueError, match="'linear' is not for solver='(lbfgs|LBFGS)'"):
        fm.set_params(learning_rate_schedule="linear").fit(X, score)


def test_unknown_schedules_are_refused():
    X, score = make_rows(50)
    with pytest.raises(InvalidParameterError, match="learning_rate_schedule.*cosine"):
        WeightedFMRegressor(learning_rate_schedule="cyclic").fit(X, score)


# Dropout.


def flat_rows(n_rows=7):
    X, _ = make_rows(n_rows)
    flat = to_flat(csr_matrix(X.astype(np.float64)), X.fields, len(SIZES))
    tensors = [
        torch.from_numpy(np.array(part))
        for part in (flat.indices, flat.offsets, flat.weights)
    ]
    return csr_matrix(X), tensors


def make_module(field_aware, k=4, **options):
    options |= {"dtype": torch.float64, "init_scale": 1.0}
    options["generator"] = torch.Generator().manual_seed(0)
    sizes = (sum(SIZES), k, len(SIZES)) if field_aware else (sum(SIZES), k)
    module = (WeightedFFM if field_aware else WeightedFM)(*sizes, **options)
    with torch.no_grad():
        module.linear.normal_(generator=options["generator"])
    return module


@pytest.mark.parametrize("field_aware", [False, True])
@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_row_scales_its_factors(field_aware, intra_field, n_outputs, sparse):
    options = {"intra_field": intra_field, "num_outputs": n_outputs, "sparse": sparse}
    module = make_module(field_aware, **options)
    X, flat = flat_rows()
    rng = torch.Generator().manual_seed(1)
    scale = torch.rand((X.shape[0], 4), generator=rng, dtype=torch.float64)
    scores = module.score_flat(*flat, len(SIZES), scale=scale)
    scores = scores.view(-1, n_outputs).detach().numpy()
    table = module.bag.weight.detach().numpy()
    formula = reference.ffm_score if field_aware else reference.fm_score
    fields = (len(SIZES),) if field_aware else ()
    table = table.reshape(sum(SIZES), n_outputs, *fields, 4)
    for row in range(X.shape[0]):
        bags = to_flat(X[row].astype(np.float64), np.repeat([0, 1, 2], SIZES), 3)
        for output in range(n_outputs):
            expected = formula(
                module.bias.detach().numpy()[output],
                module.linear.detach().numpy()[:, output],
                table[:, output] * scale[row].numpy(),
                bags.indices,
                bags.offsets,
                bags.weights,
                len(SIZES),
                intra_field=intra_field,
            )
            assert_allclose(scores[row, output], expected[0], rtol=1e-10)


@pytest.mark.parametrize("field_aware", [False, True])
@pytest.mark.parametrize("intra_field", [False, True])
def test_gradients_with_a_scale(field_aware, intra_field):
    module = make_module(field_aware, k=2, intra_field=intra_field)
    _, (indices, offsets, weights) = flat_rows(3)
    scale = FactorDropout(0.5, 2, seed=0).scale(3, weights)
    score = operators.ffm_score if field_aware else operators.fm_score

    def scores(table):
        return score(
            table, None, None, indices, offsets, weights, len(SIZES),
            intra_field=intra_field, scale=scale,
        )  # fmt: skip

    assert torch.autograd.gradcheck(scores, module.bag.weight)


@pytest.mark.parametrize("field_aware", [False, True])
@pytest.mark.parametrize("intra_field", [False, True])
def test_expected_score_is_that_without_dropout(field_aware, intra_field):
    module = make_module(field_aware, intra_field=intra_field)
    _, flat = flat_rows()
    dropout = FactorDropout(0.3, 4, seed=0)
    with torch.no_grad():
        plain = module.score_flat(*flat, len(SIZES))
        draws = torch.stack(
            [
                module.score_flat(*flat, len(SIZES), scale=dropout.scale(7, flat[2]))
                for _ in range(1500)
            ]
        )
    deviation = draws.std(0)
    assert (deviation > 0.1).all()
    assert ((draws.mean(0) - plain).abs() < 5 * deviation / 1500**0.5).all()


def test_draws():
    like = torch.zeros(1, dtype=torch.float64)
    first, second = (FactorDropout(0.2, 50, seed=3) for _ in range(2))
    scale = first.scale(400, like)
    assert scale.dtype == torch.float64
    kept = 0.8**-0.5
    assert_allclose(np.unique(scale.numpy()), [0, kept])
    assert (scale > 0).double().mean().item() == pytest.approx(0.8, abs=0.01)
    assert torch.equal(scale, second.scale(400, like))
    assert not torch.equal(scale, second.scale(400, like))
    again = pickle.loads(pickle.dumps(first))
    assert torch.equal(again.scale(9, like), first.scale(9, like))
    assert (FactorDropout(0.0, 5, seed=0).scale(3, like) == 1).all()


@pytest.mark.parametrize("solver", ["auto", "adam", "adagrad", "AdamW"])
def test_no_dropout_draws_nothing(solver, monkeypatch):
    X, score = make_rows(1200)
    params = {"solver": solver, "max_iter": 2, "random_state": 0}
    before = WeightedFMRegressor(**params).fit(X, score)
    monkeypatch.delattr("skwfm._training.FactorDropout")
    after = WeightedFMRegressor(dropout=0.0, **params).fit(X, score)
    assert_array_equal(before.factors_, after.factors_)


@pytest.mark.parametrize(
    ("estimator_class", "solver"),
    [
        *((estimator_class, "auto") for estimator_class in ALL),
        *((WeightedFMRegressor, solver) for solver in ("adagrad", "AdamW", LazyAdam)),
        (WeightedFFMClassifier, "sgd"),
    ],
)
def test_dropout_depends_on_random_state_alone(estimator_class, solver):
    X, score = make_rows(300)
    y = target_of(estimator_class, score)
    params = {"solver": solver, "dropout": 0.4, "max_iter": 2, "random_state": 5}
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = estimator_class(**params).fit(X, y)
    assert_array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.get_rng_state(), states[1])
    torch.rand(3)
    second = estimator_class(**params).fit(X, y)
    assert_array_equal(first.factors_, second.factors_)
    assert_array_equal(first.predict(X), first.predict(X))
    other = estimator_class(**params | {"random_state": 6}).fit(X, y)
    plain = estimator_class(**params | {"dropout": 0.0}).fit(X, y)
    for fitted in (other, plain):
        assert (fitted.factors_ != first.factors_).any()


def test_dropout_by_default_takes_adam():
    X, score = make_rows(200)
    params = {"dropout": 0.4, "max_iter": 2, "random_state": 5}
    auto = WeightedFMRegressor(**params).fit(X, score)
    adam = WeightedFMRegressor(solver="adam", **params).fit(X, score)
    assert_array_equal(auto.factors_, adam.factors_)


@pytest.mark.parametrize("solver", ["adam", "adagrad"])
@pytest.mark.parametrize("estimator_class", [WeightedFMRegressor, WeightedFFMRegressor])
def test_dropout_regularises(estimator_class, solver):
    X, score = make_rows(400, noise=1.0)
    X_new, score_new = make_rows(2000, seed=1)
    plain, dropped = (
        estimator_class(
            n_factors=16,
            solver=solver,
            dropout=dropout,
            l2_factors=1e-3,
            l2_linear=1e-3,
            max_iter=40,
            n_iter_no_change=40,
            random_state=0,
        ).fit(X, score)
        for dropout in (0.0, 0.5)
    )
    assert dropped.score(X, score) < plain.score(X, score) - 0.01
    assert dropped.score(X_new, score_new) > plain.score(X_new, score_new) + 0.02
    # The recorded loss is that of the rows as trained, with dimensions left out.
    assert dropped.history_["train_loss"][-1] > plain.history_["train_loss"][-1]


def test_rows_to_stop_by_are_scored_without_dropout():
    X, score = make_rows(400)
    valid = make_rows(200, seed=1)
    fm = WeightedFMRegressor(dropout=0.5, max_iter=5, random_state=0)
    fm.fit(X, score, eval_set=valid)
    loss = 0.5 * np.mean((fm.predict(valid[0]) - valid[1]) ** 2) / score.std() ** 2
    at = fm.best_iter_ - 1
    assert_allclose(loss, fm.history_["valid_loss"][at], rtol=1e-4)


@pytest.mark.parametrize("solver", ["ftrl", "lbfgs", "LBFGS"])
def test_dropout_is_refused_by_other_solvers(solver):
    X, score = make_rows(100)
    with pytest.raises(ValueError, match=f"dropout=0.2 needs .* not '{solver}'"):
        WeightedFMRegressor(solver=solver, dropout=0.2).fit(X, score)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, "half"])
def test_dropout_is_a_probability(dropout):
    X, score = make_rows(50)
    with pytest.raises(InvalidParameterError, match=r"range \[0.0, 1.0\)"):
        WeightedFMRegressor(dropout=dropout).fit(X, score)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("solver", [*FIT, LazyAdam])
def test_optimizers_and_dropout_on_cuda(solver):
    X, score = make_rows()
    dropout = 0.0 if solver == "LBFGS" else 0.1
    fm = WeightedFMRegressor(
        solver=solver,
        dropout=dropout,
        learning_rate=RATES.get(solver, 0.05),
        device="cuda",
        **SMALL,
    ).fit(X, score)
    assert fm.score(X, score) > 0.7


# Training that goes on.


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"solver": "AdamW"}, "solver='AdamW' looks at all rows or at batches"),
        ({"solver": LazyAdam}, "solver=.*LazyAdam.* looks at all rows or at batches"),
        ({"dropout": 0.1}, "dropout=0.1 is for mini-batches of torch, but partial_fit"),
        (
            {"solver_params": {"eps": 1}},
            r"solver_params=\{'eps': 1\} is for mini-batches",
        ),
    ],
)
def test_partial_fit_takes_steps_per_row_only(params, message):
    X, score = make_rows(50)
    with pytest.raises(ValueError, match=message):
        WeightedFMRegressor(**params).partial_fit(X, score)


@pytest.mark.parametrize(
    "params", [{"solver": "AdamW"}, {"solver": LazyAdam}, {"dropout": 0.2}]
)
def test_warm_start_goes_on(params):
    X, score = make_rows(300)
    fm = WeightedFMRegressor(
        learning_rate=0.02, max_iter=5, warm_start=True, random_state=0, **params
    ).fit(X, score)
    before = fm.history_["train_loss"]
    fm.set_params(learning_rate=1e-4).fit(X, score)
    assert fm.n_iter_ == 10
    assert fm.history_["train_loss"][:5] == before
    assert fm.history_["train_loss"][5] < 0.5 * (before[0] + before[-1])
