"""python main.py evaluate: measures a run's best weights on a split."""

import argparse

from executor.commands import add_overrides, print_values

HELP = "measure a run's best weights on a split"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("run", metavar="RUN", help="the run's folder, for example runs/default")
    splits = ("train", "validation", "test")
    parser.add_argument("--split", choices=splits, default="test", help="default: test")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Evaluate and return the values by name."""
    from executor.inference.evaluate import evaluate

    return print_values(evaluate(arguments.run, arguments.split, arguments.overrides))
