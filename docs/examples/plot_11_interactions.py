"""
Which fields act together
=========================

A factorization machine looks at every pair of fields. Most tables have a few pairs that
matter and many that do not. The term of a pair is a number in every row; its root mean
square over the rows says how much the pair moves the score.

This is what the model does. Whether it does any good is another question, and the way
to answer it is to leave a field out.
"""

# %%
# Six fields
# ----------
# Ratings with user, film, genres and year, the history of the user (what else they
# rated) and the audience of the film (who else rated it).

from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skwfm import (
    FieldTransformer,
    HistoryEncoder,
    SplineEncoder,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)
from skwfm.datasets import load_movielens

ratings = load_movielens().sample(60_000, random_state=0)
ratings = ratings.astype({"user": str, "film": str})
ratings = ratings.assign(history=ratings["film"], audience=ratings["user"])
train, test = train_test_split(ratings, test_size=0.2, random_state=0)
encoders = {
    "user": (WeightedMultiLabelEncoder(), ["user"]),
    "film": (WeightedMultiLabelEncoder(), ["film"]),
    "genres": (WeightedMultiLabelEncoder(normalize="sqrt"), ["genres"]),
    "year": (SplineEncoder(), ["year"]),
    "history": (HistoryEncoder(max_items=12), ["user", "history"]),
    "audience": (HistoryEncoder(max_items=12), ["film", "audience"]),
}


def fit_without(*left_out):
    parts = [(name, *e) for name, e in encoders.items() if name not in left_out]
    fields = FieldTransformer(parts, verbose_feature_names_out=False)
    model = make_pipeline(fields, WeightedFMRegressor(random_state=0))
    return model.fit(train, train["rating"])


model = fit_without()

# %%
# Pairs of labels
# ---------------
# The strongest pairs, by name. ``by="rms"`` counts how often they come together too;
# otherwise labels of very few rows may stand on top.

import pandas as pd

from skwfm.inspection import top_interactions

pairs = top_interactions(model, 6, fields=("user", "genres"), by="rms")
pd.DataFrame(pairs).round(2)

# %%
# Pairs of fields
# ---------------
# Given rows, the strengths are those over these rows. Without any they come from sums
# over the training rows that the model keeps, as if fields were independent of one
# another. A user and their history are anything but that:

from skwfm.inspection import field_interactions

names = model[-1].field_names_
for given, strengths in {
    "kept sums": field_interactions(model),
    "test rows": field_interactions(model, test),
}.items():
    strength = strengths[names.index("user"), names.index("history")]
    print(f"user x history by the {given}: {strength:.2f} stars")

# %%
# Strength and use
# ----------------
# On the left the strengths over the test rows, on the right what is lost when a field
# is left out and the model fitted again. The two differ. The history of a user goes
# with the user, so that their pair is much the same number in all rows of a person: it
# is the strongest of all, and most of it the user's own label can say as well. A map of
# strengths tells what a model does; to find out what it needs, leave it out.

import matplotlib.pyplot as plt

from skwfm.inspection import FieldInteractionDisplay


def rmse(model):
    return root_mean_squared_error(test["rating"], model.predict(test))


lost = [rmse(fit_without(name)) - rmse(model) for name in names]
fig, (left, right) = plt.subplots(
    1, 2, figsize=(8, 4), width_ratios=[1.5, 1], layout="constrained"
)
FieldInteractionDisplay.from_estimator(model, test, ax=left)
right.barh(names, [1000 * loss for loss in lost], color="#0072B2")
right.invert_yaxis()
right.set(title="A field left out", xlabel="Increase of RMSE (0.001 stars)")
plt.show()
