"""python main.py config: prints the configuration, and where each value came from."""

import argparse
import json

from executor.commands import add_configuration

HELP = "print the resolved configuration and its origins"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--schema", action="store_true", help="print the JSON schema for editors")
    form.add_argument("--json", action="store_true", help="print JSON for other programs")


def run(arguments: argparse.Namespace) -> None:
    """Print the configuration or the schema."""
    from configs import show

    if arguments.schema:
        print(json.dumps(show.schema(), indent=2))
    elif arguments.json:
        print(show.as_json(arguments.config, arguments.overrides))
    else:
        print(show.resolved(arguments.config, arguments.overrides))
