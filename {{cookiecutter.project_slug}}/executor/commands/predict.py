"""python main.py predict: writes what a trained model predicts for files."""

import argparse

from utils.storage import expanded, given

HELP = "write what a trained model predicts for files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    text = "the run's folder, for example runs/default"
    parser.add_argument("run", metavar="RUN", type=given, help=text)
    text = "files or folders of them"
    parser.add_argument("inputs", metavar="INPUT", nargs="+", type=given, help=text)
    text = "folder to write to"
    parser.add_argument("--recursive", action="store_true", help="take folders in folders, too")
    parser.add_argument("--output", metavar="DIR", required=True, type=expanded, help=text)


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print their names."""
    from executor.inference.predict import predict

    given = (arguments.run, arguments.inputs, arguments.output)
    for path in predict(*given, recursive=arguments.recursive):
        print(path)
