"""Kills one of the processes that train one model: does the run still end with the same bits?

    python tools/kill_ranks.py --framework pytorch --kills 10 --agents 2
    python tools/kill_ranks.py --framework pytorch --kills 3 --agents 2 --lose node

A run is trained by two processes without interruption. Then, again and again, a run of the same
configuration is started, and at a random moment one of its processes is killed with -9; `launch`
has to start all again, and weights, state and rows of metrics.jsonl must be those of the first,
byte for byte. With `--agents 2` each process has a launcher of its own, as on two machines. With
`--lose node` the launcher of the second dies with its process, and another one comes in its place.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from generate import REPOSITORY, clean_copy, generate
from kill_runs import (
    CONFIGURATION,
    DISTURBED_AFTER,
    QUIET,
    checkpoints,
    last_step,
    report,
    results,
    wait_until,
)

PROCESSES = 2
RESTARTS = 3


class Launches:
    """Runs of one configuration by two processes: one undisturbed, others to be disturbed."""

    def __init__(
        self, project: Path, python: Path, folder: Path, framework: str, agents: int, seed: int
    ) -> None:
        """Train the undisturbed run.

        Args:
            project: A generated project.
            python: The interpreter that has its framework.
            folder: Where the runs are written.
            framework: That of the project.
            agents: Launchers, 1 or 2.
            seed: Of the random moments.
        """
        self._project = project
        self._python = python
        self._folder = folder
        self._framework = framework
        self._agents = agents
        self._random = random.Random(seed)  # noqa: S311 -- moments, no secrets
        run = folder / "undisturbed"
        launchers = self._started(run)
        self._finish(launchers)
        self._expected = results(run)

    def killed(self, number: int) -> str:
        """Kill one process with -9, and return what differs in the end."""

        def kill(launchers: list[subprocess.Popen[str]]) -> None:
            ranks = [rank for launcher in launchers for rank in ranks_of(launcher.pid)]
            os.kill(self._random.choice(ranks), signal.SIGKILL)

        return self._disturbed(self._folder / f"killed-{number}", kill)

    def lost(self, number: int) -> str:
        """Lose the second machine, let another one join, and return what differs in the end."""
        run = self._folder / f"lost-{number}"

        def lose(launchers: list[subprocess.Popen[str]]) -> None:
            lost = launchers.pop()
            for process in [lost.pid, *below(lost.pid)]:
                os.kill(process, signal.SIGKILL)
            lost.communicate()
            launchers.append(self._begun(run, len(launchers)))

        return self._disturbed(run, lose)

    def _disturbed(self, run: Path, disturb: Callable[[list[subprocess.Popen[str]]], None]) -> str:
        """Disturb a run at a random moment, and return what differs in the end."""
        launchers = self._started(run)
        after = self._random.choice(DISTURBED_AFTER)
        wait_until(lambda: last_step(run) >= after, launchers[0])
        time.sleep(self._random.uniform(0, 0.1))
        disturb(launchers)
        step = checkpoints(run)[-1].stem
        self._finish(launchers)
        found = results(run)
        names = [n for n in {**found, **self._expected} if found.get(n) != self._expected.get(n)]
        shutil.rmtree(run)
        return f"killed after {step}: {', '.join(names)} differ" if names else ""

    def _started(self, run: Path) -> list[subprocess.Popen[str]]:
        """Start the launchers of a run."""
        self._ports = free_ports(self._agents)
        return [self._begun(run, agent) for agent in range(self._agents)]

    def _begun(self, run: Path, agent: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self._python), "main.py", *self._words(run, agent)],
            cwd=self._project,
            env={**os.environ, **QUIET},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _words(self, run: Path, agent: int) -> list[str]:
        processes = PROCESSES // self._agents
        launch = ["launch", "--nodes", str(self._agents), "--processes", str(processes)]
        launch += ["--restarts", str(RESTARTS)]
        if self._agents > 1:
            launch += ["--node-rank", str(agent)]
            launch += {
                "pytorch": ["--rendezvous", f"127.0.0.1:{self._ports[0]}"],
                "tensorflow": ["--hosts", ",".join(f"127.0.0.1:{port}" for port in self._ports)],
            }[self._framework]
        return [*launch, "--", "train", *CONFIGURATION, f"run.dir={run}"]

    def _finish(self, launchers: list[subprocess.Popen[str]]) -> None:
        """Wait for a run to end as it should."""
        said = [launcher.communicate()[1] for launcher in launchers]
        codes = [launcher.returncode for launcher in launchers]
        if any(codes):
            raise RuntimeError(f"ended with {codes}:\n" + "\n".join(said))


def ranks_of(parent: int) -> list[int]:
    """Return the processes that train: those without children below a launcher."""
    return [rank for child in children_of(parent) for rank in ranks_of(child)] or [parent]


def below(parent: int) -> list[int]:
    """Return the processes that one started, and those that these started."""
    return [one for child in children_of(parent) for one in (child, *below(child))]


def children_of(parent: int) -> list[int]:
    """Return the processes that one started (Linux only)."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in children]


def free_ports(count: int) -> list[int]:
    """Return that many different ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    """Do what was asked for, and end with code 1 if a single run differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument("--python", type=Path, help="interpreter; default: that of make setup")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--agents", type=int, choices=(1, 2), default=1, help="launchers")
    parser.add_argument("--lose", choices=("rank", "node"), default="rank")
    arguments = parser.parse_args()
    if arguments.lose == "node" and arguments.agents < 2:
        parser.error("--lose node needs --agents 2")
    framework = arguments.framework
    python = arguments.python or REPOSITORY / f".venv-{framework}" / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder:
        template = clean_copy(Path(folder, "template"))
        project = generate(template, Path(folder, "project"), framework=framework)
        launches = Launches(
            project,
            python.absolute(),
            Path(folder, "runs"),
            framework,
            arguments.agents,
            arguments.seed,
        )
        disturb = launches.killed if arguments.lose == "rank" else launches.lost
        bad = report(f"{arguments.lose}s lost", arguments.kills, disturb)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
