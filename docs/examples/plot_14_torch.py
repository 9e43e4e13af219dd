"""
A training loop of your own: how sure is the model?
===================================================

The estimators have the usual losses. For any other there are the torch modules behind
them: ``WeightedFM`` in a loop that you write, with the loss, the optimizer and the
other layers you like.

Here an estimator predicts stars, and a module learns how far off it will be. Some
people are hard to predict and some films divide opinions; a single error rate for all
of them hides that.
"""

# %%
# Honest errors
# -------------
# Errors on rows that were learned are too small. ``cross_val_predict`` predicts each
# training row by a model that has not seen it.

import numpy as np
from sklearn.model_selection import cross_val_predict, train_test_split

from skwfm import WeightedFMRegressor, WeightedMultiLabelEncoder
from skwfm.datasets import load_movielens

ratings = load_movielens().astype({"user": str, "film": str})
train, test = train_test_split(ratings, test_size=0.2, random_state=0)
encoder = WeightedMultiLabelEncoder(normalize="sqrt")
columns = ["user", "film", "genres"]
X, X_test = encoder.fit_transform(train[columns]), encoder.transform(test[columns])
model = WeightedFMRegressor(random_state=0)
errors = cross_val_predict(model, X, train["rating"], cv=3) - train["rating"]
test_errors = model.fit(X, train["rating"]).predict(X_test) - test["rating"]

# %%
# Padded bags
# -----------
# The modules take a batch as three arrays. ``to_padded`` makes them: the labels of each
# row, where each of its bags ends, and the weights.

import torch

from skwfm import to_padded

bags, bags_test = (tuple(map(torch.from_numpy, to_padded(Z))) for Z in (X, X_test))
target, target_test = (
    torch.tensor(e.to_numpy()).float() for e in (errors, test_errors)
)
for name, part in zip(["indices", "offsets", "weights"], bags, strict=True):
    print(f"{name:<8} {tuple(part.shape)}, first row {part[0].numpy().round(2)}")

# %%
# The loop
# --------
# The module scores the logarithm of the standard deviation, and the loss is the
# negative log-likelihood of a normal error. A batch touches some of the labels only, so
# gradients are sparse and ``SparseAdagrad`` moves no other rows. The penalty is on the
# sums of the bags, which the module's ``bag`` returns. Batches as small as these are
# done soonest by one thread.

from skwfm.nn import SparseAdagrad, WeightedFM

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
net = WeightedFM(X.shape[1], 4, sparse=True, generator=generator)
with torch.no_grad():
    net.bias.fill_(target.std().log())  # begin with one deviation for all
optimizer = SparseAdagrad(net.parameters(), lr=0.02)


def loss_of(log_deviation, error):
    return (log_deviation + 0.5 * (error / log_deviation.exp()) ** 2).mean()


def test_loss():
    with torch.no_grad():
        return loss_of(net(*bags_test), target_test).item()


losses = [test_loss()]
for _ in range(5):
    for rows in torch.randperm(len(target), generator=generator).split(1024):
        batch = [part[rows] for part in bags]
        penalty = net.bag(*batch).square().sum((1, 2)).mean()
        loss = loss_of(net(*batch), target[rows]) + 0.1 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    losses.append(test_loss())

# %%
# Can it be believed?
# -------------------
# Held-out ratings in ten groups, by the deviation that was predicted. The error of each
# group is what was said of it: the surest tenth is off by about half as much as the
# most doubtful one. A single deviation for all would be the dashed line.

import matplotlib.pyplot as plt

with torch.no_grad():
    deviation = net(*bags_test).exp().numpy()
groups = np.array_split(np.argsort(deviation), 10)
said = [deviation[rows].mean() for rows in groups]
seen = [np.sqrt((test_errors.to_numpy()[rows] ** 2).mean()) for rows in groups]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.8), layout="constrained")
left.plot(losses, color="#0072B2", marker="o")
left.set(
    title="The loop",
    xlabel="Epoch (0: one deviation for all)",
    ylabel="Loss of the ratings held out",
)
right.axhline(target.std(), color="#666666", linestyle="--", label="one for all")
right.axline((0.8, 0.8), slope=1, color="black", linewidth=0.8, label="as predicted")
right.plot(said, seen, "o", color="#D55E00", label="a tenth of the ratings")
right.set(
    title="How far off, said and seen",
    xlabel="Predicted deviation (stars)",
    ylabel="RMSE of the group (stars)",
)
right.legend(fontsize=8)
plt.show()
