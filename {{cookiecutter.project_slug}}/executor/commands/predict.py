"""python main.py predict: writes masks and overlays for images."""

import argparse

HELP = "write masks and overlays for images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("run", metavar="RUN", help="the run's folder, for example runs/default")
    text = "image files or folders of them"
    parser.add_argument("images", metavar="IMAGE", nargs="+", help=text)
    parser.add_argument("--output", metavar="DIR", required=True, help="folder to write to")


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print their names."""
    from executor.inference.predict import predict

    for path in predict(arguments.run, arguments.images, arguments.output):
        print(path)
