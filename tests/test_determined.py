"""A project trains as a trial of Determined, off a cluster: there is no master here.

Determined's own core context is used, which tells a master nothing when there is none. It is asked
for what it was told, and for preemption and the description of a trial it is given stand-ins of
Determined's own types. So what is not tried is the way between the core context and a master.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from conftest import QUIET, Run, framework_python

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 300.0
STEPS = 400
SETTINGS = ["train.epochs=100", "train.checkpoint_every=10", "model.dropout=0.1"]
WORDS = ["--config", "configs/debug.yaml", *SETTINGS]
HYPERPARAMETERS = {
    "train": {"optimizer": {"target": "sgd", "learning_rate": 1e-05}},
    "train.max_steps": STEPS,
}
OVERRIDES = [
    *("train.optimizer=sgd", "train.optimizer.learning_rate=1e-05"),
    f"train.max_steps={STEPS}",
]

# Runs the adapter as a trial: with the folder for notes, when it is preempted, from what checkpoint
# it goes on, its hyperparameters, and then the words of the command line.
TRIAL = """
import json, os, sys
from pathlib import Path

import determined
from determined import core
from executor import determined_trial
from utils.exits import exit_code

folder, preempted_at, checkpoint, hyperparameters, *words = sys.argv[1:]
told = Path(folder, "told.jsonl")
saved = []

def note(what, step, values):
    with told.open("a") as file:
        file.write(json.dumps([what, step, values]) + "\\n")

class Train(core.DummyTrainContext):
    def report_training_metrics(self, steps_completed, metrics, batch_metrics=None):
        super().report_training_metrics(steps_completed, metrics, batch_metrics)
        note("train", steps_completed, metrics)

    def report_validation_metrics(self, steps_completed, metrics):
        super().report_validation_metrics(steps_completed, metrics)
        note("validation", steps_completed, metrics)

class Checkpoints(core.DummyCheckpointContext):
    def _report_checkpoint(self, storage_id, resources=None, metadata=None):
        super()._report_checkpoint(storage_id, resources, metadata)
        saved.append(metadata["steps_completed"])
        note("checkpoint", metadata["steps_completed"], storage_id)

class Preempt(core.DummyPreemptContext):
    def should_preempt(self, auto_ack=True):
        super().should_preempt(auto_ack)
        return preempted_at != "never" and bool(saved) and saved[-1] >= int(preempted_at)

def init(**options):
    determined.get_cluster_info = lambda: None
    context = real_init(checkpoint_storage=str(Path(folder, "storage")), **options)
    context.train, context.preempt = Train(), Preempt(context.distributed)
    context.checkpoint = Checkpoints(context.distributed, context.checkpoint._storage_manager)
    return context

info = determined.ClusterInfo(
    master_url="http://127.0.0.1:1", cluster_id="c", agent_id="a", slot_ids=[0], task_id="t",
    allocation_id="t.1", session_token="s", task_type="TRIAL", latest_checkpoint=checkpoint or None,
    trial_info=determined.TrialInfo(
        trial_id=7, experiment_id=1, trial_seed=0, hparams=json.loads(hyperparameters), config={},
        steps_completed=0, trial_run_id=1, debug=False, inter_node_network_interface=None,
    ),
)
real_init, core.init = core.init, init
determined.get_cluster_info = lambda: info
determined_trial._POLL_SECONDS = 0.05
sys.exit(exit_code(lambda: determined_trial.main(words)))
"""

Note = tuple[str, int, Any]


class Place(NamedTuple):
    """Where trials run."""

    project: Path
    python: Path
    folder: Path
    run: Path


@pytest.fixture(scope="module")
def with_determined(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has Determined, and behind it a framework's requirements."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    own = packages(folder / "bin" / "python")
    others = [packages(framework_python("determined")), packages(python)]
    (own / "others.pth").write_text("\n".join(map(str, others)) + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def packages(python: Path) -> Path:
    """Return where an interpreter has its packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([str(python), "-c", code], text=True).strip())


@pytest.fixture
def place(project: Path, with_determined: Path, tmp_path: Path) -> Place:
    copy = shutil.copytree(project, tmp_path / "project")
    return Place(copy, with_determined, tmp_path, copy / "runs" / "trial-7")


