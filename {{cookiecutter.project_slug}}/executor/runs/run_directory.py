"""The folder that holds everything of one run, and what may change when a run goes on."""

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.loading import load_complete
from configs.schema import CFG
from executor.runs.environment import RUN_FORMAT, check_code
from executor.runs.lock import local_lock, remote_lock
from executor.runs.mirror import Mirror
from utils import storage
from utils.errors import UserError
from utils.logs import log

# A run may go on with other values here; any other change would mix two experiments.
_MAY_CHANGE = (
    *("data.cache", "data.cache_dir", "data.workers", "executor"),
    *("run.callbacks", "run.dir", "run.log_every", "run.strict_code", "run.tensorboard"),
    *("train.accumulate", "train.checkpoint_every", "train.checkpoint_minutes"),
    *("train.divergence_limit", "train.early_stopping", "train.epochs", "train.keep_checkpoints"),
    *("train.max_steps", "train.on_divergence", "train.schedule.total_steps"),
)
# What changes the length of a training, and with it the rates of a schedule.
_LENGTH = ("train.epochs", "train.max_steps", "train.schedule.total_steps")


class RunDirectory:
    """Names and writes the files of a run.

    `path` is the local folder, which need not exist; `address` what people call it: the folder, or
    the URL that it is copied to; `publish` brings what changed to the URL, if there is one.
    """

    def __init__(self, path: Path, address: str, publish: Callable[[], None]) -> None:
        self.path = path
        self.address = storage.shown(address)
        self.publish = publish
        self.checkpoints = self.path / "checkpoints"
        self.config = self.path / "config.yaml"
        self.history = self.path / "metrics.jsonl"
        self.metrics = self.path / "metrics.json"
        self.status = self.path / "status.json"
        self.environment = self.path / "environment.json"
        self.facts = self.path / "facts.json"
        self.speed = self.path / "speed.json"
        self.profile = self.path / "profile"
        self.events = self.path / "tensorboard"
        self.weights = self.path / "model.safetensors"
        self.report = self.path / "report.html"

    def check(self, cfg: CFG, force: bool = False) -> None:
        """Refuse a folder that holds something else, or a run with another configuration.

        With `force` such a run continues, with a warning. Nothing is written.
        """
        if self.config.is_file():
            self._check_unchanged(cfg.model_dump(), force)
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UserError(
                f"run.dir: {self.address} exists and holds no run; "
                "choose a folder that is new or empty."
            )

    def begin(self, settings: str, facts: Mapping[str, Any]) -> None:
        """Write the configuration, as YAML, and what the run runs on."""
        storage.write_text(str(self.config), settings)
        self.write_json(self.environment, facts)

    def load_config(self, overrides: Sequence[str] = ()) -> CFG:
        """Return the configuration of the run with `key.path=value` words laid over it.

        It is a UserError if words or file are invalid, or an older version wrote the file.
        """
        self._check_format()
        return load_complete(str(self.config), overrides)

    def sync_history(self) -> None:
        """Wait until the disk has the rows of `metrics.jsonl`, which a checkpoint relies on."""
        if self.history.exists():
            with self.history.open("rb") as file:
                os.fsync(file.fileno())

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `metrics.jsonl`; what is no row is skipped with a warning.

        A last line that was cut off is what a kill leaves, and not worth a word.
        """
        if not self.history.exists():
            return []
        text = self.history.read_text(encoding="utf-8", errors="replace")
        found = [_row(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        rows = [row for row in found if row is not None]
        if len(rows) < len(found):
            name = storage.join(self.address, self.history.name)
            first = found.index(None) + 1
            count = len(found) - len(rows)
            log.warning("%s: skipped what is no row: %d lines, the first is %d", name, count, first)
        return rows

    def forget_after(self, step: int) -> None:
        """Drop the rows that an interrupted process wrote after its last checkpoint."""
        if self.history.exists():
            kept = [json.dumps(row) + "\n" for row in self.rows() if row["step"] <= step]
            storage.write_text(str(self.history), "".join(kept))

    def write_json(self, path: Path, values: Mapping[str, Any]) -> None:
        """Write a JSON file."""
        storage.write_text(str(path), json.dumps(_finite(values), indent=2) + "\n")

    def _check_format(self) -> None:
        facts = self.known_environment()
        if not facts or facts.get("format", 1) == RUN_FORMAT:
            return
        commit = facts.get("commit") or "the commit before the update"
        raise UserError(
            f"{self.address} was begun by an older version of this project, whose settings and "
            f"checkpoints have other names. To finish it, check out {commit.split('-')[0]} in "
            "another folder (git worktree add) and start the same command there. A new run here "
            f"can begin with its weights: train.init_from={self.weights}."
        )

    def known_environment(self) -> dict[str, Any]:
        """Return what the run last ran on, as `environment.json` says."""
        if not self.environment.is_file():
            return {}
        facts: dict[str, Any] = json.loads(self.environment.read_text(encoding="utf-8"))
        return facts

    def _check_unchanged(self, config: dict[str, Any], force: bool) -> None:
        differing = {
            key: f"{key}: {before!r} -> {now!r}"
            for key, before, now in _differences(self.load_config().model_dump(), config)
        }
        length = [text for key, text in differing.items() if key in _LENGTH]
        if length:
            text = (
                "length    %s; a schedule that spans the training goes by the new one from here on"
            )
            log.info(text, ", ".join(length))
        changed = [
            text
            for key, text in differing.items()
            if not any(key == free or key.startswith(free + ".") for free in _MAY_CHANGE)
        ]
        if not changed:
            return
        lines = "\n".join(f"  {text}" for text in changed)
        differences = f"{self.address} holds a run with another configuration:\n{lines}"
        if not force:
            raise UserError(
                f"{differences}\nGive this one its own folder, for example run.dir=runs/second, "
                "go back to the old values to continue the old run, or mix both with --force."
            )
        log.warning("%s\nIt continues with the new values, as --force says.", differences)


@contextmanager
def open_run(address: str) -> Iterator[RunDirectory]:
    """Open a run's folder, which need not exist, or a URL.

    What lies at a URL is copied into a temporary folder, and back by `RunDirectory.publish`.
    """
    if not storage.is_remote(address):
        yield RunDirectory(Path(address), address, lambda: None)
        return
    with tempfile.TemporaryDirectory(prefix="run-") as temporary:
        folder = Path(temporary, address.rstrip("/").rpartition("/")[2])
        mirror = Mirror(address, folder)
        mirror.fetch()
        yield RunDirectory(folder, address, mirror.publish)


@contextmanager
def run_to_write(cfg: CFG, force: bool = False) -> Iterator[RunDirectory]:
    """Open the folder of `run.dir`, check it and keep other processes from writing to it."""
    address = storage.resolve(cfg.run.dir)
    with remote_lock(address), open_run(address) as run, local_lock(run.path):
        run.check(cfg, force)
        check_code(run.known_environment().get("code"), run.address, cfg.run.strict_code)
        yield run


@contextmanager
def open_existing_run(address: str) -> Iterator[RunDirectory]:
    """Open the folder of a run that has been started; a UserError if there is none in it."""
    with open_run(address) as run:
        if not run.config.is_file():
            raise UserError(
                f"{run.address} holds no run: there is no config.yaml in it. "
                "Give the folder that training wrote to (run.dir); a relative one begins where you "
                f"are, or in {storage.PROJECT}."
            )
        yield run


def json_line(row: Mapping[str, Any]) -> str:
    """Return a row as a line of JSON."""
    return json.dumps(_finite(row)) + "\n"


def _row(line: str) -> dict[str, Any] | None:
    """Return a line of `metrics.jsonl`, None if it is not one."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    is_row = isinstance(row, dict) and isinstance(row.get("step"), int)
    return row if is_row else None


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with None for NaN and infinity, which JSON does not know."""
    unknown = [k for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)]
    return {**values, **dict.fromkeys(unknown)}


def without_initial_weights(cfg: CFG) -> CFG:
    """Return a configuration whose model reads no file of weights when it is built.

    Where the weights of a run are put into the model anyway, the file that the run once began with
    (`model.weights`) need not be there any more.
    """
    if cfg.model.arguments.get("weights") is None:
        return cfg
    model = cfg.model.model_copy(update={"weights": None})
    return cfg.model_copy(update={"model": model})


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (key, old value, new value) for each leaf that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            inner = f"{key}.{name}" if key else name
            yield from _differences(old.get(name), new.get(name), inner)
    elif old != new:
        yield key, old, new
