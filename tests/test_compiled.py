"""The compiled core against its slow twins: scores, steps, rows, instruction sets.

All numbers are drawn in float32, so that every precision starts from the same ones.
"""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skwfm._bags import to_flat
from skwfm._kernels import compiled, online, reference
from skwfm._kernels.compiled import Options, Rows, Scheme, Table, score, train

pytestmark = pytest.mark.skipif(
    not compiled.available(), reason="installed without the compiled core"
)

DTYPES = [np.float32, np.float64]
# Of a score, relative to the sum of its terms' sizes; of a step, to the largest change.
SCORE_ERROR = {np.float32: 1e-6, np.float64: 1e-12}
STEP_ERROR = {np.float32: 1e-5, np.float64: 1e-12}
FACTORS = [1, 3, 4, 5, 8, 16, 32]
STEPS = ["adagrad", "adagrad_weight", "sgd", "ftrl"]
LOSSES = ["squared", "logistic", "softmax", "huber", "poisson"]
CUTS = {False: ["ends", "table", "none"], True: ["ends", "table"]}


def instruction_sets():
    return compiled._core.instruction_sets() if compiled.available() else []


@pytest.fixture(autouse=True)
def restore_instruction_set():
    if not compiled.available():
        yield
        return
    before = compiled._core.instruction_set()
    yield
    compiled._core.set_instruction_set(before)


def variants():
    """Yield every precision on every instruction set, which it makes current."""
    for name in instruction_sets():
        compiled._core.set_instruction_set(name)
        yield from DTYPES


