"""Explanations equal the scores and the slow formulas; searches equal all pairs."""

import copy
import tracemalloc
from dataclasses import replace
from functools import cache
from itertools import combinations, combinations_with_replacement

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skwfm import (
    FieldCSR,
    FieldTransformer,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)
from skwfm import inspection as ins
from skwfm._kernels import reference
from skwfm.inspection._opened import open_model, score_unit

FIELDS = {"sorted": [0, 0, 0, 1, 1, 2, 2, 2], "mixed": [1, 0, 2, 0, 1, 2, 0, 2]}
KINDS = {
    "fm": (WeightedFMRegressor, {}),
    "ffm": (WeightedFFMRegressor, {}),
    "fm inside": (WeightedFMRegressor, {"intra_field": True}),
    "ffm inside": (WeightedFFMRegressor, {"intra_field": True}),
    "poisson": (WeightedFMRegressor, {"loss": "poisson"}),
    "two classes": (WeightedFFMClassifier, {}),
    "three classes": (WeightedFMClassifier, {}),
    "three classes ffm": (WeightedFFMClassifier, {"intra_field": True}),
}


def make_rows(fields):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(60, len(fields)))
    dense *= rng.random(dense.shape) < 0.5
    dense[0] = 0
    return FieldCSR(dense.astype(np.float32), fields=fields)


def make_model(kind, fields):
    """Return a model with large terms of all kinds, and rows."""
    return copy.deepcopy(_make_model(kind, tuple(fields)))


@cache
def _make_model(kind, fields):
    make, options = KINDS[kind]
    X = make_rows(fields)
    n_classes = 3 if "three" in kind else 2
    model = make(3, max_iter=1, random_state=0, **options)
    model.fit(X, np.arange(X.shape[0]) % n_classes)
    rng = np.random.default_rng(0)
    model.factors_ = rng.normal(size=model.factors_.shape)
    model.coef_ = rng.normal(size=model.coef_.shape)
    model.intercept_ = rng.normal(size=np.shape(model.intercept_))[()]
    return model, X


def scores_of(model, X):
    if hasattr(model, "decision_function"):
        return model.decision_function(X)
    scores = model.predict(X)
    return np.log(scores) if model.loss == "poisson" else scores


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("kind", KINDS)
class TestExplain:
    def test_terms_sum_to_the_score(self, kind, fields):
        model, X = make_model(kind, FIELDS[fields])
        explained = ins.explain(model, X, label_pairs=True)
        expected = scores_of(model, X)
        np.testing.assert_allclose(explained.scores(), expected, rtol=1e-9, atol=1e-9)
        shares = explained.intercept + explained.by_field().sum(axis=1)
        np.testing.assert_allclose(shares, expected, rtol=1e-9, atol=1e-9)
        by_row = explained.to_frame().groupby("row")["contribution"].sum()
        summed = expected if expected.ndim == 1 else expected.sum(axis=1)
        np.testing.assert_allclose(by_row, summed, rtol=1e-9, atol=1e-9)

    def test_pairs_are_those_of_the_formula(self, kind, fields):
        model, X = make_model(kind, FIELDS[fields])
        explained = ins.explain(model, X)
        inside = bool(model.intra_field)
        pairs = combinations_with_replacement if inside else combinations
        assert explained.field_pairs.tolist() == [list(p) for p in pairs(range(3), 2)]
        for at, (f, g) in enumerate(explained.field_pairs):
            np.testing.assert_allclose(
                explained.pairs[:, at], slow_pair(model, X, f, g), atol=1e-9
            )

    def test_label_pairs_sum_to_field_pairs(self, kind, fields):
        model, X = make_model(kind, FIELDS[fields])
        explained = ins.explain(model, X, label_pairs=True)
        out = np.zeros_like(explained.pairs)
        entry_fields = explained.field_of_entry[explained.label_entries]
        number = {tuple(pair): at for at, pair in enumerate(explained.field_pairs)}
        rows = explained.row_of_entry[explained.label_entries]
        assert (rows[:, 0] == rows[:, 1]).all()
        for row, pair, term in zip(
            rows[:, 0], entry_fields, explained.label_terms, strict=True
        ):
            out[row, number[tuple(sorted(pair))]] += term
        np.testing.assert_allclose(out, explained.pairs, atol=1e-9)

    def test_one_row_is_the_row_among_all(self, kind, fields):
        model, X = make_model(kind, FIELDS[fields])
        explained = ins.explain(model, X, label_pairs=True)
        frame = explained.to_frame()
        for row in (0, 7, X.shape[0] - 1):
            alone = explained.to_frame(row)
            same = frame[frame["row"] == row].reset_index(drop=True)
            # Without a label a column has no text at all, and another dtype.
            pd.testing.assert_frame_equal(
                alone.astype({"label": object, "label_2": object}).fillna(""),
                same.astype({"label": object, "label_2": object}).fillna(""),
                check_dtype=False,
            )


