"""A compiled step learns what a plain one does, and a compiler that fails is named."""

from pathlib import Path

import pytest

from main import main
from utils.errors import UserError
from utils.framework import tf
from utils.storage import PROJECT

pytestmark = pytest.mark.usefixtures("without_report")


def train(run: Path, *words: str) -> dict[str, float]:
    tiny = ["train", "--config", str(PROJECT / "tests" / "tiny.yaml")]
    values: dict[str, float] = main(
        [*tiny, f"run.dir={run}", "executor.device=cpu", "run.tensorboard=false", *words]
    )
    return values


def test_a_compiler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ops.task import ModelIO

    inputs = ModelIO.inputs

    def refuse(self: ModelIO, fields: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        raw = fields["image"]
        same = tf.numpy_function(lambda array: array, [raw], tf.uint8)
        return inputs(self, {"image": tf.ensure_shape(same, raw.shape)})

    monkeypatch.setattr(ModelIO, "inputs", refuse)
    message = r"executor\.compile=true: .* unsupported operations .* Set it to false"
    with pytest.raises(UserError, match=message):
        train(tmp_path / "run", "executor.compile=true")


@pytest.mark.slow
def test_a_compiled_step_trains(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", "executor.precision=fp32")
    compiled = train(tmp_path / "compiled", "executor.precision=fp32", "executor.compile=true")
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-3)
