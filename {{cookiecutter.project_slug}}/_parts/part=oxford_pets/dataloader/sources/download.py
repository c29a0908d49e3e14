"""Downloads archives: checked, unpacked beside the target, renamed when all is there."""

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

from utils.errors import UserError
from utils.logs import log

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are there and the bytes of all (0: not known)."""

_BLOCK = 1 << 20  # bytes read at once
_TIMEOUT = 30  # seconds without a byte after which a connection counts as broken
_ATTEMPTS = 4  # each goes on where the one before ended, if the server can do that
_PAUSE = 2.0  # seconds before the second attempt; twice as long before each further one


class Archive(NamedTuple):
    """One .tar.gz file of a data set."""

    name: str
    """The file's name at the server."""
    md5: str
    """The checksum that the data set's publishers state, in hexadecimal digits."""


def download(
    base_url: str,
    archives: tuple[Archive, ...],
    target: Path,
    is_complete: Callable[[Path], bool],
    progress: Progress | None = None,
) -> None:
    """Make the folder `target` hold what all archives hold, or leave things as they were.

    Several processes may do this at once: the first one's folder stays, the others discard theirs.
    Without `progress` every tenth part is logged.

    Raises:
        UserError: If network or disk fails, a checksum differs, or the target is in the way.
    """
    by_hand = (
        f"By hand: fetch {' and '.join(f'{base_url}/{a.name}' for a in archives)} and unpack them "
        f"into {target}, or set data.source.url to the folder (file:///...) that holds them."
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name}-", suffix=".partial", dir=target.parent
        ) as temporary:
            unpacked = Path(temporary, "unpacked")
            unpacked.mkdir()
            for archive in archives:
                file = Path(temporary, archive.name)
                _fetch(f"{base_url}/{archive.name}", file, progress or _logged())
                _check(file, archive, base_url)
                if not hasattr(tarfile, "data_filter"):
                    version = "Python 3.11.4 or newer"
                    raise UserError(f"Unpacking archives safely needs {version}. Update Python.")
                with tarfile.open(file) as tar:
                    tar.extractall(unpacked, filter="data")  # refuses paths that lead outside
                file.unlink()
            _put_in_place(unpacked, target, is_complete)
    except (OSError, HTTPException, tarfile.TarError, EOFError, zlib.error) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise UserError(f"The download from {base_url} failed: {reason}. {by_hand}") from error


def _fetch(url: str, file: Path, progress: Progress) -> None:
    """Load a file; go on where the connection broke."""
    if not url.startswith(("http://", "https://", "file://")):
        raise UserError(f"Only http://, https:// and file:// can be downloaded. Received: {url}")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _fetch_rest(url, file, progress)
        except (OSError, HTTPException) as error:
            code = getattr(error, "code", None)  # the server's answer
            if url.startswith("file:") or (code and code < 500):
                raise
            reason = error if code else getattr(error, "reason", error)
            if attempt == _ATTEMPTS:
                raise OSError(f"{url}: {reason}") from error
            log.warning("%s: %s (attempt %d of %d)", url, reason, attempt, _ATTEMPTS)
            time.sleep(_PAUSE * 2 ** (attempt - 1))


def _fetch_rest(url: str, file: Path, progress: Progress) -> None:
    """Append what is missing of a file."""
    have = file.stat().st_size if file.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    # The scheme was checked.
    with urlopen(Request(url, headers=headers), timeout=_TIMEOUT) as answer:  # noqa: S310
        have = have if getattr(answer, "status", None) == 206 else 0
        length = int(answer.headers.get("Content-Length") or 0)
        total = have + length if length else 0
        with open(file, "ab" if have else "wb") as output:
            while block := answer.read(_BLOCK):
                have += output.write(block)
                progress(file.name, have, total)
    if have < total:
        raise OSError("the connection ended early")


def _check(file: Path, archive: Archive, base_url: str) -> None:
    with open(file, "rb") as content:
        # Guards against damage, not against forgery; stronger sums are not published.
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != archive.md5:
        raise UserError(
            f"{base_url}/{archive.name}: wrong checksum: MD5 {archive.md5} was expected, {found} "
            f"received ({file.stat().st_size} bytes). The file was damaged on the way, or replaced "
            "at the server, or a login page came instead of it. Nothing was kept: try again, or "
            "set data.source.url to another server."
        )


def _put_in_place(unpacked: Path, target: Path, is_complete: Callable[[Path], bool]) -> None:
    if not is_complete(unpacked):
        raise UserError(f"The archives for {target} do not hold what they should.")
    try:
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        os.rename(unpacked, target)
    except OSError:
        if not is_complete(target):
            raise
        log.info("%s: another process was quicker; its copy is used.", target)
        shutil.rmtree(unpacked, ignore_errors=True)


def _logged() -> Progress:
    """Return a progress that logs a line for each tenth of a file."""
    logged = -1

    def report(name: str, done: int, total: int) -> None:
        nonlocal logged
        tenth = done * 10 // total if total else done // (100 << 20)
        if tenth > logged:
            logged = tenth
            log.info("%s: %d of %s MB", name, done >> 20, total >> 20 if total else "?")

    return report
