"""
Saving safely and serving from many threads
===========================================

A model that is worth something gets copied, stored and loaded by others. A pickle runs
whatever its author wrote into it. The files of ``skwfm.save`` hold numbers, labels and
parameters and no code: loading one runs nothing that is in it, and a file that was
damaged raises ``ModelFileError``.

``predict`` changes nothing in a model. So any number of threads may call it at the same
time, and each gets the same bits. What they gain in speed is measured at the end.
"""

# %%
# A pipeline in a file
# --------------------

import tempfile
from pathlib import Path

from sklearn.pipeline import make_pipeline

import skwfm
from skwfm.datasets import load_movielens

ratings = load_movielens().astype({"user": str, "film": str})
X, stars = ratings[["user", "film", "genres"]], ratings["rating"]
encoder = skwfm.WeightedMultiLabelEncoder(normalize="sqrt")
model = make_pipeline(encoder, skwfm.WeightedFMRegressor(random_state=0)).fit(X, stars)

folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "ratings.skwfm")
skwfm.save(model, path)
print(f"{path.stat().st_size / 2**20:.1f} MiB")

# %%
# One flipped bit is found, wherever it is.

damaged = bytearray(path.read_bytes())
damaged[len(damaged) // 2] ^= 1
Path(folder.name, "damaged.skwfm").write_bytes(damaged)
try:
    skwfm.load(Path(folder.name, "damaged.skwfm"))
except skwfm.ModelFileError as error:
    print(type(error).__name__, str(error).replace(folder.name, "..."), sep=": ")

# %%
# Serving
# -------
# With ``mmap=True`` the arrays are mapped instead of read: ten processes that serve one
# model hold it in memory once. Here threads of one process share it. A request is 500
# rows that are encoded already. Every answer is compared with that of the model before
# it was saved, to the last bit.

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

served = skwfm.load(path, mmap=True)
encoded = served[0].transform(X)
requests = [encoded[start : start + 500] for start in range(0, 100_000, 500)]
expected = [model[1].predict(request) for request in requests]


def serve(request):
    start = time.perf_counter()
    answer = served[1].predict(request)
    return answer, time.perf_counter() - start


n_threads, n_rounds = [1, 2, 4, 8], 5
speed, latency = [], []
for n in n_threads:
    with ThreadPoolExecutor(n) as pool:
        start = time.perf_counter()
        answers = list(pool.map(serve, requests * n_rounds))
        seconds = time.perf_counter() - start
    for (answer, _), right in zip(answers, expected * n_rounds, strict=True):
        np.testing.assert_array_equal(answer, right)
    speed.append(len(answers) * 500 / seconds)
    latency.append([1000 * seconds for _, seconds in answers])
    print(
        f"{n} threads: {speed[-1]:,.0f} rows/s, {len(answers)} answers equal to the bit"
    )
folder.cleanup()

# %%
# About as many threads as processors is a good number. With more of them, requests wait
# for a turn inside a thread, and the slowest ones get slower. The figures are those of
# the machine that built this page, and of what else it had to do.

import joblib
import matplotlib.pyplot as plt

fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.6), layout="constrained")
places = np.arange(len(n_threads))
left.bar(places, np.array(speed) / 1e6, color="#0072B2", width=0.6)
left.set(
    title=f"Rows answered ({joblib.cpu_count()} processors)",
    xlabel="Threads",
    ylabel="Million rows per second",
)
half, most = np.quantile(latency, [0.5, 0.99], axis=1)
right.plot(places, most, color="#D55E00", marker="^", label="99 % are answered in")
right.plot(places, half, color="#0072B2", marker="o", label="half are answered in")
right.set(
    title="Requests of 500 rows",
    xlabel="Threads",
    ylabel="Milliseconds",
    yscale="log",
    ylim=(half.min() / 2, 8 * most.max()),
)
right.yaxis.set_major_formatter("{x:g}")
right.legend(loc="upper left")
for ax in (left, right):
    ax.set_xticks(places, n_threads)
plt.show()
