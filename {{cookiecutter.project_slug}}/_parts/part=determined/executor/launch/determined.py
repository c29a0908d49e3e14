"""Trains as a trial on a Determined cluster: python -m executor.launch.determined [words of train].

`determined.yaml` starts it. A thread beside the training watches the run's folder, reports what is
new there, and asks training to stop when Determined needs the machine. A checkpoint in Determined
is a copy of that folder, so a trial that is moved continues as any run does, and
`det checkpoint download` gives a run to look at.

Where a trial has several slots, each with a process of its own, the first process alone reports to
Determined; the others only train, and stop when it does.
"""

import argparse
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.loading import load_config
from executor.checkpoints import checkpoint
from executor.distributed.process_group import launched
from executor.launch.rank import end
from executor.runs.run_directory import RunDirectory
from executor.training.trainer import Trainer
from utils import storage
from utils.errors import StoppedAtOnceError, StoppedError, UserError
from utils.exits import exit_code
from utils.logs import log, set_up
from utils.signals import StopSignals, stopping_at_once

_POLL_SECONDS = 5.0


class Watch:
    """While it is entered, reports a run to Determined, and stops the run on preemption.

    It begins at the run's newest checkpoint: what came before was reported. `may_stop` returns
    whether the run can be asked to stop now.
    """

    def __init__(self, core: Any, run: RunDirectory, may_stop: Callable[[], bool]) -> None:
        self.is_preempted = False
        self._core = core
        self._run = run
        self._may_stop = may_stop
        self._saved = max(checkpoint.steps(run.checkpoints), default=-1)
        self._reported = {"train": self._saved, "validation": self._saved}
        self._failure: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="determined", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        """Report what is left; all of the folder when training came to its end."""
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        self.report(everything=error is None)

    def report(self, *, everything: bool = False) -> None:
        """Report new rows; upload the folder if it has a new checkpoint, or in any case."""
        newest = max(checkpoint.steps(self._run.checkpoints), default=-1)
        if newest <= self._saved and not everything:
            self._report_rows()
            return
        with tempfile.TemporaryDirectory() as copy:
            try:
                _copy_folder(self._run.path, copy)
            except _RemovedError:  # training writes the checkpoint after the next: come again
                return
            # After copying: a trial that continues from the copy reports only what comes after it.
            self._report_rows()
            step = max(checkpoint.steps(Path(copy, self._run.checkpoints.name)))
            self._core.checkpoint.upload(copy, {"steps_completed": step})
            self._saved = step

    def _watch(self) -> None:
        try:
            while not self._ended.wait(_POLL_SECONDS):
                if not self.is_preempted and self._is_to_stop():
                    self.is_preempted = True
                    os.kill(os.getpid(), signal.SIGTERM)
                self.report()
        except Exception as error:  # Determined has tried several times, and restarts the trial
            self._failure = error
            if not self.is_preempted:  # a second signal would end the run before it is saved
                os.kill(os.getpid(), signal.SIGTERM)

    def _is_to_stop(self) -> bool:
        # In this order: between the answer and the signal there is no time to leave the steps.
        return bool(self._core.preempt.should_preempt()) and self._may_stop()

    def _report_rows(self) -> None:
        """Report what Determined has not seen; its steps only grow, also where a run goes back."""
        report = {
            "train": self._core.train.report_training_metrics,
            "validation": self._core.train.report_validation_metrics,
        }
        for row in self._run.rows():
            step, split = row.pop("step"), row.pop("split")
            if step > self._reported[split]:
                values = {name: value for name, value in row.items() if value is not None}
                report[split](steps_completed=step, metrics=values)
                self._reported[split] = step


class _RemovedError(Exception):
    """An old checkpoint was removed while its folder was copied."""


def _copy_folder(folder: Path, copy: str) -> None:
    """Copy a run's folder but for unfinished files."""

    def copied(source: str, target: str) -> None:
        try:
            shutil.copy2(source, target)
        except FileNotFoundError as error:
            raise _RemovedError from error  # copytree would go on after it

    unfinished = shutil.ignore_patterns("*.tmp")
    shutil.copytree(folder, copy, ignore=unfinished, copy_function=copied, dirs_exist_ok=True)


def hyperparameter_words(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield hyperparameters, nested or with dots in their names, as `key.path=value`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from hyperparameter_words(value, f"{above}{name}.")
        else:
            yield f"{above}{name}={json.dumps(value)}"


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or continue the trial from its newest checkpoint; return also when it is preempted."""
    parser = argparse.ArgumentParser(description="Train as a trial on a Determined cluster.")
    parser.add_argument("--config", metavar="FILE", help="as of main.py train")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="as of main.py")
    arguments = parser.parse_args(argv)
    set_up()
    try:
        import determined  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise UserError(
            "Determined is not installed here; on its clusters it is. Elsewhere: "
            f"pip install determined ({error})"
        ) from error
    info = determined.get_cluster_info()
    rank, size = launched()
    _check_slots(info, size)
    cfg = load_config(arguments.config, _words(arguments.overrides, info))
    address = storage.resolve(cfg.run.dir)
    if storage.is_remote(address):
        raise UserError("run.dir: Determined keeps the run itself; give a local folder.")
    if rank > 0:
        try:
            Trainer(cfg).fit()
        except StoppedAtOnceError:
            raise
        except StoppedError as stopped:  # the first process's exit code says why
            log.info("%s", stopped)
        return
    run = RunDirectory(Path(address), address, lambda: None)
    with stopping_at_once(), _core(determined) as core:
        if info is not None and info.latest_checkpoint and not checkpoint.steps(run.checkpoints):
            core.checkpoint.download(info.latest_checkpoint, run.path)
        # Several processes agree on a stop in their steps only; elsewhere it is a loss to them.
        watch = Watch(core, run, _takes_steps if size > 1 else lambda: True)
        try:
            with watch:
                Trainer(cfg).fit()
        except StoppedError as stopped:
            if not watch.is_preempted:
                raise
            log.info("%s", stopped)  # Determined starts a trial again that ends without an error


def _check_slots(info: Any, processes: int) -> None:
    slots = 0 if info is None else sum(info.container_slot_counts)
    if slots > processes:
        raise UserError(
            f"resources.slots_per_trial={slots}, but {processes} "
            f"process{' was' if processes == 1 else 'es were'} started; each slot needs one. Take "
            "the entrypoint for several slots in determined.yaml, or slots_per_trial: 1."
        )


def _takes_steps() -> bool:
    """Return whether a signal would be remembered now, and not end the run where it is."""
    handler = signal.getsignal(signal.SIGTERM)
    return isinstance(getattr(handler, "__self__", None), StopSignals)


def _core(determined: Any) -> Any:
    """Return Determined's core context, for the first process alone.

    If it knew of the others, it would wait for them on ports of its own, and in each failure.
    """
    return determined.core.init(
        distributed=determined.core.DummyDistributedContext(),
        tensorboard_mode=determined.core.TensorboardMode.MANUAL,  # the run writes its own events
    )


def _words(overrides: Sequence[str], info: Any) -> list[str]:
    """Return the overrides of the command line, and those that a cluster's description adds."""
    if info is None:
        return list(overrides)
    words = [*overrides, *hyperparameter_words(info.trial.hparams)]
    if not any(word.startswith("run.dir=") for word in words):
        words.append(f"run.dir=runs/trial-{info.trial.trial_id}")  # trials may share a disk
    return words


if __name__ == "__main__":
    end(exit_code(main))
