"""All cases of the fault probe, by name, and the kinds of fault that they are of."""

from collections import Counter

import _cases_cells
import _cases_containers
import _cases_encoders
import _cases_fields
import _cases_frames
import _cases_matrices
import _cases_modules
import _cases_operators
import _cases_padded
import _cases_parameters
import _cases_runs
import _cases_shapes
import _cases_targets
import _cases_values
import _cases_weights
from _probe import Case

ROWS = {
    1: "NaN or infinity in X, or in the weight of a label",
    2: "finite but huge values, steps that are too long, divergence",
    3: "targets: not finite, complex, continuous, of one class, of any labels, (n, 1)",
    4: "weights of rows: not finite, negative, all zero, too few",
    5: "sparse matrices and bags with labels out of range or broken pointers",
    6: "matrices of any form: unsorted, read-only, mapped, of other types",
    7: "sizes beyond 2**31",
    8: "shapes, names and order of columns, no rows, unfitted models",
    9: "labels that fit did not see",
    10: "cells of mixed kinds, weights that are no numbers",
    11: "labels twice in a cell, weights 0 and below, empty bags",
    12: "the same cells in any container",
    13: "one long row among short ones",
    14: "Ctrl-C, callbacks that fail",
    15: "a writer that is killed",
    16: "model files that are damaged or of another version",
    17: "fork after fit, threads",
    18: "models of a device that is not there",
    19: "bad values and names of parameters",
    20: "a full disk, a read-only folder",
}
TABLES = (
    _cases_matrices,
    _cases_values,
    _cases_targets,
    _cases_weights,
    _cases_shapes,
    _cases_parameters,
    _cases_cells,
    _cases_containers,
    _cases_encoders,
    _cases_fields,
    _cases_frames,
    _cases_modules,
    _cases_operators,
    _cases_padded,
    _cases_runs,
)


def _by_name() -> dict[str, Case]:
    cases = [case for table in TABLES for case in table.cases()]
    names = Counter(case.id for case in cases)
    twice = [name for name, count in names.items() if count > 1]
    assert not twice, f"two cases have one name: {twice}"
    return {case.id: case for case in cases}


CASES = _by_name()
