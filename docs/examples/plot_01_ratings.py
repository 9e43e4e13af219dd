"""
Ratings with genres
===================

A linear model of film ratings knows that some films are better than others and that
some people give more stars. It cannot know *who likes what*: whatever it has learned of
two people, it ranks all films in the same order for both.

A factorization machine (FM) adds that. It has a short vector for every user, every film
and every genre, and scores how well those of a row agree. Here both get the same
columns, and we look at what the FM makes of them.
"""

# %%
# The data
# --------
# MovieLens: 100,004 ratings. The genres of a film stand in one cell, as in
# ``"Adventure|Comedy"``.

from sklearn.model_selection import train_test_split

from skwfm.datasets import load_movielens

ratings = load_movielens()
train, test = train_test_split(ratings, test_size=0.2, random_state=0)
ratings.head()

# %%
# One encoding, two kinds of model
# --------------------------------
# ``FieldTransformer`` is a ``ColumnTransformer`` that remembers which output column
# belongs to which field. Users and films have one label per row, and genres a bag of
# labels. ``normalize="sqrt"`` keeps a film of six genres from counting six times as
# much as a film of one. The model in the middle says what the genres are worth to the
# FM.

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skwfm import FieldTransformer, WeightedFMRegressor, WeightedMultiLabelEncoder

one_hot = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
ids = ("ids", one_hot, ["user", "film"])
genres = ("genres", WeightedMultiLabelEncoder(normalize="sqrt"), ["genres"])
fm = WeightedFMRegressor(random_state=0)
models = {
    "Ridge": make_pipeline(FieldTransformer([ids, genres]), Ridge(alpha=5)),
    "FM without genres": make_pipeline(FieldTransformer([ids]), fm),
    "FM": make_pipeline(FieldTransformer([ids, genres]), fm),
}
print("RMSE on held-out ratings, in stars")
for name, model in models.items():
    model.fit(train, train["rating"])
    rmse = root_mean_squared_error(test["rating"], model.predict(test))
    print(f"  {name:<18} {rmse:.4f}")

# %%
# Two people
# ----------
# What would two people give to the same 150 films? We take the pair that the FM finds
# most different, among those with many ratings and over the films with most ratings.

films = train.drop_duplicates("film").set_index("film")
films = films.loc[train["film"].value_counts().index[:150]].reset_index()
counts = train["user"].value_counts()
people = counts.index[counts >= 150]


def predict_for(model, user):
    return model.predict(films.assign(user=user))


tastes = np.array([predict_for(models["FM"], user) for user in people])
agreement = np.corrcoef(tastes - tastes.mean(axis=0))
first, second = np.unravel_index(agreement.argmin(), agreement.shape)

# %%
# The linear model puts all films on one line: it only says by how many stars the second
# person is more generous. The FM leaves the line. The films that it moves most are
# named; they are those to recommend to the one and not to the other.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(
    1, 2, figsize=(7.5, 4), sharey=True, width_ratios=[1, 1.7], layout="constrained"
)
for ax, name in zip(axes, ["Ridge", "FM"], strict=True):
    x, y = (predict_for(models[name], people[i]) for i in (first, second))
    ax.scatter(x, y, s=14, color="#0072B2", alpha=0.6, linewidth=0)
    ax.set(title=name, xlabel=f"Predicted for user {people[first]} (stars)")
axes[0].set_ylabel(f"Predicted for user {people[second]} (stars)")


def name_films(rows, side):
    """Write the titles in a column on one side, each with a line to its point."""
    height = -np.inf
    for row in sorted(rows, key=lambda i: y[i]):
        height = max(y[row], height + 0.11)
        axes[1].annotate(
            films["title"][row].removesuffix(", The"),
            (x[row], y[row]),
            (x[rows].max() + 0.15 if side == "right" else x[rows].min() - 0.15, height),
            ha="left" if side == "right" else "right",
            va="center",
            fontsize=8,
            arrowprops={
                "arrowstyle": "-",
                "color": "#666666",
                "linewidth": 0.7,
                "relpos": (side == "left", 0.5),
            },
        )
        axes[1].plot(x[row], y[row], "o", color="#D55E00", markersize=4)


order = np.argsort(y - x)
name_films(order[:4], "right")
name_films(order[-4:], "left")
axes[1].set_xlim(x.min() - 0.6, x.max() + 1.1)  # room for the titles
fig.suptitle("Two people and the 150 films with most ratings")
plt.show()
