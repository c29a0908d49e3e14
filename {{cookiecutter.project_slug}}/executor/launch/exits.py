"""The exit codes of launched processes, and how such a process ends."""

import atexit
import os
import sys
from typing import NoReturn

POLL_SECONDS = 0.1
# Exit codes of a mistake, divergence, and a stop: to start again would not help.
REFUSED = (2, 3)
STOPPED = (130, 143)


def end_at_once(code: int) -> NoReturn:
    """End this process with everything written, but before Python takes itself apart."""
    atexit._run_exitfuncs()  # as multiprocessing does before it ends a process
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
