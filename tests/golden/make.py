"""Write the golden files of this version: a model file, a pickle and what they predict.

Run it once for a release, `python tests/golden/make.py`, and keep the files for ever:
later versions must load them and predict the same.
"""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from sklearn.pipeline import make_pipeline

import skwfm

HERE = Path(__file__).parent


def make_frame() -> pd.DataFrame:
    """Return rows with every kind of column."""
    rng = np.random.default_rng(0)
    size = 30
    return pd.DataFrame(
        {
            "user": rng.choice(["ann", "bob", "eve"], size),
            "film": rng.choice(["Alien", "Heat", "M"], size),
            "genres": [["Drama", "War"][: i % 3] for i in range(size)],
            "year": rng.integers(1930, 2020, size).astype(float),
            "seen": pd.date_range("2020-01-01", periods=size, freq="9D"),
        }
    )


def make_model(frame: pd.DataFrame) -> object:
    """Return a fitted pipeline with every encoder."""
    transformer = skwfm.FieldTransformer(
        [
            ("tags", skwfm.WeightedMultiLabelEncoder(normalize="sqrt"), ["genres"]),
            ("history", skwfm.HistoryEncoder(max_items=2), ["user", "film"]),
            ("years", skwfm.SplineEncoder(4, 2), ["year"]),
            ("seen", skwfm.DateEncoder(), ["seen"]),
            ("same", "passthrough", ["year"]),
        ],
        transformer_weights={"same": 0.001},
    )
    model = skwfm.WeightedFFMClassifier(n_factors=3, l2_factors=0.1, random_state=0)
    y = np.resize(["good", "bad", "none"], len(frame))
    return make_pipeline(transformer, model).fit(frame, y)


def main() -> None:
    """Write the three files."""
    frame = make_frame()
    model = make_model(frame)
    name = f"pipeline-{skwfm.__version__}"
    skwfm.save(model, HERE / f"{name}.skwfm")
    (HERE / f"{name}.pkl").write_bytes(pickle.dumps(model, protocol=5))
    path = HERE / "predictions.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    rows = frame.head(6).assign(seen=frame["seen"].astype(str))
    known[name] = {
        "versions": {"numpy": np.__version__, "scikit-learn": sklearn.__version__},
        "rows": rows.to_dict("list"),
        "probabilities": model.predict_proba(frame.head(6)).tolist(),
    }
    path.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
