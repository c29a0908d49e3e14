"""Predicts for files of one's own."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.evaluator import PredictedFile
from executor.devices.oom import explain_out_of_memory
from executor.inference.load import load
from utils import storage
from utils.errors import UserError
from utils.memory import OutOfMemory


def predict(
    path: str, inputs: Sequence[str], output: str, overrides: Sequence[str] = ()
) -> list[Path]:
    """Write what a run's best weights predict for each file.

    Args:
        path: The run's folder.
        inputs: Files, and folders whose files of the task's kind are all taken.
        output: Folder for what the task writes (see `Task.write` in `evaluation/task.py`).
        overrides: `key.path=value` words laid over the run's configuration.

    Returns:
        The files written.

    Raises:
        UserError: If a file cannot be read, two have one name, or there are no weights yet.
    """
    files: list[Path] = []
    done = 0
    with explain_out_of_memory(lambda: f"after {done} of {len(files)} files", _advice):
        predictor = load(path, overrides)
        task, folder = predictor.task, Path(output)
        files += _listed(inputs, task.endings)

        def predicted() -> Iterator[PredictedFile]:
            nonlocal done
            for file in files:
                content, fields = task.read(str(file))
                prediction = predictor.predict_fields(fields)
                folder.mkdir(parents=True, exist_ok=True)
                yield PredictedFile(file, content, prediction)
                done += 1

        try:
            return list(task.write(folder, predicted()))
        except OSError as error:
            raise UserError(f"{storage.shown(output)}: cannot be written ({error}).") from error


def _advice(memory: OutOfMemory) -> list[str]:
    """Say what to do where memory runs out, though one file at a time is predicted."""
    other = ", or predict on the CPU: set CUDA_VISIBLE_DEVICES to nothing"
    return [f"End other programs that use the memory{other if memory.device == 'GPU' else ''}."]


def _listed(inputs: Sequence[str], endings: Sequence[str]) -> list[Path]:
    """Return all files; refuse what is missing before any is predicted."""
    files: list[Path] = []
    for name in inputs:
        given = Path(name)
        if given.is_dir():
            inside = sorted(f for f in given.iterdir() if f.suffix.lower() in endings)
            if not inside:
                kinds = " ".join(endings)
                raise UserError(f"{storage.shown(name)}: no file in this folder ends in {kinds}.")
            files += inside
        elif given.is_file():
            files.append(given)
        else:
            raise UserError(f"{storage.shown(name)}: there is no such file or folder.")
    stems = [file.stem for file in files]
    twice = next((file for file in files if stems.count(file.stem) > 1), None)
    if twice is not None:
        raise UserError(f"two files are called {twice.stem!r}; predict them one after the other.")
    return files
