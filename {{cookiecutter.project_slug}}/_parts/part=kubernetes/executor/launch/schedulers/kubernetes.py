"""Writes a manifest for Kubernetes: a Job, and a Service by which several Pods find each other."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import yaml
from pydantic import Field

from configs.schema import PositiveInt, Section, Text
from executor.launch.exits import REFUSED, STOPPED
from executor.launch.job import Image, Job, check_time_limit
from executor.launch.rendezvous import rendezvous_arguments
from utils import storage
from utils.errors import UserError
from utils.storage import PROJECT

NODE_RANK = "JOB_COMPLETION_INDEX"  # of an Indexed Job
FILE = "kubernetes/train.yaml"

ClaimName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]

_APP = PurePosixPath("/app")  # where the Dockerfile puts the project
_USER = 1000  # as whom it runs there
_PORT = 29400
_SPARE_SECONDS = 30  # for everything but saving
_HEAD = """\
# Trains with Kubernetes: kubectl apply -f train.yaml
# Written by `python main.py launch --on kubernetes`; write it anew when settings change.
"""
_Mapping = dict[str, Any]


class Settings(Section):
    """What Kubernetes is asked for, beside `executor.resources`."""

    image: Image | None = None
    """Container image with this project, made by the Dockerfile; it is needed."""
    volume_claim: ClaimName | None = None
    """PersistentVolumeClaim for `runs/`; several machines need ReadWriteMany."""
    node_selector: dict[Text, str] = Field(default_factory=dict)
    """Labels that machines must have."""
    time_limit_minutes: PositiveInt | None = None
    """Minutes after which Kubernetes ends the job; null: no limit."""
    memory_gib: PositiveInt | None = None
    """Memory of each machine in GiB (2^30 bytes); null: what Kubernetes gives by itself."""


def render(job: Job, settings: Settings) -> str:
    """Return the text of the manifest.

    It is a UserError if the image is missing, the time too short, or the run would be lost.
    """
    check_time_limit(settings.time_limit_minutes, job)
    several = job.resources.nodes > 1
    documents = [*([_service(job)] if several else []), _job(job, settings)]
    return _HEAD + yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)


def _service(job: Job) -> _Mapping:
    """Return the Service that gives each Pod a name in DNS, from its start."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": job.name},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": job.name},
            "ports": [{"name": "rendezvous", "port": _PORT}],
        },
    }


def _job(job: Job, settings: Settings) -> _Mapping:
    """Return the Job: one Pod a machine, each with a number."""
    needs = job.resources
    spec: _Mapping = {
        "completionMode": "Indexed",
        "completions": needs.nodes,
        "parallelism": needs.nodes,
        "backoffLimit": needs.max_restarts * needs.nodes,
        "podFailurePolicy": {"rules": _rules()},
        "template": {"spec": _pod(job, settings)},
    }
    if settings.time_limit_minutes is not None:
        spec["activeDeadlineSeconds"] = settings.time_limit_minutes * 60
    metadata = {"name": job.name}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _rules() -> list[_Mapping]:
    """Return what becomes of a Pod that failed: a preempted one starts again and does not count."""
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]

    def codes(*values: int) -> _Mapping:
        return {"containerName": "train", "operator": "In", "values": list(values)}

    return [
        {"action": "Ignore", "onPodConditions": disrupted},
        {"action": "Ignore", "onExitCodes": codes(*STOPPED)},
        {"action": "FailJob", "onExitCodes": codes(*REFUSED)},
    ]


def _pod(job: Job, settings: Settings) -> _Mapping:
    needs = job.resources
    if settings.image is None:
        raise UserError(
            "image is missing: Kubernetes starts a container. Build one with the Dockerfile, push "
            "it where the cluster can pull it, and name it in configs/kubernetes.yaml."
        )
    volumes, mounts = _volumes(job, settings)
    container: _Mapping = {"name": "train", "image": settings.image, "command": _command(job)}
    limits = _limits(job, settings)
    if limits:
        container["resources"] = {"requests": dict(limits), "limits": limits}
    container["volumeMounts"] = mounts
    pod: _Mapping = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": needs.grace_seconds + _SPARE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": _USER, "fsGroup": _USER},
        "containers": [container],
        "volumes": volumes,
    }
    if needs.nodes > 1:
        pod["subdomain"] = job.name
    if settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    return pod


def _command(job: Job) -> list[str]:
    """Return the command of the container; Kubernetes would replace $(NAME) in it."""
    needs = job.resources
    words = ["python", "main.py", *job.launch_words()]
    if needs.nodes > 1:
        hosts = [f"{job.name}-{index}.{job.name}" for index in range(needs.nodes)]
        words += rendezvous_arguments([f"{host}:{_PORT}" for host in hosts])
    return [word.replace("$", "$$") for word in [*words, *job.train_words(_config_in_image(job))]]


def _config_in_image(job: Job) -> str | None:
    if job.config is None or storage.is_remote(job.config):
        return job.config
    path = Path(job.config)
    if not path.is_relative_to(PROJECT):
        raise UserError(
            f"--config {job.config}: the image holds the project's folder only; "
            "put the file there, for example into configs/, or at a URL."
        )
    return path.relative_to(PROJECT).as_posix()


def _limits(job: Job, settings: Settings) -> _Mapping:
    """Return what each Pod gets; requests equal to limits make it the last to be evicted."""
    needs = job.resources
    processes = needs.processes_per_node
    given = {
        "cpu": needs.cpus_per_process and needs.cpus_per_process * processes,
        "memory": settings.memory_gib and f"{settings.memory_gib}Gi",
        "nvidia.com/gpu": needs.gpus_per_process * processes or None,
    }
    return {name: str(value) for name, value in given.items() if value is not None}


def _volumes(job: Job, settings: Settings) -> tuple[list[_Mapping], list[_Mapping]]:
    # NCCL passes data between processes there; what a container has by default is too small.
    volumes: list[_Mapping] = [{"name": "shared-memory", "emptyDir": {"medium": "Memory"}}]
    mounts = [{"name": "shared-memory", "mountPath": "/dev/shm"}]  # noqa: S108
    claim, run = settings.volume_claim, job.run_dir
    if storage.is_remote(run):
        return volumes, mounts
    inside = PurePosixPath(_APP, run)
    if claim is None or ".." in inside.parts or not inside.is_relative_to(_APP / "runs"):
        raise UserError(
            f"run.dir={run}: it would be lost when its Pod is replaced. Give a URL such as "
            "s3://bucket/runs/first, or a folder in runs/ and the PersistentVolumeClaim for it "
            "in configs/kubernetes.yaml as volume_claim."
        )
    volumes.append({"name": "runs", "persistentVolumeClaim": {"claimName": claim}})
    return volumes, [*mounts, {"name": "runs", "mountPath": str(_APP / "runs")}]
