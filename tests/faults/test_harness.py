"""The harness of the probe sees what goes wrong as what it is."""

import pytest
from _cases_self import CASES
from _probe import CRASH, GOOD, HANG, SILENT_NAN, WRONG
from _worker import Worker

EXPECTED = {
    "segmentation fault": (CRASH, "ended by SIGSEGV"),
    "end of the process": (CRASH, "ended with code 3"),
    "endless wait": (HANG, "no answer within"),
    "silent NaN": (SILENT_NAN, "nan"),
    "silent infinity": (SILENT_NAN, "inf"),
    "NaN with a warning": (WRONG, "nan"),
    "right error": (GOOD, ""),
    "wrong message": (WRONG, "expected a match of \"column 'b'\""),
    "wrong type": (WRONG, "raised ValueError"),
    "no error": (WRONG, "returned 1.0"),
    "unexpected error": (WRONG, "raised ValueError"),
    "unexpected warning": (WRONG, "nan"),
    "missing warning": (WRONG, "did not warn"),
    "bad case": (WRONG, "the case itself raised ZeroDivisionError"),
    "modified input": (WRONG, "the input was modified"),
    "right result": (GOOD, ""),
    "wrong result": (WRONG, "expected array"),
    "printed text": (GOOD, ""),
}


@pytest.fixture(scope="module")
def worker():
    worker = Worker("_cases_self")
    yield worker
    worker.close()


@pytest.mark.parametrize("name", CASES)
def test_outcome(worker, name):
    kind, detail = EXPECTED[name]
    # Only one of the cases does not end by itself; to the others time is no limit.
    outcome = worker.run(name, 1.0 if kind == HANG else 60.0)
    assert outcome.kind == kind
    assert detail in outcome.detail


def test_cases_that_cannot_be_loaded():
    with pytest.raises(RuntimeError, match="No module named '_no_such_cases'"):
        Worker("_no_such_cases").run("any")


def test_a_child_that_ended_between_two_cases(worker):
    assert worker.run("right result").kind == GOOD
    worker.child.kill()
    worker.child.wait()
    assert worker.run("right result").kind == CRASH
    assert worker.run("right result").kind == GOOD
