"""Runs that are cut short, files that are damaged, other processes (13 to 18, 20).

A few cases of each; `test_model_file.py` and `test_persistence.py` hold all of what can
happen to a file.
"""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import scipy.sparse as sp
import torch
from _inputs import (
    DRAWN,
    MODELS,
    csr,
    fitted,
    make_model,
    outputs,
    parameters,
    target_of,
)
from _probe import Case, equal, refuse
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from skorch.callbacks import Callback

import skwfm
from skwfm import ModelFileError, WeightedMultiLabelEncoder, to_padded


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder that is removed at the end."""
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _fork() -> int:
    """Fork; the libraries' threads, of which Python 3.12 warns, are not used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


# --- long rows (13) and Ctrl-C (14) -------------------------------------------------


def _one_long_row() -> Any:
    rows = [np.array([3, 7])] * 50 + [np.arange(10_000)] + [np.array([9])] * 49
    indptr = np.cumsum([0, *map(len, rows)])
    return sp.csr_matrix((np.ones(indptr[-1]), np.concatenate(rows), indptr))


def _among_others(name: str, X: Any) -> Any:
    """Return predictions of a model of long rows, for all at once and one by one."""
    y = np.arange(100) % 2
    model = make_model(name, fields=[5000, 5000], max_iter=1).fit(X, y)
    alone = np.concatenate([model.predict(X[[row]]) for row in (0, 50, 99)])
    return (model.predict(X)[[0, 50, 99]] == alone).all()


class Interrupted(torch.optim.SGD):
    """An optimizer in whose steps Ctrl-C is pressed."""

    at = 3

    def step(self, *args: Any, **kwargs: Any) -> Any:
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps == self.at:
            raise KeyboardInterrupt
        return super().step(*args, **kwargs)


class InterruptedAtOnce(Interrupted):
    """The same before the end of the first epoch."""

    at = 1


