"""The skorch net: batches, the guard, the curves, the falling step."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning

from skwfm._losses import Squared, Target
from skwfm._net import (
    BagDataset,
    BagNet,
    Batch,
    BatchIterator,
    slice_batch,
    stopping_callbacks,
)
from skwfm._solvers import SOLVERS, auto_batch_size, choose_solver
from skwfm.nn import WeightedFM

FIELDS = (np.array([0, 0, 1], dtype=np.int32), 2, True)


def make_dataset(n_rows=10):
    rng = np.random.default_rng(0)
    X = csr_matrix(rng.random((n_rows, 3)) * (rng.random((n_rows, 3)) < 0.7))
    target = Target(np.arange(float(n_rows)), start=np.zeros(1))
    return BagDataset(X, FIELDS, target, np.arange(1.0, n_rows + 1))


def make_net(dataset, solver="sgd", learning_rate=0.1, max_iter=4, **params):
    torch.manual_seed(0)
    callbacks = stopping_callbacks(
        solver=SOLVERS[solver],
        early_stopping=False,
        max_iter=max_iter,
        patience=100,
        tol=0.0,
        learning_rate=learning_rate,
    )
    return BagNet(
        WeightedFM(3, 2, dtype=torch.float64),
        Squared(),
        solver=SOLVERS[solver],
        weight_decay={"bag.emb.weight": 0.5, "linear": 0.25},
        random_state=np.random.RandomState(0),
        lr=learning_rate,
        max_epochs=max_iter,
        batch_size=4,
        callbacks=callbacks,
        verbose=0,
        **params,
    )


def test_weights_are_scaled_to_mean_one():
    dataset = make_dataset()
    assert dataset.total_weight == 55
    assert dataset.weights.mean() == pytest.approx(1)
    assert dataset.weights[1] == pytest.approx(2 * dataset.weights[0])


@pytest.mark.parametrize("shuffle", [False, True])
def test_iterator_gives_every_row_once(shuffle):
    dataset = make_dataset()
    rng = np.random.RandomState(0) if shuffle else None
    iterator = BatchIterator(dataset, 4, rng)
    passes = [list(iterator), list(iterator)]
    for batches in passes:
        assert [len(batch) for batch, _ in batches] == [4, 4, 2]
        order = np.concatenate([target.numpy() for _, target in batches])
        assert_array_equal(np.sort(order), np.arange(10))
        assert (order == np.arange(10)).all() == (not shuffle)
        for batch, target in batches:
            rows = target.numpy().astype(int)
            assert_array_equal(batch.row_weights.numpy(), dataset.weights[rows])
            assert_array_equal(to_dense(batch), dataset.X[rows].toarray())
    if shuffle:
        first, second = (batches[0][1].tolist() for batches in passes)
        assert first != second


def to_dense(batch):
    indices, offsets, weights = (part.numpy() for part in batch.parts)
    rows = np.repeat(np.arange(len(batch)), np.diff(offsets[:: batch.n_fields]))
    return csr_matrix((weights, (rows, indices)), shape=(len(batch), 3)).toarray()


def test_batch_shares_the_memory_of_its_rows():
    X = make_dataset().X
    batch = slice_batch(X, *FIELDS)
    assert np.shares_memory(batch.parts[0].numpy(), X.indices)
    assert np.shares_memory(batch.parts[2].numpy(), X.data)


def test_batch_stays_where_it_is():
    batch = make_dataset().take(slice(0, 3))[0]
    assert isinstance(batch.to("cpu"), Batch)
    assert batch.to("cpu").parts[0].data_ptr() == batch.parts[0].data_ptr()


def test_full_batch_loss_contains_the_penalty():
    dataset = make_dataset()
    net = make_net(dataset, "lbfgs", learning_rate=1.0, max_iter=1)
    before = {k: v.clone() for k, v in net.module.state_dict().items()}
    net.fit(dataset, None)
    # skorch records the loss of the first evaluation: that of the start.
    batch, target = dataset.take(slice(0, 10))
    start = WeightedFM(3, 2, dtype=torch.float64)
    start.load_state_dict(before)
    with torch.no_grad():
        scores = start.score_flat(*batch.parts, 2).view(-1, 1)
        loss = Squared()(scores, (target, batch.row_weights)).item()
    penalty = 0.5 * 0.5 * before["bag.emb.weight"].square().sum().item()
    assert net.history[0, "train_loss"] == pytest.approx(loss + penalty, rel=1e-12)
    assert penalty > 1e-5


def test_weight_decay_reaches_each_parameter():
    net = make_net(make_dataset()).initialize()
    groups = net.optimizer_.param_groups
    decays = {
        group["weight_decay"]: [p.shape for p in group["params"]] for group in groups
    }
    assert decays == {0.5: [(3, 2)], 0.25: [(3, 1)], 0: [(1,)]}


def test_step_falls_along_a_half_cosine():
    net = make_net(make_dataset(), learning_rate=0.1, max_iter=4)
    net.fit(make_dataset(), None)
    steps = net.history[:, "event_lr"]
    expected = 0.001 + 0.099 * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2
    assert_allclose(steps, expected)


def test_curves():
    net = make_net(make_dataset(), valid=make_dataset(5)).fit(make_dataset(), None)
    curves = net.curves()
    assert set(curves) == {"train_loss", "valid_loss", "seconds", "learning_rate"}
    assert all(len(curve) == 4 for curve in curves.values())
    assert all(type(x) is float for curve in curves.values() for x in curve)


def test_guard_restores_the_last_finite_parameters():
    dataset = make_dataset()
    net = make_net(dataset, learning_rate=1e9, max_iter=50).initialize()
    start = net.module_.bag.weight.detach().clone()
    with pytest.warns(ConvergenceWarning, match=r"epoch \d+ \(loss .*learning_rate=1e"):
        net.partial_fit(dataset, None)
    assert len(net.history) < 50
    weight = net.module_.bag.weight.detach()
    assert weight.isfinite().all()
    if len(net.history) == 1:
        assert torch.equal(weight, start)


def choice(name="auto", n_rows=1000, n_parameters=100, values_per_row=10):
    sizes = {"n_rows": n_rows, "n_parameters": n_parameters}
    return choose_solver(
        name, values_per_row=values_per_row, **sizes, online=False
    ).name


def test_choice_of_solver():
    assert choice() == "lbfgs"
    assert choice(n_rows=1001) == "adam"
    # Few rows of many columns: the memory of L-BFGS is 20 times the parameters.
    assert choice(n_parameters=2**21) == "adam"
    # Few rows of many fields: a pass over all of them at once.
    assert choice(values_per_row=2**13) == "adam"
    assert choice("sgd", n_rows=10) == "sgd"


def test_batch_size():
    assert auto_batch_size(10, 8) == 64
    assert auto_batch_size(64_000, 8) == 1000
    assert auto_batch_size(10**9, 8) == 8192
    # 40 fields of 40 vectors of 16: 64 MiB of float32.
    assert auto_batch_size(10**9, 40 * 40 * 16) == 655
    assert auto_batch_size(10**9, 2**30) == 1


def test_part_keeps_the_weights():
    dataset = make_dataset()
    part = dataset.part(np.array([1, 9]))
    assert part.total_weight == pytest.approx(2 + 10)
    assert_allclose(part.weights, [2 * 2 / 12, 2 * 10 / 12])
    assert_array_equal(part.target, [1, 9])
    assert_array_equal(part.X.toarray(), dataset.X[[1, 9]].toarray())


def test_kept_epoch_is_the_one_before_a_divergence():
    net = make_net(make_dataset(), learning_rate=1e9, max_iter=50)
    with pytest.warns(ConvergenceWarning):
        net.fit(make_dataset(), None)
    assert net.kept_epoch() == len(net.history) - 1
    assert make_net(make_dataset()).fit(make_dataset(), None).kept_epoch() == 4
