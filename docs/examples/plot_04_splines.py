"""
Splines for numbers
===================

A number that stands in a row as it is pulls the score along a straight line, for every
partner by a line of another slope. An hour of the day is not like that: on working days
bicycles are hired before and after work, on other days in the afternoon.

``SplineEncoder`` makes a bag of a number. Its labels are places on the number line, the
knots, and a number is shared between the nearest. The factorization machine learns a
vector per knot, and so a *curve* for every partner instead of a line.
"""

# %%
# Made-up hires
# -------------
# Each kind of day has a curve over the hours. Warm weather adds to it, on free days
# more than on working days. What we see is noisy.

import numpy as np
import pandas as pd

rng = np.random.default_rng(0)


def bump(x, at, width):
    return np.exp(-0.5 * ((x - at) / width) ** 2)


def truth(table):
    hour = table["hour"]
    commute = 260 * bump(hour, 8.2, 1) + 300 * bump(hour, 17.6, 1.4)
    leisure = 220 * bump(hour, 14, 3.5) + 60 * bump(hour, 0, 2)
    working = table["day"] == "working"
    weather = np.where(working, 30, 90) * bump(table["degrees"], 22, 10)
    return 20 + np.where(working, commute, leisure) + weather


def draw(n_rows):
    table = pd.DataFrame(
        {
            "hour": rng.uniform(0, 24, n_rows),
            "degrees": rng.normal(14, 8, n_rows),
            "day": np.where(rng.random(n_rows) < 0.7, "working", "free"),
        }
    )
    return table, truth(table) + 20 * rng.normal(size=n_rows)


train, y = draw(8_000)
test, _ = draw(4_000)

# %%
# Four encodings
# --------------
# ``degree=0`` makes bins, ``degree=1`` soft bins, which are straight between two knots,
# and ``degree=3`` smooth curves. All of them get 16 columns per number.

from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skwfm import FieldTransformer, SplineEncoder, WeightedFMRegressor

encoders = {
    "scaled numbers": StandardScaler(),
    "hard bins (degree=0)": SplineEncoder(n_knots=17, degree=0),
    "soft bins (degree=1)": SplineEncoder(n_knots=16, degree=1),
    "cubic splines (degree=3)": SplineEncoder(n_knots=14, degree=3),
}
models = {}
for name, encoder in encoders.items():
    fields = FieldTransformer(
        [
            ("numbers", encoder, ["hour", "degrees"]),
            ("day", OneHotEncoder(), ["day"]),
        ]
    )
    fm = WeightedFMRegressor(l2_factors=1, l2_linear=1, random_state=0)
    models[name] = make_pipeline(fields, fm).fit(train, y)
    rmse = root_mean_squared_error(truth(test), models[name].predict(test))
    print(f"{name:<25} RMSE against the truth: {rmse:5.1f} hires")

# %%
# The day as each model sees it, at 20 degrees. Straight lines cannot bend. Bins can,
# but they jump, and what lies at one end of a bin is taken for what lies at the other.
# Soft bins and splines follow the curves: the first with a corner at every knot, the
# second smoothly, which costs them some of the narrow tops and makes waves where the
# truth is flat.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(
    2, 2, figsize=(7.5, 5), sharex=True, sharey=True, layout="constrained"
)
hours = np.linspace(0, 24, 481)
colours = {"working": "#0072B2", "free": "#D55E00"}
for ax, (name, model) in zip(axes.flat, models.items(), strict=True):
    for day, colour in colours.items():
        table = pd.DataFrame({"hour": hours, "degrees": 20.0, "day": day})
        ax.plot(hours, truth(table), "--", color=colour, linewidth=1)
        ax.plot(hours, model.predict(table), color=colour, label=f"{day} day")
    ax.set(title=name, xticks=range(0, 25, 6), ylim=(0, 430))
axes[0, 0].plot([], [], "--", color="#666666", linewidth=1, label="truth")
axes[0, 0].legend(loc="upper left", fontsize=8)
fig.supxlabel("Hour of the day")
fig.supylabel("Hires per hour at 20 °C")
plt.show()