class Failing(Callback):
    """A callback that fails after the second epoch."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) == 2:
            raise RuntimeError("no room for the log")


def _interrupted(name: str, X: Any) -> Any:
    model = make_model(name, solver=Interrupted, batch_size=24, max_iter=9)
    model.fit(X, target_of(name))
    return model.n_iter_, outputs(model, X)["predict"].shape[0]


def _interrupted_at_once(name: str, X: Any) -> str:
    model = make_model(name, solver=InterruptedAtOnce, batch_size=24)
    try:
        model.fit(X, target_of(name))
    except KeyboardInterrupt:
        return "not fitted" if not hasattr(model, "factors_") else "fitted"
    return "not interrupted"


def _failed_callback(name: str, X: Any, *, warm_start: bool) -> Any:
    y = target_of(name)
    model = make_model(name, warm_start=warm_start).fit(X, y)
    before = parameters(model)
    model.set_params(callbacks=[Failing()])
    try:
        model.fit(X, y)
    except RuntimeError as error:
        assert str(error) == "no room for the log"
    if not warm_start:
        return model.predict(X)
    same = [np.array_equal(before[k], v) for k, v in parameters(model).items()]
    return all(same)


def _of_runs() -> Iterator[Case]:
    for name in MODELS:
        yield Case(
            13,
            f"one row of 10,000 labels, {name}",
            _one_long_row,
            partial(_among_others, name),
            equal(True),
        )
        yield Case(
            14,
            f"Ctrl-C in the third epoch, {name}.fit",
            csr,
            partial(_interrupted, name),
            equal((2, 24), warning=ConvergenceWarning),
        )
        yield Case(
            14,
            f"Ctrl-C in the first epoch, {name}.fit",
            csr,
            partial(_interrupted_at_once, name),
            equal("not fitted"),
        )
        yield Case(
            14,
            f"a callback that fails, {name}.fit",
            csr,
            partial(_failed_callback, name, warm_start=False),
            refuse("not fitted", NotFittedError),
        )
        yield Case(
            14,
            f"a callback that fails, {name}.fit warm",
            csr,
            partial(_failed_callback, name, warm_start=True),
            equal(True),
        )
    yield Case(
        13,
        "one row of 10,000 labels, to_padded",
        lambda: _one_long_row()[:50],
        lambda X: to_padded(X, [5000, 5000])[0].shape,
        equal((50, 2)),
    )


# --- files --------------------------------------------------------------------------

SAVED: dict[str, Callable[[], Any]] = {
    **{name: partial(fitted, name) for name in (*MODELS, *DRAWN)},
    "WeightedMultiLabelEncoder": lambda: WeightedMultiLabelEncoder().fit([["a", "b"]]),
}


def _content(name: str) -> bytes:
    with folder() as path:
        skwfm.save(SAVED[name](), path / "model.skwfm")
        return (path / "model.skwfm").read_bytes()


def _load(content: bytes) -> Any:
    with folder() as path:
        (path / "model.skwfm").write_bytes(content)
        return skwfm.load(path / "model.skwfm")


def _count_rejected(contents: Any) -> Any:
    """Return how many files were refused, and how many there are."""
    rejected = 0
    for content in contents:
        try:
            _load(content)
        except ModelFileError:
            rejected += 1
    return rejected


def _flipped(name: str) -> list[bytes]:
    content = _content(name)
    out = []
    for place in np.random.default_rng(0).integers(0, 8 * len(content), 60).tolist():
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        out.append(bytes(damaged))
    return out


def _truncated(name: str) -> list[bytes]:
    content = _content(name)
    sizes = np.linspace(0, len(content) - 1, 40).astype(int)
    return [content[:size] for size in sizes.tolist()]


def _of_version(name: str, number: int) -> bytes:
    content = _content(name)
    return content[:8] + struct.pack("<I", number) + content[12:]


def _of_files() -> Iterator[Case]:
    for name in SAVED:
        for what, make in (("truncated", _truncated), ("flipped bits", _flipped)):
            n_files = 40 if what == "truncated" else 60
            yield Case(
                16,
                f"{what}, {name}",
                partial(make, name),
                _count_rejected,
                equal(n_files),
            )
        for number in (0, 2, 2**32 - 1):
            yield Case(
                16,
                f"version {number}, {name}",
                partial(_of_version, name, number),
                _load,
                refuse("version|digest|damaged", ModelFileError),
            )
        yield Case(
            16,
            f"a pickle, {name}",
            lambda n=name: pickle.dumps(SAVED[n]()),
            _load,
            refuse("model.skwfm", ModelFileError),
        )
        yield Case(
            16,
            f"twice the file, {name}",
            lambda n=name: _content(n) * 2,
            _load,
            refuse("model.skwfm", ModelFileError),
        )
        for what, patch, error in FAILURES:
            yield Case(
                20,
                f"{what}, {name}.save",
                dict,
                partial(_failed_save, name, patch, error),
                equal(True),
            )
        yield Case(
            15,
            f"killed while saving, {name}",
            dict,
            partial(_killed_save, name),
            equal(True),
        )


FAILURES: list[tuple[str, str, OSError]] = [
    ("a full disk at the end", "os.fsync", OSError(28, "No space left on device")),
    ("a full disk on the way", "skwfm._model_file._raw", OSError(28, "No space left")),
    ("a read-only folder", "builtins.open", OSError(30, "Read-only file system")),
    ("a target that is in use", "os.replace", PermissionError(13, "Denied")),
]


def _failed_save(name: str, patched: str, error: OSError, _: Any) -> bool:
    """Tell whether a save that fails says so, and leaves the old file and no other."""
    with folder() as path:
        target = path / "model.skwfm"
        skwfm.save(SAVED[name](), target)
        old = target.read_bytes()
        with mock.patch(patched, side_effect=error):
            try:
                skwfm.save(SAVED[name](), target)
            except OSError as raised:
                told = raised is error
            else:
                told = False
        return told and target.read_bytes() == old and os.listdir(path) == [target.name]


def _killed_save(name: str, _: Any) -> bool:
    """Tell whether a writer that dies leaves the old file, which the next replaces."""
    with folder() as path:
        target = path / "model.skwfm"
        skwfm.save(SAVED[name](), target)
        old = target.read_bytes()
        child = _fork()
        if child == 0:
            with mock.patch("os.replace", side_effect=lambda *_: os._exit(9)):
                skwfm.save(SAVED[name](), target)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        whole = target.read_bytes() == old and len(os.listdir(path)) == 2
        skwfm.save(SAVED[name](), target)
        return code == 9 and whole and os.listdir(path) == [target.name]


# --- processes and threads (17), another device (18) --------------------------------


def _in_child(name: str, X: Any) -> Any:
    """Return what a forked child predicts."""
    model = fitted(name)
    model.predict(X)
    reader, writer = os.pipe()
    child = _fork()
    if child == 0:
        with os.fdopen(writer, "wb") as stream:
            pickle.dump(model.predict(X), stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        found = pickle.load(stream)
    os.waitpid(child, 0)
    return found


def _in_threads(name: str, X: Any) -> Any:
    """Return whether 8 threads predict the same, to the bit."""
    model = fitted(name)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: model.predict(X), range(32)))
    return all(np.array_equal(part, found[0]) for part in found)


def _elsewhere(name: str, X: Any) -> Any:
    """Return what a model says that comes from a device that is not here."""
    model = pickle.loads(pickle.dumps(fitted(name))).set_params(device="cuda:63")
    return outputs(pickle.loads(pickle.dumps(model)), X)


def _of_places() -> Iterator[Case]:
    for name in (*MODELS, *DRAWN):
        same = equal(lambda n=name: outputs(fitted(n), csr()), 1e-5)
        yield Case(
            17,
            f"fork after fit, {name}.predict",
            csr,
            partial(_in_child, name),
            equal(lambda n=name: fitted(n).predict(csr()), 0.0),
        )
        yield Case(
            17,
            f"8 threads, {name}.predict",
            csr,
            partial(_in_threads, name),
            equal(True),
        )
        yield Case(
            18,
            f"pickled on another device, {name}.predict",
            csr,
            partial(_elsewhere, name),
            same,
        )
        yield Case(
            18,
            f"saved on another device, {name}.predict",
            csr,
            partial(_saved_elsewhere, name),
            same,
        )


def _saved_elsewhere(name: str, X: Any) -> Any:
    model = pickle.loads(pickle.dumps(fitted(name))).set_params(device="cuda:63")
    with folder() as path:
        model.save(path / "model.skwfm")
        return outputs(skwfm.load(path / "model.skwfm"), X)


def cases() -> Iterator[Case]:
    """Return the cases of rows 13 to 18 and 20."""
    yield from _of_runs()
    yield from _of_files()
    yield from _of_places()
