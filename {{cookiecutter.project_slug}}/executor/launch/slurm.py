"""Writes a batch script for Slurm."""

import shlex
import sys

from executor.launch.jobs import Job
from executor.launch.launcher import BETWEEN_IN_BASH
from utils.errors import UserError
from utils.storage import PROJECT

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


def script(job: Job) -> str:
    """Return the text of the script.

    Args:
        job: What to start.

    Raises:
        UserError: If the project's folder cannot be mounted into a container.
    """
    several = job.resources.nodes > 1
    directives = "\n".join(f"#SBATCH {option}" for option in _options(job))
    body = [
        f"#!/bin/bash\n{directives}\n\n{_HEAD}\nset -u\ncd {shlex.quote(str(PROJECT))} || exit 1",
        *([_ADDRESSES] if several else []),
        _TRAPS,
        f"{_step(job)} &\n{_WAIT}",
    ]
    return "\n\n".join(body)


def _options(job: Job) -> list[str]:
    """Return the options of sbatch."""
    needs = job.resources
    processes = needs.processes_per_node
    given = {
        "job-name": job.name,
        "nodes": needs.nodes,
        "ntasks-per-node": 1,  # the launcher starts the processes
        "cpus-per-task": needs.cpus_per_process and needs.cpus_per_process * processes,
        "gpus-per-node": needs.gpus_per_process * processes or None,
        "mem": needs.memory_gib and f"{needs.memory_gib}G",
        "time": needs.time_limit_minutes,
        "partition": needs.partition,
        "account": needs.account,
        "signal": f"B:USR1@{needs.grace_seconds + _SPARE_SECONDS}",
        "open-mode": "append",  # a job that was requeued goes on in its old log
    }
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return [*options, "--requeue", *needs.sbatch_options]


def _step(job: Job) -> str:
    """Return the command that starts a launcher on each machine."""
    needs = job.resources
    # One machine that is done sooner must not end the others while they save.
    srun = ["srun", "--kill-on-bad-exit=0", f"--wait={needs.grace_seconds + _SPARE_SECONDS}"]
    if needs.cpus_per_process:  # srun does not take this over from sbatch
        srun.append(f"--cpus-per-task={needs.cpus_per_process * needs.processes_per_node}")
    python = sys.executable
    if needs.image is not None:
        python = "python"
        srun += [f"--container-image={needs.image}", *_mounts()]
    words = shlex.join([*srun, python, str(PROJECT / "main.py"), *job.launch()])
    between = f" {BETWEEN_IN_BASH}" if needs.nodes > 1 else ""
    return f"{words}{between} {shlex.join(job.train(job.config))}"


def _mounts() -> list[str]:
    """Return the options that give a container the project's folder under its own name."""
    project = str(PROJECT)
    if set(project) & set(",: "):
        raise UserError(
            f"{project!r}: a folder with a comma, colon or space in its name cannot be mounted "
            "into a container; move the project, or leave out executor.resources.image."
        )
    return [f"--container-mounts={project}:{project}", f"--container-workdir={project}"]