def slow_pair(model, X, f, g):
    """Score the rows with no more than two fields by the reference, less the rest."""
    several = np.ndim(model.intercept_) > 0
    n_outputs = len(model.intercept_) if several else 1
    out = np.empty((X.shape[0], n_outputs))
    dense = X.toarray()
    fields = model.fields_
    formula = reference.ffm_score if factors_are_aware(model) else reference.fm_score
    for c in range(n_outputs):
        factors = model.factors_[:, c] if several else model.factors_
        for i, row in enumerate(dense):
            total = 0.0
            for shown, sign in (({f, g}, 1), ({f}, -1), ({g}, -1)):
                if f == g and sign == -1:
                    continue
                kept = [
                    [j for j in np.flatnonzero(row) if fields[j] == h and h in shown]
                    for h in range(3)
                ]
                labels = [j for bag in kept for j in bag]
                offsets = np.cumsum([0, *map(len, kept)])
                total += sign * float(
                    formula(
                        0.0,
                        np.zeros(len(fields)),
                        factors,
                        labels,
                        offsets,
                        row[labels],
                        3,
                        intra_field=bool(model.intra_field),
                    )[0]
                )
            out[i, c] = total
    return out if several else out[:, 0]


def factors_are_aware(model):
    return isinstance(model, WeightedFFMRegressor | WeightedFFMClassifier)


def test_float32_terms_sum_to_a_millionth():
    rng = np.random.default_rng(0)
    X = FieldCSR(
        (rng.random((500, 60)) * (rng.random((500, 60)) < 0.3)).astype(np.float32),
        fields=[3] * 20,
    )
    y = rng.normal(size=500)
    model = WeightedFFMRegressor(random_state=0, solver="adagrad").fit(X, y)
    assert model.factors_.dtype == np.float32
    difference = ins.explain(model, X).scores() - model.predict(X)
    assert np.abs(difference).max() < 1e-6


def test_singleton_fields_have_no_pairs_inside():
    X = np.random.default_rng(0).normal(size=(50, 4))
    fm = WeightedFMRegressor(random_state=0).fit(X, X[:, 0] * X[:, 1])
    explained = ins.explain(fm, X)
    assert explained.pairs.shape == (50, 6)
    np.testing.assert_allclose(explained.scores(), fm.predict(X), atol=1e-9)


DRAWN = {
    "fm": (WeightedFMRegressor, {}),
    "fm inside": (WeightedFMRegressor, {"intra_field": True}),
    "two classes": (WeightedFMClassifier, {}),
}
TERMS = ("intercept", "linear", "pairs", "label_terms")


def make_drawn(kind, fields, n_draws=5):
    """Return a model with draws that differ much, and rows."""
    return copy.deepcopy(_make_drawn(kind, tuple(fields), n_draws))


@cache
def _make_drawn(kind, fields, n_draws):
    make, options = DRAWN[kind]
    X = make_rows(fields)
    model = make(3, solver="mcmc", max_iter=3, n_kept=2, random_state=0, **options)
    model.fit(X.astype(np.float64), np.arange(X.shape[0]) % 2)
    rng = np.random.default_rng(1)
    shape = n_draws, len(fields)
    model.samples_ = replace(
        model.samples_,
        factors=rng.normal(size=(*shape, 3)),
        linear=3.0 + rng.normal(size=shape),
        intercept=rng.normal(size=n_draws),
        noise=np.ones(n_draws),
        spread=None,
    )
    return model, X


