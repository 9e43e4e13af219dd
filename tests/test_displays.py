"""Displays follow scikit-learn's convention and draw what they are given."""

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from skwfm import (
    FieldTransformer,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)
from skwfm import inspection as ins
from skwfm.inspection._drawing import write_apart


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    genres = ["Drama", "War", "Comedy", "Art", "a very long name of a genre " * 3]
    return pd.DataFrame(
        {
            "user": rng.choice([f"u{i}" for i in range(30)], 500),
            "genres": [
                rng.choice(genres, rng.integers(0, 4), replace=False).tolist()
                for _ in range(500)
            ],
            "year": rng.normal(size=500),
        }
    )


@pytest.fixture(scope="module")
def target(table):
    return np.array([len(cell) for cell in table["genres"]]) + table["year"]


@pytest.fixture(scope="module")
def pipeline(table, target):
    fm = WeightedFMRegressor(
        random_state=0, max_iter=4, solver="adagrad", early_stopping=True
    )
    return make_pipeline(FieldTransformer(), fm).fit(table, target)


MAKE = {
    "interactions": lambda est, X, **how: ins.FieldInteractionDisplay.from_estimator(
        est, X, **how
    ),
    "training": lambda est, X, **how: ins.TrainingHistoryDisplay.from_estimator(
        est, **how
    ),
    "embedding": lambda est, X, **how: ins.EmbeddingDisplay.from_estimator(
        est, "genres", X, **how
    ),
    "contribution": lambda est, X, **how: ins.ContributionDisplay.from_estimator(
        est, X, row=3, **how
    ),
}


@pytest.mark.parametrize("kind", MAKE)
class TestConvention:
    def test_a_new_figure(self, kind, pipeline, table):
        display = MAKE[kind](pipeline, table)
        assert display.figure_ is display.ax_.figure
        assert display.ax_.get_title()
        assert len(plt.get_fignums()) == 1
        display.figure_.canvas.draw()

    def test_given_axes_are_drawn_on(self, kind, pipeline, table):
        figure, ax = plt.subplots()
        display = MAKE[kind](pipeline, table, ax=ax)
        assert display.ax_ is ax and display.figure_ is figure
        assert plt.get_fignums() == [figure.number]

    def test_may_be_drawn_again(self, kind, pipeline, table):
        display = MAKE[kind](pipeline, table)
        first = display.ax_
        assert display.plot() is display
        assert display.ax_ is not first
        assert display.ax_.get_title() == first.get_title()

    def test_without_matplotlib(self, kind, pipeline, table, monkeypatch):
        monkeypatch.setattr("skwfm._extras.find_spec", lambda name: None)
        with pytest.raises(ImportError, match=r"matplotlib.*skwfm\[plot\]"):
            MAKE[kind](pipeline, table)


