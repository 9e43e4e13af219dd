"""The fault probe: what must never happen, case by case.

The tables are in `_cases_*.py`, the kinds of fault in `_cases.py`. Every case runs in a
process that may crash or hang, and is reported as such; the end of a run of pytest
shows the counts.
"""

import pytest
from _cases import CASES, ROWS
from _probe import GOOD
from _worker import Worker

from skwfm._kernels import compiled

# Without it fewer solvers train, and a warning says so.
needs_core = pytest.mark.skipif(not compiled.available(), reason="no compiled core")


@pytest.fixture(scope="session")
def worker():
    worker = Worker("_cases")
    yield worker
    worker.close()


@needs_core
@pytest.mark.parametrize("name", CASES)
def test_fault(worker, name, record_property):
    outcome = worker.run(name)
    record_property("fault_probe", outcome.kind)
    assert outcome.kind == GOOD, f"{outcome.kind}: {outcome.detail}"


def test_every_kind_of_fault_has_cases():
    assert {case.row for case in CASES.values()} == set(ROWS)
