"""python main.py report: writes a run's report anew."""

import argparse

from utils.storage import given

HELP = "write a run's report anew, from its best weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    text = "the run's folder, for example runs/default"
    parser.add_argument("run", metavar="RUN", type=given, help=text)


def run(arguments: argparse.Namespace) -> None:
    """Write the report and print where it is."""
    from executor.inference.report import report

    print(report(arguments.run))
