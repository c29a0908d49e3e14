"""A compiled step learns what a plain one does, and a compiler that fails is named."""

from pathlib import Path

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from main import main
from utils.errors import UserError
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")


def train(run: Path, *words: str) -> dict[str, float]:
    tiny = ["train", "--config", str(PROJECT / "tests" / "tiny.yaml")]
    values: dict[str, float] = main(
        [*tiny, f"run.dir={run}", "executor.device=cpu", "run.tensorboard=false", *words]
    )
    return values


def test_a_compiler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(images: torch.Tensor) -> torch.Tensor:
        raise TorchDynamoException("no compiler here\nand much more")

    monkeypatch.setattr(torch, "compile", lambda model: refuse)
    with pytest.raises(UserError, match=r"executor\.compile=true.* here Set it to false"):
        train(tmp_path / "run", "executor.compile=true")


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning")  # the compiler's own
def test_a_compiled_step_trains(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", "executor.precision=fp32")
    compiled = train(tmp_path / "compiled", "executor.precision=fp32", "executor.compile=true")
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-3)