def by_draw(model):
    """Return a model without draws for each of them."""
    out = []
    samples = model.samples_
    for draw, intercept in zip(samples, samples.intercept, strict=True):
        one = copy.copy(model)
        del one.samples_
        one.factors_, one.coef_ = draw[0], draw[1][:, 0]
        one.intercept_ = float(intercept)
        out.append(one)
    return out


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("kind", DRAWN)
class TestDraws:
    def test_terms_are_means_with_their_deviation(self, kind, fields):
        model, X = make_drawn(kind, FIELDS[fields])
        explained = ins.explain(model, X, label_pairs=True)
        each = [ins.explain(one, X, label_pairs=True) for one in by_draw(model)]
        for name in TERMS:
            terms = np.array([getattr(one, name) for one in each])
            for found, expected in (
                (getattr(explained, name), terms.mean(axis=0)),
                (getattr(explained, f"{name}_std"), terms.std(axis=0)),
            ):
                assert np.shape(found) == expected.shape
                np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
        np.testing.assert_array_equal(explained.label_entries, each[0].label_entries)

    def test_pairs_are_those_of_the_formula(self, kind, fields):
        model, X = make_drawn(kind, FIELDS[fields])
        explained = ins.explain(model, X)
        for at, (f, g) in enumerate(explained.field_pairs):
            terms = [slow_pair(one, X, f, g) for one in by_draw(model)]
            for found, expected in (
                (explained.pairs, np.mean(terms, axis=0)),
                (explained.pairs_std, np.std(terms, axis=0)),
            ):
                np.testing.assert_allclose(found[:, at], expected, atol=1e-9)

    def test_terms_sum_to_the_mean_score(self, kind, fields):
        model, X = make_drawn(kind, FIELDS[fields])
        explained = ins.explain(model, X, label_pairs=True)
        expected = np.mean([scores_of(one, X) for one in by_draw(model)], axis=0)
        shares = explained.intercept + explained.by_field().sum(axis=1)
        frame = explained.to_frame()
        by_row = frame.groupby("row")["contribution"].sum()
        for found in (explained.scores(), shares, by_row):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        if kind != "two classes":
            np.testing.assert_allclose(expected, model.predict(X), rtol=1e-9, atol=1e-9)

    def test_one_row_is_the_row_among_all(self, kind, fields):
        model, X = make_drawn(kind, FIELDS[fields])
        explained = ins.explain(model, X, label_pairs=True)
        for row in (0, 7, X.shape[0] - 1):
            alone = ins.explain(model, X[row : row + 1], label_pairs=True)
            for name in TERMS:
                for key in (name, f"{name}_std"):
                    np.testing.assert_allclose(
                        getattr(explained.only(row), key), getattr(alone, key)
                    )

    def test_table_has_the_deviation(self, kind, fields):
        model, X = make_drawn(kind, FIELDS[fields])
        explained = ins.explain(model, X)
        frame = explained.to_frame()
        assert frame.columns[-2:].tolist() == ["contribution", "std"]
        by_term = frame.groupby("term")["std"]
        assert by_term.get_group("intercept").eq(explained.intercept_std).all()
        linear = frame[frame["term"] == "linear"]
        np.testing.assert_array_equal(linear["std"], explained.linear_std)
        pairs = frame.loc[frame["term"] == "pair", "std"]
        assert set(pairs) <= set(explained.pairs_std.ravel())
        whole = ins.explain(model, X, label_pairs=True)
        labels = whole.to_frame()
        np.testing.assert_array_equal(
            labels.loc[labels["term"] == "pair", "std"], whole.label_terms_std
        )
        of_row = frame[frame["row"] == 7]
        np.testing.assert_array_equal(explained.to_frame(7)["std"], of_row["std"])

    def test_strengths_are_those_of_the_aligned_mean(self, kind, fields):
        model, X = make_drawn(kind, FIELDS[fields])
        aligned = copy.copy(model)
        del aligned.samples_
        np.testing.assert_array_equal(
            ins.field_interactions(model, X), ins.field_interactions(aligned, X)
        )
        assert ins.top_interactions(model, 3) == ins.top_interactions(aligned, 3)
        assert ins.similar(model, "field2", "x5") == ins.similar(
            aligned, "field2", "x5"
        )


