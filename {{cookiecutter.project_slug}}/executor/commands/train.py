"""python main.py train: trains, or continues the run in run.dir."""

import argparse

from executor.commands import add_configuration, print_values

HELP = "train, or continue the run in run.dir; evaluate; write the report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration(parser)
    text = "continue a run even with settings that make it another experiment"
    parser.add_argument("--force", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Train and return the values of the best weights on the validation split."""
    from configs.loading import load_config

    cfg = load_config(arguments.config, arguments.overrides)
    from executor.training.trainer import Trainer

    values = Trainer(cfg, force=arguments.force).fit()
    return print_values(values) if values else values  # the first of several processes prints
