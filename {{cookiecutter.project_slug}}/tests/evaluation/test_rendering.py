"""Job files say what the resources say, and whatever stands in them stays literal."""

import json
import os
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from executor.launch import launcher as ranks
from main import main
from utils.errors import UserError
from utils.storage import PROJECT

BASH = "/bin/bash"
NASTY = 'run.dir=runs/it\'s $(touch hacked) `id` "q" \\ $HOME *'
SEVERAL = ("--nodes", "4", "--processes", "8")
NEEDS = (
    *("executor.resources.gpus_per_process=1", "executor.resources.cpus_per_process=4"),
    *("executor.resources.memory_gib=64", "executor.resources.time_limit_minutes=90"),
)
SLURM = (
    *("executor.resources.partition=gpu", "executor.resources.account=me"),
    "executor.resources.sbatch_options=[--qos=high]",
)
CLUSTER = ("executor.resources.image=example.org/me/it:1", "executor.resources.volume_claim=runs")

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


def rendered(folder: Path, scheduler: str, *words: str, options: tuple[str, ...] = ()) -> Path:
    main(["launch", *options, "--on", scheduler, "--render", str(folder), "--", "train", *words])
    (path,) = (folder / scheduler).iterdir()
    return path


def directives(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line.startswith("#SBATCH ")]
    pairs = [line.removeprefix("#SBATCH --").partition("=") for line in lines]
    return {name: value for name, _, value in pairs}


def documents(path: Path) -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(path.read_text())}


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return dict(only)


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
    path = rendered(tmp_path, "slurm", *NEEDS, *SLURM, options=SEVERAL)
    subprocess.run([BASH, "-n", str(path)], check=True)
    said = directives(path)
    assert said.pop("job-name").endswith("-default")
    assert said == {
        **{"nodes": "4", "ntasks-per-node": "1", "cpus-per-task": "32", "gpus-per-node": "8"},
        **{"mem": "64G", "time": "90", "partition": "gpu", "account": "me", "qos": "high"},
        **{"signal": "B:USR1@150", "open-mode": "append", "requeue": ""},
    }


def test_what_is_not_needed_is_not_asked_for(tmp_path: Path) -> None:
    said = directives(rendered(tmp_path, "slurm"))
    assert set(said) == {
        *("job-name", "nodes", "ntasks-per-node", "signal", "open-mode", "requeue"),
    }


@pytest.mark.parametrize("options", [(), SEVERAL], ids=["one", "several"])
def test_slurm_starts_the_launcher_and_words_stay_literal(
    tmp_path: Path, slurm: dict[str, str], options: tuple[str, ...]
) -> None:
    words = (*NEEDS, NASTY, "data.workers=1")
    path = rendered(tmp_path, "slurm", "--force", *words, options=options)
    subprocess.run([BASH, str(path)], env=slurm, check=True, cwd=tmp_path)
    (call,) = calls(slurm, "srun")
    call = call[call.index(str(PROJECT / "main.py")) + 1 :]
    ours, its = call[: call.index("--")], call[call.index("--") + 1 :]
    assert its == ["train", "--force", *words]
    nodes, processes = (options[1], options[3]) if options else ("1", "1")
    addresses = [f"node{index}:20123" for index in range(1, 5)] if options else []
    assert ours == [
        *("launch", "--nodes", nodes, "--processes", processes, "--restarts", "3"),
        *(ranks.between(addresses) if addresses else []),
    ]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["slurm", "stubs"]
    assert calls(slurm, "scontrol")[1:] == []  # nothing is requeued


@pytest.mark.parametrize(("code", "goes_on"), [(143, True), (0, False), (1, False), (2, False)])
def test_a_job_whose_time_is_up_saves_and_is_requeued(
    tmp_path: Path, slurm: dict[str, str], code: int, goes_on: bool
) -> None:
    path = rendered(tmp_path, "slurm")
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


def test_slurm_starts_an_image(tmp_path: Path, slurm: dict[str, str]) -> None:
    path = rendered(tmp_path, "slurm", CLUSTER[0])
    subprocess.run([BASH, str(path)], env=slurm, check=True)
    (call,) = calls(slurm, "srun")
    assert "--container-image=example.org/me/it:1" in call
    assert call[call.index(str(PROJECT / "main.py")) - 1] == "python"