class TestSpread:
    @pytest.mark.parametrize("kind", ["fm", "ffm inside", "three classes"])
    def test_none_without_draws(self, kind):
        model, X = make_model(kind, FIELDS["mixed"])
        explained = ins.explain(model, X, label_pairs=True)
        assert all(getattr(explained, f"{name}_std") is None for name in TERMS)
        assert "std" not in explained.to_frame()

    def test_none_of_a_single_draw(self):
        model, X = make_drawn("fm", FIELDS["sorted"], n_draws=1)
        explained = ins.explain(model, X, label_pairs=True)
        assert explained.intercept == model.samples_.intercept[0]
        assert explained.intercept_std == 0
        for name in TERMS[1:]:
            std = getattr(explained, f"{name}_std")
            assert std.shape == getattr(explained, name).shape and not std.any()

    def test_of_draws_that_are_large_beside_it(self):
        model, X = make_drawn("fm", FIELDS["sorted"])
        before = ins.explain(model, X)
        model.samples_ = replace(model.samples_, linear=model.samples_.linear + 1e6)
        after = ins.explain(model, X)
        assert np.abs(after.linear).max() > 1e5
        np.testing.assert_allclose(after.linear_std, before.linear_std, atol=1e-8)

    def test_parts_of_rows_do_not_matter(self, monkeypatch):
        model, X = make_drawn("fm inside", FIELDS["mixed"])
        whole = ins.explain(model, X, label_pairs=True)
        monkeypatch.setattr("skwfm.inspection._terms._PART_VALUES", 1)
        parts = ins.explain(model, X, label_pairs=True)
        for name in ("pairs", "pairs_std", "label_terms", "label_terms_std"):
            np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))

    def test_draws_are_not_held_at_once(self):
        n_draws, n_rows = 200, 2000
        model, _ = make_drawn("fm", FIELDS["sorted"], n_draws=n_draws)
        X = FieldCSR(
            np.random.default_rng(0).normal(size=(n_rows, 8)), fields=[3, 2, 3]
        )
        ins.explain(model, X[:1])
        tracemalloc.start()
        explained = ins.explain(model, X)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        of_one = explained.linear.nbytes + explained.pairs.nbytes
        assert peak < 30 * of_one < n_draws * of_one

    def test_room_is_for_both(self, monkeypatch):
        model, X = make_drawn("fm", FIELDS["sorted"])
        monkeypatch.setattr("skwfm.inspection._explain.memory_limit", lambda: 2000)
        message = "360 terms of pairs of fields and their spread take"
        with pytest.raises(MemoryError, match=message):
            ins.explain(model, X)

    @pytest.mark.parametrize("name", ["factors", "linear"])
    def test_numbers_that_overflow(self, name):
        model, X = make_drawn("fm", FIELDS["sorted"])
        huge = getattr(model.samples_, name) * 1e200
        model.samples_ = replace(model.samples_, **{name: huge})
        with pytest.raises(ValueError, match="too large for a float"):
            ins.explain(model, X, label_pairs=True)

    def test_of_a_pipeline(self):
        table = films(1200)
        fm = WeightedFMRegressor(4, solver="mcmc", max_iter=8, random_state=0)
        model = make_pipeline(FieldTransformer(), fm).fit(table, rating(table))
        explained = ins.explain(model, table)
        np.testing.assert_allclose(explained.scores(), model.predict(table), atol=1e-5)
        assert (explained.linear_std > 0).all()
        spreads = explained.to_frame(0).set_index(["term", "field", "label"])["std"]
        labels = model[:-1].get_feature_names_out().tolist()
        user = table["user"][0]
        at = next(i for i, name in enumerate(labels) if name.endswith(f"user={user}"))
        expected = fm.samples_.linear[:, at].std(dtype=np.float64)
        (spread,) = spreads.loc[[("linear", "user", user)]]
        assert spread == pytest.approx(expected)

    def test_of_two_classes_is_near_the_decision(self):
        X = make_rows(FIELDS["mixed"])
        y = np.arange(X.shape[0]) % 2
        model = WeightedFMClassifier(2, solver="mcmc", max_iter=20, random_state=0)
        scores = ins.explain(model.fit(X, y), X).scores()
        decision = model.decision_function(X)
        assert np.corrcoef(scores, decision)[0, 1] > 0.97
        assert not np.allclose(scores, decision, atol=1e-3)

    def test_score_of_levels_is_latent(self):
        X = make_rows(FIELDS["mixed"])
        y = np.resize([1.0, 2.0, 5.0], X.shape[0])
        model = WeightedFMRegressor(2, loss="ordinal", max_iter=6, random_state=0)
        model.fit(X, y)
        assert score_unit(open_model(model)) == "latent score"
        explained = ins.explain(model, X)
        each = [scores_of(one, X) for one in by_draw(model)]
        np.testing.assert_allclose(explained.scores(), np.mean(each, axis=0), atol=1e-9)
        model.set_params(loss="squared_error").fit(X, y)
        assert score_unit(open_model(model)) == "units of the target"


