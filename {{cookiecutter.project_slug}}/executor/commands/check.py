"""python main.py check: tries out environment, data and configuration."""

import argparse
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from executor.commands import add_configuration

if TYPE_CHECKING:
    from executor.preflight.checklist import Checks

HELP = "try out environment, data and configuration; write nothing into run.dir"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")


def run(arguments: argparse.Namespace) -> None:
    """Print a line for each check, or JSON; a UserError says if anything is bad."""
    from executor.preflight.checklist import Checks, as_json

    if arguments.json:
        with redirect_stdout(sys.stderr):  # a user's own code may print too
            checks = Checks(lambda _: None)
            _check(arguments, checks)
        print(as_json(checks))
    else:
        checks = Checks()
        _check(arguments, checks)
    checks.conclude()


def _check(arguments: argparse.Namespace, checks: "Checks") -> None:
    from executor.preflight.packages import check_installed

    check_installed(checks)
    if checks.bad:  # what comes next imports the packages
        return
    from configs.loading import load_config

    cfg = checks.make(
        "configuration",
        lambda: load_config(arguments.config, arguments.overrides),
        lambda _: arguments.config or "configs/default.yaml",
    )
    if cfg is not None:
        from executor.preflight.check import check

        check(cfg, checks)
