"""python main.py predict: writes what a trained model predicts for files."""

import argparse

HELP = "write what a trained model predicts for files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("run", metavar="RUN", help="the run's folder, for example runs/default")
    text = "files or folders of them"
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help=text)
    parser.add_argument("--output", metavar="DIR", required=True, help="folder to write to")


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print their names."""
    from executor.inference.predict import predict

    for path in predict(arguments.run, arguments.inputs, arguments.output):
        print(path)
