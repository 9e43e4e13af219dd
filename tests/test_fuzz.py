"""The fuzzer of `tests/fuzz` still works: some inputs of each target, and failures."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "fuzz" / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("_fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("target", ["load", "ffm", "text"])
def test_300_inputs_do_what_is_documented(target, tmp_path):
    options = ["--iterations", "300", "--seconds", "900"]
    command = [sys.executable, SCRIPT, target, *options, "--save", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{target}: 300 inputs, ")
    n_outcomes = int(done.stdout.split(" inputs, ")[1].split()[0])
    assert n_outcomes > 10


class Broken:
    """A target whose reader lets an IndexError out."""

    def run(self, data):
        return f"read {data[0]}"


def test_other_exceptions_are_failures(fuzz):
    assert fuzz.outcome(Broken(), b"\1") == "read 1"
    assert fuzz.outcome(Broken(), b"").startswith("FAIL IndexError: ")


def test_hangs_and_crashes_are_failures(fuzz):
    worker = fuzz.Worker("ffm", limit=1e-3)
    assert worker.run(b"0" + b"1 1:1:1\n" * 10_000).startswith("FAIL hang: no answer")
    assert not worker.is_alive()
    worker = fuzz.Worker("ffm", limit=60)
    assert worker.run(b"01 1:1:1\n").startswith("read rows i")
    worker.process.kill()
    worker.process.wait()
    assert worker.run(b"01 1:1:1\n").startswith("FAIL crash: ")
    worker.close()
