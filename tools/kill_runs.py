"""Kills, stops and damages runs of a generated project: does each still end with the same bits?

    python tools/kill_runs.py --framework pytorch --kills 50 --signals 20 --damages 20

A run is trained once without interruption. Then, again and again, a run of the same configuration
is interrupted at a random moment and started again until it is done; the weights, the whole state
(optimizer, schedule, moving average, ...) and the rows of metrics.jsonl must be those of the first,
byte for byte. Accumulation, moving average, dropout, mixed precision and augmentation are on;
workers are 0 and 2 by turns. Every other kill waits until a checkpoint is being written.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from generate import REPOSITORY, clean_copy, generate

STEPS = 150
CONFIGURATION = [
    *("--config", "configs/debug.yaml", "run.tensorboard=false"),
    *("train.epochs=1000", f"train.max_steps={STEPS}", "train.evaluate_every=15"),
    *("train.checkpoint_every=10", "train.accumulate=2", "train.ema_decay=0.9"),
    *("model.widths=[8, 16, 32]", "model.dropout=0.1", "executor.precision=bf16"),
]
# On a busy machine threads that spin while they wait run several times slower than one that sleeps.
QUIET = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUTF8": "1"}


# Checkpoints after which a run is disturbed: steps, not times, which differ from minute to minute.
DISTURBED_AFTER = range(10, 101, 10)


class Runs:
    """Runs of one configuration, to be disturbed, and one that nothing disturbs."""

    def __init__(
        self,
        project: Path,
        python: Path,
        folder: Path,
        seed: int = 0,
        configuration: Sequence[str] = CONFIGURATION,
    ) -> None:
        """Train the undisturbed run.

        Args:
            project: A generated project.
            python: The interpreter that has its framework.
            folder: Where the runs are written.
            seed: Of the random moments.
            configuration: The words after `train`.
        """
        self._project = project
        self._configuration = configuration
        self._python = python
        self._folder = folder
        self._random = random.Random(seed)  # noqa: S311 -- moments, no secrets
        run = folder / "undisturbed"
        process = self.start(run, workers=0)
        self.finish(process)
        self._expected = results(run)

    def start(self, run: Path, workers: int) -> subprocess.Popen[str]:
        """Start or continue a run in the background."""
        words = [*self._configuration, f"data.workers={workers}", f"run.dir={run}"]
        return subprocess.Popen(
            [str(self._python), "main.py", "train", *words],
            cwd=self._project,
            env={**os.environ, **QUIET},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> None:
        """Wait for a run to end as it should."""
        errors = process.communicate()[1]
        if process.returncode != 0:
            raise RuntimeError(f"ended with {process.returncode}:\n{errors}")

    def killed(self, number: int) -> str:
        """Kill a run with -9, continue it, and return what differs."""
        run, workers = self._folder / f"killed-{number}", 2 * (number % 2)
        is_during_write = number % 4 >= 2

        def begin() -> subprocess.Popen[str]:
            process = self._started(run, workers)
            if is_during_write:
                # On a fast disk it may never be seen; then the last ones are not waited for.
                wait_until(
                    lambda: (
                        any((run / "checkpoints").glob("*.tmp")) or last_step(run) >= STEPS - 10
                    ),
                    process,
                )
            process.kill()
            return process

        return self._interrupted(run, workers, begin, -signal.SIGKILL)

    def stopped(self, number: int) -> str:
        """End a run with SIGTERM, continue it, and return what differs."""
        run, workers = self._folder / f"stopped-{number}", 2 * (number % 2)

        def begin() -> subprocess.Popen[str]:
            process = self._started(run, workers)
            process.terminate()
            return process

        return self._interrupted(run, workers, begin, 128 + signal.SIGTERM)

    def damaged(self, number: int) -> str:
        """Damage the newest checkpoint of a run that was killed at its end; say what differs."""
        run = self._folder / f"damaged-{number}"
        shutil.copytree(self._folder / "undisturbed", run)
        for name in ("metrics.json", "model.safetensors", "report.html"):
            (run / name).unlink()
        newest = checkpoints(run)[-1]
        file = newest.with_suffix(self._random.choice([".safetensors", ".json"]))
        kind = ("truncated", "flipped", "empty", "missing")[number % 4]
        content = bytearray(file.read_bytes())
        place = self._random.randrange(len(content))
        if kind == "truncated":
            file.write_bytes(content[:place])
        elif kind == "flipped":
            content[place] ^= 1 << self._random.randrange(8)
            file.write_bytes(content)
        elif kind == "empty":
            file.write_bytes(b"")
        else:
            file.unlink()
        self.finish(self.start(run, workers=0))
        return self._difference(run, f"{kind} {file.suffix}")

    def _started(self, run: Path, workers: int) -> subprocess.Popen[str]:
        """Start a run and return at a random moment between its first checkpoint and its end."""
        process = self.start(run, workers)
        after = self._random.choice(DISTURBED_AFTER)
        wait_until(lambda: last_step(run) >= after, process)
        time.sleep(self._random.uniform(0, 0.1))
        return process

    def _interrupted(
        self, run: Path, workers: int, begin: Callable[[], subprocess.Popen[str]], code: int
    ) -> str:
        for _ in range(20):
            process = begin()
            errors = process.communicate()[1]
            if not is_finished(run):  # else it was quicker than the signal
                break
            shutil.rmtree(run)
        if process.returncode != code:
            return f"ended with {process.returncode} in place of {code}: {errors}"
        step = checkpoints(run)[-1].stem
        self.finish(self.start(run, workers))
        return self._difference(run, f"interrupted after {step}")

    def _difference(self, run: Path, what: str) -> str:
        found = results(run)
        names = [n for n in {**found, **self._expected} if found.get(n) != self._expected.get(n)]
        shutil.rmtree(run)
        return f"{what}: {', '.join(names)} differ" if names else ""


def checkpoints(run: Path) -> list[Path]:
    """Return the marks of whole checkpoints, oldest first."""
    return sorted((run / "checkpoints").glob("step-*.json"))


def last_step(run: Path) -> int:
    """Return the step of the newest checkpoint, 0 without one."""
    found = checkpoints(run)
    return int(found[-1].stem.removeprefix("step-")) if found else 0


def is_finished(run: Path) -> bool:
    """Return whether a run says that nothing is left to do."""
    file = run / "status.json"
    return file.exists() and json.loads(file.read_text(encoding="utf-8"))["status"] == "finished"


def results(run: Path) -> dict[str, bytes]:
    """Return the files that must be the same to the last bit.

    Of the checkpoints it is the newest, which holds the whole state: a stop adds a checkpoint, and
    so another of the old ones is gone.
    """
    names = ["metrics.json", "metrics.jsonl", "model.safetensors"]
    newest = checkpoints(run)[-1]
    files = [*(run / name for name in names), newest, newest.with_suffix(".safetensors")]
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Return as soon as a condition holds, or the process has ended."""
    while not condition() and process.poll() is None:
        time.sleep(0.0005)


