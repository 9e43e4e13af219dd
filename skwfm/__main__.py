"""The command line: ``python -m skwfm demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from skwfm._demo import run_demo


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m skwfm",
        description="Factorization machines over weighted multi-value fields.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo", help="fit and compare models on 100,004 film ratings"
    )
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("skwfm-demo"),
        help="folder for the model and the picture (default: %(default)s)",
    )
    demo.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        run_demo(options.output, seed=options.seed, report=_say)
    except (ImportError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