def test_kubernetes_gets_a_job_whose_pods_find_each_other(tmp_path: Path) -> None:
    found = documents(rendered(tmp_path, "kubernetes", *NEEDS, *CLUSTER, options=SEVERAL))
    job, service = found["Job"], found["Service"]
    name = job["metadata"]["name"]
    assert service["metadata"]["name"] == name
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (4, 4, "Indexed")
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (5400, 12)
    assert (pod["subdomain"], pod["restartPolicy"]) == (name, "Never")
    assert pod["terminationGracePeriodSeconds"] == 150
    command = container(job)["command"]
    addresses = [f"{name}-{index}.{name}:29400" for index in range(4)]
    assert command == [
        *("python", "main.py", "launch", "--nodes", "4", "--processes", "8", "--restarts", "3"),
        *(*ranks.between(addresses), "--", "train", *NEEDS, *CLUSTER),
    ]
    limits = {"cpu": "32", "memory": "64Gi", "nvidia.com/gpu": "8"}
    assert container(job)["resources"] == {"requests": limits, "limits": limits}
    assert {"name": "runs", "mountPath": "/app/runs"} in container(job)["volumeMounts"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.batch_size=48", "train.batch_size=48 cannot be split over 32 processes"),
        ("executor.strategy=single", "executor.strategy=single, but 32 processes were launched"),
    ],
)
def test_a_training_that_cannot_be_shared_need_not_wait_for_a_scheduler(
    tmp_path: Path, word: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        rendered(tmp_path, "slurm", word, options=SEVERAL)
    assert not list(tmp_path.iterdir())


def test_one_pod_needs_no_service(tmp_path: Path) -> None:
    words = (
        "run.dir=s3://bucket/runs/first",
        CLUSTER[0],
        "executor.resources.node_selector={a: b}",
    )
    found = documents(rendered(tmp_path, "kubernetes", *words))
    assert set(found) == {"Job"}
    pod = found["Job"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"a": "b"}
    assert [volume["name"] for volume in pod["volumes"]] == ["shared-memory"]
    assert "resources" not in container(found["Job"])


def test_kubernetes_starts_again_what_was_preempted_and_nothing_that_refused(
    tmp_path: Path,
) -> None:
    job = documents(rendered(tmp_path, "kubernetes", *CLUSTER))["Job"]
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "Ignore", "FailJob"]
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert [rule["onExitCodes"]["values"] for rule in rules[1:]] == [[130, 143], [2, 3]]


def test_words_stay_literal_in_kubernetes(tmp_path: Path) -> None:
    path = rendered(tmp_path, "kubernetes", *CLUSTER, NASTY)
    command = container(documents(path)["Job"])["command"]
    # Kubernetes makes one dollar of two, and a variable's value of $(NAME).
    assert command[-1] == NASTY.replace("$", "$$")


def test_a_configuration_s_file_is_found_where_the_job_runs(tmp_path: Path) -> None:
    debug = str(PROJECT / "configs" / "debug.yaml")
    there = container(
        documents(rendered(tmp_path, "kubernetes", "--config", debug, *CLUSTER))["Job"]
    )
    assert "configs/debug.yaml" in there["command"]
    relative = os.path.relpath(debug)
    assert f"--config {debug}" in rendered(tmp_path, "slurm", "--config", relative).read_text()
    outside = tmp_path / "mine.yaml"
    outside.write_text("train:\n  epochs: 1\n")
    with pytest.raises(UserError, match="the image holds the project's folder only"):
        rendered(tmp_path / "other", "kubernetes", "--config", str(outside), *CLUSTER)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((CLUSTER[1],), "executor.resources.image is missing"),
        ((CLUSTER[0],), "it would be lost when its Pod is replaced"),
        ((*CLUSTER, "run.dir=/elsewhere"), "it would be lost when its Pod is replaced"),
        ((*CLUSTER, "run.dir=runs/../x"), "it would be lost when its Pod is replaced"),
        ((*CLUSTER, "executor.resources.time_limit_minutes=3"), "no longer than grace_seconds"),
        (("executor.resources.image='a b'",), "executor.resources.image"),
        (("executor.resources.partition=a;b",), "executor.resources.partition"),
        (("executor.resources.sbatch_options=['--a b']",), "executor.resources.sbatch_options"),
        (("executor.resources.sbatch_options=[qos]",), "executor.resources.sbatch_options"),
        (("executor.resources.environment={A B: x}",), "executor.resources.environment"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        rendered(tmp_path, "kubernetes", *words)
    assert not list(tmp_path.iterdir())


def test_a_file_that_differs_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = rendered(tmp_path, "slurm")
    assert capsys.readouterr().out.strip().endswith("train.sbatch")
    rendered(tmp_path, "slurm")  # nothing changes
    path.write_text("mine")
    with pytest.raises(UserError, match="exists and differs"):
        rendered(tmp_path, "slurm")
    assert path.read_text() == "mine"
    rendered(tmp_path, "slurm", options=("--force",))
    assert path.read_text() != "mine"


def test_options_win_over_settings_that_they_stand_for(tmp_path: Path) -> None:
    path = rendered(tmp_path, "slurm", "executor.resources.nodes=3", options=("--nodes", "2"))
    assert directives(path)["nodes"] == "2"