def test_no_rows_are_refused_as_by_predict():
    model, X = make_model("ffm inside", FIELDS["sorted"])
    with pytest.raises(ValueError, match="0 sample"):
        ins.explain(model, X[:0])


def test_parts_of_rows_do_not_matter(monkeypatch):
    model, X = make_model("ffm", FIELDS["mixed"])
    whole = ins.explain(model, X, label_pairs=True)
    monkeypatch.setattr("skwfm.inspection._terms._PART_VALUES", 1)
    parts = ins.explain(model, X, label_pairs=True)
    np.testing.assert_array_equal(parts.pairs, whole.pairs)
    np.testing.assert_array_equal(parts.label_terms, whole.label_terms)


def films(n_rows=400):
    rng = np.random.default_rng(0)
    genres = np.array(["Drama", "War", "Comedy", "Art"])
    return pd.DataFrame(
        {
            "user": rng.choice([f"u{i}" for i in range(20)], n_rows),
            "genres": [
                rng.choice(genres, rng.integers(0, 3), replace=False).tolist()
                for _ in range(n_rows)
            ],
            "year": rng.choice([-1.0, 0.0, 1.0], n_rows),
        }
    )


def rating(table):
    is_fan = table["user"].isin(["u1", "u2", "u3"]).to_numpy()
    has_war = np.array(["War" in cell for cell in table["genres"]])
    return 3.0 + 2.0 * (is_fan & has_war) - 1.0 * (~is_fan & has_war)


@pytest.fixture(scope="module")
def pipeline():
    table = films(2000)
    encoder = FieldTransformer(
        [
            ("tags", WeightedMultiLabelEncoder(), ["genres"]),
            ("user", WeightedMultiLabelEncoder(), ["user"]),
            ("year", "passthrough", ["year"]),
        ]
    )
    fm = WeightedFMRegressor(random_state=0, l2_factors=0.1, l2_linear=0.1)
    return make_pipeline(encoder, fm).fit(table, rating(table))


class TestNames:
    def test_of_a_pipeline(self, pipeline):
        frame = ins.explain(pipeline, films()).to_frame(3)
        assert set(frame["field"].dropna()) <= {"genres", "user", "year"}
        linear = frame[frame["term"] == "linear"]
        labels = dict(zip(linear["field"], linear["label"], strict=True))
        assert labels["user"].startswith("u") and labels["year"] == ""

    def test_of_a_frame_that_the_estimator_encodes(self):
        table = films()
        fm = WeightedFMRegressor(random_state=0, max_iter=2).fit(table, rating(table))
        explained = ins.explain(fm, table)
        assert "War" in explained.names_of_entries()[1]
        np.testing.assert_allclose(explained.scores(), fm.predict(table), atol=1e-6)

    def test_of_a_search(self, pipeline):
        table = films()
        grid = {"weightedfmregressor__n_factors": [2]}
        search = GridSearchCV(pipeline, grid, cv=2).fit(table, rating(table))
        explained = ins.explain(search, table[:5])
        np.testing.assert_allclose(
            explained.scores(), search.predict(table[:5]), atol=1e-6
        )

    def test_given_for_a_matrix(self):
        model, X = make_model("fm", FIELDS["sorted"])
        names = [f"field0={i}" for i in range(8)]
        labels = ins.explain(model, X, feature_names=names).names_of_entries()[1]
        assert labels[0] == str(X.indices[0]) or labels[0] == f"field0={X.indices[0]}"
        with pytest.raises(ValueError, match=r"shape \(3,\), expected one name .* 8"):
            ins.explain(model, X, feature_names=["a", "b", "c"])