def test_matplotlib_is_imported_to_draw_only():
    code = (
        "import sys, numpy as np\n"
        "from skwfm import WeightedFMRegressor, inspection\n"
        "fm = WeightedFMRegressor(max_iter=1).fit(np.eye(3), [1.0, 2.0, 3.0])\n"
        "inspection.explain(fm, np.eye(3))\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_interactions_show_each_pair_once(pipeline, table):
    display = ins.FieldInteractionDisplay.from_estimator(pipeline, table)
    shown = {(i, j) for i, j in zip(*np.nonzero(display.text_ != None), strict=True)}  # noqa: E711
    assert shown == {(1, 0), (2, 0), (2, 1)}
    number = float(display.text_[2, 1].get_text())
    assert number == pytest.approx(
        display.strengths[2, 1], abs=display.strengths.max() / 20
    )


def test_interactions_inside_fields_are_on_the_diagonal(pipeline, table, target):
    fm = make_pipeline(
        FieldTransformer(), WeightedFMRegressor(intra_field=True, max_iter=2)
    )
    display = ins.FieldInteractionDisplay.from_estimator(fm.fit(table, target), table)
    assert display.text_[0, 0] is not None and display.text_[0, 1] is None


def test_many_fields_have_no_numbers():
    rng = np.random.default_rng(0)
    fm = WeightedFMRegressor(max_iter=1).fit(
        rng.normal(size=(60, 20)), rng.normal(size=60)
    )
    assert ins.FieldInteractionDisplay.from_estimator(fm).text_ is None
    again = ins.FieldInteractionDisplay.from_estimator(fm, values_format=".1f")
    assert again.text_[5, 2].get_text() == f"{again.strengths[5, 2]:.1f}"


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("make", [WeightedFMRegressor, WeightedFFMRegressor])
def test_a_model_of_one_field(make, inside):
    X = np.random.default_rng(0).normal(size=(50, 3))
    model = make(2, fields=[3], max_iter=2, intra_field=inside).fit(X, X[:, 0])
    explained = ins.explain(model, X, label_pairs=True)
    np.testing.assert_allclose(explained.scores(), model.predict(X))
    assert len(explained.to_frame()) == 50 * (7 if inside else 4)
    assert len(ins.top_interactions(model)) == (3 if inside else 0)
    for display in (
        ins.FieldInteractionDisplay.from_estimator(model, X),
        ins.EmbeddingDisplay.from_estimator(model, "field0"),
        ins.ContributionDisplay.from_estimator(model, X),
    ):
        display.figure_.canvas.draw()


def test_interactions_of_next_to_nothing_fit_in_their_cells():
    display = ins.FieldInteractionDisplay([[0, 2e-12], [2e-12, 0]], ["a", "b"]).plot()
    assert display.text_[1, 0].get_text() == "2e-12"


def test_interactions_of_one_field():
    display = ins.FieldInteractionDisplay([[0.0]], ["only"]).plot()
    assert display.text_[0, 0].get_text() == "0.0"


def test_training_marks_the_epoch_kept(pipeline):
    display = ins.TrainingHistoryDisplay.from_estimator(pipeline)
    fm = pipeline[-1]
    train, valid = display.lines_
    assert train.get_ydata().tolist() == fm.history_["train_loss"]
    assert valid.get_ydata().tolist() == fm.history_["valid_loss"]
    marker = display.ax_.lines[-1]
    assert marker.get_xdata()[0] == fm.best_iter_
    assert marker.get_label() == f"epoch kept: {fm.best_iter_}"


def test_training_without_rows_held_out(table, target):
    fm = WeightedFMRegressor(max_iter=1).fit(table, target)
    display = ins.TrainingHistoryDisplay.from_estimator(fm)
    assert len(display.lines_) == 1 and display.valid_loss is None


def test_the_axis_of_training_says_which_loss(table, target):
    models = {
        "Half squared error": WeightedFMRegressor(),
        "Huber": WeightedFMRegressor(loss="huber"),
        "Poisson": WeightedFMRegressor(loss="poisson"),
        "Log loss": WeightedFMClassifier(),
    }
    y = (target > 1).astype(int)
    for name, model in models.items():
        model.set_params(max_iter=1).fit(table, y)
        display = ins.TrainingHistoryDisplay.from_estimator(model)
        assert display.ax_.get_ylabel().startswith(name)


def test_embedding_counts_training_rows_or_those_given(pipeline, table):
    trained = ins.EmbeddingDisplay.from_estimator(pipeline, "genres")
    given = ins.EmbeddingDisplay.from_estimator(pipeline, "genres", table[:50])
    counts = pd.Series(table["genres"].explode()).value_counts()
    found = dict(zip(trained.labels, trained.frequencies, strict=True))
    assert found["War"] == counts["War"]
    few = pd.Series(table["genres"][:50].explode()).value_counts()
    assert dict(zip(given.labels, given.frequencies, strict=True))["War"] == few["War"]
    assert (np.diff(given.frequencies) <= 0).all()


def test_embedding_shows_the_share_of_each_axis(pipeline):
    display = ins.EmbeddingDisplay.from_estimator(pipeline, "user", n_labels=3)
    fm = pipeline[-1]
    vectors = fm.factors_[fm.fields_ == fm.field_names_.index("user")]
    spread = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(display.shares, spread[:2] / spread.sum(), rtol=1e-4)
    assert len(display.ax_.texts) <= 3


@pytest.mark.parametrize("n_labels", [1, 2])
def test_embedding_of_few_labels(n_labels):
    fm = WeightedFMRegressor(1, max_iter=1, fields=[n_labels, 2])
    X = np.eye(n_labels + 2)
    fm.fit(X, np.arange(n_labels + 2.0))
    display = ins.EmbeddingDisplay.from_estimator(fm, "field0")
    assert np.isfinite(display.positions).all()
    display.figure_.canvas.draw()


def test_contributions_sum_to_the_prediction(pipeline, table):
    display = ins.ContributionDisplay.from_estimator(pipeline, table, row=3, n_terms=4)
    total = display.intercept + np.sum(display.contributions)
    assert total == pytest.approx(pipeline.predict(table)[3], abs=1e-5)
    assert len(display.bars_) == 4
    last = display.bars_[-1]
    assert last.get_x() + last.get_width() == pytest.approx(total)
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels[-1] == f"{len(display.names) - 3} smaller terms"


def test_contributions_of_a_class(table, target):
    y = np.array(["low", "mid", "top"])[np.digitize(target, [1, 2])]
    model = WeightedFFMClassifier(max_iter=3, random_state=0).fit(table, y)
    display = ins.ContributionDisplay.from_estimator(model, table, row=5)
    predicted = model.predict(table)[5]
    assert display.unit == f"score of class {predicted}"
    low = ins.ContributionDisplay.from_estimator(model, table, row=5, target="low")
    total = low.intercept + np.sum(low.contributions)
    assert total == pytest.approx(model.decision_function(table)[5, 0], abs=1e-5)
    with pytest.raises(ValueError, match="target='none' is not a class"):
        ins.ContributionDisplay.from_estimator(model, table, target="none")


@pytest.fixture(scope="module")
def drawn(table, target):
    fm = WeightedFMRegressor(3, solver="mcmc", max_iter=8, random_state=0)
    return make_pipeline(FieldTransformer(), fm).fit(table, target)


@pytest.mark.parametrize("n_terms", [4, 100])
def test_contributions_of_draws_have_error_bars(drawn, table, n_terms):
    display = ins.ContributionDisplay.from_estimator(drawn, table, row=3)
    display.plot(n_terms=n_terms)
    row = ins.explain(drawn, table).only(3)
    total = display.intercept + np.sum(display.contributions)
    assert total == pytest.approx(row.scores()[0])
    assert display.draws[:, 0].std() == pytest.approx(row.intercept_std)
    n_linear = len(row.linear)
    stds = display.draws[:, 1:].std(axis=0)
    np.testing.assert_allclose(stds[:n_linear], row.linear_std)
    assert np.isin(stds[n_linear:].round(9), row.pairs_std.round(9)).all()
    order = np.argsort(-np.abs(display.contributions))
    sums = display.draws[:, 1:][:, order]
    if n_terms == 4:
        sums = np.column_stack([sums[:, :3], sums[:, 3:].sum(axis=1)])
    (lines,) = display.bars_.errorbar.lines[2]
    ends = np.array(lines.get_segments())[:, :, 0]
    np.testing.assert_allclose(np.diff(ends, axis=1)[:, 0], 2 * sums.std(axis=0))
    bars = [bar.get_x() + bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(ends.mean(axis=1), bars)
    score = f"{total:.3g} ± {display.draws.sum(axis=1).std():.2g}"
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts[1] == f"score {score}"
    assert display.ax_.get_title() == "Terms of one row, ± one standard deviation"


def test_contributions_without_draws_have_no_error_bars(pipeline, table):
    display = ins.ContributionDisplay.from_estimator(pipeline, table, row=3)
    assert display.draws is None and display.bars_.errorbar is None
    assert display.ax_.get_title() == "Terms of one row"
    assert "±" not in display.ax_.get_legend().get_texts()[1].get_text()


def test_contributions_of_draws_of_classes(table, target):
    model = WeightedFMClassifier(3, solver="mcmc", max_iter=8, random_state=0)
    model.fit(table, np.where(target > 1, "top", "low"))
    display = ins.ContributionDisplay.from_estimator(model, table, row=5)
    assert display.ax_.get_xlabel() == "Log-odds of top"
    assert display.bars_.errorbar is not None
    total = display.intercept + np.sum(display.contributions)
    assert total == pytest.approx(ins.explain(model, table).scores()[5])


def test_contributions_of_draws_may_be_lists():
    draws = [[2.5, 0.4, 1.0], [2.5, 0.6, 1.0]]
    display = ins.ContributionDisplay(["a", "b"], [0.5, 1.0], 2.5, draws=draws)
    display.plot()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["intercept 2.5 ± 0", "score 4 ± 0.1"]


def test_contribution_of_an_empty_row_by_draws():
    model = WeightedFMRegressor(2, solver="mcmc", max_iter=4, fields=[2, 1])
    model.fit(np.eye(3), [1.0, 2.0, 3.0])
    display = ins.ContributionDisplay.from_estimator(model, np.zeros((1, 3)))
    assert display.names == [] and display.draws.shape == (4, 1)
    display.figure_.canvas.draw()


def test_contribution_of_an_empty_row():
    fm = WeightedFMRegressor(max_iter=1, fields=[2, 1]).fit(np.eye(3), [1.0, 2.0, 3.0])
    display = ins.ContributionDisplay.from_estimator(fm, np.zeros((1, 3)))
    assert display.names == [] and len(display.bars_) == 0
    display.figure_.canvas.draw()


@pytest.mark.parametrize("n_terms", [0, -3, 2.5, "a"])
def test_a_number_of_terms_that_is_none(pipeline, table, n_terms):
    with pytest.raises(ValueError, match=f"n_terms={n_terms!r}, expected a whole"):
        ins.ContributionDisplay.from_estimator(pipeline, table, n_terms=n_terms)


@pytest.mark.parametrize("row", [-1, 500, 1.5, "3"])
def test_contribution_of_a_row_that_is_not_there(pipeline, table, row):
    with pytest.raises(ValueError, match=f"row={row!r} is not a row; X has 500"):
        ins.ContributionDisplay.from_estimator(pipeline, table, row=row)


def test_names_cover_nothing():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 2))
    areas = rng.uniform(10, 200, size=60)
    _, ax = plt.subplots()
    ax.scatter(*points.T, s=areas)
    ax.margins(0.1)
    names = [f"label {i} $x_$" for i in range(40)]
    n_written = write_apart(ax, names, points, areas)
    assert n_written == len(ax.texts) > 10
    assert ax.texts[0].get_text() == r"label 0 \$x_\$"  # is no formula
    ax.figure.canvas.draw()
    page = ax.get_window_extent()
    # That of an annotation has its line, too.
    boxes = [matplotlib.text.Text.get_window_extent(text) for text in ax.texts]
    for i, box in enumerate(boxes):
        assert page.x0 - 2 <= box.x0 and box.x1 <= page.x1 + 2
        # A line of text has room above and below that no letter fills.
        assert not any(overlap(box, other) > 3 for other in boxes[:i])


def test_the_empty_label_has_no_name_to_write():
    table = pd.DataFrame({"genres": [[""], ["War"], [" "], ["Art"]] * 10})
    table["user"] = ["ann", "bob"] * 20
    fm = WeightedFMRegressor(max_iter=2).fit(table, np.arange(40.0))
    display = ins.EmbeddingDisplay.from_estimator(fm, "genres")
    assert "" in display.labels
    assert {text.get_text() for text in display.ax_.texts} == {"War", "Art"}


def overlap(box, other):
    """Return by how many pixels two boxes cover each other, along the shorter side."""
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    return min(width, height)
