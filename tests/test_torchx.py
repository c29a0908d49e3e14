"""TorchX starts a project: two true agents here, and requests for Slurm and Kubernetes.

There is neither Slurm nor Kubernetes: what the requests start is started here, as these would, with
a `torchrun` that only notes down what it is called with.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import QUIET, Create, framework_python

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 180.0
WORDS = ["--config", "configs/debug.yaml", "data.class_names=[it's, 'a b']", "run.dir=$HOME/run"]
SIZE = ["-j", "2x3", "--cpu", "5", "--gpu", "3", "--memMB", "7000", "--image", "here/mine:1"]

# Notes down how it was called, in a file for each call.
TORCHRUN = f"""#!{sys.executable}
import json, os, sys, tempfile
names = [name for name in os.environ if name.startswith(("PET_", "TORCH_DISABLE"))]
_, path = tempfile.mkstemp(dir=os.environ["NOTES"])
with open(path, "w") as file:
    json.dump([sys.argv[1:], {{name: os.environ[name] for name in names}}], file)
"""

# Starts the parts of a heterogeneous job one after the other, with what each exports.
SRUN = f"""#!{sys.executable}
import os, subprocess, sys
for part in "\\0".join(sys.argv[1:]).split("\\0:\\0"):
    words = part.split("\\0")
    options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    kept, *exported = options["export"].split(",")
    assert kept == "ALL"
    variables = dict(word.split("=", 1) for word in exported)
    command = [word for word in words if not word.startswith("--")]
    subprocess.run(command, env={{**os.environ, **variables}}, check=True)
"""

# Goes before main.py, where the processes meet: one of them fails at first.
BEFORE_MAIN = """
import json, os, sys
from pathlib import Path

rank, folder = os.environ["RANK"], Path(os.environ["NOTES"])
if rank == "1" and not (folder / "failed").exists():
    (folder / "failed").touch()
    os._exit(1)
names = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK"]
note = [{name: int(os.environ[name]) for name in names}, sys.argv[1:], os.getppid()]
(folder / f"rank-{rank}.json").write_text(json.dumps(note))
import own_main
own_main.end(own_main.run())
"""


@pytest.fixture(scope="module")
def pytorch(create: Create) -> Path:
    return create(framework="pytorch", parts="torchx")


def torchx(
    project: Path, tmp_path: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run TorchX in a project; the processes that it starts are PyTorch's."""
    program = framework_python("torchx").with_name("torchx")
    path = f"{framework_python('pytorch').parent}{os.pathsep}{os.environ['PATH']}"
    # Without a workspace, or it would look for a Docker to build an image with.
    with subprocess.Popen(
        [str(program), "run", "--workspace", "", *words],
        cwd=project,
        env={**os.environ, **QUIET, "HOME": str(tmp_path), "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)  # it ends what it started
    assert process.returncode == 0, out + err
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def request(project: Path, tmp_path: Path, *scheduler: str) -> str:
    """Return what TorchX would send to a scheduler."""
    options = ["--dryrun", "-s", *scheduler, "components.py:train", *SIZE, "--", *WORDS]
    said = torchx(project, tmp_path, *options).stdout
    return said.partition("=== SCHEDULER REQUEST ===\n")[2]


def noted(tmp_path: Path, commands: list[list[str]], **environment: str) -> list[Any]:
    """Run commands with the stand-ins for programs and return how each torchrun was called."""
    programs, notes = tmp_path / "programs", tmp_path / "notes"
    notes.mkdir()
    programs.mkdir()
    for name, text in (("srun", SRUN), ("torchrun", TORCHRUN)):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        variables = {**os.environ, "PATH": path, "NOTES": str(notes), **environment}
        subprocess.run(command, env=variables, cwd=tmp_path, check=True)
    return [json.loads(path.read_text(encoding="utf-8")) for path in notes.iterdir()]


def assert_trains(calls: list[Any], address: str) -> None:
    """Check that two agents were started, each for three processes that train."""
    assert len(calls) == 2
    for words, settings in calls:
        options, script, command = words[:-6], words[-6], words[-5:]
        assert script == "main.py"
        assert command == ["train", *WORDS]
        given = dict(zip(options[::2], options[1::2], strict=True))
        assert given["--nnodes"] == "2"
        assert given["--nproc_per_node"] == "3"
        assert given["--rdzv_backend"] == "c10d"
        assert given["--rdzv_endpoint"] == f"{address}:29500"
        assert settings == {
            "PET_MAX_RESTARTS": "3",
            "PET_RDZV_CONF": "keep_alive_interval=2",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }
    assert len({dict(zip(w[:-6:2], w[1:-6:2], strict=True))["--rdzv_id"] for w, _ in calls}) == 1


def test_the_request_for_slurm_is_sound(pytorch: Path, tmp_path: Path):
    text = request(pytorch, tmp_path, "slurm", "-cfg", "partition=gpu").partition("#!/bin/bash")[2]
    jobs = [line for line in text.splitlines() if "--job-name" in line]
    assert len(jobs) == 2
    for job in jobs:
        assert {"--cpus-per-task=5", "--gpus-per-task=3", "--mem=7000"} <= set(job.split())
        assert "--partition=gpu" in job
    nodes = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST_HET_GROUP_0": "first-node"}
    calls = noted(tmp_path, [["bash", "-c", text]], **nodes)
    assert_trains(calls, "first-node")


def test_the_request_for_kubernetes_is_sound(pytorch: Path, tmp_path: Path):
    job = yaml.safe_load(request(pytorch, tmp_path, "kubernetes", "-cfg", "queue=mine"))
    assert job["spec"]["queue"] == "mine"
    containers = [
        container
        for task in job["spec"]["tasks"]
        for container in task["template"]["spec"]["containers"]
    ]
    commands = []
    for container in containers:
        assert container["image"] == "here/mine:1"
        limits = {"cpu": "5000m", "memory": "7000M", "nvidia.com/gpu": "3"}
        assert container["resources"]["limits"] == limits
        variables = [f"{one['name']}={one['value']}" for one in container["env"]]
        commands.append(["env", *variables, *container["command"]])
    calls = noted(tmp_path, commands, VC_MAIN_0_HOSTS="localhost")
    assert_trains(calls, "localhost")


def test_two_agents_start_and_start_again(pytorch: Path, tmp_path: Path):
    project = shutil.copytree(pytorch, tmp_path / "project")
    (project / "main.py").rename(project / "own_main.py")
    (project / "main.py").write_text(BEFORE_MAIN, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--config", "configs/debug.yaml", f"run.dir={tmp_path / 'run'}"]
    options = ["-s", "local_cwd", "components.py:train", "-j", "2x2", "--rdzv_port", str(port)]
    torchx(project, tmp_path, *options, "--", *words, NOTES=str(tmp_path))
    notes = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(4)]
    for rank, (variables, said, _) in enumerate(notes):
        assert variables["RANK"] == rank
        assert variables["WORLD_SIZE"] == 4
        assert variables["LOCAL_RANK"] == rank % 2
        assert said == ["train", *words]
    assert {variables["GROUP_RANK"] for variables, _, _ in notes} == {0, 1}
    assert len({agent for _, _, agent in notes}) == 2
    assert (tmp_path / "failed").exists()
    assert (tmp_path / "run" / "report.html").exists()


def test_a_training_runs_to_its_end(pytorch: Path, tmp_path: Path):
    run = tmp_path / "run"
    words = ["--config", "configs/debug.yaml", f"run.dir={run}"]
    torchx(pytorch, tmp_path, "-s", "local_cwd", "components.py:train", "--", *words)
    assert (run / "report.html").exists()
    assert json.loads((run / "status.json").read_text())["status"] == "finished"


def test_without_torchx_one_message_says_so(pytorch: Path):
    command = [str(framework_python("pytorch")), "-c", "import components"]
    result = subprocess.run(command, cwd=pytorch, capture_output=True, text=True)
    assert result.returncode != 0
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ImportError: components.py is for TorchX, which is not installed here")
