"""One of the processes (ranks) that a launcher started, and how it ends."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from executor.launch.exits import end_at_once


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what names the machines."""
    parser.add_argument(
        "--hosts",
        dest="address",
        metavar="HOST:PORT,...",
        help="all machines and the first port of each; the same on each",
    )


def as_rank(run: Callable[[], int]) -> int:
    """Run a command and return its exit code, which the launcher sees without further help."""
    return run()


def end(code: int) -> NoReturn:
    """End this program; one of several processes at once.

    TensorFlow's shutdown takes a second, in which a launcher could find it dead.
    """
    if "TF_CONFIG" in os.environ:
        end_at_once(code)
    sys.exit(code)
