"""A project trains as a trial of Determined, with Determined's own client; the master is made here.

There is no cluster. The master here takes what a trial sends, says when it is preempted, and knows
the few addresses that the client asks for: what a true one thinks of it all is not tried.
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from conftest import QUIET, Run, framework_python, in_one_framework

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

# Runs the adapter as a trial, with what a cluster says in files: the master, where checkpoints lie,
# from which the trial goes on, its hyperparameters, its slots; then the words of the command line.
TRIAL = """
import json, sys
import determined
from executor.launch import determined as determined_trial
from utils.exits import exit_code
from executor.launch.rank import end

master, storage, checkpoint, hyperparameters, slots, *words = sys.argv[1:]
info = determined.ClusterInfo(
    master_url=master, cluster_id="cluster", agent_id="agent", task_id="7",
    slot_ids=list(range(int(slots))),
    allocation_id="7.1", session_token="token", task_type="TRIAL",
    latest_checkpoint=checkpoint or None,
    rendezvous_info=determined.RendezvousInfo(["127.0.0.1"], 0, [int(slots)]),
    trial_info=determined.TrialInfo(
        trial_id=7, experiment_id=1, trial_seed=0, hparams=json.loads(hyperparameters),
        config={"checkpoint_storage": {"type": "directory", "container_path": storage}},
        steps_completed=0, trial_run_id=1, debug=False, inter_node_network_interface=None,
    ),
)
determined.get_cluster_info = lambda: info
determined_trial._POLL_SECONDS = 0.05
end(exit_code(lambda: determined_trial.main(words)))
"""

# Starts a program for each of two slots, as a cluster would: with PyTorch, Determined's own
# launcher, which asks the cluster for no more than this; with TensorFlow it has one for machines of
# one slot, whose addresses and port are fixed, so what it says to each process is said here.
LAUNCHERS = {
    "pytorch": """
import pathlib, sys, types
import determined
from determined.launch import torch_distributed

info = types.SimpleNamespace(
    container_addrs=["127.0.0.1"], container_rank=0, slot_ids=[0, 1], allocation_id=sys.argv[1]
)
determined.get_cluster_info = lambda: info
try:
    sys.exit(torch_distributed.main([], sys.argv[2:]))
finally:  # a socket that it leaves behind
    pathlib.Path(f"/tmp/pid_server-{info.allocation_id}").unlink(missing_ok=True)
""",
    "tensorflow": """
import json, os, subprocess, sys
from executor.launch.launcher import _free_ports

workers = [f"127.0.0.1:{port}" for port in _free_ports(2)]
processes = []
for rank in range(2):
    place = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(place)}
    processes.append(subprocess.Popen(sys.argv[2:], env=environment))
sys.exit(max([abs(process.wait()) for process in processes]))
""",
}

Note = tuple[str, int, Any]  # group or "checkpoint", step, values or name


class Master(ThreadingHTTPServer):
    """Notes down what a trial reports."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.notes: list[Note] = []
        self.preempts_at: int | None = None
        self.refuses = ""
        self.was_acknowledged = False
        self.has_ended = False

    def take_notes(self) -> tuple[list[Note], list[Note]]:
        """Return and forget the rows and the checkpoints."""
        notes, self.notes = self.notes, []
        saved = [note for note in notes if note[0] == "checkpoint"]
        return [note for note in notes if note[0] != "checkpoint"], saved

    def preempts(self, seconds: float) -> bool:
        """Wait until it is time to preempt, at most for so long."""
        deadline = time.monotonic() + seconds
        while True:
            saved = [step for what, step, _ in self.notes if what == "checkpoint"]
            if self.preempts_at is not None and saved and saved[-1] >= self.preempts_at:
                return True
            if self.has_ended or time.monotonic() >= deadline:
                return False
            time.sleep(0.02)


