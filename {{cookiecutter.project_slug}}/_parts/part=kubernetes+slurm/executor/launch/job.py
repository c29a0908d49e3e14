"""Writes the file by which a scheduler starts a training; `schedulers/` holds one file for each."""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from configs.loading import load_section
from configs.schema import CFG, Resources
from executor.launch.resources import check_resources
from utils import storage
from utils.errors import UserError

# Whatever a scheduler or a shell could take for something else is refused.
Image = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/@#+-]*$")]

_LONGEST_NAME = 50  # Kubernetes takes 63 letters for a name and adds a number to it
_START_SECONDS = 60


@dataclass(frozen=True)
class Job:
    """What a scheduler is to start, whichever it is."""

    name: str
    """Small letters, digits and hyphens: a name that schedulers and DNS take."""
    resources: Resources
    """What is started on each machine."""
    run_dir: str
    """`run.dir` of the configuration."""
    config: str | None
    """The file behind --config; absolute, or a URL."""
    flags: tuple[str, ...]
    """Options of `train` without a value."""
    overrides: tuple[str, ...]
    """`key.path=value` words."""

    def launch_words(self) -> list[str]:
        """Return the words behind `main.py` on each machine, up to the rendezvous."""
        needs = self.resources
        words = ["launch", "--nodes", str(needs.nodes)]
        words += ["--processes", str(needs.processes_per_node)]
        return [*words, "--restarts", str(needs.max_restarts)]

    def train_words(self, config: str | None) -> list[str]:
        """Return the words behind the rendezvous, with the configuration's file under a name."""
        where = [] if config is None else ["--config", config]
        return ["--", "train", *self.flags, *where, *self.overrides]


def write(
    cfg: CFG, words: argparse.Namespace, scheduler: Any, arguments: argparse.Namespace
) -> str:
    """Write the file by which a scheduler starts a training, and return its path.

    Args:
        cfg: The checked configuration.
        words: The parsed words of `train`.
        scheduler: A module of `schedulers/`.
        arguments: The parsed options of `launch`.
    """
    check_resources(cfg.executor, cfg.train)
    file = storage.resolve(f"configs/{arguments.on}.yaml")
    settings = load_section(file, scheduler.Settings, arguments.set)
    path = Path(arguments.render, scheduler.FILE).absolute()
    text = scheduler.render(_job(cfg.executor.resources, cfg.run.dir, words), settings)
    shown = storage.shown(str(path))
    if path.exists() and not arguments.force and storage.read_text(str(path)) != text:
        raise UserError(
            f"{shown} exists and differs from what would be written. "
            "Give another folder behind --render, or overwrite it with --force."
        )
    storage.write_text(str(path), text)
    return shown


def check_time_limit(minutes: int | None, job: Job) -> None:
    """Refuse a time limit that is no longer than a start and the time to save."""
    grace = job.resources.grace_seconds
    if minutes is not None and minutes * 60 <= grace + _START_SECONDS:
        raise UserError(
            f"time_limit_minutes: {minutes} is no longer than executor.resources.grace_seconds="
            f"{grace} and a minute to start; give more time or less grace."
        )


def _job(resources: Resources, run_dir: str, words: argparse.Namespace) -> Job:
    config = words.config
    if config is not None and not storage.is_remote(config):
        config = os.path.abspath(config)
    flags = [f"--{name}" for name in ("debug", "force") if getattr(words, name)]
    name = f"{storage.PROJECT.name}-{run_dir.rstrip('/').rpartition('/')[2]}"
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")
    name = slug[:_LONGEST_NAME].rstrip("-") or "train"
    return Job(name, resources, run_dir, config, tuple(flags), tuple(words.overrides))
