"""python main.py runs: lists runs."""

import argparse

from utils.storage import given

HELP = "list runs: status, step, best value, age"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    text = "where to look; default: the project's runs"
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=given, help=text)
    text = "newest first (the default), or best first"
    parser.add_argument("--sort", choices=("updated", "best"), default="updated", help=text)
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")


def run(arguments: argparse.Namespace) -> None:
    """Print a table, or JSON."""
    from executor.runs.listing import as_json, as_table, best_first, find_runs
    from utils.storage import exists, resolve, shown

    folder = arguments.folder or resolve("runs")
    runs = find_runs(folder) if arguments.folder or exists(folder) else []
    runs = best_first(runs) if arguments.sort == "best" else runs
    if arguments.json:
        print(as_json(runs))
    else:
        print(as_table(runs) if runs else f"There is no run in {shown(folder)} yet.")