class Answer(BaseHTTPRequestHandler):
    """Knows what a trial asks for."""

    protocol_version = "HTTP/1.1"
    server: Master

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        assert url.path == "/api/v1/allocations/7.1/signals/preemption"
        seconds = float(parse_qs(url.query)["timeout_seconds"][0])
        with suppress(BrokenPipeError):  # the trial is over
            self.say({"preempt": self.server.preempts(seconds)})

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"] or 0))
        sent = json.loads(text) if text else {}
        if self.path == "/api/v1/trials/7/metrics":
            row = sent["metrics"]
            note = (sent["group"], row["stepsCompleted"], row["metrics"]["avgMetrics"])
            self.server.notes.append(note)
        elif self.path == "/api/v1/checkpoints":
            if not self.server.refuses:
                step = sent["metadata"]["steps_completed"]
                self.server.notes.append(("checkpoint", step, sent["uuid"]))
        elif self.path == "/api/v1/allocations/7.1/signals/ack_preemption":
            self.server.was_acknowledged = True
        else:
            assert self.path == "/api/v1/runs/start"
        self.say({}, 400 if self.path == self.server.refuses else 200)

    def say(self, values: dict[str, Any], code: int = 200) -> None:
        text = json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Place(NamedTuple):
    """Where trials run."""

    project: Path
    python: Path
    folder: Path
    run: Path
    master: Master


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
def master() -> Iterator[Master]:
    with Master() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.has_ended = True
        server.shutdown()


@pytest.fixture
def place(whole: Path, with_determined: Path, master: Master, tmp_path: Path) -> Place:
    copy = shutil.copytree(whole, tmp_path / "project")
    return Place(copy, with_determined, tmp_path, copy / "runs" / "trial-7", master)