class TestFieldInteractions:
    @pytest.mark.parametrize("kind", KINDS)
    def test_over_rows(self, kind):
        model, X = make_model(kind, FIELDS["mixed"])
        strengths = ins.field_interactions(model, X)
        explained = ins.explain(model, X)
        for at, (f, g) in enumerate(explained.field_pairs):
            expected = np.sqrt(np.mean(explained.pairs[:, at] ** 2))
            assert strengths[f, g] == strengths[g, f] == pytest.approx(expected)

    @pytest.mark.parametrize("kind", ["fm", "ffm", "three classes"])
    def test_sums_are_exact_for_independent_fields_of_one_label(self, kind):
        # Every combination of labels once, with weights of their own.
        grid = np.indices((3, 4, 2)).reshape(3, -1).T
        dense = np.zeros((len(grid), 9), dtype=np.float32)
        for row, labels in enumerate(grid + [0, 3, 7]):
            dense[row, labels] = [0.5, 2.0, -1.5]
        X = FieldCSR(dense, fields=[3, 4, 2])
        make, options = KINDS[kind]
        y = np.arange(len(grid)) % (3 if "three" in kind else 2)
        model = make(2, max_iter=1, random_state=0, **options).fit(X, y)
        rng = np.random.default_rng(1)
        model.factors_ = rng.normal(size=model.factors_.shape)
        np.testing.assert_allclose(
            ins.field_interactions(model), ins.field_interactions(model, X), rtol=1e-5
        )

    def test_sums_are_exact_for_bags_of_all_labels(self):
        rng = np.random.default_rng(0)
        one, other = rng.random((7, 1)), rng.random((6, 1))
        pairs = [np.r_[a * [1, 2, 3], b * [1, -1]] for a in one for b in other]
        X = FieldCSR(np.array(pairs), fields=[3, 2])
        model = WeightedFMRegressor(2, max_iter=1).fit(X, np.arange(42.0))
        model.factors_ = rng.normal(size=(5, 2))
        # (1 - 1)^2 = 0: of such a bag the means tell nothing, the total does.
        np.testing.assert_allclose(
            ins.field_interactions(model)[0, 1],
            ins.field_interactions(model, X)[0, 1],
            rtol=0.5,
        )

    def test_partial_fit_counts_all_rows(self):
        model, X = make_model("fm", FIELDS["mixed"])
        y = np.arange(X.shape[0]) % 2
        whole = WeightedFMRegressor(2, random_state=0).partial_fit(X, y)
        parts = WeightedFMRegressor(2, random_state=0)
        for start in range(0, X.shape[0], 13):
            rows = slice(start, start + 13)
            parts.partial_fit(X[rows], y[rows])
        assert whole.statistics_["n_rows"] == X.shape[0]
        for key, value in whole.statistics_.items():
            np.testing.assert_allclose(parts.statistics_[key], value, rtol=1e-12)
        fitted = WeightedFMRegressor(2, random_state=0, max_iter=1).fit(X, y)
        for key, value in fitted.statistics_.items():
            np.testing.assert_allclose(parts.statistics_[key], value, rtol=1e-4)

    def test_pairs_inside_need_rows(self):
        model, _ = make_model("fm inside", FIELDS["sorted"])
        with pytest.raises(ValueError, match="intra_field=True .* Pass X"):
            ins.field_interactions(model)

    def test_a_model_without_sums(self):
        model, X = make_model("fm", FIELDS["sorted"])
        del model.statistics_
        assert ins.field_interactions(model, X).shape == (3, 3)
        with pytest.raises(ValueError, match="no statistics_ .* Pass X, or fit again"):
            ins.field_interactions(model)

    def test_numbers_that_overflow(self):
        model, X = make_model("fm", FIELDS["sorted"])
        model.factors_ *= 1e200
        for call in (ins.field_interactions, ins.explain):
            with pytest.raises(ValueError, match="too large for a float"):
                call(model, X)


