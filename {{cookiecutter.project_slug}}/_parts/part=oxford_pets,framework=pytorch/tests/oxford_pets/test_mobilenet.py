"""MobileNetV2 and its U-Net: sizes, published names and weights, an encoder that stays frozen."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model.mobilenet_unet import MobileNetUNet
from model.mobilenet_v2 import MobileNetV2, _InvertedResidual
from ops.optimizers import sgd
from utils.errors import UserError


def size_of(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(scope="module")
def encoder() -> MobileNetV2:
    """An encoder with random weights."""
    torch.manual_seed(0)
    return MobileNetV2()


def test_mobilenet_unet_sizes() -> None:
    model = MobileNetUNet(num_classes=3)
    steps = ((320, 512), (512 + 576, 256), (256 + 192, 128), (128 + 144, 64))
    decoder = sum(9 * before * after + 2 * after for before, after in steps)
    head = 9 * (64 + 96) * 3 + 3
    assert size_of(model) == size_of(model.encoder) + decoder + head


@pytest.mark.parametrize("size", [(64, 64), (33, 70)])
def test_mobilenet_unet_returns_logits_of_the_images_size(size: tuple[int, int]) -> None:
    model = MobileNetUNet(num_classes=5, up_widths=(16, 8, 8, 4), kernel_size=4).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, *size)).shape == (1, 5, *size)


def test_published_names_and_shapes(encoder: MobileNetV2) -> None:
    names = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    # torchvision's `features` has 312 tensors and 2,223,872 parameters; 6 tensors with 412,160
    # parameters of those belong to features.18, which only classification needs.
    assert len(names) == 312 - 6
    assert size_of(encoder) == 2_223_872 - 412_160
    assert names["features.0.0.weight"] == (32, 3, 3, 3)
    assert names["features.0.1.running_mean"] == (32,)
    assert names["features.1.conv.0.0.weight"] == (32, 1, 3, 3)
    assert names["features.1.conv.1.weight"] == (16, 32, 1, 1)
    assert names["features.1.conv.2.bias"] == (16,)
    assert names["features.2.conv.0.0.weight"] == (96, 16, 1, 1)
    assert names["features.2.conv.1.0.weight"] == (96, 1, 3, 3)
    assert names["features.2.conv.2.weight"] == (24, 96, 1, 1)
    assert names["features.2.conv.3.num_batches_tracked"] == ()
    assert names["features.14.conv.1.1.weight"] == (576,)
    assert names["features.17.conv.3.running_var"] == (320,)


def test_features_have_the_stated_sizes(encoder: MobileNetV2) -> None:
    with torch.no_grad():
        features = encoder.eval()(torch.zeros(1, 3, 128, 128))
    assert [tuple(f.shape[1:]) for f in features] == [
        (96, 64, 64),
        (144, 32, 32),
        (192, 16, 16),
        (576, 8, 8),
        (320, 4, 4),
    ]


def test_residuals_are_added_where_the_shape_stays(encoder: MobileNetV2) -> None:
    blocks = [block for block in encoder.features if isinstance(block, _InvertedResidual)]
    assert [block.adds_input for block in blocks] == [
        *(False, False, True),
        *(False, True, True),
        *(False, True, True, True),
        *(False, True, True),
        *(False, True, True),
        False,
    ]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_published_weights_load(encoder: MobileNetV2, tmp_path: Path, suffix: str) -> None:
    weights = {
        **encoder.state_dict(),
        "features.18.0.weight": torch.zeros(1280, 320, 1, 1),
        "classifier.1.bias": torch.zeros(1000),
    }
    path = tmp_path / f"mobilenet_v2{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(weights, path)
    model = MobileNetUNet(num_classes=2, up_widths=(8, 8, 8, 8), weights=str(path))
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(tensor, weights[name])


def test_wrong_weights_are_named(encoder: MobileNetV2, tmp_path: Path) -> None:
    weights = dict(encoder.state_dict())
    del weights["features.0.0.weight"]
    weights["features.1.conv.2.bias"] = torch.zeros(8)
    weights |= {f"layer.{index}.weight": torch.zeros(1) for index in range(9)}
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(UserError) as caught:
        MobileNetV2().load_weights(str(tmp_path / "w.safetensors"))
    message = str(caught.value)
    assert "1 missing: features.0.0.weight" in message
    assert "layer.0.weight, layer.1.weight, layer.2.weight, and 6 more" in message
    assert "features.1.conv.2.bias [8] instead of [16]" in message
    assert "layer.3" not in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.pth", b"no weights at all"),
        ("w.pth", b""),
        ("w.safetensors", b"no weights at all"),
        ("w.pth", None),
    ],
)
def test_unreadable_weights_are_the_users_mistake(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        MobileNetV2().load_weights(str(tmp_path / name))


def test_files_that_run_code_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1), tmp_path / "w.pth")
    with pytest.raises(UserError, match="cannot be read as weights"):
        MobileNetV2().load_weights(str(tmp_path / "w.pth"))
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="more than names and tensors"):
        MobileNetV2().load_weights(str(tmp_path / "w.pth"))


def test_a_frozen_encoder_does_not_change() -> None:
    torch.manual_seed(0)
    model = MobileNetUNet(num_classes=2, up_widths=(8, 8, 8, 8), freeze_encoder=True).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = sgd(model.parameters(), learning_rate=0.1, weight_decay=0.1)
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    changed = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n])}
    assert changed == {n for n in before if not n.startswith("encoder.")}
    assert not any(module.training for module in model.encoder.modules())
    assert model.up.training


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"up_widths": (8, 8)}, "up_widths"),
        ({"kernel_size": 1}, "kernel_size"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"Argument `{name}` must .* Received: "):
        MobileNetUNet(**{"num_classes": 3, **arguments})
