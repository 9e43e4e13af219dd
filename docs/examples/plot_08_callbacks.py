"""
Early stopping and callbacks
============================

Vectors that are held back too little learn the training rows by heart. The loss of rows
that were held out shows when: it falls, and then it rises again. Early stopping ends
the training there and keeps the best epoch.

What else is to happen during the training is said by callbacks. Here a progress bar of
scikit-learn shows how far it is, and one of skorch scores every epoch.
"""

# %%
# Liked, or not
# -------------
# The target is whether a film got four stars or more. Ids as text are labels.

from sklearn.model_selection import train_test_split

from skwfm import WeightedMultiLabelEncoder
from skwfm.datasets import load_movielens

ratings = load_movielens().astype({"user": str, "film": str})
train, valid = train_test_split(ratings, random_state=0)
encoder = WeightedMultiLabelEncoder(normalize="sqrt")
columns = ["user", "film", "genres"]
X, X_valid = encoder.fit_transform(train[columns]), encoder.transform(valid[columns])
liked, liked_valid = train["rating"] >= 4, valid["rating"] >= 4

# %%
# Three penalties
# ---------------
# ``eval_set`` gives the rows to stop by. Without it ``early_stopping=True`` holds out a
# tenth of the training rows.
#
# Scikit-learn's callbacks are set on the estimator by ``set_callbacks`` (scikit-learn
# 1.9 or newer), as on any other. Those of skorch are a parameter; what they record is
# in ``history_``.

from sklearn.callback import ProgressBar
from sklearn.metrics import roc_auc_score
from skorch.callbacks import EpochScoring

from skwfm import WeightedFMClassifier


def auc(net, rows, target):
    return roc_auc_score(target, net.predict(rows)[:, 0])


models = {}
for penalty in (2, 5, 20):
    model = WeightedFMClassifier(
        l2_factors=penalty,
        early_stopping=True,
        callbacks=[EpochScoring(auc, lower_is_better=False, name="auc")],
        random_state=0,
    )
    model.set_callbacks(ProgressBar())
    models[penalty] = model.fit(X, liked, eval_set=(X_valid, liked_valid))

for penalty, model in models.items():
    print(
        f"l2_factors={penalty:<3} {model.n_iter_} epochs, kept {model.best_iter_}, "
        f"loss {min(model.history_['valid_loss']):.4f}"
    )

# %%
# What happened
# -------------
# With a small penalty the loss of the training rows falls and falls, while that of the
# rows held out turns after a few epochs: early stopping saves the model, but not all of
# it. With a larger one the curve flattens out at a lower level and hardly turns at all.
# Early stopping is a safety net; the penalty is what to tune.
#
# ``skwfm.inspection.TrainingHistoryDisplay`` draws the left picture for one model.

import matplotlib.pyplot as plt

fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.8), layout="constrained")
colours = {2: "#D55E00", 5: "#CC79A7", 20: "#0072B2"}
for penalty, model in models.items():
    history, best = model.history_, model.best_iter_
    epochs = range(1, model.n_iter_ + 1)
    colour = colours[penalty]
    left.plot(epochs, history["train_loss"], ":", color=colour)
    left.plot(epochs, history["valid_loss"], color=colour)
    left.plot(best, history["valid_loss"][best - 1], "o", color=colour)
    right.plot(epochs, history["auc"], color=colour, label=f"l2_factors={penalty}")
    right.plot(best, history["auc"][best - 1], "o", color=colour)
left.plot([], [], color="#666666", label="rows held out")
left.plot([], [], ":", color="#666666", label="training rows")
left.set(title="Loss (dot: epoch kept)", xlabel="Epoch", ylabel="Log loss per row")
right.set(title="Rows held out", xlabel="Epoch", ylabel="Area under the ROC curve")
for ax in (left, right):
    ax.xaxis.get_major_locator().set_params(integer=True)
left.legend(loc="lower right")
right.legend(loc="lower right")
plt.show()
