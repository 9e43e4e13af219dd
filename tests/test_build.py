"""Wheels and the source distribution, with a compiler and without one.

They are built by the hooks that pip calls, from a copy of the checkout.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from skwfm._kernels import compiled

ROOT = Path(__file__).parents[1]
CPP = "skwfm/_kernels/cpp"
PARTS = ["LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"]
CORE = "skwfm/_kernels/_core."

IMPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import skwfm
assert skwfm.__file__.startswith(sys.argv[1]), skwfm.__file__
from skwfm._kernels import compiled
print(compiled.available())
"""

pytest.importorskip("pybind11")
pytest.importorskip("setuptools")
unix = pytest.mark.skipif(
    sys.platform == "win32", reason="the compiler is not chosen by CC and CXX"
)


def list_files(folder, suffixes):
    """Return the files below a folder of the checkout, relative to its root."""
    paths = (ROOT / folder).rglob("*")
    return {
        path.relative_to(ROOT).as_posix() for path in paths if path.suffix in suffixes
    }


def run_python(code, *arguments, cwd, **environment):
    """Run code in a fresh interpreter, out of reach of this one's checkout."""
    command = [sys.executable, "-I", "-c", code, *map(str, arguments)]
    # Coverage of the copy is none of the checkout's.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    env = inherited | environment
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def build(tmp_path, kind, **environment):
    """Build the "wheel" or "sdist" of the checkout; return its path."""
    copy, target = tmp_path / "copy", tmp_path / kind
    target.mkdir()
    ignore = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT / "skwfm", copy / "skwfm", ignore=ignore)
    for part in PARTS:
        shutil.copy(ROOT / part, copy)
    code = f"import sys; from setuptools.build_meta import build_{kind} as build;"
    run_python(f"{code} build(sys.argv[1])", target, cwd=copy, **environment)
    (path,) = target.iterdir()
    return path


def unpack(tmp_path, wheel):
    """Unpack a wheel; return where, and the names of its files."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        return tmp_path / "site", set(archive.namelist())


def check_modules(names):
    """Check that a wheel has every module and no source of the core."""
    modules = list_files("skwfm", {".py", ".pyi", ".typed"})
    assert modules <= names
    assert {name for name in names if "/cpp/" in name} == set()


def find_core(names):
    return [name for name in names if name.startswith(CORE) and name[-4:] != ".pyi"]


@pytest.mark.slow
@unix
def test_wheel_without_a_compiler_does_without_the_core(tmp_path):
    missing = str(tmp_path / "no-compiler")
    site, names = unpack(tmp_path, build(tmp_path, "wheel", CC=missing, CXX=missing))
    check_modules(names)
    assert find_core(names) == []
    assert run_python(IMPORT, site, cwd=tmp_path) == "False"


@pytest.mark.slow
@unix
@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "c++")) is None, reason="needs a C++ compiler"
)
def test_wheel_of_a_compiler_has_the_core(tmp_path):
    site, names = unpack(tmp_path, build(tmp_path, "wheel", SKWFM_CXXFLAGS="-O0"))
    check_modules(names)
    assert len(find_core(names)) == 1
    assert run_python(IMPORT, site, cwd=tmp_path) == "True"


def test_source_distribution_has_the_sources_of_the_core(tmp_path):
    with tarfile.open(build(tmp_path, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = list_files(CPP, {".cpp", ".hpp", ".inc"})
    assert f"{CPP}/core.cpp" in sources
    assert sources | {"setup.py", "pyproject.toml"} <= names


def test_a_change_of_any_source_rebuilds_the_core():
    text = (ROOT / "setup.py").read_text()
    for name in list_files(CPP, {".cpp", ".hpp", ".inc"}):
        known = Path(name).stem if name.endswith(".cpp") else Path(name).name
        assert f'"{known}"' in text


@pytest.mark.skipif(
    os.environ.get("SKWFM_REQUIRE_CORE") != "1",
    reason="the core is optional unless SKWFM_REQUIRE_CORE=1",
)
def test_core_is_there_where_it_must_be():
    assert compiled.available()
