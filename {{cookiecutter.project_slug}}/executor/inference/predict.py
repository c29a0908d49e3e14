"""Predicts for files of one's own: reads, computes and writes at the same time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from dataloader.batches import prefetched
from evaluation.evaluator import PredictedFile
from executor.devices.oom import explain_out_of_memory
from executor.inference.input_files import InputFile, input_files, refuse_inputs_as_output
from executor.inference.load import Predictor, load
from executor.runs.progress import Counting
from utils import storage
from utils.errors import UserError
from utils.logs import log
from utils.memory import OutOfMemory

_AT_ONCE = 8  # files, at most: they are in memory at the size that they have
_RECORD = ".predicting.jsonl"


def predict(
    path: str,
    inputs: Sequence[str],
    output: str,
    overrides: Sequence[str] = (),
    recursive: bool = False,
) -> list[Path]:
    """Write what a run's best weights predict for each file.

    Where each file has files of its own (see `Task.save` in `evaluation/task.py`), a prediction
    that was stopped goes on where it was.

    Args:
        path: The run's folder.
        inputs: Files, and folders whose files of the task's kind are all taken.
        output: Folder for what the task writes.
        overrides: `key.path=value` words laid over the run's configuration.
        recursive: Whether folders in these folders are read, too.

    Returns:
        The files written.

    Raises:
        UserError: If a file cannot be read, two have one name, or there are no weights yet.
    """
    files: list[InputFile] = []
    counting = Counting("predicted", "files")
    with explain_out_of_memory(lambda: f"after {counting.done} of {len(files)} files", _advice):
        predictor = load(path, overrides)
        folder = Path(output)
        refuse_inputs_as_output(inputs, folder)
        files += input_files(inputs, predictor.task.endings, recursive)
        try:
            identity = _identity(path, predictor, overrides)
            with counting:
                return list(_written(predictor, files, folder, identity, counting))
        except OSError as error:
            raise UserError(f"{storage.shown(output)}: cannot be written ({error}).") from error


def _written(
    predictor: Predictor,
    files: Sequence[InputFile],
    folder: Path,
    identity: Mapping[str, Any],
    counting: Counting,
) -> Iterator[Path]:
    """Write what is predicted and yield the paths."""
    task: Any = predictor.task
    workers = predictor.cfg.data.workers
    if not hasattr(task, "save"):
        counting.start(len(files))
        folder.mkdir(parents=True, exist_ok=True)
        yield from task.write(folder, counting.each(_predicted(predictor, files)))
        return
    record = _Record(folder / _RECORD, identity)
    left = [file for file in files if file.name not in record.done]
    if len(left) < len(files):
        text = "goes on   %d of %d files were predicted before this was stopped"
        log.info(text, len(files) - len(left), len(files))
    counting.start(len(files), len(files) - len(left))

    def save(file: PredictedFile) -> tuple[str, list[Path]]:
        return file.name, task.save(folder, file)

    with record, closing(prefetched(save, _predicted(predictor, left), workers)) as saved:
        for name, paths in counting.each(saved):
            record.add(name)
            yield from paths


def _predicted(predictor: Predictor, files: Sequence[InputFile]) -> Iterator[PredictedFile]:
    """Yield what is predicted for files, in their order; threads read ahead."""
    cfg = predictor.cfg
    size = min(cfg.train.batch_size // cfg.train.accumulate, _AT_ONCE)

    def read(start: int) -> list[tuple[InputFile, Any, Mapping[str, np.ndarray]]]:
        return [
            (file, *predictor.task.read(str(file.path))) for file in files[start : start + size]
        ]

    with closing(prefetched(read, range(0, len(files), size), cfg.data.workers)) as parts:
        for part in parts:
            fields = [fields for _, _, fields in part]
            together = {name: np.concatenate([f[name] for f in fields]) for name in fields[0]}
            prediction = predictor.predict_fields(together)
            end = 0
            for file, content, of_file in part:
                start, end = end, end + len(next(iter(of_file.values())))
                own = {name: array[start:end] for name, array in prediction.items()}
                yield PredictedFile(file.path, file.name, content, own)


class _Record:
    """Which files of a prediction are done, in a hidden file that is there while others are not."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Read what was done, if the same run was predicting."""
        self._path = path
        self.done: set[str] = set()
        first = json.dumps(identity)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if lines[:1] == [first]:
            self.done.update(json.loads(line) for line in lines[1:] if line.endswith('"'))
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [first, *map(json.dumps, sorted(self.done))]
        path.write_text("\n".join(kept) + "\n", encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> "_Record":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._path.unlink()

    def add(self, name: str) -> None:
        """Note that what belongs to a file is written."""
        self._file.write(json.dumps(name) + "\n")
        self._file.flush()


def _identity(path: str, predictor: Predictor, overrides: Sequence[str]) -> dict[str, Any]:
    """Return what decides what is predicted, besides the files."""
    exported = Path(path, "model.safetensors")
    changed = exported.stat().st_mtime_ns if exported.exists() else None
    return {"run": path, "step": predictor.step, "changed": changed, "settings": [*overrides]}


def _advice(memory: OutOfMemory) -> list[str]:
    """Say what to do where memory runs out, though few files at a time are predicted."""
    lines = ["train.batch_size is how many files are predicted at once, at most eight."]
    other = ", or predict on the CPU: set CUDA_VISIBLE_DEVICES to nothing"
    end = f"End other programs that use the memory{other if memory.device == 'GPU' else ''}."
    return [end, *lines]
