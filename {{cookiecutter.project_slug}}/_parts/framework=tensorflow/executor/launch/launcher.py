"""Starts the processes (ranks) of one machine, watches them, and returns how they ended.

TensorFlow has no torchrun. A process learns from TF_CONFIG who the others are; when one of them
dies the others cannot go on, so all are stopped and started again, on other ports.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from configs.schema import Resources
from executor.launch.exits import POLL_SECONDS, REFUSED, STOPPED
from executor.launch.processes import (
    Launch,
    Signals,
    announce,
    environment_settings,
    host_and_port,
    threads,
)
from utils.errors import UserError
from utils.logs import log

GPUS_PER_PROCESS: int | None = None  # as many as one likes
_TOGETHER_SECONDS = 10.0  # in which processes that end by intent do so together
_NOTICED_SECONDS = 2.0  # between the end of a process's connections and its own
_FORCE_SECONDS = 10.0  # from the signal to stop to the end by force, once another one died

_Process = subprocess.Popen[bytes]


def start(launch: Launch) -> int:
    """Start the processes, again when one died, pass signals on, and return an exit code.

    0 when all are done; 2 or 3 when one refused or diverged; 128 plus a signal's number when they
    were asked to stop, and did; otherwise 1. It is a UserError if the options do not go together.
    """
    restarts = launch.resources.max_restarts
    with Signals() as signals:
        for attempt in range(restarts + 1):
            if attempt > 0:
                log.warning("all start again (restart %d of %d)", attempt, restarts)
            code = _attempt(launch, signals)
            if code in (0, *REFUSED, *STOPPED) or signals.received is not None:
                break
        return code


def _attempt(launch: Launch, signals: Signals) -> int:
    processes: list[_Process] = []
    try:
        for settings in _settings(launch):
            command = [sys.executable, *launch.program]
            announce(command, settings)
            environment = {**os.environ, **settings}
            # A session of its own, or a terminal's Ctrl-C would reach it twice.
            processes.append(
                subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603
            )
        return _watch(launch, processes, signals)
    finally:
        _stop(processes, 0.0)


def _watch(launch: Launch, processes: Sequence[_Process], signals: Signals) -> int:
    while any(process.poll() is None for process in processes):
        number = signals.take()
        if number is not None:
            return _stop_together(number, launch.resources.grace_seconds, processes, signals)
        failed = _failed(processes)
        if failed is not None:
            return _after_failure(failed, launch, processes)
        time.sleep(POLL_SECONDS)
    failed = _failed(processes)
    return 0 if failed is None else _after_failure(failed, launch, processes)


def _stop_together(
    number: int, grace_seconds: int, processes: Sequence[_Process], signals: Signals
) -> int:
    """Ask all to stop and wait until they did; a second signal is passed on as well."""
    pending: int | None = number
    deadline = time.monotonic() + grace_seconds
    while any(process.poll() is None for process in processes):
        if pending is not None:
            for process in processes:
                process.send_signal(pending)
        if time.monotonic() > deadline:
            log.warning("not all processes stopped in %d s; ended", grace_seconds)
            _stop(processes, 0.0)
        time.sleep(POLL_SECONDS)
        pending = signals.take()
    codes = {process.returncode for process in processes}
    return next((code for code in REFUSED if code in codes), 0 if codes == {0} else 128 + number)


def _after_failure(failed: int, launch: Launch, processes: Sequence[_Process]) -> int:
    """Log which process died, stop the others, and return the exit code."""
    failed = _cause(failed, processes)
    code = processes[failed].returncode
    is_meant = code in REFUSED + STOPPED
    if not is_meant:
        rank = (launch.node_rank or 0) * launch.resources.processes_per_node + failed
        where = f"{socket.gethostname()} (process {processes[failed].pid})"
        log.warning("rank %d on %s %s; the others are stopped", rank, where, _describe_exit(code))
    patience = _TOGETHER_SECONDS if is_meant else 0.0
    if code in STOPPED:
        patience = launch.resources.grace_seconds
    deadline = time.monotonic() + patience
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    _stop(processes, _FORCE_SECONDS)
    return code if is_meant else 1


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _cause(failed: int, processes: Sequence[_Process]) -> int:
    """Return which process refused, if one did: the others lose it, and may end before it does."""
    deadline = time.monotonic() + _NOTICED_SECONDS
    while time.monotonic() < deadline:
        codes = [process.poll() for process in processes]
        refused = [index for index, code in enumerate(codes) if code in REFUSED]
        if refused or None not in codes:
            return refused[0] if refused else failed
        time.sleep(POLL_SECONDS)
    return failed


def _failed(processes: Sequence[_Process]) -> int | None:
    """Return which process ended with an error; one that was killed, before those that noticed."""
    codes = [process.poll() for process in processes]
    ended = [index for index, code in enumerate(codes) if code]
    return min(ended, key=lambda index: codes[index] or 0, default=None)


def _stop(processes: Sequence[_Process], seconds: float) -> None:
    """End what still runs: kindly, and after some seconds by force."""
    running = [process for process in processes if process.poll() is None]
    deadline = time.monotonic() + seconds
    for process in running:
        process.send_signal(signal.SIGTERM if seconds else signal.SIGKILL)
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()) if seconds else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(launch: Launch) -> list[dict[str, str]]:
    count = str(threads(launch))
    workers, first = _workers(launch)
    result = []
    for index in range(launch.resources.processes_per_node):
        defaults = {"OMP_NUM_THREADS": count, "TF_NUM_INTRAOP_THREADS": count}
        settings = environment_settings(launch, defaults)
        task = {"type": "worker", "index": first + index}
        settings["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
        if launch.resources.gpus_per_process and launch.resources.processes_per_node > 1:
            settings["CUDA_VISIBLE_DEVICES"] = _gpus(launch.resources, index)
        result.append(settings)
    return result


def _workers(launch: Launch) -> tuple[list[str], int]:
    """Return the addresses of all processes, and the index of the first one on this machine."""
    nodes, processes = launch.resources.nodes, launch.resources.processes_per_node
    if nodes == 1:
        return [f"127.0.0.1:{port}" for port in _free_ports(processes)], 0
    hosts = [host_and_port(text, "--hosts") for text in (launch.address or "").split(",") if text]
    if len(hosts) != nodes:
        raise UserError(
            f"--nodes {nodes} needs --hosts with {nodes} addresses HOST:PORT, "
            f"separated by commas, the same on each machine; received {launch.address!r}."
        )
    if launch.node_rank is None:
        raise UserError(
            f"--nodes {nodes} needs --node-rank: which of --hosts this machine is, from 0."
        )
    workers = [f"{host}:{port + i}" for host, port in hosts for i in range(processes)]
    return workers, launch.node_rank * processes


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _gpus(needs: Resources, index: int) -> str:
    """Return which GPUs a process may see; a UserError if there are fewer than all need."""
    each, processes = needs.gpus_per_process, needs.processes_per_node
    count = each * processes
    shown = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    names = shown.split(",")
    if len(names) < count:
        raise UserError(
            f"{processes} processes of {each} GPUs need {count}, but "
            f"CUDA_VISIBLE_DEVICES names {len(names)}: {shown}."
        )
    return ",".join(names[each * index : each * (index + 1)])