def all_pairs(model, target=0):
    """Return (first column, second column): effect of all pairs, by a plain loop."""
    opened = open_model(model)
    inside, fields = opened.model.intra_field, opened.model.fields
    factors = opened.model.factors[:, target].astype(np.float64)
    out = {}
    for i, j in combinations(range(len(fields)), 2):
        if fields[i] == fields[j] and not inside:
            continue
        v, u = factors[i], factors[j]
        if opened.model.field_aware:
            v, u = v[fields[j]], u[fields[i]]
        out[i, j] = float(v @ u)
    return out


class TestTopInteractions:
    @pytest.mark.parametrize("block", [2, 2048])
    @pytest.mark.parametrize("kind", KINDS)
    def test_equals_all_pairs(self, kind, block, monkeypatch):
        monkeypatch.setattr("skwfm.inspection._labels._BLOCK", block)
        model, _ = make_model(kind, FIELDS["mixed"])
        target = 1 if "three" in kind else None
        found = ins.top_interactions(model, 7, target=target)
        expected = all_pairs(model, target or 0)
        strongest = sorted(expected, key=lambda pair: -abs(expected[pair]))[:7]
        columns = [{int(p.label_1[1:]), int(p.label_2[1:])} for p in found]
        assert columns == [set(pair) for pair in strongest]
        effects = [expected[pair] for pair in strongest]
        np.testing.assert_allclose([pair.effect for pair in found], effects)

    @pytest.mark.parametrize("kind", ["fm", "ffm", "ffm inside"])
    def test_of_two_fields(self, kind):
        model, _ = make_model(kind, FIELDS["mixed"])
        found = ins.top_interactions(model, 100, fields=("field2", "field0"))
        assert {(p.field_1, p.field_2) for p in found} == {("field0", "field2")}
        assert len(found) == 9

    def test_inside_one_field(self):
        model, _ = make_model("ffm inside", FIELDS["sorted"])
        found = ins.top_interactions(model, 100, fields=("field0", "field0"))
        assert len(found) == 3
        plain, _ = make_model("ffm", FIELDS["sorted"])
        assert ins.top_interactions(plain, fields=("field0", "field0")) == []

    def test_frequent_pairs_first(self, pipeline):
        fm = pipeline[-1]
        scale = np.sqrt(fm.statistics_["square"] / fm.statistics_["n_rows"])
        names = pipeline[:-1].get_feature_names_out()
        expected = all_pairs(fm)
        best = max(expected, key=lambda p: abs(expected[p]) * scale[p[0]] * scale[p[1]])
        found = ins.top_interactions(pipeline, 1, by="rms")[0]
        labels = {name.split("=")[-1] for name in names[list(best)]}
        assert labels <= {found.label_1, found.label_2, "year__year"}
        assert found.effect == pytest.approx(expected[best], rel=1e-5)
        product = abs(expected[best]) * scale[best[0]] * scale[best[1]]
        assert found.strength == pytest.approx(product, rel=1e-5)

    def test_names_what_was_planted(self, pipeline):
        frame = pd.DataFrame(
            ins.top_interactions(pipeline, 3, fields=("genres", "user"))
        )
        assert set(frame["label_1"]) == {"War"}
        assert set(frame["label_2"]) == {"u1", "u2", "u3"}
        assert (frame["effect"] > 0).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"by": "size"}, "by='size' is not known, expected 'effect' or 'rms'"),
            ({"n": 0}, "n=0, expected a whole number of 1 or more"),
            ({"fields": ("genres",)}, "fields=.*, expected the names of two fields"),
            ({"fields": 3}, "fields=3, expected the names of two fields"),
            ({"fields": ("genres", "x")}, "There is no field 'x'; the fields are"),
        ],
    )
    def test_bad_options(self, pipeline, options, message):
        with pytest.raises(ValueError, match=message):
            ins.top_interactions(pipeline, **options)

    def test_several_scores_need_a_class(self):
        model, _ = make_model("three classes", FIELDS["sorted"])
        for target in (None, 5):
            with pytest.raises(ValueError, match=f"target={target} is not a class"):
                ins.top_interactions(model, target=target)


