"""python main.py evaluate: measures a run's best weights on a split."""

import argparse

from executor.commands import add_overrides, print_values
from utils.storage import given

HELP = "measure a run's best weights on a split"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    text = "the run's folder, for example runs/default"
    parser.add_argument("run", metavar="RUN", type=given, help=text)
    splits = ("train", "validation", "test")
    parser.add_argument("--split", choices=splits, default="test", help="default: test")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Evaluate and return the values by name."""
    from executor.inference.evaluate import evaluate

    return print_values(evaluate(arguments.run, arguments.split, arguments.overrides))
