"""Writes a batch script for Slurm."""

import shlex
import sys
from typing import Annotated

from pydantic import Field

from configs.schema import PositiveInt, Section
from executor.launch import rendezvous
from executor.launch.job import Image, Job, check_time_limit
from utils.errors import UserError
from utils.storage import PROJECT

NODE_RANK = "SLURM_NODEID"
FILE = "slurm/train.sbatch"

# Whatever Slurm or bash could take for something else is refused.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,@+-]*$")]
SbatchOption = Annotated[str, Field(pattern=r"^--[a-z][a-z-]*(=[^\s'\"\\#]+)?$")]

# Between the end of the grace time and the end of the job, for everything but saving.
_SPARE_SECONDS = 30
_HEAD = """\
# Trains with Slurm: sbatch train.sbatch
# Written by `python main.py launch --on slurm`; write it anew when settings change.
#
# Before the time is up, and when it is preempted, the job saves, and then waits in the queue again:
# the same command goes on from the checkpoint."""
_ADDRESSES = """\
# Where the machines find each other: the same port on each, which another job hardly has.
port=$((20000 + SLURM_JOB_ID % 20000))
mapfile -t addresses < <(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/\\$/:$port/")"""
_TRAPS = """\
# Slurm sends USR1 to this script before the time is up. In a preemption it sends TERM to the step,
# and perhaps to this script, which must not end before the step.
requeue=
trap 'requeue=yes; scancel --signal=TERM "$SLURM_JOB_ID"' USR1
trap '' TERM"""
_WAIT = """\
step=$!
while kill -0 "$step" 2>/dev/null; do
    sleep 1 & # bash would see a signal that comes just before a long wait only after it
    wait $!
done
wait "$step"
code=$?
if [ -n "$requeue" ] && [ "$code" -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


class Settings(Section):
    """What Slurm is asked for, beside `executor.resources`."""

    partition: Name | None = None
    """The partition (queue) to wait in."""
    account: Name | None = None
    """The account that pays."""
    time_limit_minutes: PositiveInt | None = None
    """Minutes after which Slurm ends the job; null: the partition's own limit."""
    memory_gib: PositiveInt | None = None
    """Memory of each machine in GiB (2^30 bytes); null: what Slurm gives by itself."""
    image: Image | None = None
    """Container image, started with the plugin Pyxis; null: no container."""
    sbatch_options: list[SbatchOption] = Field(default_factory=list)
    """Further options for sbatch, such as `--qos=high` or `--constraint=a100`."""


def render(job: Job, settings: Settings) -> str:
    """Return the text of the script.

    It is a UserError if the time is too short, or the project's folder cannot be mounted.
    """
    check_time_limit(settings.time_limit_minutes, job)
    several = job.resources.nodes > 1
    directives = "\n".join(f"#SBATCH {option}" for option in _options(job, settings))
    body = [
        f"#!/bin/bash\n{directives}\n\n{_HEAD}\nset -u\ncd {shlex.quote(str(PROJECT))} || exit 1",
        *([_ADDRESSES] if several else []),
        _TRAPS,
        f"{_step(job, settings)} &\n{_WAIT}",
    ]
    return "\n\n".join(body)


def _options(job: Job, settings: Settings) -> list[str]:
    needs = job.resources
    processes = needs.processes_per_node
    given = {
        "job-name": job.name,
        "nodes": needs.nodes,
        "ntasks-per-node": 1,  # the launcher starts the processes
        "cpus-per-task": needs.cpus_per_process and needs.cpus_per_process * processes,
        "gpus-per-node": needs.gpus_per_process * processes or None,
        "mem": settings.memory_gib and f"{settings.memory_gib}G",
        "time": settings.time_limit_minutes,
        "partition": settings.partition,
        "account": settings.account,
        "signal": f"B:USR1@{needs.grace_seconds + _SPARE_SECONDS}",
        "open-mode": "append",  # a job that was requeued goes on in its old log
    }
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return [*options, "--requeue", *settings.sbatch_options]


def _step(job: Job, settings: Settings) -> str:
    """Return the command that starts a launcher on each machine."""
    needs = job.resources
    # One machine that is done sooner must not end the others while they save.
    srun = ["srun", "--kill-on-bad-exit=0", f"--wait={needs.grace_seconds + _SPARE_SECONDS}"]
    if needs.cpus_per_process:  # srun does not take this over from sbatch
        srun.append(f"--cpus-per-task={needs.cpus_per_process * needs.processes_per_node}")
    python = sys.executable
    if settings.image is not None:
        python = "python"
        srun += [f"--container-image={settings.image}", *_mounts()]
    words = shlex.join([*srun, python, str(PROJECT / "main.py"), *job.launch_words()])
    where = f" {rendezvous.IN_BASH}" if needs.nodes > 1 else ""
    return f"{words}{where} {shlex.join(job.train_words(job.config))}"


def _mounts() -> list[str]:
    """Return the options that give a container the project's folder under its own name."""
    project = str(PROJECT)
    if set(project) & set(",: "):
        raise UserError(
            f"{project!r}: a folder with a comma, colon or space in its name cannot be mounted "
            "into a container; move the project, or leave out the setting image."
        )
    return [f"--container-mounts={project}:{project}", f"--container-workdir={project}"]
