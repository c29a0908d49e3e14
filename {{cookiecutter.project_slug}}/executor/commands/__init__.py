"""The commands of main.py, one file each: `HELP`, `add_arguments(parser)` and `run(arguments)`.

`main.py` lists this folder, so a new file is a new command. `run` imports what it needs itself:
--help and mistakes in the YAML must not wait for a framework.
"""

import argparse
import importlib
import json
import math
import pkgutil
import shutil
from collections.abc import Sequence
from typing import Any, NoReturn

from utils.errors import UserError
from utils.storage import given


class Parser(argparse.ArgumentParser):
    """Raises a UserError where argparse would end the program, as it may be a notebook."""

    def error(self, message: str) -> NoReturn:
        """Refuse what was given."""
        raise UserError(f"{message}\n{self.format_usage().strip()}")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the command and what it is given; options and other words come in any order."""
    text = "Train and use the model of this project."
    top = Parser(prog="main.py", description=text)
    common = Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks and more messages")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for found in pkgutil.iter_modules(__path__):
        command: Any = importlib.import_module(f"{__name__}.{found.name}")
        text = command.HELP
        added = commands.add_parser(found.name, help=text, description=text, parents=[common])
        command.add_arguments(added)
        added.set_defaults(run_command=command.run)
    own = commands.choices.get(words[0]) if words else None
    if own is None or "--" in words:
        return top.parse_args(words)
    return own.parse_intermixed_args(words[1:])


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Add what chooses a configuration: --config and `key.path=value` words."""
    text = "YAML file that states what differs from configs/default.yaml"
    parser.add_argument("--config", metavar="FILE", type=given, help=text)
    add_overrides(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add `key.path=value` words, and to the help what they can be."""
    text = "a setting that wins over the files, for example train.epochs=3; all are listed below"
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help=text)
    usual_help = parser.format_help

    def help_with_settings() -> str:
        from configs.settings import settings  # takes a tenth of a second: for --help alone

        width = shutil.get_terminal_size().columns - 2  # as argparse has it
        return f"{usual_help()}\n{settings(width)}\n"

    parser.format_help = help_with_settings  # type: ignore[method-assign]


def print_values(values: dict[str, float]) -> dict[str, float]:
    """Print values by name as JSON, which knows neither NaN nor infinity, and return them."""
    shown = {name: round(v, 5) if math.isfinite(v) else None for name, v in values.items()}
    print(json.dumps(shown, indent=2))
    return values
