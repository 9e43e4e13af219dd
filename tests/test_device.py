"""Names of devices."""

import pytest
import torch

from skwfm._device import resolve_device


def test_cpu_and_auto():
    assert resolve_device("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected


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
