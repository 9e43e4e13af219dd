"""The choice of transformers as text and in the HTML diagram."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skwfm import FieldTransformer, SplineEncoder, make_field_transformer

FRAME = pd.DataFrame(
    {
        "genres": [["a"], ["b", "c"]],
        "user": ["u", "v"],
        "flag": [True, False],
        "price": [1.5, 3],
        "seen": pd.to_datetime(["2020-01-01", None]),
    }
)


def diagram(transformer):
    """Return the text of the HTML diagram, without its style sheet and markup."""
    html = transformer._repr_html_()
    body = re.sub(r"<(style|script).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_text_before_fit():
    assert str(FieldTransformer()) == (
        "FieldTransformer(): transformers chosen in fit from the dtypes"
    )
    assert repr(FieldTransformer()) == "FieldTransformer()"
    given = make_field_transformer((OneHotEncoder(), ["user"]))
    assert str(given) == repr(given)


def test_text_after_fit():
    transformer = FieldTransformer().fit(FRAME)
    assert str(transformer).splitlines() == [
        "FieldTransformer (columns in: 5, fields: 5, columns out: 12)",
        "  labels      WeightedMultiLabelEncoder(normalize='l2')             genres",
        "  categories  WeightedMultiLabelEncoder(sep=None, weight_sep=None)  "
        "user, flag",
        "  numbers     SplineEncoder()                                       price",
        "  dates       DateEncoder()                                         seen",
        'Text such as "a|b" is one label: WeightedMultiLabelEncoder() splits it.',
        'Numbers that are ids: make them text, X.astype({"id": str}).',
    ]
    assert repr(transformer) == "FieldTransformer()"


def test_hints_are_given_where_they_matter():
    assert "ids" not in str(FieldTransformer().fit(FRAME[["user"]]))
    assert "one label" not in str(FieldTransformer().fit(FRAME[["price"]]))
    given = make_field_transformer((SplineEncoder(), ["price"])).fit(FRAME)
    assert "ids" not in str(given)


def test_text_of_given_transformers():
    transformer = make_field_transformer(
        (OneHotEncoder(), slice("user", "flag")),
        ("passthrough", [3]),
        ("drop", ["genres"]),
        remainder="drop",
    ).fit(FRAME)
    assert str(transformer).splitlines() == [
        "FieldTransformer (columns in: 5, fields: 3, columns out: 5)",
        "  onehotencoder  OneHotEncoder()  user, flag",
        "  passthrough    passthrough      price",
        "  drop           drop             genres",
        "  remainder      drop             seen",
    ]
    scaled = FieldTransformer([("s", StandardScaler(), [1])]).fit(np.eye(2))
    assert str(scaled).splitlines()[1] == "  s          StandardScaler()  x1"
    assert str(FieldTransformer([]).fit(FRAME[[]].assign(a=1))).endswith("drop  a")


def test_many_columns_are_cut():
    wide = pd.DataFrame({f"column_{i}": [1.0, 2.0] for i in range(100)})
    transformer = FieldTransformer().fit(wide)
    line = next(line for line in str(transformer).splitlines() if "numbers" in line)
    assert "column_0, " in line and "..." in line and len(line) < 120
    assert "numbers: column_0, " in diagram(transformer)


@pytest.mark.parametrize("wrap", [lambda transformer: transformer, make_pipeline])
def test_diagram(wrap):
    unfitted = wrap(FieldTransformer())
    text = diagram(unfitted)
    assert "labels: lists, sets, dicts, arrays (chosen in fit)" in text
    assert "dates: dates and datetimes (chosen in fit)" in text
    assert "chosen in fit from the dtypes" in text
    assert "DateEncoder" in text
    fitted = unfitted.fit(FRAME)
    text = diagram(fitted)
    for label in (
        "labels: genres",
        "categories: user, flag",
        "numbers: price",
        "dates: seen",
    ):
        assert label in text
    assert "chosen in fit" not in text
    # What is drawn before `fit` is no parameter.
    assert FieldTransformer().transformers is None


def test_diagram_of_given_transformers():
    transformer = make_field_transformer(
        (OneHotEncoder(), slice("user", "flag")), remainder=StandardScaler()
    )
    table = FRAME[["user", "flag", "price"]]
    assert "onehotencoder" in diagram(transformer)
    text = diagram(transformer.fit(table))
    assert "onehotencoder: user to flag" in text and "remainder: price" in text