class TestSimilar:
    @pytest.mark.parametrize("kind", KINDS)
    def test_is_the_cosine(self, kind):
        model, _ = make_model(kind, FIELDS["mixed"])
        found = ins.similar(model, "field2", "x5")
        factors = model.factors_[[2, 5, 7]]
        if factors_are_aware(model) and not model.intra_field:
            factors = np.delete(factors, 2, axis=-2)  # towards the own field: not used
        flat = factors.reshape(3, -1)
        cosines = (
            flat @ flat[1] / np.linalg.norm(flat, axis=1) / np.linalg.norm(flat[1])
        )
        expected = {"x2": cosines[0], "x7": cosines[2]}
        assert {near.label: near.similarity for near in found} == pytest.approx(
            expected
        )
        assert found[0].similarity >= found[1].similarity

    def test_fans_are_alike(self, pipeline):
        near = ins.similar(pipeline, "user", "u1", 2)
        assert {label for label, _ in near} == {"u2", "u3"}

    def test_unknown_names(self, pipeline):
        with pytest.raises(ValueError, match="no field 'genre'; the fields are"):
            ins.similar(pipeline, "genre", "War")
        with pytest.raises(ValueError, match="no label 'Wars'; .*'War'"):
            ins.similar(pipeline, "genres", "Wars")

    def test_a_vector_of_zeros_is_like_none(self):
        model, _ = make_model("fm", FIELDS["sorted"])
        model.factors_[1] = 0
        found = dict(ins.similar(model, "field0", "x0"))
        assert found["x1"] == 0


class TestRefused:
    @pytest.mark.parametrize(
        "call",
        [
            lambda model: ins.explain(model, [[1.0]]),
            ins.field_interactions,
            ins.top_interactions,
            lambda model: ins.similar(model, "a", "b"),
        ],
    )
    def test_what_is_no_model(self, call):
        with pytest.raises(TypeError, match="of type 'dict', expected a fitted FM"):
            call({})

    def test_not_fitted(self):
        with pytest.raises(ValueError, match="not fitted"):
            ins.explain(WeightedFMRegressor(), [[1.0]])

    def test_a_row_that_is_not_there(self):
        model, X = make_model("fm", FIELDS["sorted"])
        explained = ins.explain(model, X)
        for row in (-1, 60, 2.5):
            with pytest.raises((ValueError, TypeError), match=f"row={row}"):
                explained.to_frame(row)

    def test_terms_beyond_memory(self, monkeypatch):
        model, X = make_model("fm", FIELDS["sorted"])
        monkeypatch.setattr("skwfm.inspection._explain.memory_limit", lambda: 1000)
        with pytest.raises(MemoryError, match="180 terms of pairs of fields take"):
            ins.explain(model, X)

    def test_bad_rows_are_told_as_in_predict(self):
        model, X = make_model("fm", FIELDS["sorted"])
        dense = X.toarray()
        dense[3, 2] = np.nan
        with pytest.raises(ValueError, match="row 3"):
            ins.explain(model, FieldCSR(dense, fields=X.fields))

    def test_nothing_given_is_changed(self):
        model, X = make_model("ffm", FIELDS["mixed"])
        before = X.copy(), model.factors_.copy()
        ins.explain(model, X, label_pairs=True)
        ins.field_interactions(model, X)
        ins.top_interactions(model, by="rms")
        assert (X != before[0]).nnz == 0
        np.testing.assert_array_equal(model.factors_, before[1])
