"""Objects by name: found, called and refused; and storage, where files are."""

import ast
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from utils import storage
from utils.annotations import fits
from utils.errors import UserError
from utils.names import build, resolve
from utils.signatures import Parameters, TargetNotFoundError, parameters_of, public_names


def test_targets_resolve_to_objects_and_nested_attributes() -> None:
    assert resolve("pathlib:Path") is Path
    assert resolve("pathlib:Path.home")() == Path.home()
    assert resolve("flip", "ops.augment").__name__ == "flip"
    for target in ("nowhere:x", "pathlib:Nothing", "plain", "a:b:c", "os.path", ":x"):
        with pytest.raises(UserError, match="cannot be imported"):
            resolve(target)


def test_offered_arguments_fill_only_what_is_asked_for_and_not_given() -> None:
    offered = {"start": 5, "unknown": 1}
    assert build("tests_for_names:counter", {}, offered=offered) == (5, 1)
    assert build("tests_for_names:counter", {"start": 2, "step": 3}, offered=offered) == (2, 3)
    with pytest.raises(UserError, match=r"counter cannot be called.*steep"):
        build("tests_for_names:counter", {"start": 1, "steep": 3})
    with pytest.raises(UserError, match="refuses its arguments: step must not be 0"):
        build("tests_for_names:counter", {"start": 1, "step": 0})
    with pytest.raises(UserError, match="is no class or function"):
        build("tests_for_names:NUMBER", {})


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with all the ways in which Python text can define something."""
    (tmp_path / "tests_for_names.py").write_text(
        "from shelf.inner import *\n"
        "from shelf.inner import Base as Renamed\n"
        "from dataclasses import dataclass\n"
        "NUMBER = 3\n"
        "def counter(start, step=1):\n"
        "    if step == 0: raise ValueError('step must not be 0')\n"
        "    return start, step\n"
        "def anything(first, /, *rest, key, **more): ...\n"
        "class Child(Renamed): ...\n"
        "class Empty: ...\n"
        "@dataclass\n"
        "class Data:\n"
        "    a: int\n"
        "    b: str = 'x'\n"
        "if True:\n"
        "    def hidden(x): ...\n"
        "class Outer:\n"
        "    def method(self, y): ...\n"
    )
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "__init__.py").write_text("from .inner import Base\n")
    (tmp_path / "shelf" / "inner.py").write_text(
        "class Base:\n    def __init__(self, size, depth=2): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "names", "required"),
    [
        ("counter", ["start", "step"], ["start"]),
        ("Renamed", ["size", "depth"], ["size"]),
        ("Base", ["size", "depth"], ["size"]),
        ("Child", ["size", "depth"], ["size"]),
        ("Empty", [], []),
        ("Data", ["a", "b"], ["a"]),
        ("hidden", ["x"], ["x"]),
    ],
)
def test_parameters_are_read_from_text(name: str, names: list[str], required: list[str]) -> None:
    expected = Parameters(tuple(names), frozenset(required), accepts_any=False)
    assert parameters_of(f"tests_for_names:{name}") == expected


def test_what_text_cannot_tell_is_left_to_the_import() -> None:
    assert parameters_of("tests_for_names:NUMBER") is None
    assert parameters_of("math:sin") is None
    anything = parameters_of("tests_for_names:anything")
    assert anything is not None
    assert anything.accepts_any
    assert parameters_of("shelf:Base") is not None


@pytest.mark.parametrize(
    ("annotation", "fitting", "others"),
    [
        ("float", [1, 1.5], [True, "1", None, [1]]),
        ("int", [1, -1], [True, 1.5, "1", None]),
        ("bool", [True, False], [0, 1, "yes", None]),
        ("str | None", ["a", None], [1, ["a"]]),
        ("Sequence[int]", [[], [1, 2]], [1, "12", [1.5], None]),
        ("tuple[int, int]", [[1, 2]], [1, None]),
        ("float | Literal['test']", [0.5, "test"], ["other", None]),
        ("Optional[int]", [1, None], ["a"]),
        ("SomethingOfOurs", [1, "a", None, [1]], []),
        ("dict[str, int]", [{"a": 1}], []),
    ],
)
def test_values_are_held_to_annotations(
    annotation: str, fitting: list[object], others: list[object]
) -> None:
    tree = ast.parse(annotation, mode="eval").body
    assert [fits(value, tree) for value in fitting] == [True] * len(fitting)
    assert [fits(value, tree) for value in others] == [False] * len(others)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("shelv:Base", "no module 'shelv'"),
        ("shelf.iner:Base", "did you mean 'shelf.inner'?"),
        ("shelf.inner:Bas", "did you mean 'Base'?"),
        ("shelf:Bas", "did you mean 'Base'?"),
    ],
)
def test_what_does_not_exist_is_told_with_what_was_meant(target: str, expected: str) -> None:
    with pytest.raises(TargetNotFoundError, match=expected.replace("?", r"\?")):
        parameters_of(target)


def test_public_names_are_those_a_module_defines() -> None:
    assert public_names("shelf.inner") == ["Base"]
    assert public_names("shelf.gone") == []


def test_files_are_read_from_web_servers(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\x00\x01")
    handler = partial(_QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert storage.read_bytes(f"{url}/weights.bin") == b"\x00\x01"
        with pytest.raises(UserError, match=r"nothing\.bin: the file cannot be read .*404"):
            storage.read_bytes(f"{url}/nothing.bin")
        server.shutdown()
    with pytest.raises(UserError, match="the file cannot be read"):
        storage.read_bytes(f"{url}/weights.bin")


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_storage_is_the_same_for_a_disk_and_a_url(tmp_path: Path) -> None:
    for root in (str(tmp_path), "memory://storage-test"):
        path = storage.join(root, "a", "b.txt")
        assert not storage.exists(path)
        storage.write_text(path, "Grüße")
        storage.write_text(path, "grüße")
        assert storage.read_text(path) == "grüße"
        assert storage.list_files(storage.join(root, "a")) == ["b.txt"]
        storage.remove(path)
        storage.remove(path)
        assert not storage.exists(path)
        with pytest.raises(UserError, match="cannot be read"):
            storage.read_text(path)


def test_storage_tells_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        storage.read_text(str(tmp_path / "latin"))
    with pytest.raises(UserError, match="cannot be written"):
        storage.write_text(str(tmp_path / "latin" / "x"), "")
    with pytest.raises(UserError, match="cannot be reached"):
        storage.read_text("nosuchprotocol://x")


def test_relative_paths_begin_in_the_project(tmp_path: Path) -> None:
    assert storage.resolve("runs/x") == str(storage.PROJECT / "runs" / "x")
    assert storage.resolve(str(tmp_path)) == str(tmp_path)
    assert storage.resolve("s3://bucket/x") == "s3://bucket/x"
