"""Schedulers that `launch --on NAME` writes a job for, one file each.

A file has `NODE_RANK`, the environment variable in which the scheduler numbers the machines of a
job; `FILE`, where the job is written; `Settings`, the schema of `configs/NAME.yaml`; and
`render(job, settings)`, which returns the text of the file.
"""

import argparse
import importlib
import os
import pkgutil
from typing import TYPE_CHECKING, Any

from utils.errors import UserError

if TYPE_CHECKING:  # --help must not wait for it
    from configs.schema import CFG


def names() -> list[str]:
    """Return the names of the schedulers."""
    return [found.name for found in pkgutil.iter_modules(__path__)]


def scheduler(name: str) -> Any:
    """Return a scheduler's module."""
    return importlib.import_module(f"{__name__}.{name}")


def node_rank() -> int | None:
    """Return which machine of a scheduler's job this is, from 0; None outside of a job."""
    values = [os.environ.get(scheduler(name).NODE_RANK, "") for name in names()]
    return next((int(value) for value in values if value.isdecimal()), None)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `launch` by which a job is written."""
    text = "start nothing; with --render: write a file for this scheduler"
    parser.add_argument("--on", choices=names(), help=text)
    parser.add_argument("--render", metavar="DIR", help="folder to write the file to")
    text = "a setting of the scheduler, which wins over its file in configs/"
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help=text)
    text = "overwrite a file that differs"
    parser.add_argument("--force", action="store_true", help=text)


def wants_job(arguments: argparse.Namespace) -> bool:
    """Return whether `launch` writes a job; a UserError if its options do not fit together."""
    if (arguments.on is None) is not (arguments.render is None):
        raise UserError("launch: --on and --render belong together; give both or none.")
    if arguments.on is None and (arguments.set or arguments.force):
        raise UserError("launch: --set and --force need --on and --render.")
    return arguments.on is not None


def write_job(cfg: "CFG", words: argparse.Namespace, arguments: argparse.Namespace) -> None:
    """Write the file by which a scheduler starts `train` with the parsed `words`; see `job`."""
    from executor.launch.job import write

    print(write(cfg, words, scheduler(arguments.on), arguments))
