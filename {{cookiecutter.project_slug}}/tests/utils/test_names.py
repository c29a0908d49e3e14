"""Objects by name: found, called and refused; and storage, where files are."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from utils import storage
from utils.errors import UserError
from utils.names import build, resolve


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with something to call, a package, and modules that cannot be imported."""
    files = {
        "tests_for_names.py": (
            "from shelf.inner import Base as Foreign\n"
            "NUMBER = 3\n"
            "def counter(start, step=1):\n"
            "    if step == 0: raise ValueError('step must not be 0')\n"
            "    return start, step\n"
            "def _private(): ...\n"
        ),
        "shelf/__init__.py": "",
        "shelf/inner.py": "class Base:\n    class Nested: ...\n",
        "not_python.py": "value = 1\ndef f(:\n",
        "broken.py": "value = 1\nvalue / 0\n",
        "needs_more.py": "import no_such_package\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_targets_resolve_to_objects_and_nested_attributes() -> None:
    assert resolve("pathlib:Path") is Path
    assert resolve("pathlib:Path.home")() == Path.home()
    assert resolve("flip", "ops.augment").__name__ == "flip"
    assert resolve("counter", "tests_for_names").__name__ == "counter"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("plain", "has not the form module:object"),
        ("a:b:c", "has not the form module:object"),
        ("os.path", "has not the form module:object"),
        (":x", "has not the form module:object"),
        ("nowhere:x", "there is no module 'nowhere'"),
        ("models.layers:x", "there is no module 'models'; did you mean 'model'?"),
        ("shelf.iner:Base", "there is no module 'iner' in 'shelf'; did you mean 'shelf.inner'?"),
        ("shelf.inner.deep:x", "there is no module 'deep' in 'shelf.inner'"),
        ("shelf.inner:Bas", "module 'shelf.inner' has no 'Bas'; did you mean 'Base'?"),
        ("shelf.inner:Base.Nestet", "'Base' has no 'Nestet'; did you mean 'Nested'?"),
        ("not_python:f", "module 'not_python' cannot be imported: SyntaxError: "),
        ("not_python:f", "not_python.py:2)"),
        ("broken:f", "module 'broken' cannot be imported: ZeroDivisionError: division by zero ("),
        ("broken:f", "broken.py:2)"),
        ("needs_more:f", "cannot be imported: ModuleNotFoundError: No module named 'no_such_pack"),
        ("needs_more:f", "needs_more.py:1)"),
    ],
)
def test_what_cannot_be_imported_is_one_message(target: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(target)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["count", "_private", "Foreign", "NUMBER"])
def test_plain_names_are_the_public_ones_that_a_module_defines(name: str) -> None:
    with pytest.raises(UserError, match=r"Known: counter, or any module:object$"):
        resolve(name, "tests_for_names")


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
        assert storage.list_folder(storage.join(root, "a")) == (["b.txt"], [])
        storage.remove(path)
        storage.remove(path)
        assert not storage.exists(path)
        with pytest.raises(UserError, match="cannot be read"):
            storage.read_text(path)


def test_storage_says_what_is_wrong(tmp_path: Path) -> None:
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
