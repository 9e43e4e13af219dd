"""What a notebook shows: the fields of what is fitted, and a link."""

import numpy as np
import pandas as pd
import pytest
import sklearn

import skwfm
from skwfm import FieldTransformer, WeightedFFMRegressor, WeightedMultiLabelEncoder


@pytest.fixture(scope="module")
def model():
    table = pd.DataFrame(
        {"<b>": ["a", "b"] * 20, "genres": [["War"], ["War", "Art"]] * 20}
    )
    return WeightedFFMRegressor(3, max_iter=2, random_state=0).fit(table, range(40))


def test_a_fitted_estimator_shows_its_fields(model):
    html = model._repr_html_()
    assert "2 fields, 4 columns" in html
    assert "FFM with 3 factors" in html
    assert "parameters in float64" in html
    assert "<td>genres</td>" in html
    assert '<td class="n">1.50</td>' in html  # labels per row
    assert "labels: WeightedMultiLabelEncoder(" in html
    assert "2 fields, 4 columns" in model._repr_mimebundle_()["text/html"]


def test_names_are_escaped(model):
    html = model._repr_html_()
    assert "<td>&lt;b&gt;</td>" in html and "<td><b></td>" not in html


def test_nothing_is_shown_of_what_is_not_fitted():
    for estimator in (WeightedFFMRegressor(), WeightedMultiLabelEncoder()):
        assert "skwfm-fields" not in estimator._repr_html_()


def test_many_fields_are_cut_short():
    X = np.eye(30, 25)
    encoder = FieldTransformer([("all", "passthrough", slice(0, 25))]).fit(X)
    html = encoder._repr_html_()
    assert "25 fields, 25 columns" in html and "and 5 more" in html


def test_the_text_display_has_no_html(model):
    with sklearn.config_context(display="text"):
        assert set(model._repr_mimebundle_()) == {"text/plain"}
        assert not hasattr(model, "_repr_html_")


@pytest.mark.parametrize(
    "name",
    [name for name in skwfm.__all__ if hasattr(getattr(skwfm, name), "get_params")],
)
def test_link_to_the_documentation(name):
    make = getattr(skwfm, name)
    instance = make() if name != "FieldTransformer" else make(None)
    assert instance._get_doc_link().endswith(f"/api/generated/skwfm.{name}.html")
