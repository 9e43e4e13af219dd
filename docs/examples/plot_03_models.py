"""
Linear, FM or FFM?
==================

A linear model adds up what each label is worth. A factorization machine (FM) also has a
vector per label, and adds how well the vectors of two fields agree. A field-aware one
(FFM) has a vector per label *and partner field*: what a shop says about a customer may
be something else than what it says about a weekday.

Each can express what the one before can, and needs more rows for it. So we plant three
truths, one per model, and let all models learn all truths from few and from many rows.
"""

# %%
# Three truths
# ------------
# A row has five fields of one label each, and each field has 30 labels. The truths are
# sums over fields, or over pairs of fields, of random numbers and vectors.

import numpy as np

n_fields, n_labels, length = 5, 30, 3
rng = np.random.default_rng(0)
worth = rng.normal(size=(n_fields, n_labels))
vectors = rng.normal(size=(n_fields, n_labels, length))
aware = rng.normal(size=(n_fields, n_fields, n_labels, length))


def linear(rows):
    return sum(worth[f, rows[:, f]] for f in range(n_fields))


def fm(rows):
    shown = [vectors[f, rows[:, f]] for f in range(n_fields)]
    return sum((shown[f] * shown[g]).sum(1) for f in range(n_fields) for g in range(f))


def ffm(rows):
    def shown(f, to):
        return aware[f, to, rows[:, f]]

    pairs = [(f, g) for f in range(n_fields) for g in range(f)]
    return sum((shown(f, g) * shown(g, f)).sum(1) for f, g in pairs)


# %%
# Learning curves
# ---------------
# The target is the truth plus noise of half its standard deviation. The score is the
# share of the variance of the *noiseless* truth that a model explains on new rows, so
# that 1 is perfect and 0 is no better than the mean.

from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import OneHotEncoder

from skwfm import FieldTransformer, WeightedFFMRegressor, WeightedFMRegressor

one_hot = OneHotEncoder(categories=[range(n_labels)] * n_fields, dtype=np.float32)
fields = FieldTransformer([("labels", one_hot, list(range(n_fields)))])
sizes = [1_000, 2_000, 5_000, 10_000, 30_000]
models = {
    "Linear": Ridge(alpha=5),
    "FM": WeightedFMRegressor(n_factors=8, random_state=0),
    "FFM": WeightedFFMRegressor(n_factors=4, random_state=0),
}
new = rng.integers(n_labels, size=(5_000, n_fields))
scores = {}
for truth in (linear, fm, ffm):
    scale = truth(new).std()
    for size in sizes:
        rows = rng.integers(n_labels, size=(size, n_fields))
        y = truth(rows) + 0.5 * scale * rng.normal(size=size)
        X = fields.fit_transform(rows)
        for name, model in models.items():
            predicted = model.fit(X, y).predict(fields.transform(new))
            scores[truth.__name__, name, size] = r2_score(truth(new), predicted)

# %%
# Where the truth is linear nothing is lost by the others: their penalties keep vectors
# that are not needed near zero. Where labels act in pairs the linear model stays near
# the mean, however many rows it gets. The FM is the first to see something there, since
# it has fewer vectors to learn. With enough rows the FFM passes it where the truth is
# field-aware, and nearly draws level where it is not. So begin with the FM, and try the
# FFM when there are many rows per label.

import matplotlib.pyplot as plt

styles = {"Linear": "#666666", "FM": "#0072B2", "FFM": "#D55E00"}
markers = {"Linear": ("s", 9), "FM": ("o", 6), "FFM": ("^", 4)}
titles = {"linear": "Linear truth", "fm": "FM truth", "ffm": "FFM truth"}
fig, axes = plt.subplots(1, 3, figsize=(7.5, 3.6), sharey=True, layout="constrained")
for ax, (truth, title) in zip(axes, titles.items(), strict=True):
    for name, colour in styles.items():
        curve = [scores[truth, name, size] for size in sizes]
        marker, width = markers[name]
        ax.plot(sizes, curve, color=colour, marker=marker, ms=width, label=name)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(title=title, xscale="log", xlabel="Training rows", ylim=(-0.15, 1.05))
axes[0].set_ylabel("Explained variance of the truth (R²)")
axes[0].legend(loc="lower right")
plt.show()
