"""
Clicks, from a file to calibrated probabilities
===============================================

Data of clicks are often passed on as text in the format of libFFM: a row a line, first
whether there was a click, then ``field:feature:value`` for what was shown to whom. An
advertiser pays by the *probability* of a click. So a model has to say 3 % where 3 of
100 people click; to rank the rows is not enough.

This example goes the whole way: a file, a field-aware factorization machine (FFM)
beside a logistic regression of the same columns, and the picture that tells whether
their probabilities can be taken at their word.
"""

# %%
# A file of clicks
# ----------------
# Real logs are large and few may be passed on, so we make one up: users, sites and
# adverts with a hidden taste each, hour and device, and a bag of up to four interests
# per user, whose weights are not 1. A few rows in a hundred are clicks.

import tempfile
from pathlib import Path

import numpy as np

rng = np.random.default_rng(0)
n_rows, sizes = (
    60_000,
    {"user": 1_000, "site": 60, "advert": 200, "hour": 24, "device": 3},
)
ids = {name: rng.zipf(1.3, n_rows) % size for name, size in sizes.items()}
interests = [rng.choice(40, rng.integers(5), replace=False) for _ in range(1_000)]
taste = {name: rng.normal(size=(size, 4)) for name, size in sizes.items()}
likes = rng.normal(size=(40, 4))
bags = np.array([likes[bag].sum(0) / max(1, len(bag)) ** 0.5 for bag in interests])
people, shown = bags[ids["user"]], taste["advert"][ids["advert"]]
score = (people * shown).sum(1) + (taste["site"][ids["site"]] * shown).sum(1)
score = score * 0.45 + 0.3 * sum(taste[name][ids[name], 0] for name in sizes) - 3.8
clicks = rng.random(n_rows) < 1 / (1 + np.exp(-score))
print(f"{clicks.mean():.1%} of {n_rows:,} rows are clicks")


def line(i):
    """Return row i as text; labels are numbered through the fields."""
    start, parts = 0, [str(int(clicks[i]))]
    for field, (name, size) in enumerate(sizes.items()):
        parts.append(f"{field}:{start + ids[name][i]}:1")
        start += size
    bag = interests[ids["user"][i]]
    parts += [f"5:{start + label}:{len(bag) ** -0.5:.4g}" for label in bag]
    return " ".join(parts)


folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "clicks.ffm")
path.write_text("\n".join(map(line, range(n_rows))))
print(*path.read_text()[:150].splitlines()[:2], sep="\n")

# %%
# Reading, and three models
# -------------------------
# The matrix knows its fields. The last third of the rows, the latest ones in a real
# log, is for testing. A third model gives clicks as much weight as all other rows
# together, as is often done with rare classes.

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from skwfm import WeightedFFMClassifier
from skwfm.datasets import load_ffm_file

X, y = load_ffm_file(path)
folder.cleanup()
print(X.field_names, X.shape)
past, future = slice(0, 40_000), slice(40_000, None)
models = {
    "logistic regression": LogisticRegression(C=0.2, max_iter=500),
    "FFM": WeightedFFMClassifier(random_state=0),
    "FFM, balanced classes": WeightedFFMClassifier(
        class_weight="balanced", random_state=0
    ),
}
probabilities = {}
for name, model in models.items():
    proba = model.fit(X[past], y[past]).predict_proba(X[future])[:, 1]
    loss, auc = log_loss(y[future], proba), roc_auc_score(y[future], proba)
    print(f"{name:<22} log loss {loss:.4f}, AUC {auc:.3f}")
    probabilities[name] = proba

# %%
# Calibration
# -----------
# Rows are put in ten groups by the predicted probability. If the model can be taken at
# its word, the share of clicks in a group is the mean prediction there, and the points
# lie on the diagonal.
#
# The logistic regression and the FFM both keep close to it. What sets them apart is on
# the right: shown to the same share of people, the adverts that the FFM picks get more
# of the clicks. Balanced classes hardly change whom the FFM picks, and distort the
# probabilities beyond use. Leave them out where the probability counts.

import matplotlib.pyplot as plt
from sklearn.calibration import calibration_curve

fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 4), layout="constrained")
colours = ["#666666", "#0072B2", "#D55E00"]
for (name, proba), colour, marker in zip(
    probabilities.items(), colours, "so^", strict=True
):
    share, predicted = calibration_curve(
        y[future], proba, n_bins=10, strategy="quantile"
    )
    left.plot(
        100 * predicted, 100 * share, color=colour, marker=marker, ms=5, label=name
    )
    found = np.cumsum(y[future][np.argsort(-proba)]) / y[future].sum()
    right.plot(np.linspace(0, 100, len(found)), 100 * found, color=colour)
left.plot([0.2, 100], [0.2, 100], "--", color="black", linewidth=0.8)
left.set(
    title="Calibration",
    xlabel="Mean predicted probability (%)",
    ylabel="Share of clicks (%)",
    xscale="log",
    yscale="log",
)
left.xaxis.set_major_formatter("{x:g}")
left.yaxis.set_major_formatter("{x:g}")
left.legend(fontsize=8)
right.plot([0, 100], [0, 100], "--", color="black", linewidth=0.8)
right.set(
    title="Clicks found, best rows first",
    xlabel="Rows shown (% of all, best first)",
    ylabel="Clicks among them (% of all clicks)",
)
plt.show()
