"""
Unknown labels and growing vocabularies
=======================================

Every day brings users and films that no day before had. An encoder that was fitted once
drops what it does not know: an unknown film is an empty bag and adds nothing to the
score. That is safe, and it is forgetful, for the film stays unknown however many
ratings it gets.

``partial_fit`` lets a vocabulary grow. New labels get columns *after* all columns there
are, so that nothing already learned changes its place. Hashing is the third way: it
keeps no vocabulary, and labels that fall on one column share a vector.
"""

# %%
# Twenty days
# -----------
# The ratings of MovieLens in random order, 5,000 a day. Ids as text are labels.

import numpy as np

from skwfm.datasets import load_movielens

ratings = load_movielens().sample(100_000, random_state=0)
ratings = ratings.astype({"user": str, "film": str})
days = [ratings[start : start + 5_000] for start in range(0, 100_000, 5_000)]
columns = ["user", "film", "genres"]
is_new = [~day["film"].isin(days[0]["film"]) for day in days]
print(
    f"{np.mean(is_new[-1]):.0%} of the last day's ratings are of films not in the first"
)

# %%
# Predict first, then learn
# -------------------------
# Each day is predicted by the model as it was the evening before, and learned
# afterwards. This is an honest error without any split.

from skwfm import WeightedFMRegressor, WeightedMultiLabelEncoder


def watch(encoder, grows):
    """Return the squared errors of each day, and the number of columns."""
    model = WeightedFMRegressor(random_state=0)
    errors, n_columns = [], []
    for day in days:
        if day is days[0]:
            encoder.fit(day[columns])
        else:
            predicted = model.predict(encoder.transform(day[columns]))
            errors.append((predicted - day["rating"]) ** 2)
            if grows:
                encoder.partial_fit(day[columns])
        X = encoder.transform(day[columns])
        model.partial_fit(X, day["rating"])
        n_columns.append(X.shape[1])
    return errors, n_columns


def encoder(**parameters):
    return WeightedMultiLabelEncoder(normalize="sqrt", **parameters)


small = encoder(categories="hash", n_hash_features=2_000)
large = encoder(categories="hash", n_hash_features=20_000)
runs = {
    "fixed on day 1": watch(encoder(), grows=False),
    "hash of 2,000": watch(small, grows=False),
    "hash of 20,000": watch(large, grows=False),
    "growing": watch(encoder(), grows=True),
}
for name, (errors, n_columns) in runs.items():
    week = np.sqrt(np.mean(np.concatenate(errors[-7:])))
    print(f"{name:<15} RMSE of the last week {week:.4f}, {n_columns[-1]:,} columns")

# %%
# The estimators do it by themselves too: ``model.partial_fit(day[columns], stars)``
# takes the table as it is, and its encoder grows with it. (It takes text as one label;
# for ``"Comedy|Drama"`` bring an encoder of your own, as here.)
#
# What it is worth
# ----------------
# On the left are only those ratings whose film the first day did not have, and how much
# smaller the error is than with the vocabulary of that day, to which all these films
# look the same. The gap opens as the days go by and the films become known.
#
# A hash does nearly as well with several times as many columns as there are labels.
# With too few of them, strangers share a vector, and films that were known before
# suffer too.

import matplotlib.pyplot as plt

styles = {
    "fixed on day 1": ("#666666", "s"),
    "hash of 2,000": ("#CC79A7", "v"),
    "hash of 20,000": ("#D55E00", "^"),
    "growing": ("#0072B2", "o"),
}
fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.8), layout="constrained")
numbers = np.arange(1, len(days) + 1)
base = runs["fixed on day 1"][0]
for name, (errors, n_columns) in runs.items():
    colour, marker = styles[name]
    style = {"color": colour, "marker": marker, "ms": 4, "label": name}
    gain = [
        np.sqrt(squared[new].mean()) - np.sqrt(fixed[new].mean())
        for squared, fixed, new in zip(errors, base, is_new[1:], strict=True)
    ]
    left.plot(numbers[1:], gain, **style)
    right.plot(numbers, n_columns, **style)
left.set(
    title="Error on films that day 1 lacked",
    xlabel="Day",
    ylabel="RMSE minus that of the fixed (stars)",
)
left.legend(loc="lower left", fontsize=8)
right.set(title="Columns of the matrix", xlabel="Day", ylabel="Columns", yscale="log")
right.set_yticks([3_000, 10_000, 30_000], ["3,000", "10,000", "30,000"])
right.yaxis.set_minor_formatter("")
for ax in (left, right):
    ax.set_xticks([1, 5, 10, 15, 20])
plt.show()
