"""The only entry: python main.py train | evaluate | predict | runs | check | config | launch."""

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from typing import Any

from utils.errors import UserError
from utils.exits import exit_code
from utils.logs import set_up
from utils.ranks import add_options, as_rank, end

# Each command imports what it needs: --help and mistakes in the YAML must not wait for a framework.


def train_command(arguments: argparse.Namespace) -> dict[str, float]:
    """Train and return the values of the best weights on the validation split."""
    from configs.loading import load_config

    cfg = load_config(arguments.config, arguments.overrides)
    from executor.train import train

    values = train(cfg, force=arguments.force)
    return _printed(values) if values else values  # the first of several processes prints


def evaluate_command(arguments: argparse.Namespace) -> dict[str, float]:
    """Evaluate a run's best weights."""
    from executor.evaluate import evaluate

    return _printed(evaluate(arguments.run, arguments.split, arguments.overrides))


def predict_command(arguments: argparse.Namespace) -> None:
    """Write masks and overlays."""
    from executor.predict import predict

    for path in predict(arguments.run, arguments.images, arguments.output):
        print(path)


def runs_command(arguments: argparse.Namespace) -> None:
    """List runs."""
    from evaluation.runs import as_json, as_table, find_runs
    from utils.storage import exists, resolve, shown

    folder = arguments.folder or resolve("runs")
    runs = find_runs(folder) if arguments.folder or exists(folder) else []
    if arguments.json:
        print(as_json(runs))
    else:
        print(as_table(runs) if runs else f"There is no run in {shown(folder)} yet.")


def check_command(arguments: argparse.Namespace) -> None:
    """Tell whether environment, data and configuration are sound."""
    from utils.checks import Checks, check_installed

    checks = Checks()
    check_installed(checks)
    if not checks.bad:  # what comes next imports the packages
        from configs.loading import load_config

        cfg = checks.make(
            "configuration",
            lambda: load_config(arguments.config, arguments.overrides),
            lambda _: arguments.config or "configs/default.yaml",
        )
        if cfg is not None:
            from executor.check import check

            check(cfg, checks)
    checks.conclude()


def config_command(arguments: argparse.Namespace) -> None:
    """Print the configuration, and where each value came from; or the schema."""
    from configs.show import resolved, schema

    text = schema() if arguments.schema else resolved(arguments.config, arguments.overrides)
    print(text)


def launch_command(arguments: argparse.Namespace) -> None:
    """Train in several processes here, or write the files by which a scheduler does."""
    words = parser().parse_args(arguments.words)
    if words.run_command is not train_command:
        raise UserError(
            f"launch: received {arguments.words[0]!r} behind --, expected train; "
            "the other commands run in one process, without launch."
        )
    from configs.jobs import launch_of, render
    from configs.loading import load_config
    from utils.launching import conclude
    from utils.ranks import start

    # Checked once, here: otherwise each process would tell the same mistake.
    cfg = load_config(words.config, _with_options(words.overrides, arguments))
    if (arguments.on is None) is not (arguments.render is None):
        raise UserError("launch: --on and --render belong together; give both or none.")
    if arguments.on is None:
        program = (__file__, *arguments.words)
        conclude(start(launch_of(cfg, program, arguments.address, arguments.node_rank)))
        return
    for path in render(cfg, words, arguments.on, arguments.render, arguments.force):
        print(path)


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


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(description="Train and use the model of this project.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks and more messages")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[common])
        added.set_defaults(run_command=run)
        return added

    def configuration(to: argparse.ArgumentParser) -> None:
        text = "YAML file that states what differs from configs/default.yaml"
        to.add_argument("--config", metavar="FILE", help=text)
        overrides(to)

    def overrides(to: argparse.ArgumentParser) -> None:
        text = "a setting that wins over the files, for example train.epochs=3"
        to.add_argument("overrides", nargs="*", metavar="key.path=value", help=text)

    text = "train, or continue the run in run.dir; evaluate; write the report"
    train = command("train", train_command, text)
    configuration(train)
    text = "continue a run even with settings that make it another experiment"
    train.add_argument("--force", action="store_true", help=text)
    evaluate = command("evaluate", evaluate_command, "measure a run's best weights on a split")
    evaluate.add_argument("run", metavar="RUN", help="the run's folder, for example runs/default")
    splits = ("train", "validation", "test")
    evaluate.add_argument("--split", choices=splits, default="test", help="default: test")
    overrides(evaluate)
    predict = command("predict", predict_command, "write masks and overlays for images")
    predict.add_argument("run", metavar="RUN", help="the run's folder, for example runs/default")
    predict.add_argument(
        "images", metavar="IMAGE", nargs="+", help="image files or folders of them"
    )
    predict.add_argument("--output", metavar="DIR", required=True, help="folder to write to")
    runs = command("runs", runs_command, "list runs: status, step, best value, age")
    runs.add_argument(
        "folder", metavar="FOLDER", nargs="?", help="where to look; default: the project's runs"
    )
    runs.add_argument("--json", action="store_true", help="print JSON for other programs")
    text = "try out environment, data and configuration; write nothing into run.dir"
    configuration(command("check", check_command, text))
    config = command("config", config_command, "print the resolved configuration and its origins")
    configuration(config)
    config.add_argument("--schema", action="store_true", help="print the JSON schema for editors")
    text = "train in several processes, on one machine or several; or write files for a scheduler"
    _launch_options(command("launch", launch_command, text))
    return top


def _launch_options(to: argparse.ArgumentParser) -> None:
    """Add the options of `launch`; where there is a default, executor.resources has it."""
    to.usage = "%(prog)s [OPTION ...] -- train [--config FILE] [key.path=value ...]"
    to.add_argument("--nodes", type=int, metavar="N", help="machines")
    to.add_argument("--processes", type=int, metavar="N", help="processes on each machine")
    text = "how often all start again after one died"
    to.add_argument("--restarts", type=int, metavar="N", help=text)
    add_options(to)
    text = "which of the machines this is, from 0; Slurm and Kubernetes say so themselves"
    to.add_argument("--node-rank", type=int, metavar="N", help=text)
    text = "start nothing; with --render: write files for this scheduler"
    to.add_argument("--on", choices=("slurm", "kubernetes"), help=text)
    to.add_argument("--render", metavar="DIR", help="folder to write the files to")
    text = "write over files that differ"
    to.add_argument("--force", action="store_true", help=text)
    to.add_argument("words", nargs="+", metavar="train ...", help="what to start, behind --")


def main(argv: Sequence[str] | None = None) -> Any:
    """Run one command and return what it computes (see the functions above).

    Args:
        argv: The words after `main.py`; by default those of the command line.

    Raises:
        UserError, DivergedError, StoppedError: See `utils.errors`.
    """
    arguments = parser().parse_args(argv)
    set_up(debug=arguments.debug)
    return arguments.run_command(arguments)


def run() -> int:
    """Run the command line; return its exit code, having told what went wrong in a message."""
    gc.set_threshold(50_000)  # importing leaves no garbage; looking for it takes a tenth of a start
    return as_rank(lambda: exit_code(main, debug="--debug" in sys.argv))


def _printed(values: dict[str, float]) -> dict[str, float]:
    print(json.dumps({name: round(value, 5) for name, value in values.items()}, indent=2))
    return values


if __name__ == "__main__":
    end(run())