def start(place: Place, *words: str, **environment: str) -> subprocess.Popen[str]:
    homes = {"XDG_DATA_HOME": str(place.folder), "HOME": str(place.folder)}
    cluster = {"DET_SESSION_TOKEN": "token", "DET_USER": "user", "NO_PROXY": "127.0.0.1"}
    return subprocess.Popen(
        [str(place.python), *words],
        cwd=place.project,
        env={**os.environ, **QUIET, **homes, **cluster, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def start_trial(
    place: Place, checkpoint: str = "", words: list[str] = WORDS, slots: int = 1
) -> subprocess.Popen[str]:
    return start(place, *trial(place, checkpoint, words, slots))


def trial(place: Place, checkpoint: str, words: list[str], slots: int) -> list[str]:
    """Return what stands behind Python to run a trial."""
    address = f"http://127.0.0.1:{place.master.server_port}"
    given = [address, str(place.folder / "storage"), checkpoint, json.dumps(HYPERPARAMETERS)]
    return ["-c", TRIAL, *given, str(slots), *words]


def start_two(place: Place, framework: str, checkpoint: str = "") -> subprocess.Popen[str]:
    """Start a trial with two slots."""
    path = f"{place.python.parent}{os.pathsep}{os.environ['PATH']}"  # it starts `python3`
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    program = [str(place.python), *trial(place, checkpoint, WORDS, slots=2)]
    words = ["-c", LAUNCHERS[framework], f"{os.getpid()}-{port}", *program]
    threads = {"TF_NUM_INTRAOP_THREADS": "1"}  # as `launch` has it: their number changes sums
    return start(place, *words, PATH=path, C10D_PORT=port, **threads)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of a process; return its exit code and what it said."""
    try:
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    return process.returncode, said


def rows(run: Path) -> list[Note]:
    """Return the rows of a run's metrics as Determined should hear of them."""
    text = (run / "metrics.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.splitlines()]
    groups = {"train": "training", "validation": "validation"}
    return [(groups[row.pop("split")], row.pop("step"), row) for row in found]


def results(run: Path) -> dict[str, bytes]:
    """Return what has the same bits in equal runs."""
    files = [run / name for name in ("metrics.jsonl", "metrics.json", "model.safetensors")]
    files += sorted((run / "checkpoints").iterdir())
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


def test_a_preempted_trial_goes_on_to_the_same_bits(place: Place, run: Run):
    trained = run(place.project, "main.py", "train", *WORDS, *OVERRIDES, "run.dir=runs/whole")
    assert trained.returncode == 0, trained.stderr

    place.master.preempts_at = 10
    code, said = ended(start_trial(place))
    assert code == 0, said
    assert place.master.was_acknowledged
    first, saved = place.master.take_notes()
    assert [step for _, step, _ in saved] == sorted({step for _, step, _ in saved})
    stopped = saved[-1][1]
    assert stopped < STEPS
    assert f"stopped at step {stopped} of {STEPS}" in said
    assert not (place.run / "report.html").exists()
    shutil.rmtree(place.run)  # the container is gone

    place.master.preempts_at = None
    code, said = ended(start_trial(place, checkpoint=saved[-1][2]))
    assert code == 0, said
    assert f"continues after step {stopped}" in said
    second, saved = place.master.take_notes()
    assert saved[-1][1] == STEPS
    assert results(place.run) == results(place.project / "runs" / "whole")
    assert first + second == rows(place.run)

    stored = place.folder / "storage" / saved[-1][2]
    assert results(stored) == results(place.run)
    evaluated = run(place.project, "main.py", "evaluate", str(stored))
    assert evaluated.returncode == 0, evaluated.stderr
    assert (stored / "report.html").exists()


def test_two_slots_train_one_model(place: Place, run: Run, framework: str):
    launch = ("main.py", "launch", "--processes", "2", "--", "train")
    trained = run(place.project, *launch, *WORDS, *OVERRIDES, "run.dir=runs/whole")
    assert trained.returncode == 0, trained.stderr

    place.master.preempts_at = 10
    code, said = ended(start_two(place, framework))
    assert code == 0, said
    assert place.master.was_acknowledged
    first, saved = place.master.take_notes()
    stopped = saved[-1][1]
    assert stopped < STEPS
    assert said.count(f"stopped at step {stopped} of {STEPS}") == 1
    assert "2 processes" in said
    assert [step for _, step, _ in saved] == sorted({step for _, step, _ in saved})
    shutil.rmtree(place.run)

    place.master.preempts_at = None
    code, said = ended(start_two(place, framework, checkpoint=saved[-1][2]))
    assert code == 0, said
    assert f"continues after step {stopped}" in said
    second, saved = place.master.take_notes()
    assert saved[-1][1] == STEPS
    assert results(place.run) == results(place.project / "runs" / "whole")
    assert first + second == rows(place.run)


@in_one_framework
def test_each_slot_needs_a_process(place: Place):
    code, said = ended(start_trial(place, slots=2))
    assert code == 2
    assert "resources.slots_per_trial=2, but 1 process was started" in said
    assert "Traceback" not in said
    assert place.master.notes == []


@in_one_framework
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
    _, saved = place.master.take_notes()
    assert f"stopped at step {saved[-1][1]} of" in said


@in_one_framework
def test_what_cannot_be_told_fails_the_trial(place: Place):
    place.master.refuses = "/api/v1/checkpoints"
    code, said = ended(start_trial(place))
    assert code == 1
    assert "APIException" in said
    assert not (place.run / "report.html").exists()


@in_one_framework
def test_a_mistake_in_the_settings_is_told_in_one_message(place: Place):
    code, said = ended(start_trial(place, words=[*WORDS, "train.epoch=3"]))
    assert code == 2
    assert "unknown key 'epoch'; did you mean 'epochs'?" in said
    assert "Traceback" not in said
    code, said = ended(start_trial(place, words=[*WORDS, "run.dir=memory://run"]))
    assert code == 2
    assert "give a local folder" in said
    assert place.master.notes == []


@in_one_framework
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


@in_one_framework
def test_determined_knows_the_settings_of_the_experiment(place: Place, run: Run):
    code = """
import sys, determined
from determined.common import util
from executor.launch.determined import hyperparameter_words

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


@in_one_framework
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


@in_one_framework
def test_without_determined_one_message_says_so(whole: Path, run: Run):
    result = run(whole, "-m", "executor.launch.determined")
    assert result.returncode == 2
    assert result.stderr.startswith("error: Determined is not installed here")
    assert "Traceback" not in result.stderr
