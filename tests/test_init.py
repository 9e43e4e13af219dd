"""The package itself: names that are imported at their first use."""

import subprocess
import sys

import pytest

import skwfm

LAZY = """
import sys
import skwfm
assert {"torch", "sklearn", "scipy", "skorch"}.isdisjoint(sys.modules)
assert "WeightedFMRegressor" in dir(skwfm)
from skwfm.nn import WeightedFM
WeightedFM(3, 2)
assert {"sklearn", "skorch"}.isdisjoint(sys.modules)
assert skwfm.WeightedFMRegressor is sys.modules["skwfm._estimators"].WeightedFMRegressor
assert "sklearn" in sys.modules
"""


@pytest.mark.parametrize("name", skwfm.__all__)
def test_every_public_name_is_there(name):
    value = getattr(skwfm, name)
    assert vars(skwfm)[name] is value
    assert getattr(value, "__module__", "skwfm").startswith("skwfm")


def test_every_name_is_listed_once():
    assert len(set(skwfm.__all__)) == len(skwfm.__all__)
    homes = [*skwfm._HOME_OF, *skwfm._MODULES, "__version__"]
    assert sorted(homes) == sorted(skwfm.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'WeightedGBM'"):
        skwfm.WeightedGBM  # noqa: B018
    with pytest.raises(ImportError, match="WeightedGBM"):
        from skwfm import WeightedGBM  # noqa: F401


def test_nothing_is_imported_before_it_is_used():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
