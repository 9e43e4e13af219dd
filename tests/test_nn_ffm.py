"""What only the field-aware module has: fewer bags than fields, and `fields`."""

import numpy as np
import pytest
import torch

from skwfm._kernels import reference
from skwfm.nn import WeightedFFM

N_FEATURES, N_FIELDS, K = 10, 4, 3
INDICES = torch.tensor([[0, 3, 3, 9], [1, 2, 0, 0]])
OFFSETS = torch.tensor([[1, 1, 3], [0, 1, 1]])
WEIGHTS = torch.tensor([[0.5, -1.0, 2.0, 1.5], [1.0, 3.0, float("nan"), float("nan")]])


def make(**kwargs):
    generator = torch.Generator().manual_seed(0)
    kwargs = {
        "dtype": torch.float64,
        "init_scale": 1.0,
        "generator": generator,
    } | kwargs
    ffm = WeightedFFM(N_FEATURES, K, N_FIELDS, **kwargs)
    with torch.no_grad():
        ffm.linear.normal_(generator=generator)
        ffm.bias.normal_(generator=generator)
    return ffm


def expected_scores(ffm, rows, **options):
    """Score rows given as {field: [(label, weight), ...]} by the reference."""
    bags = [row.get(field, []) for row in rows for field in range(N_FIELDS)]
    entries = [entry for bag in bags for entry in bag]
    offsets = np.cumsum([0, *[len(bag) for bag in bags]])
    return reference.ffm_score(
        ffm.bias.item(),
        ffm.linear.detach().numpy()[:, 0],
        ffm.bag.weight.detach().numpy().reshape(N_FEATURES, N_FIELDS, K),
        [label for label, _ in entries],
        offsets,
        [weight for _, weight in entries],
        N_FIELDS,
        **options,
    )


BAGS = [
    [[(0, 0.5), (3, -1.0)], [], [(3, 2.0), (9, 1.5)]],
    [[(1, 1.0)], [(2, 3.0)], []],
]


def placed(fields):
    """Put the bags of each row at their fields, merging where fields repeat."""
    rows = []
    for bags, ids in zip(BAGS, fields, strict=True):
        row = {}
        for bag, field in zip(bags, ids, strict=True):
            row.setdefault(field, []).extend(bag)
        rows.append(row)
    return rows


FIELDS = {
    "in order": [[0, 1, 2], [0, 1, 2]],
    "permuted": [[3, 0, 1], [1, 3, 0]],
    "repeated": [[2, 2, 2], [1, 1, 0]],
    "repeated apart": [[3, 1, 3], [0, 2, 0]],
}


@pytest.mark.parametrize("int_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("intra_field", [False, True])
@pytest.mark.parametrize("name", FIELDS)
def test_fields(name, intra_field, int_dtype):
    ffm = make(intra_field=intra_field)
    fields = torch.tensor(FIELDS[name], dtype=int_dtype)
    scores = ffm(INDICES, OFFSETS, WEIGHTS, fields)
    expected = expected_scores(ffm, placed(FIELDS[name]), intra_field=intra_field)
    np.testing.assert_allclose(scores.detach(), expected, rtol=1e-12)
    scores.sum().backward()
    assert torch.isfinite(ffm.bag.weight.grad).all()


@pytest.mark.parametrize("intra_field", [False, True])
def test_fewer_bags_than_fields(intra_field):
    ffm = make(intra_field=intra_field)
    scores = ffm(INDICES, OFFSETS, WEIGHTS)
    expected = expected_scores(ffm, placed(FIELDS["in order"]), intra_field=intra_field)
    np.testing.assert_allclose(scores.detach(), expected, rtol=1e-12)


def test_more_bags_than_fields_need_fields():
    ffm = make()
    offsets = torch.tensor([[0, 0, 1, 2, 3]])
    arrays = (INDICES[:1], offsets, WEIGHTS[:1])
    with pytest.raises(ValueError, match=r"got 5 bags per row.*num_fields=4.*fields="):
        ffm(*arrays)
    fields = torch.tensor([[0, 1, 1, 3, 0]])
    row = {0: [(0, 0.5), (9, 1.5)], 1: [(3, -1.0)], 3: [(3, 2.0)]}
    np.testing.assert_allclose(
        ffm(*arrays, fields=fields).detach(), expected_scores(ffm, [row]), rtol=1e-12
    )


def test_one_field():
    ffm = WeightedFFM(5, 2, num_fields=1, init_scale=1.0)
    torch.nn.init.normal_(ffm.linear)
    scores = ffm(torch.tensor([[1, 4]]), torch.tensor([[1]]), torch.tensor([[2.0, 3]]))
    expected = 2 * ffm.linear[1] + 3 * ffm.linear[4]
    torch.testing.assert_close(scores, expected)


def test_vectors_towards_the_own_field_do_not_count():
    ffm = make()
    arrays = (INDICES[1:], OFFSETS[1:], WEIGHTS[1:])  # label 1 is in field 0
    before = ffm(*arrays)
    table = ffm.bag.weight.data.view(N_FEATURES, N_FIELDS, K)
    table[1, 0] = float("inf")
    assert torch.equal(ffm(*arrays), before)
    table[1, 1] = 0.0
    assert not torch.equal(ffm(*arrays), before)


def test_fields_of_no_rows():
    ffm = make()
    arrays = (INDICES[:0], OFFSETS[:0], WEIGHTS[:0])
    assert ffm(*arrays, fields=torch.zeros(0, 3).long()).shape == (0,)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([[0, 1, 2], [0, 4, 1]], r"fields, row 1: got \[0, 4, 1\], .* from 0 to 3"),
        ([[0, -1, 2], [0, 1, 2]], r"fields, row 0: got \[0, -1, 2\]"),
        ([[0, 1, 2]], r"fields: got shape \(1, 3\), expected \(2, 3\), as offsets"),
        ([0, 1, 2], r"fields: got shape \(3,\)"),
        ([[0.0, 1, 2], [0, 1, 2]], r"fields: got dtype torch\.float32"),
    ],
)
def test_errors(fields, message):
    with pytest.raises(ValueError, match=message):
        make()(INDICES, OFFSETS, WEIGHTS, torch.tensor(fields))


def test_attributes():
    ffm = make()
    assert (ffm.num_features, ffm.field_dim, ffm.num_fields) == (
        N_FEATURES,
        K,
        N_FIELDS,
    )
    assert ffm.bag.weight.shape == (N_FEATURES, N_FIELDS * K)
