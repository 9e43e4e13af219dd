"""Fork after fit, threads, processes and the backends of joblib."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("_concurrent.py")
SECONDS = 240


@pytest.mark.parametrize(
    "case",
    [
        "fork",
        "preload",
        "threads",
        "spawn",
        "backends",
        pytest.param(
            "dask",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("distributed") is None,
                reason="distributed is not installed",
            ),
        ),
    ],
)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_concurrency(case):
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), case],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A process that has one thread cannot wait for another's.
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        start_new_session=True,
    )
    try:
        lines, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        lines, errors = process.communicate()
        lines += "hangs"
    assert lines == "done\n", lines + errors
