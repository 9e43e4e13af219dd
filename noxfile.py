#!/usr/bin/env -S python -m nox -f
# /// script
# dependencies = ["nox>=2025.5.1"]
# ///
"""The checks of the project, each in an environment of its own: `nox -s NAME`."""

import os
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"

CONSTRAINTS = ("-c", "constraints.txt")
# The lower bounds of pyproject.toml, and the oldest frames that go with them.
OLDEST = (
    "narwhals==2.0.1",
    "numpy==1.26.4",
    "pandas==2.2.0",
    "polars==1.0.0",
    "pyarrow==15.0.2",
    "scikit-learn==1.6.0",
    "scipy==1.11.4",
    "skorch==1.0.0",
    "torch==2.4.0",
)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*CONSTRAINTS, "ruff")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package."""
    session.install(*CONSTRAINTS, "-e", ".[dev]")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests and examples with the pinned packages; takes pytest's options."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=["3.11", "3.12"], default=False)
def tests_oldest(session: nox.Session) -> None:
    """Run the tests with the oldest packages that the package accepts.

    Examples print what the newest packages print, and old packages warn about each
    other: doctests and warnings as errors are for the pinned set.
    """
    session.install(*OLDEST, "-e", ".[test]")
    session.run("pytest", "tests", "-W", "default", *session.posargs)


@nox.session(default=False)
def sanitize(session: nox.Session) -> None:
    """Run the tests of the compiled core under the address and UB sanitizers of GCC."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    base = Path(session.create_tmp()).resolve() / "build"
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -O1 -g1"
    build = ("python", "setup.py", "-q", "build", "--force", "--build-base", str(base))
    session.run(*build, env={"SKWFM_CXXFLAGS": flags})
    (library,) = base.glob("lib*")
    # The interpreter is not sanitized: the runtime must be there before it starts, and
    # leaks are its own. A safe path, because the checkout has a core without checks.
    env = {
        "ASAN_OPTIONS": "detect_leaks=0",
        "LD_PRELOAD": " ".join(map(_library_of_gcc, ("libasan.so", "libstdc++.so"))),
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(library),
        "PYTHONSAFEPATH": "1",
    }
    check = "import sys; from skwfm._kernels import _core; "
    check += "assert _core.__file__.startswith(sys.argv[1]), _core.__file__"
    session.run("python", "-c", check, str(library), env=env)
    names = (
        "compiled",
        "compiled_table",
        "operators",
        "optim",
        "ffm_files",
        "label_kernels",
    )
    tests = [f"tests/test_{name}.py" for name in names]
    pytest = ("python", "-m", "pytest", "-p", "no:cacheprovider", *tests)
    session.run(*pytest, *session.posargs, env=env)


def _library_of_gcc(name: str) -> str:
    """Return the path of a library that comes with the compiler."""
    command = [os.environ.get("CXX", "g++"), f"-print-file-name={name}"]
    return subprocess.check_output(command, text=True).strip()


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation, warnings as errors."""
    session.install(*CONSTRAINTS, "-e", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "docs", "docs/_build/html")
    session.run("python", "docs/check_html.py", "docs/_build/html")


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the wheel into dist/."""
    session.run("python", "-m", "pip", "wheel", "--no-deps", ".", "-w", "dist")


if __name__ == "__main__":
    nox.main()
