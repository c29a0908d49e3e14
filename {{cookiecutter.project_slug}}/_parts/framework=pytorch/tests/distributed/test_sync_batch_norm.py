"""Two processes with half of a batch each normalise as one does with the whole batch."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from executor.distributed.sync_batch_norm import batch_norms, synchronise

# One of the processes: it takes every second sample of what the test wrote, and writes what it got.
PROGRAM = """
import sys
from pathlib import Path
import torch
from executor.distributed.sync_batch_norm import synchronise

folder, rank = Path(sys.argv[1]), int(sys.argv[2])
address = f"file://{folder}/meeting"
torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
results = []
for model, batches, gradients in torch.load(folder / "cases.pt", weights_only=False):
    synchronise(model)
    for batch, gradient in zip(batches, gradients):
        batch = batch[rank::2].clone().requires_grad_()
        outputs = model(batch)
        outputs.backward(gradient[rank::2])
    sums = [p.grad for p in model.parameters()]
    results.append((outputs.detach(), batch.grad, sums, model.state_dict(), model.eval()(batch)))
torch.save(results, folder / f"{rank}.pt")
torch.distributed.destroy_process_group()
"""

Case = tuple[nn.Module, list[Tensor], list[Tensor]]


def case(module: nn.Module, *shape: int, dtype: torch.dtype = torch.float32) -> Case:
    """Return a model with a normalisation, two batches and the gradients of what it returns."""
    draws = torch.Generator().manual_seed(0)
    # Far from zero, where the mean of squares less the square of the mean would lose its digits.
    batches = [100 + 3 * torch.randn(shape, generator=draws) for _ in range(2)]
    gradients = [torch.randn(shape, generator=draws) for _ in range(2)]
    for parameter in module.parameters():
        nn.init.normal_(parameter, generator=draws)
    batches, gradients = ([one.to(dtype) for one in each] for each in (batches, gradients))
    return nn.Sequential(module), batches, gradients


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [
        case(nn.BatchNorm2d(3), 8, 3, 5, 4),
        case(nn.BatchNorm2d(3, momentum=None).double(), 4, 3, 2, 2, dtype=torch.float64),
        case(nn.BatchNorm1d(6, affine=False, eps=0.1, momentum=0.3), 6, 6),
        case(nn.BatchNorm3d(2, track_running_stats=False), 4, 2, 3, 3, 3),
        case(nn.BatchNorm2d(3), 8, 3, 5, 4, dtype=torch.bfloat16),
        case(nn.BatchNorm2d(3).eval(), 8, 3, 5, 4),
    ]


@pytest.fixture(scope="module")
def results(cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Return what each of two processes made of each case."""
    folder = tmp_path_factory.mktemp("processes")
    torch.save(cases, folder / "cases.pt")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    processes = [subprocess.Popen([*command, str(rank)], env=environment) for rank in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    read = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]
    return list(zip(*read, strict=True))


@pytest.mark.parametrize("number", range(6))
def test_two_processes_normalise_as_one_does(
    cases: list[Case], results: list[Any], number: int
) -> None:
    model, batches, gradients = cases[number]
    for whole, gradient in zip(batches, gradients, strict=True):
        batch = whole.clone().requires_grad_()
        outputs = model(batch)
        outputs.backward(gradient)
    is_coarse = batch.dtype == torch.bfloat16
    margin: dict[str, Any] = {"rtol": 0.02, "atol": 0.05} if is_coarse else {}
    for rank, (output, slope, _, state, judged) in enumerate(results[number]):
        torch.testing.assert_close(output, outputs.detach()[rank::2], **margin)
        assert batch.grad is not None
        torch.testing.assert_close(slope, batch.grad[rank::2], **margin)
        torch.testing.assert_close(state, model.state_dict(), **margin)
        if "0.running_mean" in state:  # otherwise it knows nothing but the batch that it is given
            torch.testing.assert_close(judged, model.eval()(batch)[rank::2], **margin)
    sums = [torch.stack(each).sum(0) for each in zip(*(r[2] for r in results[number]), strict=True)]
    expected = [parameter.grad for parameter in model.parameters()]
    # What is added up is much larger than the sums.
    torch.testing.assert_close(sums, expected, **(margin or {"rtol": 1e-4, "atol": 1e-4}))


def test_a_model_keeps_its_parts_and_names() -> None:
    model = nn.ModuleDict({"norm": nn.BatchNorm2d(2), "other": nn.Conv2d(2, 2, 1)})
    norm, before = model["norm"], model.state_dict()
    synchronise(model)
    assert batch_norms(model) == [norm] == [model["norm"]]
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name].data_ptr() == before[name].data_ptr() for name in after)
    assert not isinstance(norm, nn.SyncBatchNorm)  # PyTorch's own refuses to work on a CPU
    assert not batch_norms(model["other"])
