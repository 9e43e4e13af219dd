"""
Weights matter
==============

A label comes with a weight, and the weight multiplies the vector of the label. Counts
make poor weights as they are: somebody who has rated 800 dramas is not 800 times as
keen on drama as somebody who has rated one, but in the sum of a row they speak 800
times as loud.

Here each person is described by how many films of each genre they have rated, and the
model has to predict the stars of people *it has never seen*. The question is what to do
with the counts.
"""

# %%
# A cell of counts
# ----------------
# A dict is a bag with weights: ``{"Drama": 12, "War": 3}``. The stars are not looked
# at; so the bag of a new person is known before their first star is predicted.

from skwfm.datasets import load_movielens

ratings = load_movielens()
genres = ratings.assign(genre=ratings["genres"].str.split("|")).explode("genre")
genres = genres[genres["genre"] != ""]
counts = {
    user: genre.value_counts().to_dict()
    for user, genre in genres.groupby("user")["genre"]
}
ratings["watched"] = ratings["user"].map(counts)
ratings = ratings.sample(50_000, random_state=0)  # to be quick
ratings[["user", "title", "watched", "rating"]].head(3)

# %%
# Six ways to weigh
# -----------------
# All of them are parameters of the encoder: ``weight_transform`` changes each weight
# alone, ``normalize`` divides those of a bag by their norm.

import numpy as np

from skwfm import WeightedMultiLabelEncoder

ways = {
    "raw counts": {},
    "all 1": {"weight_transform": np.sign},
    "log(1 + count)": {"weight_transform": "log1p"},
    "shares": {"normalize": "l1"},
    "unit length": {"normalize": "l2"},
    "log, unit length": {"weight_transform": "log1p", "normalize": "l2"},
}

# %%
# Each way is compared with the same model without the bag of genres watched, on the
# same three folds. ``GroupKFold`` keeps all ratings of a person in one fold.

from scipy.sparse.linalg import norm
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skwfm import FieldTransformer, WeightedFMRegressor

one_hot = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
film = [
    ("film", one_hot, ["film"]),
    ("genres", WeightedMultiLabelEncoder(normalize="sqrt"), ["genres"]),
]


def rmse(fields):
    model = WeightedFMRegressor(
        n_factors=4, max_iter=6, early_stopping=False, random_state=0
    )
    return -cross_val_score(
        make_pipeline(FieldTransformer(fields), model),
        ratings,
        ratings["rating"],
        groups=ratings["user"],
        cv=GroupKFold(3),
        scoring="neg_root_mean_squared_error",
    )


without = rmse(film)
change, lengths = {}, {}
for name, parameters in ways.items():
    encoder = WeightedMultiLabelEncoder(**parameters)
    change[name] = rmse([*film, ("watched", encoder, ["watched"])]) - without
    people = encoder.fit_transform(ratings.drop_duplicates("user")[["watched"]])
    lengths[name] = norm(people, axis=1)
    print(f"{name:<17} change of RMSE {change[name].mean():+.4f} stars")

# %%
# The left picture says why. The film stands in its row with a weight of 1. Beside it, a
# bag of raw counts is tens to thousands long: a few people decide what the model
# learns. It would have been better to leave the bag out. Once all bags are of one
# length it helps a little; how they get there matters less, and the folds (dots) differ
# by more than that.

import matplotlib.pyplot as plt

fig, (left, right) = plt.subplots(
    1, 2, figsize=(7.5, 3.8), sharey=True, layout="constrained"
)
places = np.arange(len(ways))
for place, name in zip(places, ways, strict=True):
    least, low, middle, high, most = np.quantile(lengths[name], [0, 0.25, 0.5, 0.75, 1])
    left.plot([least, most], [place, place], color="#0072B2", lw=1.5)
    left.plot([low, high], [place, place], color="#0072B2", lw=9, solid_capstyle="butt")
    left.plot(middle, place, "|", color="#D55E00", ms=18, mew=3)
    right.plot(change[name], [place] * 3, "o", color="#0072B2", alpha=0.6)
    right.plot(change[name].mean(), place, "|", color="#D55E00", ms=18, mew=3)
left.axvline(1, color="#666666", linestyle="--", linewidth=1)
left.set(
    xscale="log",
    title="How long a person's bag is",
    xlabel="Length of the weights (bar: quartiles)",
)
left.set_yticks(places, ways)
left.set_ylim(len(ways) - 0.5, -0.5)
right.axvline(0, color="#666666", linestyle="--", linewidth=1)
right.set(
    title="What the bag does to the error",
    xlabel="Change of RMSE (stars; left of 0 is better)",
)
plt.show()
