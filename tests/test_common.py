"""scikit-learn's own checks, with no expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skwfm import (
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)

ESTIMATORS = [
    WeightedFMRegressor(),
    WeightedFMClassifier(),
    WeightedFFMRegressor(),
    WeightedFFMClassifier(),
]


# The checks fit plain sparse matrices, which say nothing about their fields.
@pytest.mark.filterwarnings("ignore::skwfm.FieldMapWarning")
@parametrize_with_checks(ESTIMATORS)
def test_estimator_checks(estimator, check):
    check(estimator)
