"""python main.py config: prints the configuration, and where each value came from."""

import argparse

from executor.commands import add_configuration

HELP = "print the resolved configuration and its origins"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration(parser)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema for editors")


def run(arguments: argparse.Namespace) -> None:
    """Print the configuration or the schema."""
    from configs.show import resolved, schema

    print(schema() if arguments.schema else resolved(arguments.config, arguments.overrides))
