"""Starts the training of this project with TorchX, which only reads this file.

    torchx run components.py:train -j 2x4 --gpu 4 -- --config FILE key=value ...

Nothing here imports the project, nor does the project need TorchX.
"""

from pathlib import Path

try:
    from torchx import specs  # type: ignore[import-not-found, unused-ignore]
    from torchx.components import dist  # type: ignore[import-not-found, unused-ignore]
except ImportError as error:
    raise ImportError(
        "components.py is for TorchX, which is not installed here: pip install torchx"
    ) from error

# How torchrun behaves where it is not told by options, which `dist.ddp` has none for.
_TORCHRUN = {
    # Seconds between signs of life; a node that misses three is gone. No further setting, since
    # values end at a comma on the way to Slurm.
    "PET_RDZV_CONF": "keep_alive_interval=2",
    # Otherwise a node that joins later waits in vain for the first one's store.
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
}


# TorchX reads the annotations as text and knows no `str | None`.
def train(
    *script_args: str,
    j: str = "1x1",
    name: str = "train",
    image: str = Path.cwd().name,
    cpu: int = 2,
    gpu: int = 0,
    memMB: int = 4096,
    max_restarts: int = 3,
    rdzv_port: int = 29500,
) -> specs.AppDef:
    """Train on one or several nodes, as `python main.py train` does on one device.

    Args:
        script_args: Words of `main.py train`, behind `--`.
        j: Nodes x processes on each, as 2x4.
        name: What the scheduler calls the job.
        image: Container image, where the scheduler uses one; what the Dockerfile was built as.
        cpu: CPU cores of a node.
        gpu: GPUs of a node; usually one for each process.
        memMB: Memory of a node in MB.
        max_restarts: How often the processes start again, from the newest checkpoint, after one
            failed. One may be used up while the others restart.
        rdzv_port: Port of the first node where the nodes find each other.

    Returns:
        What TorchX hands to the scheduler.
    """
    launch = getattr(dist, "torchrun", dist.ddp)  # as later versions of TorchX call it
    return launch(
        "train",
        *script_args,
        script="main.py",
        name=name,
        image=image,
        cpu=cpu,
        gpu=gpu,
        memMB=memMB,
        j=j,
        env={**_TORCHRUN, "PET_MAX_RESTARTS": str(max_restarts)},
        rdzv_port=rdzv_port,
    )
