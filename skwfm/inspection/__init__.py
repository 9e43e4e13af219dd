"""What a fitted model has learned: exact explanations and pictures.

A factorization machine is a polynomial, so its score is a sum of terms with names: an
intercept, a term per label and one per pair of fields. Nothing here needs sampling.
"""

from skwfm.inspection._contribution_display import ContributionDisplay
from skwfm.inspection._embedding_display import EmbeddingDisplay
from skwfm.inspection._explain import Explanation, explain
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
