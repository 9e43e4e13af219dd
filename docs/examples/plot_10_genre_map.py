"""
The map of genres
=================

The model was never told what a genre is. It knows that some people give more stars to
some films, and which labels stand in their rows. From this it has learned a vector for
every genre, and genres that please the same people have vectors that point the same
way.

Two principal axes of these vectors make a map, and ``similar`` measures the distances
in full.
"""

# %%
# The model
# ---------

from sklearn.pipeline import make_pipeline

from skwfm import WeightedFMRegressor, WeightedMultiLabelEncoder
from skwfm.datasets import load_movielens

ratings = load_movielens().astype({"user": str, "film": str})
columns = ["user", "film", "genres"]
encoder = WeightedMultiLabelEncoder(normalize="sqrt")
model = make_pipeline(encoder, WeightedFMRegressor(random_state=0))
model.fit(ratings[columns], ratings["rating"])

# %%
# Neighbours
# ----------
# The similarity of two labels is the cosine of their vectors: 1 where they act alike,
# -1 where what speaks for the one speaks against the other.

import pandas as pd

from skwfm.inspection import similar

pd.DataFrame(
    {
        genre: [
            f"{label} {cosine:+.2f}"
            for label, cosine in similar(model, "genres", genre, 4)
        ]
        for genre in ["Horror", "Children", "War", "Romance"]
    }
)

# %%
# The map
# -------
# The origin is the mean of all genres. Far from it are those on which people differ;
# near it those that divide nobody, or that have too few ratings to tell. The share of
# the variance on the axes says how much of the vectors can be seen in two dimensions.
# Other runs turn and mirror the map, and move the rare genres; the neighbourhoods stay.

import matplotlib.pyplot as plt

from skwfm.inspection import EmbeddingDisplay

fig, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
EmbeddingDisplay.from_estimator(model, "genres", ax=ax)
plt.show()
