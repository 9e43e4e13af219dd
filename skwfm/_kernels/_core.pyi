"""Types of the compiled core; `compiled` says what the arguments mean."""

from typing import Any

import numpy.typing as npt

_Array = npt.NDArray[Any]

def instruction_sets() -> list[str]: ...
def instruction_set() -> str: ...
def set_instruction_set(name: str) -> None: ...
def narrow(*, indices: _Array, out: _Array) -> None: ...
def faults(
    *,
    indptr: _Array,
    indices: _Array,
    values: _Array,
    n_columns: int,
    n_threads: int,
) -> int: ...
def count(
    *,
    indptr: _Array,
    indices: _Array,
    values: _Array,
    order: _Array | None,
    n_rows: int,
    counts: _Array,
) -> float: ...
def start(
    *,
    table: _Array,
    length: int,
    n_outputs: int,
    places: list[int],
    counts: _Array,
    init_scale: float,
    state: float,
    linear_state: float,
    seed: int,
    labels: _Array | None,
) -> None: ...
def score(
    *,
    field_aware: bool,
    n_factors: int,
    n_fields: int,
    n_outputs: int,
    intra_field: bool,
    field_ends: _Array | None,
    field_of: _Array | None,
    offsets: _Array | None,
    indptr: _Array | None,
    indices: _Array,
    values: _Array,
    order: _Array | None,
    first: int,
    n_rows: int,
    factors: _Array,
    linear: _Array | None,
    linear_offset: int,
    bias: _Array | None,
    out: _Array,
    n_threads: int,
) -> None: ...
def train(
    *,
    field_aware: bool,
    n_factors: int,
    n_fields: int,
    n_outputs: int,
    intra_field: bool,
    field_ends: _Array | None,
    field_of: _Array | None,
    indptr: _Array,
    indices: _Array,
    values: _Array,
    order: _Array | None,
    first: int,
    n_rows: int,
    target: _Array,
    weight: _Array | None,
    scores: _Array | None,
    table: _Array,
    bias: _Array,
    places: list[int],
    loss: int,
    step: int,
    learning_rate: float,
    learning_rate_linear: float,
    l2_factors: float,
    l2_linear: float,
    l1_linear: float,
    huber_delta: float,
    fit_linear: bool,
    fit_bias: bool,
    counting: bool,
    n_threads: int,
    hot: _Array | None,
    interval: int,
) -> tuple[float, int]: ...
def gradient(
    *,
    field_aware: bool,
    n_factors: int,
    n_fields: int,
    n_outputs: int,
    intra_field: bool,
    offsets: _Array | None,
    indptr: _Array | None,
    indices: _Array,
    values: _Array,
    n_rows: int,
    factors: _Array,
    linear: _Array | None,
    of_scores: _Array,
    place: _Array | None,
    out_factors: _Array | None,
    out_linear: _Array | None,
    out_weights: _Array | None,
) -> None: ...
def unique_labels(
    *, indices: _Array, n_features: int, unique: _Array, place: _Array
) -> int: ...
def adagrad_step(
    *,
    labels: _Array | None,
    values: _Array,
    table: _Array,
    states: _Array,
    per_row: bool,
    rate: float,
    eps: float,
    n_threads: int,
) -> None: ...
def adam_step(
    *,
    labels: _Array | None,
    values: _Array,
    table: _Array,
    means: _Array,
    squares: _Array,
    rate: float,
    eps: float,
    beta1: float,
    beta2: float,
    n_threads: int,
) -> None: ...
def parse_text(
    *,
    text: _Array,
    n_fields: int,
    n_features: int,
    labels: _Array,
    ends: _Array,
    lines: _Array,
    keys: _Array,
    values: _Array,
) -> tuple[int, int, int, int, int, int]: ...
def find_columns(
    *,
    keys: _Array,
    slots: _Array,
    known: _Array,
    n_known: int,
    by_feature: bool,
    add: bool,
    out: _Array,
) -> tuple[int, int]: ...
def format_text(
    labels: _Array,
    indptr: _Array,
    indices: _Array,
    values: _Array,
    fields: _Array,
    features: _Array,
    first: int,
    last: int,
    out: _Array,
) -> int: ...
def number_objects(
    *, index: dict[Any, int], bags: list[Any], codes: _Array
) -> None: ...
def number_pieces(
    *, text: _Array, sep: _Array, codes: _Array, sizes: _Array, bounds: _Array
) -> int: ...
def number_texts(
    *, text: _Array, ends: _Array, codes: _Array, bounds: _Array
) -> int: ...
def canonical_rows(
    *,
    indptr: _Array,
    columns: _Array,
    codes: _Array,
    weights: _Array,
    weighted: bool,
    ends: _Array,
) -> bool: ...
