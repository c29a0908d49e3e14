"""The only entry: python main.py COMMAND; each command is a file in executor/commands/."""

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# PYTHONSAFEPATH, -P and -I leave a script's folder out.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import executor
from executor.commands import parse
from executor.launch.rank import as_rank, end
from utils.exits import exit_code
from utils.logs import set_up

if Path(executor.__path__[0]).resolve().parent != Path(__file__).resolve().parent:
    raise ImportError(
        f"{executor.__path__[0]} was imported before, from another project, and would be used in "
        f"place of the code beside {__file__}. Use another process, or a notebook's new kernel."
    )


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
