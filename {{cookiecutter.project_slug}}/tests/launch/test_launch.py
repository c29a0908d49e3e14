"""Several processes start together, are asked to stop together, and start again when one dies.

Real processes, real signals; a small program stands in for the training.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.schema import Resources
from executor.launch import processes as launching
from executor.launch.processes import Launch
from main import main
from utils.errors import DivergedError, FailedError, StoppedError, UserError
from utils.exits import exit_code
from utils.storage import PROJECT

PATIENCE = 120  # seconds; nothing here is timed, but nothing may hang for ever either

# What stands in for main.py train: it notes that it runs, does what its words say, and ends.
PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path

project, folder, does = sys.argv[1:]
sys.path.insert(0, project)
from utils.errors import DivergedError, StoppedError, UserError
from utils.exits import exit_code
from executor.launch.rank import as_rank

config = json.loads(os.environ.get("TF_CONFIG", "null"))
workers = config["cluster"]["worker"] if config else []
rank = int(os.environ.get("RANK", config["task"]["index"] if config else 0))
world = int(os.environ.get("WORLD_SIZE", len(workers) or 1))
attempts = Path(folder, f"{rank}.jsonl")
first = not attempts.exists()
about = {"pid": os.getpid(), "world": world, "threads": os.environ.get("OMP_NUM_THREADS")}
about["more"] = os.environ.get("MORE")
signals = []

def note(number, frame):
    signals.append(number)

def wait(is_so=lambda: False):
    deadline = time.monotonic() + 100
    while not signals and not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)

def die_once():
    # One is killed once the other one runs, which then fails as an all-reduce would.
    died = Path(folder, "died")
    if rank == 1:
        wait(Path(folder, "0.jsonl").exists)
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    wait(died.exists)
    time.sleep(0.5)
    raise SystemExit(1)

if does != "sleep":
    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
with attempts.open("a") as file:
    file.write(json.dumps(about) + chr(10))

def train():
    if does == "die once" and first:
        die_once()
    if does == "die" and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "crash" and rank == 1:
        raise SystemExit(1)
    if does == "refuse":
        raise UserError("no such thing")
    if does == "diverge":
        raise DivergedError("NaN")
    if does == "sleep" or does == "stubborn":
        time.sleep(100)
    if does == "stop" or does == "die" or does == "crash":
        wait()
    if does == "stop":
        time.sleep(0.5)
        Path(folder, f"{rank}.saved").write_text(json.dumps(signals))
        raise StoppedError("stopped", signals[0])

sys.exit(as_rank(lambda: exit_code(train)))
"""

# The launcher, without a configuration around it.
LAUNCHER = """
import json, sys
from configs.schema import Resources
from utils.exits import exit_code
from executor.launch.processes import Launch, conclude
from utils.logs import set_up
from executor.launch.launcher import start

set_up()
program, needs, *place = json.loads(sys.argv[1])
launch = Launch(tuple(program), Resources(**needs), *place)
sys.exit(exit_code(lambda: conclude(start(launch))))
"""


class Started:
    """A launcher that runs, and what its processes wrote."""

    def __init__(self, folder: Path, does: str, **given: Any) -> None:
        self.folder = folder
        program = folder / "program.py"
        program.write_text(PROGRAM)
        self.errors = folder / f"errors-{given.get('node_rank')}"
        asked = launch(**given)
        words = [str(program), str(PROJECT), str(folder), does]
        values = [words, asked.resources.model_dump(), asked.address, asked.node_rank]
        environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "RANK")}
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, json.dumps(values)],
                cwd=PROJECT,
                stderr=errors,
                env=environment,
            )

    def attempts(self, rank: int) -> list[dict[str, Any]]:
        path = self.folder / f"{rank}.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.05)

    def ends_with(self, code: int) -> str:
        assert self.process.wait(PATIENCE) == code, self.told()
        for path in self.folder.glob("*.jsonl"):
            for about in self.attempts(int(path.stem)):
                assert not is_alive(about["pid"])
        return self.told()

    def told(self) -> str:
        return self.errors.read_text()


