"""What a fitted model has learned: exact explanations and pictures.

A factorization machine is a polynomial, so its score is a sum of terms with names: an
intercept, a term per label and one per pair of fields. Nothing here needs sampling.

Examples
--------
>>> import pandas as pd
>>> from skwfm import WeightedFMRegressor, inspection
>>> films = pd.DataFrame(
...     {"user": ["ann", "bob"] * 20, "genre": ["War", "War", "Art", "Art"] * 10}
... )
>>> fm = WeightedFMRegressor(l2_linear=0.1, l2_factors=2, random_state=0)
>>> fm = fm.fit(films, [1.0, 2.0, 5.0, 2.0] * 10)
>>> inspection.field_interactions(fm).round(2)
array([[0.  , 0.85],
       [0.85, 0.  ]])
"""

from skwfm.inspection._contribution_display import ContributionDisplay
from skwfm.inspection._embedding_display import EmbeddingDisplay
from skwfm.inspection._explain import explain
from skwfm.inspection._explanation import Explanation
from skwfm.inspection._interaction_display import FieldInteractionDisplay
from skwfm.inspection._interactions import field_interactions
from skwfm.inspection._labels import (
    LabelPair,
    SimilarLabel,
    similar,
    top_interactions,
)
from skwfm.inspection._training_display import TrainingHistoryDisplay

__all__ = [
    "ContributionDisplay",
    "EmbeddingDisplay",
    "Explanation",
    "FieldInteractionDisplay",
    "LabelPair",
    "SimilarLabel",
    "TrainingHistoryDisplay",
    "explain",
    "field_interactions",
    "similar",
    "top_interactions",
]
