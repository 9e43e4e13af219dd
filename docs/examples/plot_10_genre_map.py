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
# How long a vector is says how much the genre matters to the pairs it is part of. Short
# ones belong to genres that divide nobody, or that have too few ratings to tell. These
# are the four shortest and the four longest.

import numpy as np

encoder, fm = model
is_genre = fm.fields_ == fm.field_names_.index("genres")
lengths = np.linalg.norm(fm.factors_[is_genre], axis=1)
genres = encoder.categories_[columns.index("genres")]
table = pd.DataFrame({"length": lengths}, genres).sort_values("length").round(2)
pd.concat([table.head(4), table.tail(4)])

# %%
# The map
# -------
# Genres side by side please the same people, if the two axes show it: their shares of
# the variance say how much of the vectors can be seen from here. A genre in the middle
# may have a short vector, or one that points out of the page; the lengths above tell
# which. Other runs turn and mirror the map and move the rare genres. The close
# neighbours stay.

import matplotlib.pyplot as plt

from skwfm.inspection import EmbeddingDisplay

fig, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
EmbeddingDisplay.from_estimator(model, "genres", ax=ax)
plt.show()
