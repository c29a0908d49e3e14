"""Refuses numbers of machines, processes and GPUs that are impossible together."""

from configs.schema import Executor, Train
from executor.distributed.strategy import check_processes
from executor.launch.launcher import GPUS_PER_PROCESS
from utils.errors import UserError


def check_resources(executor: Executor, train: Train, node_rank: int | None = None) -> None:
    """Refuse a batch or GPUs that cannot be shared out, and a machine that does not exist."""
    needs = executor.resources
    check_processes(executor.strategy, train, needs.nodes * needs.processes_per_node)
    if GPUS_PER_PROCESS is not None and needs.gpus_per_process > GPUS_PER_PROCESS:
        raise UserError(
            f"executor.resources.gpus_per_process: received {needs.gpus_per_process}, but a "
            f"process uses {GPUS_PER_PROCESS}. Set processes_per_node to the GPUs of a machine."
        )
    if node_rank is not None and not 0 <= node_rank < needs.nodes:
        raise UserError(
            f"--node-rank {node_rank}: with --nodes {needs.nodes} it is a number from 0 to "
            f"{needs.nodes - 1}."
        )
