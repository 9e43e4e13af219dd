"""scikit-learn's own checks, with no expected failure."""

import pytest
import sklearn
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from skwfm import (
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)

CHECKS_SPARSE = parse_version(sklearn.__version__) < parse_version("1.7")
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
    if CHECKS_SPARSE and not estimator.__sklearn_tags__().input_tags.sparse:
        part = getattr(check, "func", check).__name__
        if part == "check_sample_weight_equivalence_on_sparse_data":
            pytest.skip("scikit-learn 1.6 forgets to ask for the tag")
    check(estimator)
