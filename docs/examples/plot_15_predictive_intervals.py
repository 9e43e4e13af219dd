"""
Predictive intervals: how far off may a rating be?
==================================================

"3.4 stars" is half an answer. The other half is how far off that may be, and there are
two reasons to be off. People give the same film different stars on different days: that
is *noise*, and no model takes it away. And of a film with two ratings the model knows
little: that is *doubt*, and further ratings dispel it.

``solver="mcmc"`` draws a hundred models, all of which fit the ratings. Their mean is
the prediction, their scatter is the doubt, and each has a noise for every user and
film.
"""

# %%
# Draws of a model
# ----------------
# Nothing is tuned: how large the parameters are is drawn as well. With ``return_std``
# the prediction comes with a standard deviation, of doubt and noise together. Ninety in
# a hundred ratings should lie within 1.645 of these.

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skwfm import FieldTransformer, WeightedFMRegressor, WeightedMultiLabelEncoder
from skwfm.datasets import load_movielens

ratings = load_movielens()
train, test = train_test_split(ratings, test_size=0.2, random_state=0)
one_hot = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
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
fig, axes = plt.subplots(1, 2, figsize=(7.5, 4.3), sharey=True, layout="constrained")
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
# score of each. Their standard deviation is the doubt; the rest of the interval is
# noise.

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
# Held-out ratings by how many training ratings their user has, and their film. From the
# left to the right of either picture doubt falls by four tenths, and the interval as a
# whole falls towards the noise, which stays. The points are the errors that were made;
# they are where the interval says.
#
# With users of more than 500 ratings doubt is a little higher again: they have seen the
# films that few others have.
#
# Films without any training rating are not in the picture. The encoder drops what it
# does not know, and a bag that is empty adds no doubt: these intervals are too narrow.

import pandas as pd

edges = {
    "user": [0, 20, 30, 60, 120, 250, 500, 5_000],
    "film": [0, 1, 2, 5, 15, 40, 100, 1_000],
}
ticks = {"user": [20, 50, 100, 200, 500], "film": [1, 3, 10, 30, 100]}
parts = {
    "interval (one standard deviation)": (std, "#D55E00", "-"),
    "noise": (noise, "#666666", "--"),
    "doubt": (doubt, "#0072B2", "-"),
}
fig, axes = plt.subplots(1, 2, figsize=(7.5, 4.1), sharey=True, layout="constrained")
is_new = ~test["film"].isin(train["film"]).to_numpy()
share = np.mean(error[is_new] < 1.645 * std[is_new])
print(f"Inside the 90 % interval, of films without a rating: {share:.0%}")
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
    ax.set_xscale("log")
    ax.set_xticks(ticks[column], ticks[column])
    ax.set(
        title=f"By the ratings of the {column}",
        xlabel=f"Training ratings of the {column}",
        ylim=(0, 1.25),
    )
    ax.minorticks_off()
axes[0].set_ylabel("Stars")
axes[1].legend(fontsize=8, loc="upper right")
plt.show()
