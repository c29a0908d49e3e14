"""Turns the end of a command into a message and an exit code."""

import os
import sys
import traceback
from collections.abc import Callable

from utils.errors import DivergedError, FailedError, StoppedError, UserError


def exit_code(command: Callable[[], object], *, debug: bool = False) -> int:
    """Run a command and return how it ended; `debug` shows the traceback of every error.

    0: done, 1: processes of a training failed, 2: a mistake of the user, 3: training diverged,
    128 + the signal's number: stopped.
    """
    try:
        _check_working_folder()
        command()
        sys.stdout.flush()
    except (UserError, DivergedError, FailedError, StoppedError) as error:
        if debug:
            traceback.print_exc()
        print(f"{'' if isinstance(error, StoppedError) else 'error: '}{error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def _check_working_folder() -> None:
    """Refuse one that was removed: libraries that are loaded end the process there."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UserError(
            "the folder that you are in was removed. Change to one that is there (cd)."
        ) from error
