"""Messages for the person who runs the program, on standard error."""

import logging
import sys

log = logging.getLogger("project")


def set_up(*, debug: bool = False) -> None:
    """Send messages to standard error as plain lines; `debug`: more, and where each comes from."""
    handler = _StandardError()
    pattern = "%(levelname)s %(filename)s:%(lineno)d %(message)s" if debug else "%(message)s"
    handler.setFormatter(_Labelled(pattern))
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False


class _StandardError(logging.Handler):
    """Writes to what `sys.stderr` is at that moment, so that a progress bar can step aside."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


class _Labelled(logging.Formatter):
    """Puts the level before warnings and errors only; decisions and progress need no label."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        is_plain = record.levelno <= logging.INFO
        return text if is_plain else f"{record.levelname.lower()}: {text}"
