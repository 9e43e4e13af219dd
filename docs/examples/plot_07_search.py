"""
A grid search over encoder and model
====================================

How labels are weighed, which of them are too rare to keep, how strongly the vectors are
held back: these choices depend on one another. In a pipeline they are parameters of one
estimator, and ``GridSearchCV`` tries them together. The encoder is fitted anew on the
training part of every split, so nothing leaks.

The data are films with lists of genres, directors, actors and countries, and the target
is the share of good reviews.
"""

# %%
# The films
# ---------

from skwfm.datasets import load_movies

films = load_movies().sample(3_000, random_state=0)
columns = ["genres", "directors", "actors", "countries"]
films[["title", *columns, "score"]].head(3)

# %%
# The search
# ----------
# Two parameters of the encoder, one of the model. ``n_jobs=2`` would run two fits at a
# time, with the same result to the last digit.

from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline

from skwfm import WeightedFMRegressor, WeightedMultiLabelEncoder

encoding = {"fields__min_frequency": [1, 2, 5], "fields__normalize": [None, "sqrt"]}


def search(model, **parameters):
    pipeline = Pipeline([("fields", WeightedMultiLabelEncoder()), ("model", model)])
    return GridSearchCV(
        pipeline,
        {**encoding, **parameters},
        scoring="neg_root_mean_squared_error",
        cv=KFold(2, shuffle=True, random_state=0),
    ).fit(films[columns], films["score"])


penalties = [5, 10, 20, 50]
fm = search(WeightedFMRegressor(random_state=0), model__l2_factors=penalties)
ridge = search(Ridge(), model__alpha=[2, 5])
for name, found in {"FM": fm, "Ridge": ridge}.items():
    print(f"{name:<6} RMSE {-found.best_score_:.2f} points with {found.best_params_}")

# %%
# The map
# -------
# One panel per ``normalize``. The penalty that suits depends on the weights and on the
# labels that are kept, which is why they are tuned together. Even labels that a single
# film of the training part has are worth keeping: the penalty looks after them.
#
# The printed lines say something else too. On these films a ridge regression of the
# same columns, tuned over the same encodings, does about as well: what its genres say
# of a film hardly depends on its actors. A search that shows this has been worth its
# time.

import matplotlib.pyplot as plt

# ParameterGrid sorts the names: min_frequency, normalize, l2_factors.
errors = -fm.cv_results_["mean_test_score"].reshape(3, 2, len(penalties))
fig, axes = plt.subplots(1, 2, figsize=(7.5, 3.2), sharey=True, layout="constrained")
for k, (ax, normalize) in enumerate(zip(axes, [None, "sqrt"], strict=True)):
    image = ax.imshow(
        errors[:, k], cmap="cividis_r", vmin=errors.min(), vmax=errors.max()
    )
    for i in range(3):
        for j in range(len(penalties)):
            value = errors[i, k, j]
            ax.text(
                j,
                i,
                f"{value:.2f}",
                ha="center",
                va="center",
                color="white" if image.norm(value) > 0.5 else "black",
                weight="bold" if value == errors.min() else "normal",
            )
    ax.set_xticks(range(len(penalties)), penalties)
    ax.set_yticks(range(3), encoding["fields__min_frequency"])
    ax.set(title=f"normalize={normalize!r}", xlabel="l2_factors")
axes[0].set_ylabel("min_frequency (films)")
fig.colorbar(image, ax=axes, label="RMSE (points of 100)")
plt.show()
