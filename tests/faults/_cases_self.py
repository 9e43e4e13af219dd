"""Cases that go wrong, to see that the harness tells them as what they are."""

import os
import signal
import threading
import warnings

import numpy as np
from _probe import Case, be_finite, equal, refuse, survive


def _nothing():
    return None


def _die(_):
    os.kill(os.getpid(), signal.SIGSEGV)


def _wait(_):
    threading.Event().wait()


def _fail(_):
    raise ValueError("column 'a', row 3: got 7")


def _end(_):
    os._exit(3)


def _modify(given):
    given[0] = 5.0


def _warn(_):
    warnings.warn("the loss grows", RuntimeWarning, stacklevel=1)
    return np.array([np.nan])


TABLE = [
    ("segmentation fault", _nothing, _die, be_finite()),
    ("end of the process", _nothing, _end, be_finite()),
    ("endless wait", _nothing, _wait, be_finite()),
    ("silent NaN", _nothing, lambda _: [1.0, {"a": np.array([np.nan])}], be_finite()),
    ("silent infinity", _nothing, lambda _: np.inf, survive("overflow")),
    ("NaN with a warning", _nothing, _warn, be_finite(RuntimeWarning)),
    ("right error", _nothing, _fail, refuse("column 'a', row 3: got 7")),
    ("wrong message", _nothing, _fail, refuse("column 'b'")),
    ("wrong type", _nothing, _fail, refuse("column 'a'", TypeError)),
    ("no error", _nothing, lambda _: 1.0, refuse("column 'a'")),
    ("unexpected error", _nothing, _fail, be_finite()),
    ("unexpected warning", _nothing, lambda _: _warn(_) * 0, be_finite()),
    ("missing warning", _nothing, lambda _: 1.0, be_finite(RuntimeWarning)),
    ("bad case", lambda: 1 / 0, _fail, refuse("column 'a'")),
    ("modified input", lambda: np.zeros(2), _modify, equal(None)),
    ("right result", _nothing, lambda _: np.ones(2), equal(np.ones(2))),
    ("wrong result", _nothing, lambda _: np.ones(2), equal(np.array([1.0, 1.1]))),
    ("printed text", _nothing, lambda _: print("[1, 2]") or 1.0, be_finite()),  # noqa: T201
]
CASES = {name: Case(0, name, *rest) for name, *rest in TABLE}
