"""The manifest for Kubernetes says what was asked for, and its Pods find each other."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from executor.launch.rendezvous import rendezvous_arguments
from main import main
from utils.errors import UserError
from utils.storage import PROJECT

NASTY = 'run.dir=runs/it\'s $(touch hacked) `id` "q" \\ $HOME *'
SEVERAL = ("--nodes", "4", "--processes", "8")
NEEDS = ("executor.resources.gpus_per_process=1", "executor.resources.cpus_per_process=4")
IMAGE = ("--set", "image=example.org/me/it:1")
CLUSTER = (*IMAGE, "--set", "volume_claim=runs")
LIMITS = ("--set", "memory_gib=64", "--set", "time_limit_minutes=90")


def rendered(folder: Path, *words: str, options: tuple[str, ...] = CLUSTER) -> Path:
    main(["launch", *options, "--on", "kubernetes", "--render", str(folder), "--", "train", *words])
    return folder / "kubernetes" / "train.yaml"


def documents(path: Path) -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(path.read_text())}


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return dict(only)


def test_kubernetes_gets_a_job_whose_pods_find_each_other(tmp_path: Path) -> None:
    found = documents(rendered(tmp_path, *NEEDS, options=(*SEVERAL, *CLUSTER, *LIMITS)))
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
        *(*rendezvous_arguments(addresses), "--", "train", *NEEDS),
    ]
    limits = {"cpu": "32", "memory": "64Gi", "nvidia.com/gpu": "8"}
    assert container(job)["resources"] == {"requests": limits, "limits": limits}
    assert {"name": "runs", "mountPath": "/app/runs"} in container(job)["volumeMounts"]


def test_one_pod_needs_no_service(tmp_path: Path) -> None:
    options = (*IMAGE, "--set", "node_selector={a: b}")
    found = documents(rendered(tmp_path, "run.dir=s3://bucket/runs/first", options=options))
    assert set(found) == {"Job"}
    pod = found["Job"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"a": "b"}
    assert [volume["name"] for volume in pod["volumes"]] == ["shared-memory"]
    assert "resources" not in container(found["Job"])


def test_kubernetes_starts_again_what_was_preempted_and_nothing_that_refused(
    tmp_path: Path,
) -> None:
    job = documents(rendered(tmp_path))["Job"]
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "Ignore", "FailJob"]
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert [rule["onExitCodes"]["values"] for rule in rules[1:]] == [[130, 143], [2, 3]]


def test_words_stay_literal_in_kubernetes(tmp_path: Path) -> None:
    path = rendered(tmp_path, NASTY)
    command = container(documents(path)["Job"])["command"]
    # Kubernetes makes one dollar of two, and a variable's value of $(NAME).
    assert command[-1] == NASTY.replace("$", "$$")


def test_the_image_holds_the_configuration_s_file(tmp_path: Path) -> None:
    debug = str(PROJECT / "configs" / "debug.yaml")
    there = container(documents(rendered(tmp_path, "--config", debug))["Job"])
    assert "configs/debug.yaml" in there["command"]
    outside = tmp_path / "mine.yaml"
    outside.write_text("train:\n  epochs: 1\n")
    with pytest.raises(UserError, match="the image holds the project's folder only"):
        rendered(tmp_path / "other", "--config", str(outside))


@pytest.mark.parametrize(
    ("options", "words", "expected"),
    [
        (CLUSTER[2:], (), "image is missing"),
        (IMAGE, (), "it would be lost when its Pod is replaced"),
        (CLUSTER, ("run.dir=/elsewhere",), "it would be lost when its Pod is replaced"),
        (CLUSTER, ("run.dir=runs/../x",), "it would be lost when its Pod is replaced"),
        ((*CLUSTER, "--set", "time_limit_minutes=3"), (), "no longer than"),
        (("--set", "image='a b'"), (), "command line: image"),
        (("--set", "volume_claim=A_b"), (), "command line: volume_claim"),
    ],
)
def test_what_cannot_work_is_refused(
    tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        rendered(tmp_path, *words, options=options)
    assert not list(tmp_path.iterdir())
