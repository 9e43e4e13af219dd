"""
Explaining one prediction
=========================

Why does the model think that this person will like this film? A factorization machine
is a polynomial, so the answer is exact: the score is a sum of terms, each of which
belongs to a label or to a pair of fields. Nothing has to be sampled or approximated, as
with a forest or a network.

Here we fit a pipeline on ratings, take one prediction apart, and draw it.
"""

# %%
# The model
# ---------
# Users, films, genres and the decade of the film. Labels are names, so that the
# explanation can be read.

from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skwfm import FieldTransformer, WeightedFMRegressor, WeightedMultiLabelEncoder
from skwfm.datasets import load_movielens

ratings = load_movielens().dropna(subset="year")
title = ratings["title"].str.replace(r" \(.*", "", regex=True)  # the other titles
ratings["film"] = title + ratings["year"].map(" ({:.0f})".format)
ratings["decade"] = (ratings["year"] // 10 * 10).map("{:.0f}s".format)
ratings["user"] = ratings["user"].astype(str)
train, test = train_test_split(ratings, test_size=0.2, random_state=0)
label = WeightedMultiLabelEncoder(sep=None, weight_sep=None)
genres = WeightedMultiLabelEncoder(normalize="sqrt")
fields = FieldTransformer(
    [("labels", label, ["user", "film", "decade"]), ("genres", genres, ["genres"])],
    verbose_feature_names_out=False,
)
model = make_pipeline(fields, WeightedFMRegressor(random_state=0))
model.fit(train, train["rating"])

# %%
# All terms of all rows
# ---------------------
# ``explain`` takes the raw rows, since the pipeline encodes them. The terms of a row
# add up to its prediction, which is checked here for all of them.

import numpy as np

from skwfm.inspection import explain

explanation = explain(model, test)
np.testing.assert_allclose(explanation.scores(), model.predict(test), rtol=1e-5)
print(explanation)

# %%
# One row
# -------
# Of the predictions above 4.5 stars, for films that many have rated, we take the one
# that pairs raise most: what is recommended to this person and not to everybody. With
# ``label_pairs=True`` the pairs are those of single labels. As a table, the largest
# terms first:

by_pairs = explanation.pairs.sum(axis=1)
is_known = test["film"].map(train["film"].value_counts()) >= 100
row = np.where(is_known & (explanation.scores() > 4.5), by_pairs, -np.inf).argmax()
terms = explain(model, test.iloc[[row]], label_pairs=True).to_frame()
terms = terms.drop(columns="row").fillna("")
terms.sort_values("contribution", key=abs, ascending=False).head(10).round(3)

# %%
# As a picture, from the intercept on. A blue bar raises the prediction, an orange one
# lowers it, and what the bars add up to is the prediction, in stars. The terms of
# single labels say that a film is good or a person strict. Those with a cross say what
# the two are *to each other*; no linear model has them.
#
# An explanation is of the model, not of the person. Where terms of opposite sign nearly
# cancel, as those of labels that always come together do, none of them should be read
# alone.

import matplotlib.pyplot as plt

from skwfm.inspection import ContributionDisplay

film = test.iloc[row]
fig, ax = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
ContributionDisplay.from_estimator(model, test, row=row, ax=ax)
ax.set(title="", xlabel="Predicted stars")
fig.suptitle(f"{film['film']} for user {film['user']}, who gave it {film['rating']:g}")
plt.show()
