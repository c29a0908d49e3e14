"""The notebooks run from top to bottom, and are stored without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from main import main
from utils.storage import PROJECT

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
DEBUG = str(PROJECT / "configs" / "debug.yaml")


def execute(name: str) -> str:
    """Run a notebook where it lies and return the text that its cells print."""
    notebook = nbformat.read(PROJECT / "notebooks" / name, as_version=4)
    folder = {"metadata": {"path": str(PROJECT / "notebooks")}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=folder).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_valid_and_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), f"clear the outputs of {path.name} before you store it"
        assert cell.get("execution_count") is None


def test_explore_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONFIG", DEBUG)
    monkeypatch.setenv("OVERRIDES", f"data.cache_dir='{tmp_path}' train.batch_size=3")
    text = execute("01_explore_data.ipynb")
    assert "accuracy of knowing nothing" in text
    assert "step 3" in text


def test_inspect_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["train", "--config", DEBUG, f"run.dir={run}", f"data.cache_dir={tmp_path / 'cache'}"])
    monkeypatch.setenv("RUN_DIR", str(run))
    text = execute("02_inspect_run.ipynb")
    assert "best weights from step" in text
    assert "precision" in text
