"""Turns `executor.resources` into something that starts: processes here, or a scheduler's job."""

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.schema import CFG, Resources
from executor.distributed.batch_split import check_processes
from executor.launch.launcher import GPUS_PER_PROCESS
from executor.launch.processes import Launch, node_rank
from utils import storage
from utils.errors import UserError

_LONGEST_NAME = 50  # Kubernetes takes 63 letters for a name and adds a number to it


@dataclass(frozen=True)
class Job:
    """What a scheduler is to start, whichever it is."""

    name: str
    """Small letters, digits and hyphens: a name that schedulers and DNS take."""
    cfg: CFG
    """The checked configuration."""
    config: str | None
    """The file behind --config; absolute, or a URL."""
    flags: tuple[str, ...]
    """Options of `train` without a value."""
    overrides: tuple[str, ...]
    """`key.path=value` words."""

    @property
    def resources(self) -> Resources:
        """What the job needs."""
        return self.cfg.executor.resources

    def launch(self) -> list[str]:
        """Return the words behind `main.py` on each machine, up to where the machines meet."""
        needs = self.resources
        words = ["launch", "--nodes", str(needs.nodes)]
        words += ["--processes", str(needs.processes_per_node)]
        return [*words, "--restarts", str(needs.max_restarts)]

    def train(self, config: str | None) -> list[str]:
        """Return the words behind those, with the configuration's file under another name."""
        where = [] if config is None else ["--config", config]
        return ["--", "train", *self.flags, *where, *self.overrides]


def launch_of(
    cfg: CFG, program: tuple[str, ...], address: str | None, given_rank: int | None
) -> Launch:
    """Return what to start on this machine.

    Args:
        cfg: The checked configuration.
        program: A Python file and its arguments.
        address: Where several machines find each other, in the framework's form.
        given_rank: Which of the machines this is; None: what the scheduler says, if there is one.

    Raises:
        UserError: If the numbers do not go together.
    """
    needs = cfg.executor.resources
    _check(cfg)
    return Launch(
        program=program,
        nodes=needs.nodes,
        processes=needs.processes_per_node,
        restarts=needs.max_restarts,
        gpus=needs.gpus_per_process,
        cpus=needs.cpus_per_process,
        grace_seconds=needs.grace_seconds,
        environment=needs.environment,
        address=address,
        node_rank=node_rank(given_rank, needs.nodes),
    )


def render(
    cfg: CFG, words: argparse.Namespace, scheduler: str, folder: str, force: bool = False
) -> list[str]:
    """Write the files by which a scheduler starts a training.

    Args:
        cfg: The checked configuration.
        words: What `main.py` made of `train ...`.
        scheduler: `slurm` or `kubernetes`.
        folder: Where to write them.
        force: Write over files that differ.

    Returns:
        The files.

    Raises:
        UserError: If resources are missing or impossible, or a file is there and differs.
    """
    from executor.launch.kubernetes import manifest
    from executor.launch.slurm import script

    _check(cfg)
    job = _job(cfg, words)
    makers: dict[str, tuple[str, Callable[[Job], str]]] = {
        "slurm": ("slurm/train.sbatch", script),
        "kubernetes": ("kubernetes/train.yaml", manifest),
    }
    name, make = makers[scheduler]
    path = Path(folder, name).absolute()
    text = make(job)
    if path.exists() and not force and storage.read_text(str(path)) != text:
        raise UserError(
            f"{storage.shown(str(path))} exists and differs from what would be written. "
            "Give another folder behind --render, or write over it with --force."
        )
    storage.write_text(str(path), text)
    return [storage.shown(str(path))]


def _job(cfg: CFG, words: argparse.Namespace) -> Job:
    config = words.config
    if config is not None and not storage.is_remote(config):
        config = os.path.abspath(config)
    flags = [f"--{name}" for name in ("debug", "force") if getattr(words, name)]
    name = f"{storage.PROJECT.name}-{cfg.run.dir.rstrip('/').rpartition('/')[2]}"
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")
    name = slug[:_LONGEST_NAME].rstrip("-") or "train"
    return Job(name, cfg, config, tuple(flags), tuple(words.overrides))


def _check(cfg: CFG) -> None:
    """Refuse settings that are sound one by one and impossible together."""
    needs = cfg.executor.resources
    check_processes(cfg, needs.nodes * needs.processes_per_node)
    if GPUS_PER_PROCESS is not None and needs.gpus_per_process > GPUS_PER_PROCESS:
        raise UserError(
            f"executor.resources.gpus_per_process: received {needs.gpus_per_process}, but a "
            f"process uses {GPUS_PER_PROCESS}. Set processes_per_node to the GPUs of a machine."
        )
    limit = needs.time_limit_minutes
    if limit is not None and limit * 60 <= needs.grace_seconds + 60:
        raise UserError(
            f"executor.resources.time_limit_minutes: {limit} is no longer than grace_seconds="
            f"{needs.grace_seconds} and a minute to start; give more time or less grace."
        )
