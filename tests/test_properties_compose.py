"""Properties of FieldTransformer on tables of labels, bags, texts and numbers."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skwfm import FieldTransformer, SplineEncoder, WeightedMultiLabelEncoder, hstack
from skwfm._compose import TAKES_ARROW

pytestmark = pytest.mark.slow

LABELS = st.sampled_from(["a", "b", "é", "x y", "1", "False"])
WEIGHTS = st.integers(-4, 4)
BAGS = st.none() | st.lists(st.tuples(LABELS, WEIGHTS), max_size=4)
NUMBERS = st.none() | st.integers(-9, 9)
CELLS = st.tuples(st.none() | LABELS, BAGS, NUMBERS, st.none() | LABELS)
# The first row has something in each column: from nothing comes no column, an error.
FIRST = ("a", [("a", 1)], 0, "b")
ROWS = st.lists(CELLS, max_size=5).map(lambda rows: [FIRST, *rows])
NORMS = st.sampled_from([None, "l1", "max"])
STRUCTS = pa.list_(pa.struct([("label", pa.string()), ("weight", pa.float64())]))


def columns_of(rows):
    """Return the columns: a label, a bag, a number, and text of two labels."""
    user, tags, year, text = map(list, zip(*rows, strict=True))
    return {
        "user": user,
        "tags": [bag and [(x, float(w)) for x, w in bag] for bag in tags],
        "year": [None if number is None else float(number) for number in year],
        "text": [None if cell is None else f"{cell}|z" for cell in text],
    }


def frame_of(rows):
    frame = pd.DataFrame(columns_of(rows), dtype=object)
    return frame.astype({"year": float})


def structs(columns):
    tags = columns["tags"]
    filled = [bag and [{"label": x, "weight": w} for x, w in bag] for bag in tags]
    return {**columns, "tags": filled}


def arrow_of(rows):
    text, types = pa.string(), {"year": pa.float64(), "tags": STRUCTS}
    return pa.table(
        {
            k: pa.array(v, types.get(k, text))
            for k, v in structs(columns_of(rows)).items()
        }
    )


def polars_of(rows):
    struct = pl.List(pl.Struct({"label": pl.String, "weight": pl.Float64}))
    types = {"user": pl.String, "tags": struct, "year": pl.Float64, "text": pl.String}
    return pl.DataFrame(structs(columns_of(rows)), schema=types)


def transformer(normalize=None):
    return FieldTransformer(
        [
            ("user", WeightedMultiLabelEncoder(sep=None, weight_sep=None), ["user"]),
            ("tags", WeightedMultiLabelEncoder(normalize=normalize), ["tags", "text"]),
            ("year", SplineEncoder(3), ["year"]),
        ]
    )


def assert_same(left, right):
    assert left.dtype == right.dtype
    assert left.field_map == right.field_map
    assert_array_equal(left.toarray(), right.toarray())


@given(ROWS, NORMS)
def test_every_container_gives_the_same(rows, normalize):
    model = transformer(normalize)
    expected = model.fit_transform(frame_of(rows))
    for make in (arrow_of, polars_of) if TAKES_ARROW else (polars_of,):
        assert_same(clone(model).fit_transform(make(rows)), expected)
        assert_same(model.transform(make(rows)), expected)


@given(ROWS, NORMS)
def test_fields_are_those_of_the_parts_side_by_side(rows, normalize):
    model, frame = transformer(normalize), frame_of(rows)
    out = model.fit_transform(frame)
    parts = [clone(t).fit_transform(frame[names]) for _, t, names in model.transformers]
    joined = hstack(parts)
    assert out.field_names == joined.field_names == ("user", "tags", "text", "year")
    assert_array_equal(out.toarray(), joined.toarray())
    assert_array_equal(out.fields, joined.fields)
    assert_array_equal(model.fields_, joined.fields)


@given(ROWS, st.randoms())
def test_rows_may_be_permuted(rows, random):
    order = random.sample(range(len(rows)), len(rows))
    out = transformer().fit_transform(frame_of(rows))
    permuted = transformer().fit_transform(frame_of([rows[i] for i in order]))
    assert_same(permuted, out[order])


@given(ROWS, NORMS)
def test_weight_0_is_absence_and_a_repeated_label_its_sum(rows, normalize):
    out = transformer(normalize).fit_transform(frame_of(rows))

    def with_bags(change):
        changed = [(u, bag and change(bag), n, t) for u, bag, n, t in rows]
        return transformer(normalize).fit_transform(frame_of(changed))

    with_zeros = with_bags(lambda bag: [*bag, *((x, 0) for x, _ in bag)])
    assert_array_equal(with_zeros.toarray(), out.toarray())
    halves = with_bags(lambda bag: [(x, w / 2) for x, w in bag for _ in range(2)])
    np.testing.assert_allclose(halves.toarray(), out.toarray(), atol=1e-6)
    assert halves.field_map == out.field_map


@given(ROWS, st.integers(1, 4), NORMS)
def test_unknown_labels_are_absent_and_rows_independent(rows, n_fit, normalize):
    model = transformer(normalize).fit(frame_of(rows[:n_fit]))
    out = model.transform(frame_of(rows))
    encoders = (model.named_transformers_[name] for name in ("user", "tags"))
    seen = [set(encoder.categories_[0].tolist()) for encoder in encoders]
    known = [
        (u if u in seen[0] else None, bag and [e for e in bag if e[0] in seen[1]], n, t)
        for u, bag, n, t in rows
    ]
    assert_same(model.transform(frame_of(known)), out)
    for i, row in enumerate(rows):
        assert_same(model.transform(frame_of([row])), out[i])


@given(ROWS)
def test_labels_come_back(rows):
    """What `inverse_transform` of the parts says, from their columns."""
    model = transformer().fit(frame_of(rows))
    out = model.transform(frame_of(rows))
    user, tags = (model.named_transformers_[name] for name in ("user", "tags"))
    [users] = user.inverse_transform(out[:, model.output_indices_["user"]])
    bags, texts = tags.inverse_transform(out[:, model.output_indices_["tags"]])
    for (label, bag, _, text), *found in zip(rows, users, bags, texts, strict=True):
        sums = {}
        for x, weight in bag or ():
            sums[x] = sums.get(x, 0) + weight
        assert found[0] == ([] if label is None else [(label, 1.0)])
        assert dict(found[1]) == {x: w for x, w in sums.items() if w}
        assert dict(found[2]) == ({} if text is None else {text: 1.0, "z": 1.0})


@given(ROWS, st.integers(1, 4))
def test_default_fields_grow_as_if_seen_at_once(rows, cut):
    """Labels of later rows get columns behind; the others stay as they are."""
    names = ["user", "text"]
    first = frame_of(rows[:cut])[names]
    grown = FieldTransformer().partial_fit(first)
    before = grown.transform(first).toarray()
    if rows[cut:]:
        grown.partial_fit(frame_of(rows[cut:])[names])
    after = grown.transform(first).toarray()
    assert_array_equal(after[:, : before.shape[1]], before)
    assert not after[:, before.shape[1] :].any()
    whole = FieldTransformer().fit(frame_of(rows)[names])
    columns = grown.get_feature_names_out().tolist()
    assert sorted(columns) == sorted(whole.get_feature_names_out())
    order = [columns.index(name) for name in whole.get_feature_names_out()]
    out = grown.transform(frame_of(rows)[names])
    assert_same(out[:, order], whole.transform(frame_of(rows)[names]))
