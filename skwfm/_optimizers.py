"""Any optimizer of torch as a solver: what it takes, and what it is kept from.

The objective is that of `skwfm._solvers`, whatever the optimizer: its own weight decay
is set to zero unless it is the gradient of an L2 penalty, when it carries ours. An
optimizer that decouples it (AdamW, Adafactor), has none (Rprop) or is not known gets
the penalty added to the loss.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from numbers import Real
from typing import Any, NamedTuple

import torch

from skwfm import _solver_validation as val
from skwfm._solvers import SOLVERS, Solver, choose_solver

__all__ = ["OPTIMIZERS", "OPTIMIZER_METHODS", "resolve_solver"]

Optimizer = torch.optim.Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = {
    name: part
    for name, part in vars(torch.optim).items()
    if isinstance(part, type) and issubclass(part, Optimizer) and part is not Optimizer
}
# What a class must have to be looked at as one.
OPTIMIZER_METHODS = ["add_param_group", "step", "zero_grad"]

# Those whose weight decay is added to the gradient: an L2 penalty.
COUPLED = frozenset(
    OPTIMIZERS[name]
    for name in (
        *("ASGD", "Adadelta", "Adagrad", "Adam", "Adamax"),
        *("NAdam", "RAdam", "RMSprop", "SGD"),
    )
)
# Why some cannot serve, and what does instead.
UNFIT = {
    "Muon": "it is for the weight matrices of layers, whose rows it makes orthogonal;"
    " take 'AdamW' or 'SGD'",
    "SparseAdam": "it takes sparse gradients only; take skwfm.nn.LazyAdam, which has"
    " its numbers",
}
# Arguments that are not the user's, and where to say it instead.
RESERVED = {
    "params": "these are the parameters of the model",
    "lr": "pass it as learning_rate",
    "weight_decay": "the penalties are l2_factors and l2_linear",
    "maximize": "a loss is minimised",
    "differentiable": "nothing differentiates a step",
}
# The rate where a class names none.
DEFAULT_RATE = 0.01


def resolve_solver(
    choice: Any, solver_params: dict[str, Any] | None = None, **sizes: Any
) -> Solver:
    """Return what the parameters `solver` and `solver_params` mean.

    Parameters
    ----------
    choice : str or subclass of torch.optim.Optimizer
        ``"auto"``, a key of `SOLVERS` or `OPTIMIZERS`, or a class.
    solver_params : dict, optional
        Further arguments of the optimizer.
    **sizes
        As `choose_solver`.

    Returns
    -------
    Solver

    Raises
    ------
    ValueError
        If the name is not known, the class cannot serve, or it does not take the
        arguments.

    Examples
    --------
    >>> from skwfm._optimizers import resolve_solver
    >>> solver = resolve_solver("AdamW", {"betas": (0.8, 0.99)})
    >>> dict(solver.learning_rate)["fm"], solver.adds_penalty
    (0.001, True)
    """
    given = solver_params or {}
    if isinstance(choice, str) and choice not in OPTIMIZERS:
        val.check_solver_name(choice, ["auto", *SOLVERS, *OPTIMIZERS])
        solver = choose_solver(choice, **sizes)
        if given and (choice == "auto" or solver.online):
            raise ValueError(val.core_params_error(given, choice))
    else:
        solver = _of_class(OPTIMIZERS[choice] if isinstance(choice, str) else choice)
    if solver.optimizer is None or not given:
        return solver
    _check_given(solver.name, given, arguments(solver.optimizer))
    adds_penalty = solver.adds_penalty or bool(given.get("decoupled_weight_decay"))
    options = tuple({**dict(solver.options), **given}.items())
    return replace(solver, options=options, adds_penalty=adds_penalty)


def _is_optimizer(choice: Any) -> bool:
    is_class = isinstance(choice, type) and issubclass(choice, Optimizer)
    return is_class and choice is not Optimizer


def _of_class(optimizer: Any) -> Solver:
    """Return the solver that a class is."""
    if not _is_optimizer(optimizer):
        raise ValueError(val.no_optimizer_error(optimizer))
    name = optimizer.__name__
    for base, why in UNFIT.items():
        if issubclass(optimizer, OPTIMIZERS.get(base, ())):
            raise ValueError(val.unfit_optimizer_error(name, why))
    known = arguments(optimizer)
    if "lr" not in known.defaults and not known.is_open:
        raise ValueError(val.unfit_optimizer_error(name, "it takes no rate lr"))
    default = known.defaults.get("lr")
    rate = float(default) if isinstance(default, Real) else DEFAULT_RATE
    full_batch = issubclass(optimizer, torch.optim.LBFGS)
    return Solver(
        name,
        optimizer,
        (("fm", rate), ("ffm", rate)),
        options=tuple(_own_options(optimizer, known).items()),
        full_batch=full_batch,
        adds_penalty=full_batch or optimizer not in COUPLED,
    )


def _own_options(optimizer: type[Optimizer], known: Arguments) -> dict[str, Any]:
    """Return what a class is given in place of its own defaults."""
    options: dict[str, Any] = {}
    if "weight_decay" in known.defaults:
        options["weight_decay"] = 0  # no penalty that was not asked for
    if issubclass(optimizer, torch.optim.ASGD):
        options["lambd"] = 0  # which is one too
    if issubclass(optimizer, torch.optim.LBFGS):
        options["line_search_fn"] = "strong_wolfe"  # without it, it diverges
    return options


class Arguments(NamedTuple):
    """The keyword arguments of a class."""

    defaults: dict[str, Any]
    is_open: bool
    """Whether it takes others too."""


def arguments(optimizer: Any) -> Arguments:
    """Return the keyword arguments of a class and their defaults.

    A class that takes ``**kwargs`` is taken to hand them to its base.

    Parameters
    ----------
    optimizer : type
        A subclass of ``torch.optim.Optimizer``.

    Examples
    --------
    >>> import torch
    >>> from skwfm._optimizers import arguments
    >>> class Mine(torch.optim.SGD):
    ...     def __init__(self, params, lr=0.5, **kwargs):
    ...         super().__init__(params, lr=lr, **kwargs)
    >>> arguments(Mine).defaults["lr"], arguments(Mine).defaults["momentum"]
    (0.5, 0)
    """
    found: dict[str, Any] = {}
    is_open = True
    inits = [vars(part).get("__init__") for part in optimizer.__mro__]
    for init in inits[: optimizer.__mro__.index(Optimizer)]:
        if not is_open or init is None:
            continue
        items = list(inspect.signature(init).parameters.values())[1:]  # without self
        for item in items:
            if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY):
                found.setdefault(item.name, item.default)
        is_open = any(item.kind is item.VAR_KEYWORD for item in items)
    return Arguments(found, is_open)


def _check_given(name: str, given: dict[str, Any], known: Arguments) -> None:
    """Raise where `solver_params` holds what the class does not take, or may not."""
    for key in given:
        if key in RESERVED:
            raise ValueError(val.solver_params_error(given, key, RESERVED[key]))
        if key not in known.defaults and not known.is_open:
            free = [item for item in known.defaults if item not in RESERVED]
            problem = f"{name} takes {', '.join(free)}"
            raise ValueError(val.solver_params_error(given, key, problem))
