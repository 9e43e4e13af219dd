"""The process that runs the cases, and the one that watches it.

The child gets the name of a case on its input and answers by a line of JSON. A child
that dies has crashed on the case it was given, one that does not answer in time hangs
on it; the next case gets a new child. Starting one takes seconds, a case milliseconds:
hence the many cases per child.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any, TextIO

from _probe import CRASH, HANG, Outcome, judge

# For a case of some milliseconds on a machine that does other things too.
TIME_LIMIT = 60.0
# Until all is imported.
START_LIMIT = 300.0


class Worker:
    """A child process with the cases of a module.

    Parameters
    ----------
    module : str
        Its ``CASES`` are a dictionary of cases.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        self.child: subprocess.Popen[str] | None = None
        self.lines: queue.Queue[str] = queue.Queue()
        self.errors: Any = None

    def run(self, name: str, time_limit: float = TIME_LIMIT) -> Outcome:
        """Run a case; tell a crash by the end of the child, a hang by its silence."""
        if self.child is None:
            self._start()
        assert self.child is not None and self.child.stdin is not None
        try:
            print(name, file=self.child.stdin, flush=True)
            answer = self.lines.get(timeout=time_limit)
        except queue.Empty:
            self._kill()
            return Outcome(HANG, f"no answer within {time_limit:g} s")
        except BrokenPipeError:  # it died between two cases
            answer = ""
        if answer:
            return Outcome(*json.loads(answer))
        code, said = self.child.wait(), self._said()
        self._kill()
        return Outcome(CRASH, f"{_name_of(code)}\n{said}")

    def close(self) -> None:
        """End the child."""
        if self.child is not None and self.child.stdin is not None:
            self.child.stdin.close()
            self.child.wait(TIME_LIMIT)
        self._kill()

    def _start(self) -> None:
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.lines = queue.Queue()
        self.child = subprocess.Popen(
            [sys.executable, __file__, self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        reader = threading.Thread(target=_read, args=(self.child, self.lines))
        reader.daemon = True
        reader.start()
        try:
            started = self.lines.get(timeout=START_LIMIT)
        except queue.Empty:
            started = ""
        if not started:
            said = self._said()
            self._kill()
            raise RuntimeError(f"The cases of {self.module} cannot be loaded:\n{said}")

    def _said(self) -> str:
        self.errors.seek(0)
        return str(self.errors.read()[-4000:])

    def _kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            for pipe in (self.child.stdin, self.errors):
                with suppress(BrokenPipeError):  # what it did not read any more
                    pipe.close()
        self.child = None


def _read(child: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    """Hand on what a child says, at the end an empty line."""
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            lines.put(line)
    lines.put("")


def _name_of(code: int) -> str:
    if code >= 0:
        return f"the process ended with code {code}"
    return f"the process was ended by {signal.Signals(-code).name}"


def serve(module: str, requests: TextIO, answers: TextIO) -> None:
    """Run cases by name until there are no more."""
    cases = import_module(module).CASES
    print("ready", file=answers, flush=True)
    for line in requests:
        outcome = judge(cases[line.rstrip("\n")])
        print(json.dumps(outcome), file=answers, flush=True)


if __name__ == "__main__":
    import faulthandler

    faulthandler.enable()
    # What a case prints must not be taken for an answer.
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.argv[1], sys.stdin, own)
