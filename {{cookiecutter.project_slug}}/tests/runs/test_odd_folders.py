"""Names and folders of runs that a system allows work, or are refused with one message."""

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from configs.loading import load
from executor.runs.lock import local_lock
from main import main
from utils.errors import UserError
from utils.storage import PROJECT

TINY = str(PROJECT / "tests" / "tiny.yaml")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs links, and names in bytes")


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    message = r"link is a link to .*nowhere, which is no folder"
    with pytest.raises(UserError, match=message), local_lock(tmp_path / "link"):
        pass
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match=r"loop is a link to .*loop"), local_lock(tmp_path / "loop"):
        pass


def test_a_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with (
        local_lock(tmp_path / "link"),
        pytest.raises(UserError, match="another process is writing"),
        local_lock(tmp_path / "there"),
    ):
        pass


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(UserError, match="is no text in UTF-8"):
        load(TINY, ["run.dir=runs/x\udcff"])


def test_a_removed_working_folder_is_told(tmp_path: Path) -> None:
    code = "import os, runpy, sys; os.rmdir(os.getcwd()); sys.argv = sys.argv[1:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(PROJECT / "main.py"), "runs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the folder that you are in was removed")


@pytest.mark.usefixtures("without_report")
def test_letters_in_two_forms_are_two_names(tmp_path: Path) -> None:
    words = ["train", "--config", TINY, "run.tensorboard=false", "train.max_steps=1"]
    names = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    for name in names:
        main([*words, f"run.dir={tmp_path / name}"])
    found = {path.name for path in tmp_path.iterdir()}
    assert found == set(names) or len(found) == 1  # macOS takes both for one
