"""All cases of the fault probe, by name, and the kinds of fault they are of."""

import _cases_cells as cells
import _cases_encoders as encoders
import _cases_matrices as matrices
import _cases_modules as modules
import _cases_runs as runs
import _cases_shapes as shapes
import _cases_targets as targets
import _cases_values as values

ROWS = {
    1: "NaN or infinity in X or in the weight of a label",
}
TABLES = [matrices, values, targets, shapes, cells, encoders, modules, runs]
CASES = {case.id: case for table in TABLES for case in table.cases()}