def draw(rng, *shape, scale=0.5):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def draw_matrix(rng, n_rows, n_columns, density):
    """Draw CSR rows of which one has no entry and one a stored zero."""
    mask = rng.random((n_rows, n_columns)) < density
    mask[n_rows // 2] = False
    X = sp.csr_matrix(np.where(mask, draw(rng, n_rows, n_columns, scale=1), 0))
    if X.nnz:
        X.data[X.nnz // 2] = 0
    return X


class Case:
    """Rows, and parameters to score them with, cut in one of three ways.

    `cut` says how the core learns of the fields: "ends" (they stand one after the
    other), "table" (in any order), or "none" (an FM that counts all pairs).
    """

    def __init__(
        self, field_aware, k, n_fields, *, n_outputs=1, intra_field=False, cut="ends",
        n_rows=5, per_field=4, density=0.5, seed=0, X=None,
    ):  # fmt: skip
        rng = np.random.default_rng(seed)
        n_columns = n_fields * per_field
        ids = np.repeat(np.arange(n_fields, dtype=np.int32), per_field)
        if cut == "table":
            ids = rng.permutation(ids)
        self.X = draw_matrix(rng, n_rows, n_columns, density) if X is None else X
        sizes = {"field_aware": field_aware, "n_factors": k, "n_outputs": n_outputs}
        if cut == "none":
            intra_field = True
            self.scheme = Scheme(n_fields=1, **sizes)
        else:
            sizes |= {"n_fields": n_fields, "intra_field": intra_field}
            self.scheme = Scheme.of_fields(ids, cut == "ends", **sizes)
        flat = to_flat(self.X, ids, n_fields)
        self.bags = online.Bags(*flat[:3], n_fields, intra_field)
        self.factors = draw(rng, n_columns, self.scheme.length, scale=0.5 / k**0.5)
        self.linear = draw(rng, n_columns, n_outputs)
        self.bias = draw(rng, n_outputs)
        self.states = rng.uniform(0.25, 1, (n_columns, self.scheme.length)).astype("f4")
        softmax = rng.integers(0, 3, self.n_rows).astype(np.float32)
        self.target = softmax if n_outputs > 1 else draw(rng, self.n_rows, scale=1)
        self.weight = rng.uniform(0.5, 2, self.n_rows).astype(np.float32)
        labels = np.bincount(self.X.indices, minlength=n_columns)
        self.counts = np.maximum(labels, 1).astype(np.int32)

    @property
    def n_rows(self):
        return self.X.shape[0]

    def rows(self, dtype, order=None):
        rows = Rows.of(self.X.astype(dtype))
        return rows if order is None else rows.reordered(np.array(order, np.int64))

    def score(self, dtype, order=None, **options):
        arrays = (a.astype(dtype) for a in (self.factors, self.linear, self.bias))
        return score(self.scheme, self.rows(dtype, order), *arrays, **options)

    def expected(self):
        """Return the reference scores, and the sums of their terms' sizes."""
        name = "ffm_score" if self.scheme.field_aware else "fm_score"
        return [
            np.column_stack([self._expected(getattr(reference, name), c, sizes)
                             for c in range(self.scheme.n_outputs)])
            for sizes in (np.asarray, np.abs)
        ]  # fmt: skip

    def _expected(self, function, c, sizes):
        bags = self.bags
        return function(
            sizes(float(self.bias[c])), sizes(self.linear[:, c]),
            sizes(self.parameters("sgd").factors[:, c]), bags.indices, bags.offsets,
            sizes(bags.weights), bags.n_fields, intra_field=bags.intra_field,
        )  # fmt: skip

    def parameters(self, step):
        """Return the start of the slow twin."""
        n_columns, C = self.linear.shape
        fields = [self.bags.n_fields] if self.scheme.field_aware else []
        shape = (n_columns, C, *fields, self.scheme.n_factors)
        state = self.states if step == "adagrad_weight" else self.states[:, 0]
        linear = self.linear.astype(np.float64)
        return online.Parameters(
            factors=self.factors.reshape(shape).astype(np.float64),
            linear=linear,
            bias=self.bias.astype(np.float64),
            counts=self.counts.copy(),
            state=state.reshape(shape if state.ndim == 2 else -1).astype(np.float64),
            linear_state=np.full((n_columns, C), 0.5),
            bias_state=np.full(C, 0.5),
            linear_z=np.full_like(linear, 0.25),
        )

    def table(self, dtype, step):
        """Return the same start of the core."""
        table = Table(self.scheme, len(self.linear), dtype, step)
        numbers = {"init_scale": 1, "state": 0.5, "linear_state": 0.5, "seed": 0}
        table.start(self.counts, self.bias, **numbers)
        parts = parts_of(table, step)
        parts["factors"][:], parts["linear"][:] = self.factors, self.linear
        whole = step == "adagrad_weight"
        parts["state"][:] = self.states if whole else self.states[:, 0]
        if step == "ftrl":
            parts["linear_z"][:] = 0.25
        return table

    def train(self, table, options, order=None, **more):
        dtype = table.dtype
        arrays = self.target.astype(dtype), self.weight.astype(dtype)
        return train(table, self.rows(dtype, order), *arrays, options, **more)


def parts_of(table, step):
    """Return views of the parts of a table, by the names of the slow twin."""
    C, places = table.scheme.n_outputs, table.places
    parts = {
        "factors": table.factors,
        "linear": table.linear,
        "bias": table.bias[:C],
        "linear_state": table.rows[:, places[1] : places[1] + C],
        "state": table.rows[:, places[3]],
        "bias_state": table.bias[C:],
    }
    if step == "ftrl":
        parts["linear_z"] = table.rows[:, places[2] : places[2] + C]
    if step == "adagrad_weight":
        parts["state"] = table.rows[:, places[5] : places[5] + table.scheme.length]
    return parts


def options(step="adagrad", loss="squared", **changes):
    # SGD knows no scale: at the rate of the others it would leave float32.
    rate = 0.01 if step == "sgd" else 0.1
    rates = {"learning_rate": rate, "learning_rate_linear": 2 * rate}
    return Options(**({"loss": loss, "step": step} | rates | changes))


def check_scores(case):
    expected, sizes = case.expected()
    for dtype in variants():
        got = case.score(dtype)
        assert got.dtype == dtype
        assert (np.abs(got - expected) <= SCORE_ERROR[dtype] * sizes).all()


def check_training(case, chosen, order=None):
    """Compare the losses, parameters and states after one pass."""
    before, after = case.parameters(chosen.step), case.parameters(chosen.step)
    rest = (case.bags, case.target, case.weight, chosen, order)
    expected = online.train(after, *rest)
    n_rows = case.n_rows if order is None else len(order)
    for dtype in variants():
        table = case.table(dtype, chosen.step)
        counts = table.rows[:, table.places[4]]
        if chosen.counting:
            counts[:] = case.counts
        loss, done = case.train(table, chosen, order)
        if chosen.counting:
            assert_array_equal(counts, after.counts)
        assert done == n_rows
        assert loss == pytest.approx(expected, rel=STEP_ERROR[dtype], abs=1e-6)
        for name, got in parts_of(table, chosen.step).items():
            start, want = (getattr(p, name).reshape(got.shape) for p in (before, after))
            error, largest = np.abs(got - want), np.abs(want - start).max()
            # Scores and targets are of size 1, and so is what their errors round: some
            # times a row, which shows where steps are small.
            rounding = 4 * n_rows * np.finfo(dtype).eps * np.maximum(np.abs(want), 0.5)
            if name == "linear_z":  # of FTRL, which divides by the rate
                rounding /= chosen.learning_rate_linear
            assert (error <= STEP_ERROR[dtype] * largest + rounding).all(), name


@pytest.mark.parametrize("n_fields", [1, 2, 5])
@pytest.mark.parametrize("k", FACTORS)
@pytest.mark.parametrize("field_aware", [False, True])
class TestShapes:
    def cases(self, field_aware, k, n_fields):
        for cut in CUTS[field_aware]:
            for n_outputs in (1, 3):
                for intra_field in (False, True)[: 1 + field_aware]:
                    yield Case(
                        field_aware, k, n_fields, n_outputs=n_outputs,
                        intra_field=intra_field, cut=cut, seed=k + n_fields,
                    )  # fmt: skip

    def test_scores(self, field_aware, k, n_fields):
        for case in self.cases(field_aware, k, n_fields):
            check_scores(case)

    def test_training(self, field_aware, k, n_fields):
        for case in self.cases(field_aware, k, n_fields):
            loss = "softmax" if case.scheme.n_outputs > 1 else "squared"
            check_training(case, options(loss=loss, l2_factors=0.3), order=[4, 1, 0])


@pytest.mark.parametrize("field_aware", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("step", STEPS)
def test_every_step_and_loss(step, loss, field_aware):
    case = Case(field_aware, 4, 3, n_outputs=3 if loss == "softmax" else 1, n_rows=10)
    penalties = {"l2_factors": 0.7, "l2_linear": 0.4, "l1_linear": 0.2}
    check_training(case, options(step, loss, huber_delta=0.6, **penalties))
    check_training(case, options(step, loss), order=[3, 3, 9, 0])


@pytest.mark.parametrize("step", STEPS)
def test_what_is_not_fitted_stays(step):
    case = Case(True, 3, 2)
    chosen = options(step, fit_linear=False, fit_bias=False)
    check_training(case, chosen)
    for dtype in variants():
        table = case.table(dtype, step)
        case.train(table, chosen)
        start = parts_of(case.table(dtype, step), step)
        for name in ("linear", "linear_state", "bias", "bias_state"):
            assert_array_equal(parts_of(table, step)[name], start[name])
        assert (table.factors != start["factors"]).any()


@given(st.data())
def test_any_shape(data):
    field_aware = data.draw(st.booleans(), "field_aware")
    n_outputs = data.draw(st.sampled_from([1, 1, 2, 3]), "n_outputs")
    case = Case(
        field_aware,
        data.draw(st.integers(1, 19), "k"),
        data.draw(st.integers(1, 6), "n_fields"),
        n_outputs=n_outputs,
        intra_field=field_aware and data.draw(st.booleans(), "intra_field"),
        cut=data.draw(st.sampled_from(CUTS[field_aware]), "cut"),
        n_rows=data.draw(st.integers(1, 4), "n_rows"),
        per_field=data.draw(st.integers(1, 7), "per_field"),
        density=data.draw(st.floats(0, 1), "density"),
        seed=data.draw(st.integers(0, 99), "seed"),
    )
    if n_outputs > 1:
        case.target %= n_outputs
    check_scores(case)
    penalty = data.draw(st.sampled_from([0.0, 0.5]), "penalty")
    loss = "softmax" if n_outputs > 1 else "squared"
    step = data.draw(st.sampled_from(STEPS), "step")
    check_training(case, options(step, loss, l2_factors=penalty, l2_linear=penalty))


@pytest.mark.parametrize("field_aware", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_penalties_by_the_rows_so_far(step, field_aware):
    penalties = {"l2_factors": 0.5, "l2_linear": 0.7, "counting": True}
    case = Case(field_aware, 4, 3, n_rows=9)
    case.counts[:] = 0
    check_training(case, options(step, **penalties))
    one_each = Case(field_aware, 4, 3, n_rows=9, per_field=1, density=1.0)
    check_training(one_each, options(step, **penalties))


@pytest.mark.parametrize("field_aware", [False, True])
def test_sgd_step_is_the_reference_gradient(field_aware):
    case = Case(field_aware, 5, 3, density=0.8)
    row = case.bags.row(0)
    for dtype in variants():
        table, rate = case.table(dtype, "sgd"), 0.01
        chosen = options("sgd", learning_rate=rate, learning_rate_linear=rate)
        slope = (case.score(np.float64)[0, 0] - case.target[0]) * case.weight[0]
        function = reference.ffm_gradient if field_aware else reference.fm_gradient
        shape = (-1, 3, 5) if field_aware else (-1, 5)
        factors = case.factors.reshape(shape)
        d_bias, d_linear, d_factors = function(
            [slope], case.linear[:, 0], factors, **row
        )
        assert case.train(table, chosen, n_rows=1)[1] == 1
        steps = (
            (table.factors - case.factors, d_factors.reshape(len(factors), -1)),
            (table.linear - case.linear, d_linear[:, None]),
            (table.bias[:1] - case.bias, d_bias),
        )
        for moved, slopes in steps:
            rounding = 2 * np.finfo(dtype).eps
            np.testing.assert_allclose(moved, -rate * slopes, 1e-5, rounding)


def bag_of(n_values, n_fields):
    """Return one row whose first field has many values, the others one each."""
    rng = np.random.default_rng(1)
    X = sp.lil_matrix((2, n_fields * n_values), dtype=np.float32)
    X[0, :n_values] = draw(rng, n_values, scale=1)
    X[:, [f * n_values for f in range(1, n_fields)]] = 1.5
    return X.tocsr()


@pytest.mark.parametrize("cut", ["ends", "table"])
@pytest.mark.parametrize("field_aware", [False, True])
def test_long_bag(field_aware, cut):
    X = bag_of(10_000, 2)
    check_scores(Case(field_aware, 8, 2, cut=cut, per_field=10_000, X=X))


@pytest.mark.parametrize("field_aware", [False, True])
def test_one_large_bag_leaves_the_others_their_digits(field_aware):
    """Squares of sums would lose the small product beside 1e4 squared."""
    X = sp.csr_matrix(np.array([[1e4, 0, 0], [1e4, 1e-3, 2e-3]], np.float32))
    case = Case(field_aware, 4, 3, per_field=1, X=X)
    case.factors[0] = 0
    check_scores(case)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("field_aware", [False, True])
def test_score_has_the_same_bits_in_any_company(field_aware, n_threads):
    case = Case(field_aware, 7, 3, n_outputs=2, n_rows=20, intra_field=field_aware)
    order = np.random.default_rng(0).permutation(20)[:13]
    for dtype in variants():
        alone = np.concatenate([case.score(dtype, [i]) for i in range(20)])
        assert_array_equal(case.score(dtype, n_threads=n_threads), alone)
        part = case.score(dtype, order, n_threads=n_threads)
        assert_array_equal(part, alone[order])


@pytest.mark.parametrize("field_aware", [False, True])
def test_score_without_rows_linear_or_bias(field_aware):
    case = Case(field_aware, 4, 2)
    for dtype in variants():
        assert case.score(dtype, []).shape == (0, 1)
        factors, rows = case.factors.astype(dtype), case.rows(dtype)
        plain = score(case.scheme, rows, factors, None, None)
        zero = np.zeros(1, dtype)
        linear = np.broadcast_to(zero, case.linear.shape)
        assert_array_equal(score(case.scheme, rows, factors, linear, zero), plain)
        assert plain[case.n_rows // 2] == 0  # the row without entries


@pytest.mark.parametrize("field_aware", [False, True])
def test_absent_label_or_weight_zero(field_aware):
    case = Case(field_aware, 5, 3, density=0.9)
    stored = [case.score(dtype) for dtype in variants()]
    case.X.eliminate_zeros()
    for dtype, scores in zip(variants(), stored, strict=True):
        assert_array_equal(case.score(dtype), scores)


@pytest.mark.parametrize("cut", ["ends", "table"])
@pytest.mark.parametrize("field_aware", [False, True])
def test_flat_bags(field_aware, cut):
    """Bags given by their ends, of which Python makes no use yet."""
    case, order = Case(field_aware, 5, 3, cut=cut), np.array([4, 0, 2, 2])
    scheme = replace(case.scheme, field_ends=None, field_of=None)
    flat = case.bags
    for dtype in variants():
        out = np.empty((4, 1), dtype)
        factors, bias = case.factors.astype(dtype), case.bias.astype(dtype)
        compiled._core.score(
            **scheme.arguments(), offsets=flat.offsets, indptr=None,
            indices=flat.indices.astype(np.int32), values=flat.weights.astype(dtype),
            order=order, first=0, n_rows=4, factors=factors, bias=bias, out=out,
            linear=case.linear.astype(dtype), linear_offset=-1, n_threads=2,
        )  # fmt: skip
        assert_array_equal(out, case.score(dtype, order))


def test_table_scores_where_it_stands():
    case = Case(True, 5, 3, n_outputs=3)
    for dtype in variants():
        table = case.table(dtype, "ftrl")
        bias = table.bias[:3]
        got = score(case.scheme, case.rows(dtype), table.factors, table.linear, bias)
        assert_array_equal(got, case.score(dtype))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("field_aware", [False, True])
def test_training_is_the_same_in_parts(field_aware, step):
    case = Case(field_aware, 5, 3, n_rows=11)
    order = [10, 2, 2, 7, 5, 0, 3]
    for dtype in variants():
        whole, again, parts, cut = (case.table(dtype, step) for _ in range(4))
        loss, done = case.train(whole, options(step), order)
        assert (loss, done) == case.train(again, options(step), order)
        assert_array_equal(whole.rows, again.rows)
        halves = [
            case.train(parts, options(step), order, n_rows=3),
            case.train(parts, options(step), order, first=3),
        ]
        assert [part[1] for part in halves] == [3, 4]
        assert halves[0][0] + halves[1][0] == pytest.approx(loss, rel=1e-14)
        assert_array_equal(parts.rows, whole.rows)
        assert_array_equal(parts.bias, whole.bias)
        case.train(parts, options(step), order, first=2, n_rows=4)
        case.train(whole, options(step), order[2:6])
        assert_array_equal(parts.rows, whole.rows)
        case.train(cut, options(step), order, n_rows=0)
        assert_array_equal(cut.rows, case.table(dtype, step).rows)


def test_equal_rows():
    X = sp.csr_matrix(np.tile(draw(np.random.default_rng(5), 1, 12), (9, 1)))
    case = Case(True, 4, 3, X=X)
    case.target[:] = case.target[0]
    check_scores(case)
    check_training(case, options())
    for dtype in variants():
        assert len(np.unique(case.score(dtype))) == 1


@pytest.mark.parametrize("field_aware", [False, True])
def test_training_tells_the_score_before_each_step(field_aware):
    case, order = Case(field_aware, 5, 3, n_outputs=3, n_rows=6), [5, 0, 0, 2]
    chosen = options(loss="softmax")
    for dtype in variants():
        table, slow = case.table(dtype, "adagrad"), case.table(dtype, "adagrad")
        got = np.full((3, 3), np.nan, dtype)
        case.train(table, chosen, order, first=1, scores=got)
        for scores, i in zip(got, order[1:], strict=True):
            model = slow.factors, slow.linear, slow.bias[:3]
            expected = score(case.scheme, case.rows(dtype, [i]), *model)[0]
            np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
            case.train(slow, chosen, [i])


@pytest.mark.parametrize("k", [4, 8, 16])
@pytest.mark.parametrize("missing", [0.0, 0.1, 0.5])
def test_one_label_per_field(k, missing):
    """Such rows are scored pair by pair."""
    n_fields, per_field, n_rows = 13, 3, 40
    rng = np.random.default_rng(0)
    labels = rng.integers(per_field, size=(n_rows, n_fields))
    dense = np.zeros((n_rows, n_fields, per_field), np.float32)
    rows, fields = np.indices(labels.shape)
    present = rng.random(labels.shape) >= missing
    dense[rows, fields, labels] = np.where(present, rng.normal(size=labels.shape), 0)
    X = sp.csr_matrix(dense.reshape(n_rows, -1))
    ends = per_field * np.arange(1, n_fields + 1)
    scheme = Scheme(True, k, n_fields, field_ends=ends)
    factors = rng.normal(size=(X.shape[1], scheme.length)).astype(np.float32)
    parts = factors.reshape(X.shape[1], n_fields, k).astype(float)
    sums = np.einsum("rfl,flgk->rfgk", dense, parts.reshape(n_fields, -1, n_fields, k))
    pairs = np.einsum("rfgk,rgfk->rfg", sums, sums)
    want = np.triu(pairs, 1).sum((1, 2))
    bound = 2e-6 * np.abs(pairs).sum((1, 2)).max()
    for name in instruction_sets():
        compiled._core.set_instruction_set(name)
        got = score(scheme, Rows.of(X), factors, None, None)[:, 0]
        assert np.abs(got - want).max() < bound, name


@pytest.mark.parametrize("l2", [0.0, 0.5])
@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("k", [4, 5, 8, 16, 32])
def test_training_with_one_label_per_field(k, step, missing, l2):
    """Such rows are trained pair by pair, neighbouring fields together; gaps too."""
    n_fields, per_field, n_rows = 7, 3, 12
    rng = np.random.default_rng(k)
    dense = np.zeros((n_rows, n_fields, per_field), np.float32)
    label = rng.integers(per_field, size=(n_rows, n_fields))
    np.put_along_axis(dense, label[:, :, None], draw(rng, n_rows, n_fields, 1), axis=2)
    dense[rng.random((n_rows, n_fields)) < missing] = 0
    dense[5] = 0
    dense[6, 1:] = 0
    X = sp.csr_matrix(dense.reshape(n_rows, -1))
    for cut in CUTS[True]:
        case = Case(True, k, n_fields, per_field=per_field, X=X, cut=cut)
        check_training(case, options(step, l2_factors=l2))


@pytest.mark.parametrize("step", ["adagrad", "sgd"])
def test_gradient_of_one_label_overflows(step):
    """Then no vector of a row of one label per field moves."""
    X = sp.csr_matrix(np.diag(np.ones(3, np.float32)) + 1e-3)
    case = Case(True, 4, 3, per_field=1, X=X)
    case.factors[1, :4] = 1e30
    table = case.table(np.float32, step)
    before = table.factors.copy()
    _, done = case.train(table, options(step))
    assert done == 0
    assert_array_equal(table.factors, before)
    assert np.isfinite(table.rows).all()
