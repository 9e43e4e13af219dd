"""
Predictive intervals: how far off may a rating be?
==================================================

"3.4 stars" is half an answer. The other half is how far off that may be, and there are
two reasons to be off. People give the same film different stars on different days: that
is *noise*, and no model takes it away. And of a film with two ratings the model knows
little: that is *doubt*, and further ratings dispel it.

``solver="mcmc"`` draws a hundred models, all of which fit the ratings. Their mean is the
prediction, their scatter is the doubt, and each has a noise for every user and film.
"""

# %%
# Draws of a model
# ----------------
# Nothing is tuned: the penalties are drawn as well. The encoder is told which films
# there are, as a shop knows its catalogue. So a film that nobody has rated has a
# column too, and is drawn from what the others are like. If it had none, it would be an
# empty bag that adds no doubt.

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skwfm import FieldTransformer, WeightedFMRegressor, WeightedMultiLabelEncoder
from skwfm.datasets import load_movielens

ratings = load_movielens()
train, test = train_test_split(ratings, test_size=0.2, random_state=0)
catalogue = [np.unique(ratings[column]) for column in ("user", "film")]
one_hot = OneHotEncoder(categories=catalogue, dtype=np.float32)
encoder = FieldTransformer(
    [
        ("ids", one_hot, ["user", "film"]),
        ("genres", WeightedMultiLabelEncoder(normalize="sqrt"), ["genres"]),
    ]
)
model = make_pipeline(encoder, WeightedFMRegressor(solver="mcmc", random_state=0))
model.fit(train, train["rating"])
mean, std = model.predict(test, return_std=True)
error = abs(test["rating"] - mean).to_numpy()
rmse = np.sqrt(np.mean(error**2))
print(f"RMSE on held-out ratings {rmse:.3f} stars")
print(f"Standard deviations from {std.min():.2f} to {std.max():.2f} stars")
print(f"Inside the 90 % interval: {np.mean(error < 1.645 * std):.1%} of the ratings")

# %%
# Can they be believed?
# ---------------------
# An interval of 90 % should hold 90 % of the ratings, one of 50 % half of them. That is
# easy to have over all ratings: one width for everybody will do, as long as it is the
# RMSE. So we look at the ratings in fifths, from those that the model is surest of to
# those that it doubts most, and at both kinds of width.
#
# With one width the intervals of the surest fifth are far too wide, and those of the
# most doubtful fifth too narrow. With a width for each rating all of them hold what
# they say.

import matplotlib.pyplot as plt
from scipy.stats import norm

said = np.linspace(0.02, 0.98, 49)
reach = norm.ppf((1 + said) / 2)
fifths = np.array_split(np.argsort(std), 5)
styles = {
    "surest fifth": (fifths[0], "#0072B2", "-"),
    "middle fifth": (fifths[2], "#666666", "--"),
    "most doubtful fifth": (fifths[4], "#D55E00", "-"),
}
fig, axes = plt.subplots(1, 2, figsize=(7.5, 3.9), sharey=True, layout="constrained")
widths = {"One width for all": np.full_like(std, rmse), "A width for each": std}
for ax, (title, width) in zip(axes, widths.items(), strict=True):
    ax.axline((0, 0), slope=1, color="black", linewidth=0.8)
    for name, (rows, colour, line) in styles.items():
        seen = [np.mean(error[rows] < z * width[rows]) for z in reach]
        ax.plot(said, seen, line, color=colour, linewidth=2, label=name)
    ax.set(title=title, xlabel="What the interval should hold", aspect="equal")
axes[0].set_ylabel("Share of held-out ratings inside")
axes[1].legend(fontsize=8)
plt.show()

# %%
# Doubt and noise apart
# ---------------------
# ``samples_`` has the parameters of every draw, and the formula of the FM gives the
# score of each. Their standard deviation is the doubt; the rest of the interval is noise.

samples, X = model[-1].samples_, encoder.transform(test)
blocks = [(X.fields == field, X[:, X.fields == field]) for field in range(3)]


def score(factors, linear, intercept):
    """Return the scores of the rows by one draw."""
    bags = np.array([block @ factors[columns] for columns, block in blocks])
    pairs = (bags.sum(axis=0) ** 2 - (bags**2).sum(axis=0)).sum(axis=1) / 2
    return intercept + X @ linear + pairs


draws = zip(samples.factors, samples.linear, samples.intercept, strict=True)
doubt = np.std([score(*draw) for draw in draws], axis=0)
noise = np.sqrt(std**2 - doubt**2)

# %%
# What more ratings are worth
# ---------------------------
# Held-out ratings by how many training ratings their user has, and their film. Doubt
# falls by half from the left to the right of either picture, and the interval as a
# whole falls with it, to the noise and no further. The points are the errors that were
# made; they are where the interval says.
#
# Users with more than 500 ratings are a little more doubtful again, for they have seen
# the films that few others have.

import pandas as pd

edges = {
    "user": [0, 20, 30, 60, 120, 250, 500, 5_000],
    "film": [-1, 0, 1, 2, 5, 15, 40, 100, 1_000],
}
ticks = {"user": [20, 50, 100, 200, 500], "film": [0, 1, 3, 10, 30, 100]}
parts = {
    "interval (one standard deviation)": (std, "#D55E00", "-"),
    "noise": (noise, "#666666", "--"),
    "doubt": (doubt, "#0072B2", "-"),
}
fig, axes = plt.subplots(1, 2, figsize=(7.5, 4.1), sharey=True, layout="constrained")
for ax, column in zip(axes, ["user", "film"], strict=True):
    counts = test[column].map(train[column].value_counts()).fillna(0).to_numpy()
    groups = pd.Series(counts).groupby(pd.cut(counts, edges[column]), observed=True)
    rows = list(groups.indices.values())
    middle = [np.median(counts[group]) for group in rows]
    for name, (values, colour, line) in parts.items():
        typical = [np.sqrt(np.mean(values[group] ** 2)) for group in rows]
        ax.plot(middle, typical, line, color=colour, linewidth=2, label=name)
    seen = [np.sqrt(np.mean(error[group] ** 2)) for group in rows]
    ax.plot(middle, seen, "ko", markersize=4, label="RMSE that was seen")
    ax.set_xscale("symlog")
    ax.set_xticks(ticks[column], ticks[column])
    ax.set(
        title=f"By the ratings of the {column}",
        xlabel=f"Training ratings of the {column}",
        ylim=(0, 1.3),
    )
axes[0].set_xlim(left=15)
axes[0].set_ylabel("Stars")
axes[1].legend(fontsize=8, loc="upper right")
plt.show()
