"""Feed mutated files and text to the readers, and tell what they should not do.

    python tests/fuzz/fuzz.py load --seconds 600

Targets: ``load`` (model files, of which most have a right digest), ``ffm`` (files in
the format of libFFM) and ``text`` (delimited text cells). The readers run in a process
of their own with bounded memory. A failure is: another exception than the documented
ones, a message that names no place, a NaN, two ways of reading that disagree, a crash,
more than ``--limit`` seconds of the processor's time. Its input is kept in ``--save``,
and ``--replay FILE`` runs one again.

Inputs come from `targets.py` beside this file. What gave an outcome that no input gave
before joins the seeds: the messages stand in for a measurement of coverage.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HEAD = struct.Struct("<I")
MAX_SEED = 2**16
MAX_POOL = 3000
# Memory that one input may take beside what the process has when it starts.
ROOM = 2**30
# Seconds without an answer, on a machine that may have other work.
IDLE = 300


class Worker:
    """A process that reads inputs and answers with one line each."""

    def __init__(self, target, limit):
        self.limit = limit
        command = [sys.executable, __file__, target, "--worker", "--limit", str(limit)]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=env)
        self._answer(IDLE)  # that it has started

    def run(self, data):
        """Return the outcome of an input; one that begins with FAIL is none to have."""
        try:
            self.process.stdin.write(HEAD.pack(len(data)) + data)
            self.process.stdin.flush()
        except BrokenPipeError:
            return self._dead()
        return self._answer(IDLE)

    def _answer(self, seconds):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.close()
            return f"FAIL hang: idle for {seconds} s"
        line = self.process.stdout.readline().decode().strip()
        return line or self._dead()

    def _dead(self):
        code = self.process.wait()
        self.close()
        if code == -signal.SIGPROF:
            return f"FAIL hang: no answer within {self.limit} s"
        return f"FAIL crash: the process ended with {code}"

    def is_alive(self):
        return self.process.poll() is None

    def close(self):
        self.process.kill()
        # What a dead process has not read is lost, and closing would say so.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def work(target, limit):
    """Answer inputs until there are no more: the worker's loop."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a reader prints is no answer
    target.prepare()
    bound_memory()
    answers.write(b"ready\n")
    answers.flush()
    while head := sys.stdin.buffer.read(HEAD.size):
        data = sys.stdin.buffer.read(HEAD.unpack(head)[0])
        # Ends this process when it has computed for so long, in C code as well.
        signal.setitimer(signal.ITIMER_PROF, limit)
        told = outcome(target, data)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(told.encode() + b"\n")
        answers.flush()


def bound_memory():
    """Let this process have some more memory than it has, where that can be said."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def outcome(target, data):
    """Run an input here and describe what became of it in a line."""
    try:
        told = target.run(data)
    except BaseException as error:
        told = f"FAIL {type(error).__name__}: {error}"
    return re.sub(r"\s+", " ", told).encode("ascii", "backslashreplace").decode()


def kind_of(told):
    """Return an outcome without the values in it."""
    told = re.sub("got .*, expected", "got *, expected", told)
    told = re.sub(r"'[^']*'|\"[^\"]*\"|\[.*\]|0x\w+|\d+", "*", told)
    return told[:120]


def fuzz(name, target, seconds, iterations, seed, limit, save):
    """Run inputs until the time or the number is over; return the failures by kind."""
    rng, pool = random.Random(seed), target.seeds()
    kinds, failures, count = Counter(), Counter(), 0
    worker, end = Worker(name, limit), time.monotonic() + seconds
    for data in pool:
        told = worker.run(data)
        if told.startswith("FAIL"):
            raise SystemExit(f"a seed fails: {told}")
        kinds[kind_of(told)] += 1
    while count < iterations and time.monotonic() < end:
        data = target.mutated(rng.choice(pool), rng, pool)
        told = worker.run(data)
        count += 1
        if not worker.is_alive():
            worker = Worker(name, limit)
        kind = kind_of(told)
        if told.startswith("FAIL"):
            failures[kind] += 1
            if failures[kind] == 1:
                say(f"{told[:500]}\n  input: {kept(data, name, save)}\n")
        elif kind not in kinds and len(data) < MAX_SEED and len(pool) < MAX_POOL:
            pool.append(data)
        kinds[kind] += 1
    worker.close()
    say(f"{name}: {count} inputs, {len(kinds)} outcomes, {failures.total()} failures\n")
    for kind, number in kinds.most_common():
        say(f"{number:8d} {kind}\n")
    return failures


def kept(data, name, save):
    """Write an input to a file and return its path."""
    save.mkdir(parents=True, exist_ok=True)
    path = save / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    return path


def say(text):
    """Print at once, whatever the output goes to."""
    sys.stdout.write(text)
    sys.stdout.flush()


def main():
    """Read the command line and fuzz."""
    from targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--iterations", type=int, default=2**62)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--limit", type=float, default=5, help="CPU seconds of an input"
    )
    parser.add_argument("--replay", type=Path, help="an input to run, here")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    folder = Path(tempfile.gettempdir(), "skwfm-fuzz")
    parser.add_argument("--save", type=Path, default=folder)
    given = parser.parse_args()
    target = TARGETS[given.target]()
    if given.worker:
        work(target, given.limit)
        return 0
    if given.replay:
        target.prepare()
        say(target.run(given.replay.read_bytes()) + "\n")
        return 0
    options = given.seconds, given.iterations, given.seed, given.limit, given.save
    return bool(fuzz(given.target, target, *options))


if __name__ == "__main__":
    sys.exit(main())
