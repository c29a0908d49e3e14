"""Paths and files, wherever they are: local disk, or any URL that fsspec knows.

Local files need the standard library alone: nothing is imported for them.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.errors import UserError

# Storage without folders, where making one means to make the bucket: that is its owner's to do.
_FLAT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
_WEB_SECONDS = 60  # without a byte after which a connection counts as broken
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*)(:-(?P<default>[^}]*))?\}")
_BARE_VARIABLE = re.compile(r"(?:^|/)\$([A-Za-z_]\w*)(?=/|$)")
PROJECT = Path(__file__).resolve().parent.parent


def is_remote(path: str) -> bool:
    """Return whether a path is a URL such as s3://bucket/key or memory://name."""
    return "://" in path


def resolve(path: str) -> str:
    """Return a configured path as an absolute one; relative ones lie in the project's folder.

    What the environment says is filled in; see `expanded`.
    """
    path = expanded(path)
    return path if is_remote(path) else str(PROJECT / path)


def expanded(path: str) -> str:
    """Return a path with `~`, `${NAME}` and `${NAME:-default}` filled in.

    It is a UserError if a variable is not set and has no default, there is no home, or a folder is
    called like a variable without braces, `$NAME`.
    """

    def value(found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        known = os.environ.get(name, "")
        if known or default is not None:
            return known or str(default)
        raise UserError(
            f"{path}: the environment variable {name} is not set. Set it, or give a default: "
            f"${{{name}:-folder}}"
        )

    if bare := _BARE_VARIABLE.search(path):
        raise UserError(f"{path}: write ${{{bare[1]}}} for an environment variable.")
    filled = _VARIABLE.sub(value, path)
    try:
        return filled if is_remote(filled) else str(Path(filled).expanduser())
    except RuntimeError as error:
        raise UserError(f"{path}: there is no home folder to begin in ({error}).") from error


def given(path: str) -> str:
    """Return a path of the command line: it is where you are, or else in the project's folder."""
    path = expanded(path)
    if is_remote(path) or os.path.lexists(path):
        return path
    in_project = str(PROJECT / path)
    return in_project if os.path.lexists(in_project) else path


def join(path: str, *parts: str) -> str:
    """Join parts to a local path or URL."""
    return "/".join([path.rstrip("/"), *parts]) if is_remote(path) else os.path.join(path, *parts)


def shown(path: str) -> str:
    """Return the shorter of the absolute and the relative form, for messages."""
    if is_remote(path):
        return path
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive on Windows
        return path
    return min(relative, str(path), key=len)


def exists(path: str) -> bool:
    """Return whether there is a file or folder."""
    if not is_remote(path):
        return os.path.exists(path)
    filesystem, inner = _filesystem(path)
    filesystem.invalidate_cache()  # other processes write there too
    return bool(filesystem.exists(inner))


def read_bytes(path: str) -> bytes:
    """Return a file's content; a UserError if there is no such file, or it cannot be read."""
    with _user_errors(path, "the file cannot be read"):
        if not is_remote(path):
            with open(path, "rb", buffering=0) as file:
                return file.read()
        if path.startswith(("http://", "https://")):
            return _read_web(path)
        filesystem, inner = _filesystem(path)
        return bytes(filesystem.cat_file(inner))


def read_text(path: str) -> str:
    """Return a UTF-8 file's content; a UserError if it cannot be read or is not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{shown(path)}: the file is not UTF-8 text ({error.reason}).") from error


def write_bytes(path: str, content: bytes) -> None:
    """Write a file, a reader of which never sees a part; a UserError if it cannot be written."""
    with _user_errors(path, "the file cannot be written"):
        if is_remote(path):
            filesystem, inner = _filesystem(path)
            _make_folder(filesystem, inner)
            filesystem.pipe_file(inner, content)
            return
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        temporary = f"{path}.{os.getpid()}.tmp"
        write_synced(temporary, content)
        replace(temporary, path)


def write_text(path: str, content: str) -> None:
    """Write a UTF-8 file; see `write_bytes`."""
    write_bytes(path, content.encode("utf-8"))


def try_writing(folder: str) -> None:
    """Write a small file where a folder is or will be, and remove it; a UserError if it fails."""
    if is_remote(folder):
        trial = join(folder, "trial.tmp")
        write_bytes(trial, b"trial")
        remove(trial)
        return
    there = Path(folder)
    while not os.path.lexists(there):
        there = there.parent
    from tempfile import TemporaryFile  # not needed for much else

    problem = "nothing can be written there"
    with _user_errors(folder, problem), TemporaryFile(dir=there) as file:
        file.write(b"trial")


def write_synced(path: str, content: bytes) -> None:
    """Write a local file and wait until the disk has it; an OSError if it cannot be written."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace(temporary: str, path: str) -> None:
    """Rename a finished local file into place and make the rename last through a power cut."""
    os.replace(temporary, path)
    if os.name == "posix":
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def download(url: str, path: str) -> None:
    """Copy a remote file to a local one; a UserError if it cannot be read, or there is no room."""
    filesystem, inner = _filesystem(url)
    with _user_errors(url, f"the file cannot be copied to {path}"):
        filesystem.get_file(inner, path)


def upload(path: str, url: str) -> None:
    """Copy a local file to a remote one; a UserError if it cannot be written."""
    filesystem, inner = _filesystem(url)
    with _user_errors(url, "the file cannot be written"):
        _make_folder(filesystem, inner)
        filesystem.put_file(path, inner)


def list_folder(path: str) -> tuple[list[str], list[str]]:
    """Return the names of the files in a folder and those of its folders, each list sorted.

    A UserError says that there is no such folder.
    """
    with _user_errors(path, "the folder cannot be read"):
        if not is_remote(path):
            entries = [(entry.name, entry.is_dir()) for entry in os.scandir(path)]
        else:
            filesystem, inner = _filesystem(path)
            filesystem.invalidate_cache()
            listed = filesystem.ls(inner.rstrip("/"), detail=True)
            entries = [(os.path.basename(e["name"]), e["type"] == "directory") for e in listed]
    files, folders = (sorted(name for name, is_dir in entries if is_dir == of) for of in (0, 1))
    return files, folders


def remove(path: str) -> None:
    """Remove a file if it is there."""
    if not is_remote(path):
        Path(path).unlink(missing_ok=True)
        return
    filesystem, inner = _filesystem(path)
    if filesystem.exists(inner):
        filesystem.rm_file(inner)


@contextmanager
def _user_errors(path: str, problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{shown(path)}: {problem} ({error.strerror or error}).") from error


def _read_web(url: str) -> bytes:
    """Return what a web server has; fsspec would need two further packages for it."""
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_WEB_SECONDS) as answer:  # noqa: S310 -- http or https only
            return bytes(answer.read())
    except HTTPException as error:
        raise OSError(str(error) or type(error).__name__) from error


def _make_folder(filesystem: Any, inner: str) -> None:
    protocols = filesystem.protocol
    if _FLAT.isdisjoint([protocols] if isinstance(protocols, str) else protocols):
        filesystem.makedirs(os.path.dirname(inner), exist_ok=True)


def _filesystem(path: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        filesystem, inner = url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise UserError(f"{path}: this kind of storage cannot be reached: {error}") from error
    return filesystem, inner
