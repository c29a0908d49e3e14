"""The script for Slurm says what was asked for, and whatever stands in it stays literal."""

import json
import os
import shlex
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from executor.launch.rendezvous import rendezvous_arguments
from main import main
from utils.errors import UserError
from utils.storage import PROJECT

BASH = "/bin/bash"
NASTY = 'run.dir=runs/it\'s $(touch hacked) `id` "q" \\ $HOME *'
SEVERAL = ("--nodes", "4", "--processes", "8")
NEEDS = ("executor.resources.gpus_per_process=1", "executor.resources.cpus_per_process=4")
ASKED = (
    *("--set", "memory_gib=64", "--set", "time_limit_minutes=90", "--set", "partition=gpu"),
    *("--set", "account=me", "--set", "sbatch_options=[--qos=high]"),
)

# What stands in for Slurm's commands: each writes down how it was called.
STUB = """#!/bin/bash
{ echo CALL; printf '%s\\0' "$@"; } | python3 -c "
import json, sys
head, words = sys.stdin.read().split('CALL\\n', 1)
print(json.dumps(words.split(chr(0))[:-1]))" >> "$STUBS/$(basename "$0").jsonl"
"""
ANSWERS = {
    "scontrol": 'if [ "$1" = show ]; then printf "node1\\nnode2\\nnode3\\nnode4\\n"; fi\n',
    "scancel": 'touch "$STUBS/stop"\n',
    "srun": 'if [ -n "${WAIT-}" ]; then until [ -e "$STUBS/stop" ]; do sleep 0.05; done; fi\n'
    'exit "${CODE-0}"\n',
}


def rendered(folder: Path, *words: str, options: tuple[str, ...] = ()) -> Path:
    main(["launch", *options, "--on", "slurm", "--render", str(folder), "--", "train", *words])
    return folder / "slurm" / "train.sbatch"


def directives(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line.startswith("#SBATCH ")]
    pairs = [line.removeprefix("#SBATCH --").partition("=") for line in lines]
    return {name: value for name, _, value in pairs}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a job whose scheduler is made of stubs."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name, answer in ANSWERS.items():
        path = stubs / name
        path.write_text(STUB + answer)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    said = {"SLURM_JOB_ID": "123", "SLURM_JOB_NODELIST": "node[1-4]", "STUBS": str(stubs)}
    return {**os.environ, **said, "PATH": f"{stubs}:{os.environ['PATH']}"}


def calls(environment: dict[str, str], program: str) -> list[list[str]]:
    path = Path(environment["STUBS"], f"{program}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_sbatch_asks_for_what_is_needed(tmp_path: Path) -> None:
    path = rendered(tmp_path, *NEEDS, options=(*SEVERAL, *ASKED))
    subprocess.run([BASH, "-n", str(path)], check=True)
    said = directives(path)
    assert said.pop("job-name").endswith("-default")
    assert said == {
        **{"nodes": "4", "ntasks-per-node": "1", "cpus-per-task": "32", "gpus-per-node": "8"},
        **{"mem": "64G", "time": "90", "partition": "gpu", "account": "me", "qos": "high"},
        **{"signal": "B:USR1@150", "open-mode": "append", "requeue": ""},
    }


def test_what_is_not_needed_is_not_asked_for(tmp_path: Path) -> None:
    said = directives(rendered(tmp_path))
    assert set(said) == {
        *("job-name", "nodes", "ntasks-per-node", "signal", "open-mode", "requeue"),
    }


@pytest.mark.parametrize("options", [(), SEVERAL], ids=["one", "several"])
def test_slurm_starts_the_launcher_and_words_stay_literal(
    tmp_path: Path, slurm: dict[str, str], options: tuple[str, ...]
) -> None:
    words = (*NEEDS, NASTY, "data.workers=1")
    path = rendered(tmp_path, "--force", *words, options=options)
    subprocess.run([BASH, str(path)], env=slurm, check=True, cwd=tmp_path)
    (call,) = calls(slurm, "srun")
    call = call[call.index(str(PROJECT / "main.py")) + 1 :]
    ours, its = call[: call.index("--")], call[call.index("--") + 1 :]
    assert its == ["train", "--force", *words]
    nodes, processes = (options[1], options[3]) if options else ("1", "1")
    addresses = [f"node{index}:20123" for index in range(1, 5)] if options else []
    assert ours == [
        *("launch", "--nodes", nodes, "--processes", processes, "--restarts", "3"),
        *(rendezvous_arguments(addresses) if addresses else []),
    ]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["slurm", "stubs"]
    assert calls(slurm, "scontrol")[1:] == []  # nothing is requeued


@pytest.mark.parametrize(("code", "goes_on"), [(143, True), (0, False), (1, False), (2, False)])
def test_a_job_whose_time_is_up_saves_and_is_requeued(
    tmp_path: Path, slurm: dict[str, str], code: int, goes_on: bool
) -> None:
    path = rendered(tmp_path)
    environment = {**slurm, "WAIT": "1", "CODE": str(code)}
    with subprocess.Popen([BASH, str(path)], env=environment) as job:
        try:
            deadline = time.monotonic() + 60
            while not calls(slurm, "srun") and time.monotonic() < deadline:
                time.sleep(0.02)
            job.send_signal(signal.SIGTERM)  # alone it only waits for the step
            job.send_signal(signal.SIGUSR1)
            assert job.wait(30) == code
        finally:
            Path(slurm["STUBS"], "stop").touch()
    assert calls(slurm, "scancel") == [["--signal=TERM", "123"]]
    assert calls(slurm, "scontrol") == ([["requeue", "123"]] if goes_on else [])


def test_slurm_starts_an_image(
    tmp_path: Path, slurm: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"  # a name that can be mounted, wherever the project lies
    project.symlink_to(PROJECT)
    monkeypatch.setattr("executor.launch.schedulers.slurm.PROJECT", project)
    path = rendered(tmp_path, options=("--set", "image=example.org/me/it:1"))
    subprocess.run([BASH, str(path)], env=slurm, check=True)
    (call,) = calls(slurm, "srun")
    assert "--container-image=example.org/me/it:1" in call
    assert call[call.index(str(project / "main.py")) - 1] == "python"


def test_a_relative_configuration_is_found_from_anywhere(tmp_path: Path) -> None:
    debug = str(PROJECT / "configs" / "debug.yaml")
    text = rendered(tmp_path, "--config", os.path.relpath(debug)).read_text()
    assert f"--config {shlex.quote(debug)}" in text


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("time_limit_minutes=3", "no longer than executor.resources.grace_seconds"),
        ("image='a b'", "command line: image"),
        ("partition=a;b", "command line: partition"),
        ("sbatch_options=['--a b']", "command line: sbatch_options"),
        ("sbatch_options=[qos]", "command line: sbatch_options"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, setting: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        rendered(tmp_path, options=("--set", setting))
    assert not list(tmp_path.iterdir())
