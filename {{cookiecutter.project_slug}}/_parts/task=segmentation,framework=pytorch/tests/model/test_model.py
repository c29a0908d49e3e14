"""The network: shapes and sizes, and the numbers that it computes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from model.unet import UNet


def size_of(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (1, 9)])
def test_unet_returns_logits_of_the_images_size(size: tuple[int, int]) -> None:
    model = UNet(num_classes=4, in_channels=2, widths=(4, 8, 12), dropout=0.5)
    assert model(torch.zeros(2, 2, *size)).shape == (2, 4, *size)


def test_unet_sizes() -> None:
    assert size_of(UNet(num_classes=3)) == 450_403
    assert size_of(UNet(num_classes=3, widths=(32, 64, 128, 256))) == 1_797_827


def test_unet_of_one_level_and_other_kernel() -> None:
    model = UNet(num_classes=2, widths=(4,), kernel_size=5)
    assert model(torch.zeros(1, 3, 7, 9)).shape == (1, 2, 7, 9)


def test_padding_does_not_move_the_image() -> None:
    torch.manual_seed(0)
    model = UNet(num_classes=2, widths=(4, 8)).eval()
    images = torch.randn(1, 3, 15, 15)
    padded = nn.functional.pad(images, (0, 1, 0, 1), mode="replicate")
    with torch.no_grad():
        assert torch.equal(model(images), model(padded)[..., :15, :15])


def test_unet_computes_what_it_does_in_every_framework() -> None:
    model = UNet(num_classes=2, in_channels=1, widths=(2, 3))
    draws = np.random.default_rng(0)
    for tensor in model.state_dict().values():
        if tensor.ndim == 4:  # drawn in TensorFlow's order: height, width, inputs, outputs
            kernel = draws.uniform(-1.0, 1.0, tuple(tensor.permute(2, 3, 1, 0).shape))
            tensor.copy_(torch.from_numpy(kernel).permute(3, 2, 0, 1))
        elif tensor.ndim == 1:
            tensor.copy_(torch.from_numpy(draws.uniform(0.5, 1.5, tuple(tensor.shape))))
    images = torch.tensor(draws.uniform(-1.0, 1.0, (2, 3, 5, 1)).astype(np.float32))
    images = images.permute(0, 3, 1, 2)
    # The last row of the second image in evaluation and training, and the statistics of the last
    # normalisation after it; the tests of TensorFlow have the same numbers.
    evaluated = [
        *(0.2737291, 1.1673164, 0.685429, 0.6598328, 0.7663774),
        *(0.8619547, -0.3207134, 3.0754502, -0.3321172, 2.1141741),
    ]
    trained = [
        *(0.105112, 1.6261036, 0.3026554, 1.3017689, 0.0512902),
        *(1.7544925, -0.0702063, 1.7445021, 0.0642856, 1.5800307),
    ]
    with torch.no_grad():
        row = model.eval()(images)[1, :, 2].T.ravel().tolist()
        assert row == pytest.approx(evaluated, abs=1e-5)
        row = model.train()(images)[1, :, 2].T.ravel().tolist()
        assert row == pytest.approx(trained, abs=1e-5)
    after = model.state_dict()
    assert after["up.0.4.running_mean"].tolist() == pytest.approx([0.6372674, 1.1245705], abs=1e-5)
    assert after["up.0.4.running_var"].tolist() == pytest.approx([1.8712665, 1.0701387], abs=1e-5)


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
        UNet(**{"num_classes": 3, **arguments})