def start(place: Place, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(place.python), *words],
        cwd=place.project,
        env={**os.environ, **QUIET, "XDG_DATA_HOME": str(place.folder), "HOME": str(place.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def start_trial(
    place: Place, preempted_at: int | None = None, checkpoint: str = "", words: list[str] = WORDS
) -> subprocess.Popen[str]:
    at = "never" if preempted_at is None else str(preempted_at)
    given = [str(place.folder), at, checkpoint, json.dumps(HYPERPARAMETERS), *words]
    return start(place, "-c", TRIAL, *given)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of a process; return its exit code and what it said."""
    try:
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    return process.returncode, said


def told(place: Place) -> list[Note]:
    """Return everything that Determined was told, and forget it."""
    path = place.folder / "told.jsonl"
    notes = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.unlink()
    return notes


def rows(run: Path) -> list[Note]:
    """Return the rows of a run's metrics as Determined should hear of them."""
    text = (run / "metrics.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.splitlines()]
    return [[row.pop("split"), row.pop("step"), row] for row in found]


def results(run: Path) -> dict[str, bytes]:
    """Return what has the same bits in equal runs."""
    files = [run / name for name in ("metrics.jsonl", "metrics.json", "model.safetensors")]
    files += sorted((run / "checkpoints").iterdir())
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


def split(notes: list[Note]) -> tuple[list[Note], list[Note]]:
    """Part the rows from the checkpoints."""
    saved = [note for note in notes if note[0] == "checkpoint"]
    return [note for note in notes if note[0] != "checkpoint"], saved


def test_a_preempted_trial_goes_on_to_the_same_bits(place: Place, run: Run):
    trained = run(place.project, "main.py", "train", *WORDS, *OVERRIDES, "run.dir=runs/whole")
    assert trained.returncode == 0, trained.stderr

    code, said = ended(start_trial(place, preempted_at=10))
    assert code == 0, said
    first, saved = split(told(place))
    assert [step for _, step, _ in saved] == sorted({step for _, step, _ in saved})
    stopped = saved[-1][1]
    assert stopped < STEPS
    assert f"stopped at step {stopped} of {STEPS}" in said
    assert not (place.run / "report.html").exists()
    shutil.rmtree(place.run)  # the container is gone

    code, said = ended(start_trial(place, checkpoint=saved[-1][2]))
    assert code == 0, said
    assert f"continues after step {stopped}" in said
    second, saved = split(told(place))
    assert saved[-1][1] == STEPS
    assert results(place.run) == results(place.project / "runs" / "whole")
    assert first + second == rows(place.run)

    stored = place.folder / "storage" / saved[-1][2]
    assert results(stored) == results(place.run)
    evaluated = run(place.project, "main.py", "evaluate", str(stored))
    assert evaluated.returncode == 0, evaluated.stderr
    assert (stored / "report.html").exists()


def test_another_signal_is_no_preemption(place: Place):
    process = start_trial(place)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list(place.run.glob("checkpoints/*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code == 128 + signal.SIGTERM, said
    _, saved = split(told(place))
    assert f"stopped at step {saved[-1][1]} of" in said


def test_a_mistake_in_the_settings_is_told_in_one_message(place: Place):
    code, said = ended(start_trial(place, words=[*WORDS, "train.epoch=3"]))
    assert code == 2
    assert "unknown key 'epoch'; did you mean 'epochs'?" in said
    assert "Traceback" not in said
    code, said = ended(start_trial(place, words=[*WORDS, "run.dir=memory://run"]))
    assert code == 2
    assert "give a local folder" in said
    assert not (place.folder / "told.jsonl").exists()


def test_the_experiment_can_be_tried_where_no_cluster_is(place: Place):
    experiment = yaml.safe_load((place.project / "determined.yaml").read_text(encoding="utf-8"))
    program, *words = shlex.split(experiment["entrypoint"])
    assert program == "python3"
    debug = [word.replace("default.yaml", "debug.yaml") for word in words]
    code, said = ended(start(place, *debug, "run.dir=runs/tried"))
    assert code == 0, said
    reported = (place.project / "runs/tried/metrics.jsonl").read_text(encoding="utf-8")
    last = json.loads(reported.splitlines()[-1])
    assert experiment["searcher"]["metric"] in last
    assert len(list((place.folder / "determined").iterdir())) >= 1


def test_determined_knows_the_settings_of_the_experiment(place: Place, run: Run):
    code = """
import sys, determined
from determined.common import util
from executor.determined_trial import hyperparameter_words

with open("determined.yaml") as file:
    experiment = determined.ExperimentConfig(util.safe_load_yaml_with_exceptions(file))
assert experiment.slots_per_trial() == 1
print(*hyperparameter_words(experiment["hyperparameters"]), sep="\\n")
"""
    said = subprocess.check_output(
        [str(place.python), "-c", code], cwd=place.project, env={**os.environ, **QUIET}, text=True
    )
    result = run(place.project, "main.py", "config", *said.splitlines())
    assert result.returncode == 0, result.stderr


def test_what_is_sent_is_the_code(place: Place):
    for name in ("runs/first/x", "data/x", "cache/x", ".venv/x", ".git/x", "model/__pycache__/x"):
        (place.project / name).parent.mkdir(parents=True, exist_ok=True)
        (place.project / name).touch()
    (place.project / ".env").touch()
    code = """
import json, pathlib
from determined.common import context
sent = context.read_v1_context(pathlib.Path("."))
print(json.dumps([file.path for file in sent]))
"""
    command = [str(place.python), "-c", code]
    said = subprocess.check_output(command, cwd=place.project, text=True).splitlines()[-1]
    sent = {name for name in json.loads(said) if not name.endswith("/")}
    tracked = {p.relative_to(place.project).as_posix() for p in place.project.rglob("*.py")}
    assert tracked <= sent
    assert {name for name in sent if Path(name).name == "x" or name == ".env"} == set()


def test_without_determined_one_message_says_so(project: Path, run: Run):
    result = run(project, "-m", "executor.determined_trial")
    assert result.returncode == 2
    assert result.stderr.startswith("error: Determined is not installed here")
    assert "Traceback" not in result.stderr
