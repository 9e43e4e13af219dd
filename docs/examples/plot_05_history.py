"""
History fields
==============

That somebody rated *Alien* says something of them before we look at the stars. So does
the list of all else that they rated, and the list of who else rated the film. Both
stand in the table of ratings already, spread over its rows.

``HistoryEncoder`` gathers them: for each row the bag of the *other* items of its owner
among the training rows. The own item is left out, so that a row says nothing about
itself, and rows that are held out are in no history. The stars are not looked at.
"""

# %%
# A history
# ---------
# The columns are the owner, then the item. Each of n items has the weight 1/sqrt(n),
# and its own item is missing from every row.

import pandas as pd

from skwfm import HistoryEncoder

seen = pd.DataFrame(
    {"user": ["ann", "ann", "ann", "bob"], "film": ["Alien", "Heat", "M", "M"]}
)
history = HistoryEncoder().fit(seen)
bags = history.transform(seen).toarray()
pd.DataFrame(bags, index=seen["user"], columns=history.get_feature_names_out()).round(2)

# %%
# Four models
# -----------
# The ids alone, with the history of the user, with the audience of the film (the same
# encoder with the columns in the other order), and with both. In a pipeline nothing
# leaks: the encoder sees the training rows only.

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skwfm import FieldTransformer, WeightedFMRegressor
from skwfm.datasets import load_movielens

ratings = load_movielens()
train, test = train_test_split(ratings, test_size=0.2, random_state=0)
one_hot = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
ids = ("ids", one_hot, ["user", "film"])
history = ("history", HistoryEncoder(max_items=25), ["user", "film"])
audience = ("audience", HistoryEncoder(max_items=25), ["film", "user"])
choices = {
    "ids": [ids],
    "ids, history": [ids, history],
    "ids, audience": [ids, audience],
    "ids, both": [ids, history, audience],
}
squared = {}
for name, fields in choices.items():
    model = make_pipeline(FieldTransformer(fields), WeightedFMRegressor(random_state=0))
    model.fit(train, train["rating"])
    squared[name] = (model.predict(test) - test["rating"]) ** 2
    print(f"{name:<14} RMSE {np.sqrt(squared[name].mean()):.4f} stars")

# %%
# Whom it helps
# -------------
# The error of the held-out ratings, by how many training ratings their user has, and by
# how many their film has.
#
# The audience does most. Of a film with a handful of ratings the model learns little
# from the stars, but who watched it hints at its kind. The history adds less, since the
# stars of a user tell more than the titles do. A film without any training rating has
# no audience, and there is least to gain.
#
# Longer histories (``max_items``) help a little more and cost in proportion.

import matplotlib.pyplot as plt

styles = {
    "ids": ("#666666", "s"),
    "ids, history": ("#CC79A7", "v"),
    "ids, audience": ("#0072B2", "o"),
    "ids, both": ("#D55E00", "^"),
}
edges = {
    "user": [0, 30, 60, 120, 250, 500, 5_000],
    "film": [-1, 0, 2, 5, 15, 40, 100, 1_000],
}
ticks = {"user": [20, 50, 100, 200, 500, 1_000], "film": [0, 1, 3, 10, 30, 100]}
fig, axes = plt.subplots(1, 2, figsize=(7.5, 3.8), sharey=True, layout="constrained")
for ax, column in zip(axes, ["user", "film"], strict=True):
    counts = test[column].map(train[column].value_counts()).fillna(0)
    groups = pd.cut(counts, edges[column])
    middle = counts.groupby(groups, observed=True).median()
    for name, (colour, marker) in styles.items():
        rmse = np.sqrt(squared[name].groupby(groups, observed=True).mean())
        ax.plot(middle, rmse, color=colour, marker=marker, ms=5, label=name)
    ax.set_xscale("symlog")
    ax.set_xticks(ticks[column], ticks[column])
    ax.set(
        title=f"By the ratings of the {column}",
        xlabel=f"Training ratings of the {column}",
    )
axes[0].set_xlim(left=15)
axes[0].set_ylabel("RMSE on held-out ratings (stars)")
axes[0].legend()
plt.show()
