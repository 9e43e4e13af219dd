"""Checks of what says how to train: the solver and what it can do.

An error names the parameter, shows the value, and says what was expected and the way
out, as those of `_validation`.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError

from skwfm._validation import shorten, warn_user

__all__ = [
    "burn_in_error",
    "check_solver_name",
    "check_stream_options",
    "check_swept",
    "core_params_error",
    "device_error",
    "dropout_error",
    "no_optimizer_error",
    "optimizer_error",
    "own_solver",
    "schedule_error",
    "solver_params_error",
    "unfit_optimizer_error",
    "warn_sweep_failed",
]


def check_solver_name(solver: object, known: list[str], owner: str = "model") -> None:
    """Raise for a name that no solver has, and show those like it.

    The message begins as scikit-learn's own, which would list all names only.
    """
    if not isinstance(solver, str) or solver in known:
        return
    by_lower: dict[str, list[str]] = {}
    for name in known:
        by_lower.setdefault(name.lower(), []).append(name)
    close = get_close_matches(solver.lower(), by_lower, n=2)
    likely = [repr(name) for key in close for name in by_lower[key]]
    hint = (
        f"Did you mean {' or '.join(likely)}?"
        if likely
        else "Names: " + ", ".join(map(repr, known))
    )
    raise InvalidParameterError(
        f"The 'solver' parameter of {owner} must be a name of a solver, or of an"
        f" optimizer of torch.optim, or its class. Got {solver!r} instead. {hint}"
    )


def no_optimizer_error(solver: object) -> str:
    """Word the error for a solver that is neither a name nor an optimizer's class."""
    return (
        f"solver={shorten(solver)}: expected a name, or a subclass of"
        " torch.optim.Optimizer (the class, not an optimizer made by it)."
    )


def unfit_optimizer_error(solver: str, why: str) -> str:
    """Word the error for an optimizer that cannot train these models."""
    return f"solver={solver!r} cannot train factorization machines: {why}."


def solver_params_error(given: dict[str, Any], key: str, problem: str) -> str:
    """Word the error for an argument that is not for the optimizer."""
    return f"solver_params={shorten(given)}: {key!r} cannot stand there, {problem}."


def core_params_error(given: dict[str, Any], solver: str) -> str:
    """Word the error for arguments given to a solver of the compiled core."""
    return (
        f"solver_params={shorten(given)} is for an optimizer of torch, not for"
        f" solver={solver!r}. Name its class, such as solver='Adagrad' or 'SGD'."
    )


def optimizer_error(
    solver: str, options: dict[str, Any], learning_rate: object, error: Exception
) -> str:
    """Word what an optimizer of torch says of its arguments."""
    return (
        f"solver={solver!r} with lr={learning_rate!r} and {shorten(options)}: {error}."
        " Change learning_rate or solver_params."
    )


def dropout_error(dropout: float, solver: str) -> str:
    """Word the error for dropout in a solver that cannot have it."""
    return (
        f"dropout={dropout!r} needs a solver of random mini-batches, not {solver!r}."
        " Choose 'adam', 'adagrad', 'sgd' or an optimizer of torch, or dropout=0."
    )


def own_solver(solver: Any, loss: str) -> Any:
    """Return the solver of a loss that only one has; others raise."""
    if loss != "ordinal" or solver == "mcmc":
        return solver
    if solver == "auto":
        return "mcmc"
    raise ValueError(
        f"loss='ordinal' is for solver='mcmc', which draws its cut points, not for "
        f"solver={shorten(solver)}. Set solver to 'mcmc' or 'auto'."
    )


def schedule_error(schedule: str, solver: str) -> str:
    """Word the error for a schedule in a solver that searches for its step."""
    return (
        f"learning_rate_schedule={schedule!r} is not for solver={solver!r}, which"
        " takes all rows at once and keeps its rate. Leave it at 'auto'."
    )


def check_swept(solver: str, interactions: str, loss: str, n_classes: int) -> None:
    """Raise where a solver cannot sweep over the labels of a model."""
    what = ""
    if interactions == "ffm":
        what = "a field-aware model"
        way_out = "Take WeightedFMRegressor or WeightedFMClassifier."
    elif n_classes > 2:
        raise ValueError(
            f"Only binary classification is supported. y has {n_classes} classes, which"
            f" solver={solver!r} cannot draw: wrap the classifier in"
            " sklearn.multiclass.OneVsRestClassifier."
        )
    elif solver == "als" and n_classes:
        what, way_out = "classes", "Choose 'mcmc', or another solver."
    elif loss not in ("squared", "logistic", "ordinal"):
        what = f"loss={loss!r}"
        way_out = "Choose loss='squared_error' or solver='auto'."
    if what:
        raise ValueError(
            f"solver={solver!r} is not for {what}: it takes normal noise, and a score "
            f"that is linear in the vector of each label. {way_out}"
        )


def device_error(device: str, solver: str) -> str:
    """Word the error for a device that a solver does not run on."""
    return (
        f"device={device!r}: solver={solver!r} sweeps on the CPU alone. Set device to"
        " 'auto' or 'cpu'."
    )


def burn_in_error(n_burn_in: int, max_iter: int) -> str:
    """Word the error for a burn-in that leaves no draw to keep."""
    return (
        f"n_burn_in={n_burn_in} leaves none of max_iter={max_iter} sweeps to keep."
        " Set it below max_iter, or to 'auto'."
    )


def warn_sweep_failed(sweep: int) -> None:
    """Warn that a sweep met numbers that are not finite."""
    warn_user(
        f"Sweep {sweep} met numbers that are not finite: training stops, and the model"
        " is that of the sweeps before. Scale the features, or look for outliers in"
        " the target.",
        ConvergenceWarning,
    )


def check_stream_options(dropout: float, solver_params: object) -> None:
    """Raise for what only mini-batches of torch can do."""
    given = {"dropout": dropout, "solver_params": solver_params}
    for name, value in given.items():
        if value:
            raise ValueError(
                f"{name}={shorten(value)} is for mini-batches of torch, but "
                "partial_fit takes a step per row. Leave it at its default."
            )
