"""What `launch` starts on this machine."""

from configs.schema import CFG
from executor.distributed.batch_split import check_processes
from executor.launch.launcher import GPUS_PER_PROCESS
from executor.launch.processes import Launch
from utils.errors import UserError


def local_launch(
    cfg: CFG, program: tuple[str, ...], address: str | None, node_rank: int | None
) -> Launch:
    """Return what to start on this machine.

    Args:
        cfg: The checked configuration.
        program: A Python file and its arguments.
        address: Where several machines find each other, in the framework's form.
        node_rank: Which of the machines this is, from 0; None: unknown.

    Raises:
        UserError: If the numbers do not go together.
    """
    check_resources(cfg)
    needs = cfg.executor.resources
    if node_rank is not None and not 0 <= node_rank < needs.nodes:
        raise UserError(
            f"--node-rank {node_rank}: with --nodes {needs.nodes} it is a number from 0 to "
            f"{needs.nodes - 1}."
        )
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
        node_rank=node_rank,
    )


def check_resources(cfg: CFG) -> None:
    """Refuse settings that are sound one by one and impossible together.

    Raises:
        UserError: If the batch or the GPUs cannot be shared out.
    """
    needs = cfg.executor.resources
    check_processes(cfg, needs.nodes * needs.processes_per_node)
    if GPUS_PER_PROCESS is not None and needs.gpus_per_process > GPUS_PER_PROCESS:
        raise UserError(
            f"executor.resources.gpus_per_process: received {needs.gpus_per_process}, but a "
            f"process uses {GPUS_PER_PROCESS}. Set processes_per_node to the GPUs of a machine."
        )
