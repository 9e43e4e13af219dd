"""Files of skops: round trips with the documented list of types to trust."""

import re
from pathlib import Path

import fitted_kinds
import numpy as np
import pytest
from fitted_kinds import FM, FRAME, X, Y, outputs
from sklearn.preprocessing import OneHotEncoder

from skwfm import (
    FieldCSR,
    FieldTransformer,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
    hstack,
)

io = pytest.importorskip("skops.io", reason="skops is not installed")

DOCS = Path(__file__).parents[1] / "docs" / "saving.md"
DOCUMENTED = re.findall(r'^\.\.\.     "(.+)",$', DOCS.read_text(), re.MULTILINE)

# Keys of a dict that skops would make one: of 1, "1", True and b"1".
MIXED = np.empty((8, 1), dtype=object)
MIXED[:, 0] = ["1", 1, True, 1.5, b"1", None, "\ud800", np.datetime64("2020-01-01")]


def stream():
    return WeightedFMRegressor(**FM).partial_fit(FRAME, Y), FRAME


def transformer_of_others():
    parts = [("user", OneHotEncoder(), ["user"])]
    return FieldTransformer(parts).fit(FRAME), FRAME


KINDS = fitted_kinds.KINDS | {
    "labels of one text": lambda: (WeightedMultiLabelEncoder().fit(MIXED), MIXED),
    "stream": stream,
    "transformer of others": transformer_of_others,
}


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_with_the_documented_types_is_exact(kind, tmp_path):
    model, rows = KINDS[kind]()
    io.dump(model, tmp_path / "model.skops")
    restored = io.load(tmp_path / "model.skops", trusted=DOCUMENTED)
    assert repr(restored) == repr(model)
    assert vars(restored).keys() == vars(model).keys()
    for one, other in zip(outputs(model, rows), outputs(restored, rows), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_documented_types_are_those_that_skops_asks_for():
    found = set()
    for kind in KINDS.values():
        found.update(io.get_untrusted_types(data=io.dumps(kind()[0])))
    assert sorted(found) == DOCUMENTED


def test_training_goes_on_to_the_bit():
    model, _ = KINDS["stream"]()
    restored = io.loads(io.dumps(model), trusted=DOCUMENTED)
    further = FRAME.assign(user="a new one")
    predictions = [
        one.partial_fit(further, Y).predict(FRAME) for one in (model, restored)
    ]
    np.testing.assert_array_equal(*predictions)


def test_field_ids_are_read_only_again():
    field_map = hstack([X, X]).field_map
    restored = io.loads(io.dumps(field_map), trusted=DOCUMENTED)
    assert restored == field_map
    assert not restored.ids.flags.writeable


def test_matrix_comes_back_without_its_map():
    """What the documentation says; a plain matrix is never taken for one with a map."""
    rows = hstack([X, X])
    content = io.dumps(rows)
    restored = io.loads(content, trusted=io.get_untrusted_types(data=content))
    assert not isinstance(restored, FieldCSR)
    np.testing.assert_array_equal(restored.toarray(), rows.toarray())
