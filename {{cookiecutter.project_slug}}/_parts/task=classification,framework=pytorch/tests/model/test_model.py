"""The network: shapes and sizes, and the numbers that it computes; what a model may return."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.convnet import ConvNet
from ops.losses import cross_entropy
from ops.task import ModelIO
from ops.weighted_loss import mean
from utils.errors import UserError

IO = ModelIO(num_classes=3, image_size=(4, 5), mean=[0.5], std=[0.25], auxiliary_weight=0.4)


def size_of(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (37, 50), (1, 9), (1, 1)])
def test_convnet_returns_logits_for_images_of_any_size(
    size: tuple[int, int], channels: int
) -> None:
    model = ConvNet(num_classes=5, in_channels=channels, widths=(4, 8, 12), dropout=0.5)
    assert model(torch.zeros(2, channels, *size)).shape == (2, 5)


def test_convnet_sizes() -> None:
    assert size_of(ConvNet(num_classes=10, in_channels=1)) == 72_666
    assert size_of(ConvNet(num_classes=3, widths=(32, 64, 128, 256))) == 1_173_987


def test_convnet_of_one_level_and_other_kernel() -> None:
    model = ConvNet(num_classes=2, widths=(4,), kernel_size=5)
    assert size_of(model) == 4 * 3 * 25 + 8 + 4 * 4 * 25 + 8 + 4 * 2 + 2
    assert model(torch.zeros(1, 3, 7, 9)).shape == (1, 2)


def test_pooling_keeps_the_last_row_and_column_and_adds_nothing() -> None:
    pooled = ConvNet(num_classes=2).pool(torch.arange(-9.0, 0.0).view(1, 1, 3, 3))
    assert pooled[0, 0].tolist() == [[-5.0, -4.0], [-2.0, -1.0]]


def test_convnet_computes_what_it_does_in_every_framework() -> None:
    model = ConvNet(num_classes=2, in_channels=1, widths=(2, 3, 2))
    draws = np.random.default_rng(0)
    for tensor in model.state_dict().values():
        if tensor.ndim >= 2:  # drawn in TensorFlow's order: height, width, inputs, outputs
            order = (2, 3, 1, 0) if tensor.ndim == 4 else (1, 0)
            kernel = draws.uniform(-1.0, 1.0, tuple(tensor.permute(order).shape))
            tensor.permute(order).copy_(torch.from_numpy(kernel))
        elif tensor.ndim == 1:
            tensor.copy_(torch.from_numpy(draws.uniform(0.5, 1.5, tuple(tensor.shape))))
    images = torch.tensor(draws.uniform(-1.0, 1.0, (2, 3, 5, 1)).astype(np.float32))
    images = images.permute(0, 3, 1, 2)
    # The logits of both images in evaluation and training, and the statistics of the last
    # normalisation after it; the tests of TensorFlow have the same numbers.
    evaluated = [2.6064000, 1.6804357, 1.0922203, 0.5381525]
    trained = [1.9192557, 0.4689818, 2.0600021, 0.1109675]
    with torch.no_grad():
        assert model.eval()(images).ravel().tolist() == pytest.approx(evaluated, abs=1e-5)
        assert model.train()(images).ravel().tolist() == pytest.approx(trained, abs=1e-5)
    after = model.state_dict()
    means, variances = after["levels.2.4.running_mean"], after["levels.2.4.running_var"]
    assert means.tolist() == pytest.approx([0.7084839, 1.0207070], abs=1e-5)
    assert variances.tolist() == pytest.approx([0.8641244, 0.7262217], abs=1e-5)


def test_the_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    model = ConvNet(num_classes=3, widths=(4, 8, 12), dropout=0.3)
    mean(cross_entropy()(model(torch.randn(8, 3, 9, 9)), torch.arange(8) % 3)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_dropout_drops_features_in_training_only() -> None:
    torch.manual_seed(0)
    model = ConvNet(num_classes=8, widths=(8,), dropout=0.5)
    with torch.no_grad():
        model.head.weight.copy_(torch.eye(8))
        model.head.bias.fill_(1.0)
        for layer in model.levels.modules():
            if isinstance(layer, nn.BatchNorm2d):  # so that features are 1
                layer.weight.fill_(0.0)
                layer.bias.fill_(1.0)
        images = torch.zeros(16, 3, 4, 4)
        logits = model(images)
        assert logits.unique().tolist() == [1.0, 3.0]
        assert not torch.equal(logits, model(images))
        assert model.eval()(images).unique().tolist() == [2.0]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"in_channels": 0}, "in_channels"),
        ({"widths": ()}, "widths"),
        ({"widths": (8, 0)}, "widths"),
        ({"kernel_size": 4}, "kernel_size"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"Argument `{name}` must .* Received: "):
        ConvNet(**{"num_classes": 3, **arguments})


def returned() -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Return logits and auxiliary logits [2, 3], and three ways to return them from a model."""
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 3.0]])
    other = torch.tensor([[0.0, 1.0, 4.0], [5.0, 0.0, 0.0]])
    ways = {
        "tensor": logits,
        "tuple": (logits, other),
        "dictionary": {"a": other, "logits": logits},
    }
    return logits, other, ways


@pytest.mark.parametrize("way", ["tensor", "tuple", "dictionary"])
def test_auxiliary_outputs_count_in_the_loss_alone(way: str) -> None:
    logits, other, ways = returned()
    labels, loss = torch.tensor([0, 2], dtype=torch.int32), cross_entropy()
    IO.check(ways[way])
    beside = 0.0 if way == "tensor" else 0.4 * mean(loss(other, labels)).item()
    found = mean(IO.loss(loss, ways[way], {"label": labels})).item()
    assert found == pytest.approx(mean(loss(logits, labels)).item() + beside, rel=1e-6)
    prediction = IO.predict(ways[way])
    assert prediction["label"].tolist() == [0, 2]
    assert torch.equal(prediction["probabilities"], logits.softmax(dim=1))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            torch.zeros(2, 4),
            r"'logits' has the shape \[2, 4\] for images of 4x5; expected \[batch, 3",
        ),
        (torch.zeros(2, 3, 1), r"'logits' has the shape \[2, 3, 1\]"),
        ((torch.zeros(2, 3), torch.zeros(2, 7)), r"'\[1\]' has the shape \[2, 7\]"),
        ({"logits": torch.zeros(2, 3), "coarse": torch.zeros(2)}, r"'coarse' has the shape \[2\]"),
        ({"coarse": torch.zeros(2, 3)}, "dictionary of coarse; one of its names must be 'logits'"),
        ("text", "'logits' has a str"),
    ],
)
def test_outputs_of_another_form_are_refused_by_name(outputs: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        IO.check(outputs)


def test_any_precision_and_integer_type_gives_the_same_kinds_of_numbers() -> None:
    labels = torch.tensor([0, 2], dtype=torch.uint8)
    half = returned()[0].bfloat16()
    seen: list[torch.dtype] = []

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        seen.extend((logits.dtype, target.dtype))
        return logits.sum()

    for target in (labels, torch.eye(3)[labels.long()]):
        IO.loss(loss, half, {"label": target})
    assert seen == [torch.float32, torch.int64, torch.float32, torch.float32]
    prediction = IO.predict(half)
    assert prediction["label"].dtype == torch.int32
    assert prediction["probabilities"].dtype == torch.float32
    assert prediction["probabilities"].sum(dim=1).tolist() == pytest.approx([1.0, 1.0])
