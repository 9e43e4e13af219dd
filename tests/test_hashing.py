"""Hashed labels: the hash is pinned, and the encoder needs no vocabulary."""

import datetime
import decimal
import fractions
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skwfm import FieldTransformer, WeightedMultiLabelEncoder
from skwfm._hashing import label_hash

UTC = datetime.UTC
ZONE = datetime.timezone(datetime.timedelta(hours=2))
# The contract: a model trained with hashed labels must find them for ever.
PINNED = [
    ("Drama", 13087983848596978284),
    ("", 15480124129702343626),
    ("é", 4245299670203427488),
    (1, 10367534826390897200),
    (-0.5, 9301393078330481190),
    (255.0, 13383448819048901887),
    (float("inf"), 10293195190620117372),
    (True, 15779520396620607129),
    (b"a", 13924753440115938760),
    (datetime.date(2020, 1, 31), 4932362358725419803),
]


def encoder(**params):
    return WeightedMultiLabelEncoder(categories="hash", n_hash_features=16, **params)


@pytest.mark.parametrize(("label", "expected"), PINNED)
def test_hash_is_pinned(label, expected):
    assert label_hash(label) == expected


@pytest.mark.parametrize(
    "same",
    [
        (1, 1.0, decimal.Decimal(1), fractions.Fraction(1), decimal.Decimal("1.0")),
        (0.5, decimal.Decimal("0.5"), fractions.Fraction(1, 2)),
        (0, -0.0, 0.0),
        (float("inf"), decimal.Decimal("inf")),
        (
            datetime.datetime(2020, 1, 1, 2, tzinfo=ZONE),
            datetime.datetime(2020, 1, 1, tzinfo=UTC),
            pd.Timestamp("2020-01-01", tz="UTC"),
        ),
        (datetime.datetime(2020, 1, 1), pd.Timestamp("2020-01-01")),
    ],
)
def test_equal_labels_have_one_hash(same):
    assert len({label_hash(label) for label in same}) == 1


def test_kinds_stay_apart():
    labels = [1, "1", True, b"1", 1.5, "n1/1", datetime.date(2020, 1, 1), "2020-01-01"]
    labels += [10**400, 2**80, float("-inf"), "\ud800", np.datetime64("2020-01-01")]
    assert len({label_hash(label) for label in labels[:-1]}) == len(labels) - 1
    assert label_hash(labels[-1]) == label_hash(datetime.date(2020, 1, 1))


def test_same_in_another_process():
    code = "from skwfm._hashing import label_hash; print(label_hash('Drama'))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert int(done.stdout) == label_hash("Drama")


def test_columns_do_not_depend_on_fit():
    cells = [["Drama", "War"], {"War": 0.5, "Sci-Fi": 2}, None, ["Drama", "Drama"]]
    fitted = encoder().fit([["anything"]])
    out = fitted.transform(cells)
    assert out.shape == (4, 16) and out.has_canonical_format
    slow = np.zeros((4, 16))
    for row, cell in enumerate(cells):
        for label in cell or ():
            weight = cell[label] if isinstance(cell, dict) else 1
            slow[row, label_hash(label) % 16] += weight
    np.testing.assert_array_equal(out.toarray(), slow)
    assert (encoder().fit_transform(cells) != out).nnz == 0
    alone = fitted.transform(cells[1:2])
    np.testing.assert_array_equal(alone.toarray(), slow[1:2])


def test_names_and_inverse():
    X = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    hashed = encoder().fit(X)
    out = hashed.transform(X)
    names = hashed.get_feature_names_out().tolist()
    assert names[:2] == ["a=<hash 0>", "a=<hash 1>"] and len(names) == 32
    assert out.fields.tolist() == [0] * 16 + [1] * 16
    column = label_hash("y") % 16
    assert hashed.inverse_transform(out)[0][1] == [(f"<hash {column}>", 1.0)]
    assert [len(labels) for labels in hashed.categories_] == [0, 0]
    assert hashed.partial_fit(X).transform(X).shape == (2, 32)


def test_default_number_of_columns():
    default = WeightedMultiLabelEncoder(categories="hash").fit(["a"])
    assert default.transform(["a"]).shape == (1, 2**18)


@pytest.mark.parametrize(
    "params",
    [{"min_frequency": 2}, {"max_categories": 3}, {"handle_unknown": "error"}],
)
def test_limits_are_refused(params):
    with pytest.raises(ValueError, match="categories='hash' knows no rare"):
        encoder(**params).fit(["a"])


def test_labels_without_a_hash():
    X = pd.DataFrame({"a": ["x", datetime.timedelta(1)]}, dtype=object)
    message = "Column 'a', row 1: got .*expected text, numbers, bools, bytes or dates"
    with pytest.raises(TypeError, match=message):
        encoder().fit(X)
    with pytest.raises(TypeError, match=message):
        encoder().fit(X[:1]).transform(X)


def test_duplicates_are_labels_not_columns():
    labels = [f"l{i}" for i in range(40)]  # more than columns: some must meet
    out = encoder(duplicates="error").fit_transform([labels])
    assert out.sum() == 40 and out.nnz <= 16
    with pytest.raises(ValueError, match="every label once, but 'l3' twice"):
        encoder(duplicates="error").fit([[*labels, "l3"]])


def test_in_a_field_transformer():
    X = pd.DataFrame({"tags": [["a"], ["b"]]})
    fields = FieldTransformer([("t", encoder(), ["tags"])])
    assert fields.fit_transform(X).field_names == ("tags",)


KINDS = st.one_of(
    st.text(max_size=3), st.integers(), st.floats(allow_nan=False), st.booleans()
)


@given(KINDS, KINDS)
def test_hashes_are_equal_exactly_when_the_labels_are(left, right):
    same = left == right and isinstance(left, bool) == isinstance(right, bool)
    assert (label_hash(left) == label_hash(right)) == same
