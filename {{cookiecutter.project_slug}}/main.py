"""The only entry: python main.py COMMAND; each command is a file in executor/commands/."""

import argparse
import gc
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

import executor.commands
from executor.launch.rank import as_rank, end
from utils.exits import exit_code
from utils.logs import set_up


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(description="Train and use the model of this project.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks and more messages")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for found in pkgutil.iter_modules(executor.commands.__path__):
        command: Any = importlib.import_module(f"executor.commands.{found.name}")
        text = command.HELP
        added = commands.add_parser(found.name, help=text, description=text, parents=[common])
        command.add_arguments(added)
        added.set_defaults(run_command=command.run)
    return top


def main(argv: Sequence[str] | None = None) -> Any:
    """Run one command; return what its `run` returns, or raise one of `utils.errors`."""
    arguments = parser().parse_args(argv)
    set_up(debug=arguments.debug)
    return arguments.run_command(arguments)


def run() -> int:
    """Run the command line; return its exit code, having printed what went wrong."""
    gc.set_threshold(50_000)  # importing leaves no garbage; looking for it takes a tenth of a start
    return as_rank(lambda: exit_code(main, debug="--debug" in sys.argv))


if __name__ == "__main__":
    end(run())
