"""Names of devices."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_array_equal

from skwfm import WeightedFMRegressor
from skwfm._device import resolve_device
from skwfm._kernels import compiled


def test_cpu_and_auto():
    assert resolve_device("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected


def test_auto_leaves_the_gpu_to_what_the_core_does_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("auto", core=True).type == "cpu"
    assert resolve_device("cuda", core=True).type == "cuda"


@pytest.mark.skipif(not compiled.available(), reason="no compiled core")
def test_defaults_are_the_same_on_a_machine_with_a_gpu(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = sp.random(1500, 9, 0.5, "csr", random_state=0), rng.normal(size=1500)
    fm = WeightedFMRegressor(2, fields=[4, 5], random_state=0)
    expected = fm.fit(X, y).predict(X)
    # A tensor on the GPU that is not there would raise.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    fm.fit(X, y)
    assert_array_equal(fm.predict(X), expected)


def test_mps_leaves_float64_to_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("mps").type == "mps"
    assert resolve_device("mps", float64=True).type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", "cuda:-2"])
def test_names_that_mean_nothing(name):
    with pytest.raises(ValueError, match=f"device='{name}': expected 'auto'"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda:99", "xpu", "meta"])
def test_device_that_is_not_there(name):
    with pytest.raises(ValueError, match=f"device='{name}' is not available"):
        resolve_device(name)
    assert resolve_device(name, fallback=True) == torch.device("cpu")
