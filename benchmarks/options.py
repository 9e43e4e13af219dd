"""Options of the command line that benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_output"]


def add_output(parser: argparse.ArgumentParser, quick: str) -> None:
    """Add where results go, and a run that says `quick`, which writes none."""
    parser.add_argument("--output", type=Path, help="folder; default: results/")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{quick}, no file unless --output is given",
    )
