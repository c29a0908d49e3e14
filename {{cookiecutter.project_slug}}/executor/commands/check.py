"""python main.py check: tries out environment, data and configuration."""

import argparse

from executor.commands import add_configuration

HELP = "try out environment, data and configuration; write nothing into run.dir"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print a line for each check."""
    from executor.preflight.checklist import Checks
    from executor.preflight.packages import check_installed

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
            from executor.preflight.check import check

            check(cfg, checks)
    checks.conclude()
