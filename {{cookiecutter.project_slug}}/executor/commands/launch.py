"""python main.py launch: trains in several processes, on one machine or several."""

import argparse
import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from executor.commands import train
from executor.launch.rank import add_options
from utils.errors import UserError
from utils.storage import PROJECT

HELP = "train in several processes, on one machine or several"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command; where there is a default, executor.resources has it."""
    parser.usage = "%(prog)s [OPTION ...] -- train [--config FILE] [key.path=value ...]"
    parser.add_argument("--nodes", type=int, metavar="N", help="machines")
    parser.add_argument("--processes", type=int, metavar="N", help="processes on each machine")
    text = "how often all start again after one died"
    parser.add_argument("--restarts", type=int, metavar="N", help=text)
    add_options(parser)
    text = "which of the machines this is, from 0"
    parser.add_argument("--node-rank", type=int, metavar="N", help=text)
    schedulers = _schedulers()
    if schedulers is not None:
        schedulers.add_options(parser)
    parser.add_argument("words", nargs="+", metavar="train ...", help="what to start, behind --")


def run(arguments: argparse.Namespace) -> None:
    """Train in several processes here, or write the file by which a scheduler does."""
    words = _train_words(arguments.words)
    from configs.loading import load
    from executor.launch.launcher import start
    from executor.launch.processes import Launch, conclude
    from executor.launch.resources import check_resources

    # Checked once, here: otherwise each process would report the same mistake.
    # The processes check what needs a framework.
    cfg = load(words.config, _with_options(words.overrides, arguments)).cfg
    schedulers, node_rank = _schedulers(), arguments.node_rank
    if schedulers is not None and schedulers.wants_job(arguments):
        schedulers.write_job(cfg, words, arguments)
        return
    if schedulers is not None and node_rank is None and cfg.executor.resources.nodes > 1:
        node_rank = schedulers.node_rank()
    check_resources(cfg.executor, cfg.train, node_rank)
    program = (str(PROJECT / "main.py"), *arguments.words)
    conclude(start(Launch(program, cfg.executor.resources, arguments.address, node_rank)))


def _schedulers() -> Any:
    """Return the package that writes jobs for schedulers, or None in a project without it."""
    name = "executor.launch.schedulers"
    return None if importlib.util.find_spec(name) is None else importlib.import_module(name)


def _train_words(words: Sequence[str]) -> argparse.Namespace:
    if words[0] != "train":
        raise UserError(
            f"launch: received {words[0]!r} behind --, expected train; "
            "the other commands run in one process, without launch."
        )
    parser = argparse.ArgumentParser(prog="main.py train")
    parser.add_argument("--debug", action="store_true")
    train.add_arguments(parser)
    return parser.parse_args(words[1:])


def _with_options(overrides: Sequence[str], arguments: argparse.Namespace) -> list[str]:
    """Return `key.path=value` words; the options of `launch` are further ones, and win."""
    options = {
        "executor.resources.nodes": arguments.nodes,
        "executor.resources.processes_per_node": arguments.processes,
        "executor.resources.max_restarts": arguments.restarts,
    }
    given = {key: value for key, value in options.items() if value is not None}
    others = [word for word in overrides if word.partition("=")[0] not in given]
    return [*others, *(f"{key}={value}" for key, value in given.items())]