def launch(address: str | None = None, node_rank: int | None = None, **given: Any) -> Launch:
    """Return two processes on this machine, or what is given."""
    needs: dict[str, Any] = {"processes_per_node": 2, "max_restarts": 2, **given}
    return Launch((), Resources(**needs), address, node_rank)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start launchers, and see to it that nothing of them is left."""
    launchers: list[Started] = []

    def begin(does: str, **given: Any) -> Started:
        launchers.append(Started(tmp_path, does, **given))
        return launchers[-1]

    yield begin
    for one in launchers:
        if one.process.poll() is None:
            one.process.terminate()  # it ends what it has started
            one.process.wait()
    for path in tmp_path.glob("*.jsonl"):
        for about in launchers[0].attempts(int(path.stem)):
            if is_alive(about["pid"]):
                os.kill(about["pid"], signal.SIGKILL)


Begin = Callable[..., Started]


def test_processes_know_each_other_and_share_the_cores(started: Begin) -> None:
    one = started("nothing", cpus_per_process=3, environment={"MORE": "a b"})
    said = one.ends_with(0)
    for rank in (0, 1):
        (about,) = one.attempts(rank)
        assert (about["world"], about["threads"], about["more"]) == (2, "3", "a b")
    assert not one.attempts(2)
    words = shlex.split(said.splitlines()[0])
    assert words[0] == "env"
    assert {"MORE=a b", "OMP_NUM_THREADS=3"} <= set(words)
    assert words[-4:] == [str(one.folder / "program.py"), str(PROJECT), str(one.folder), "nothing"]


def test_one_process_is_alone(started: Begin) -> None:
    one = started("nothing", processes_per_node=1)
    one.ends_with(0)
    assert [about["world"] for about in one.attempts(0)] == [1]


def test_when_one_is_killed_all_start_again(started: Begin) -> None:
    one = started("die once")
    said = one.ends_with(0)
    assert [len(one.attempts(rank)) for rank in (0, 1)] == [2, 2]
    assert "SIGKILL" in said or "exitcode: -9" in said
    assert "rank 1" in said or "local_rank: 1" in said


@pytest.mark.parametrize("does", ["die", "crash"])
def test_restarts_come_to_an_end(started: Begin, does: str) -> None:
    one = started(does, max_restarts=1)
    said = one.ends_with(1)
    assert len(one.attempts(1)) == 2
    assert said.splitlines()[-1].startswith("error: the launched processes failed")


@pytest.mark.parametrize(("does", "code"), [("refuse", 2), ("diverge", 3)])
def test_what_was_meant_is_not_tried_again(started: Begin, does: str, code: int) -> None:
    one = started(does)
    one.ends_with(code)
    assert [len(one.attempts(rank)) for rank in (0, 1)] == [1, 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_each_process_once(started: Begin, number: signal.Signals) -> None:
    one = started("stop")
    one.until(lambda: all(one.attempts(rank) for rank in (0, 1)))
    one.process.send_signal(number)
    time.sleep(0.3)
    one.process.send_signal(number)  # as a scheduler does, which signals everybody
    said = one.ends_with(128 + number)
    for rank in (0, 1):
        assert json.loads((one.folder / f"{rank}.saved").read_text()) == [number]
        assert len(one.attempts(rank)) == 1
    assert said.splitlines()[-1].startswith("all processes stopped")
    assert "Traceback" not in said


def test_when_the_processes_stop_by_themselves_the_launch_stops(started: Begin) -> None:
    one = started("stop")
    one.until(lambda: all(one.attempts(rank) for rank in (0, 1)))
    for rank in (0, 1):  # as when another machine is preempted and all agree to stop
        os.kill(one.attempts(rank)[0]["pid"], signal.SIGTERM)
    one.ends_with(143)
    assert [len(one.attempts(rank)) for rank in (0, 1)] == [1, 1]


def test_what_does_not_stop_is_ended(started: Begin) -> None:
    one = started("stubborn", grace_seconds=1)
    one.until(lambda: all(one.attempts(rank) for rank in (0, 1)))
    one.process.send_signal(signal.SIGTERM)
    one.ends_with(143)


def test_what_knows_no_signals_just_stops(started: Begin) -> None:
    one = started("sleep")
    one.until(lambda: all(one.attempts(rank) for rank in (0, 1)))
    one.process.send_signal(signal.SIGTERM)
    one.ends_with(143)


def test_two_machines_find_each_other_and_start_again_together(
    started: Begin, addresses: str
) -> None:
    # Two launchers on this one machine.
    needs = {"nodes": 2, "processes_per_node": 1, "max_restarts": 5}
    both = [started("die once", address=addresses, node_rank=rank, **needs) for rank in (0, 1)]
    for one in both:
        one.ends_with(0)
    assert [about["world"] for about in both[0].attempts(0)][-1] == 2
    assert all(len(both[0].attempts(rank)) >= 2 for rank in (0, 1))


@pytest.mark.parametrize(
    "text", ["", "node", "node:", ":1", "node:x", "node:0", "a,b:1", "n:65536"]
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match=r"--rendezvous: received .*expected HOST:PORT"):
        launching.host_and_port(text, "--rendezvous")


def test_cores_are_shared_out() -> None:
    cores = launching.threads(launch(processes_per_node=1))
    assert launching.threads(launch(processes_per_node=2)) == max(1, cores // 2)
    assert launching.threads(launch(processes_per_node=10**6)) == 1
    assert launching.threads(launch(cpus_per_process=7)) == 7


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, FailedError),
        (2, UserError),
        (3, DivergedError),
        (143, StoppedError),
        (130, StoppedError),
    ],
)
def test_the_end_becomes_an_exit_code(code: int, kind: type[BaseException]) -> None:
    with pytest.raises(kind):
        launching.conclude(code)
    assert exit_code(lambda: launching.conclude(code)) == code
    launching.conclude(0)


def test_only_train_is_launched() -> None:
    with pytest.raises(UserError, match="received 'runs' behind --, expected train"):
        main(["launch", "--", "runs"])


def test_mistakes_are_told_before_anything_starts(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"train\.epochz"):
        main(["launch", "--processes", "2", "--", "train", "train.epochz=1"])
    with pytest.raises(UserError, match="at least 1, received 0"):
        main(["launch", "--processes", "0", "--", "train"])
    with pytest.raises(UserError, match=r"--node-rank 2: with --nodes 2 it is .* from 0 to 1"):
        main(["launch", "--nodes", "2", "--node-rank", "2", "--", "train"])
    with pytest.raises(UserError, match="--nodes 2 needs --"):
        main(["launch", "--", "train", "executor.resources.nodes=2"])
    assert capfd.readouterr().err == ""


def test_the_help_of_launch_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, main\n"
        "with contextlib.suppress(SystemExit): main.main(['launch', '--help'])\n"
        "heavy = {'torch', 'tensorflow', 'numpy', 'pydantic', 'yaml', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)


def test_launching_imports_no_framework() -> None:
    words = ["--nodes", "2"]
    code = (
        "import sys, contextlib, main\n"
        "from utils.errors import UserError\n"
        f"with contextlib.suppress(UserError): main.main(['launch', *{words!r}, '--', 'train'])\n"
        "heavy = {'torch', 'tensorflow', 'keras'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
