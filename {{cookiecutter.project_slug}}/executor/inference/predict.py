"""Predicts for files of one's own."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.evaluator import PredictedFile
from executor.devices.oom import explain_out_of_memory
from executor.inference.load import load
from utils import storage
from utils.errors import UserError
from utils.logs import log
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
        _refuse_inputs_as_output(inputs, folder)
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
            files += _in_folder(given, endings)
        elif given.is_file():
            files.append(given)
        else:
            raise UserError(f"{storage.shown(name)}: there is no such file or folder.")
    stems = Counter(file.stem for file in files)
    twice = [stem for stem, count in stems.items() if count > 1]
    if twice:
        raise UserError(f"two files are called {twice[0]!r}; predict them one after the other.")
    return files


def _in_folder(folder: Path, endings: Sequence[str]) -> list[Path]:
    """Return the files of a folder that have one of the endings; hidden ones never count."""
    files = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    used = [file for file in files if file.suffix.lower() in endings]
    name = storage.shown(str(folder))
    if not used:
        raise UserError(f"{name}: no file in this folder ends in {' '.join(endings)}.")
    if len(used) < len(files):
        unused = Counter(f.suffix.lower() or "nothing" for f in files if f not in set(used))
        said = ", ".join(f"{count} ending in {ending}" for ending, count in sorted(unused.items()))
        log.warning("%s: not predicted: %s", name, said)
    return used


def _refuse_inputs_as_output(inputs: Sequence[str], output: Path) -> None:
    """Raise a UserError if what is written would be read the next time."""
    for name in inputs:
        if Path(name).is_dir() and output.resolve() == Path(name).resolve():
            raise UserError(
                f"--output {storage.shown(str(output))} is a folder of inputs: the next prediction "
                "would take what this one writes for an image. Give another folder."
            )
