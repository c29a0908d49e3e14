"""The only entry: python main.py COMMAND; each command is a file in executor/commands/."""

import argparse
import gc
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

# PYTHONSAFEPATH, -P and -I leave a script's folder out.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import executor.commands
from executor.launch.rank import as_rank, end
from utils.errors import UserError
from utils.exits import exit_code
from utils.logs import set_up


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
    for found in pkgutil.iter_modules(executor.commands.__path__):
        command: Any = importlib.import_module(f"executor.commands.{found.name}")
        text = command.HELP
        added = commands.add_parser(found.name, help=text, description=text, parents=[common])
        command.add_arguments(added)
        added.set_defaults(run_command=command.run)
    given = commands.choices.get(words[0]) if words else None
    if given is None or "--" in words:
        return top.parse_args(words)
    return given.parse_intermixed_args(words[1:])


def main(argv: Sequence[str] | None = None) -> Any:
    """Run one command; return what its `run` returns, or raise one of `utils.errors`."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    set_up(debug=arguments.debug)
    return arguments.run_command(arguments)


def run() -> int:
    """Run the command line; return its exit code, having printed what went wrong."""
    gc.set_threshold(50_000)  # importing leaves no garbage; looking for it takes a tenth of a start
    return as_rank(lambda: exit_code(main, debug="--debug" in sys.argv))


if __name__ == "__main__":
    end(run())