def main() -> None:
    """Do what was asked for, and end with code 1 if a single run differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument("--task", default="segmentation")
    parser.add_argument("--python", type=Path, help="interpreter; default: that of make setup")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    for kind in ("kills", "signals", "damages"):
        parser.add_argument(f"--{kind}", type=int, default=10)
    arguments = parser.parse_args()
    python = arguments.python or REPOSITORY / f".venv-{arguments.framework}" / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder:
        template = clean_copy(Path(folder, "template"))
        answers = {"framework": arguments.framework, "task": arguments.task}
        project = generate(template, Path(folder, "project"), **answers)
        runs = Runs(project, python.absolute(), Path(folder, "runs"), arguments.seed)
        bad = sum(
            report(kind, getattr(arguments, kind), disturb)
            for kind, disturb in (
                ("kills", runs.killed),
                ("signals", runs.stopped),
                ("damages", runs.damaged),
            )
        )
    sys.exit(bool(bad))


def report(kind: str, count: int, disturb: Callable[[int], str]) -> int:
    """Disturb so many runs, and print how many ended with the same bits; return the others."""
    differences = []
    for number in range(count):
        if difference := disturb(number):
            differences.append(difference)
            print(f"  {kind} {number}: {difference}", flush=True)
    print(f"{kind}: {count - len(differences)} of {count} runs end with the same bits", flush=True)
    return len(differences)


if __name__ == "__main__":
    main()
