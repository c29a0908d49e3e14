"""Keeps two processes from writing to one run."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from executor.runs.mirror import OWNER
from utils import storage
from utils.errors import UserError
from utils.logs import log

try:
    import fcntl
except ImportError:  # on Windows, where a run directory on a local disk is not locked
    fcntl = None  # type: ignore[assignment]

Owner = dict[str, float | str]

_BEAT_SECONDS = 60.0
_LOST_SECONDS = 300.0  # without a beat after which the process that claimed a URL counts as gone


@contextmanager
def local_lock(folder: Path) -> Iterator[None]:
    """Hold a local folder, which is made if need be, and removed again if it stays empty.

    The lock is the operating system's: it ends with the process, however that ends. It is a
    UserError if another process holds it, or the folder cannot be made.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(folder)
    except OSError as error:
        name = storage.shown(str(folder))
        if folder.is_symlink():
            text = f"run.dir: {name} is a link to {os.readlink(folder)}, which is no folder that "
            raise UserError(f"{text}can be used. Make it, or remove the link.") from error
        raise UserError(f"run.dir: {name} cannot be made ({error.strerror or error}).") from error
    try:
        yield
    finally:
        os.close(descriptor)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _lock(folder: Path) -> int:
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise _in_use(storage.shown(str(folder)), "wait until it ends") from error
    except OSError as error:  # some network file systems have no locks
        log.warning("%s cannot be locked (%s)", storage.shown(str(folder)), error.strerror)
    return descriptor


@contextmanager
def remote_lock(url: str) -> Iterator[None]:
    """Hold a run's URL by a small file that is written anew every minute; not a local folder.

    It is a UserError if another process holds it, or the storage cannot be reached.
    """
    if not storage.is_remote(url):
        yield
        return
    address = storage.join(url, OWNER)
    me: Owner = {"host": socket.gethostname(), "pid": os.getpid()}
    if storage.exists(address):
        owner = json.loads(storage.read_text(address))
        if _is_alive(owner, me):
            process = f"process {owner['pid']} on {owner['host']}"
            raise _in_use(url, f"wait until {process} ends, or remove {address} if it is gone")
    ended = threading.Event()

    def claim() -> None:
        storage.write_text(address, json.dumps({**me, "time": time.time()}))

    def beat() -> None:
        while not ended.wait(_BEAT_SECONDS):
            try:
                claim()
            except UserError as error:  # if it is serious, the next checkpoint fails
                log.warning("%s", error)

    claim()
    thread = threading.Thread(target=beat, name="owner", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        storage.remove(address)


def _is_alive(owner: Owner, me: Owner) -> bool:
    """Return whether the process that claimed a URL seems to write still.

    A container that is started again may have the name of its predecessor, and the same numbers.
    """
    is_recent = time.time() - float(owner["time"]) < _LOST_SECONDS
    if not is_recent or owner["host"] != me["host"]:
        return is_recent
    return owner["pid"] != me["pid"] and process_exists(int(owner["pid"]))


def process_exists(number: int) -> bool:
    """Return whether a process of this machine runs, perhaps somebody else's; not on Windows."""
    try:
        os.kill(number, 0)  # sends nothing
    except (ProcessLookupError, PermissionError) as error:
        return isinstance(error, PermissionError)
    return True


def _in_use(address: str, what_to_do: str) -> UserError:
    return UserError(
        f"run.dir: another process is writing to {address}. Two would spoil it: {what_to_do}, or "
        "give this one its own run.dir."
    )
