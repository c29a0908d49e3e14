"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381) as an encoder for segmentation.

Its parameters have the names and shapes of torchvision's `mobilenet_v2`, so that the weights
published for that load here: `mobilenet_v2-b0353104.pth` (ImageNet-1k) from download.pytorch.org,
or any .safetensors with the same names. Those were trained on images normalised with
mean (0.485, 0.456, 0.406) and standard deviation (0.229, 0.224, 0.225).
"""

import io
import pickle

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from model.mobilenet_weights import check_shapes
from utils import storage
from utils.checks import check
from utils.errors import UserError

# Each row of the paper's table 2: expansion, channels, number of blocks, stride of the first.
_STAGES = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)
_STEM_CHANNELS = 32
# Of the published weights, what only classification needs.
_UNUSED = ("features.18.", "classifier.")


class MobileNetV2(nn.Module):
    """Encode images to features at a half down to a thirty-second of their size.

    Args:
        in_channels: Channels of the images, 1 or more; published weights need 3.

    Raises:
        ValueError: If `in_channels` is below 1.
    """

    stride = 32
    """Height and width of the images must be multiples of this."""
    out_channels = (96, 144, 192, 576, 320)
    """Channels of the features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        check("in_channels", in_channels, in_channels >= 1, "be at least 1")
        blocks: list[nn.Module] = [_convolution(in_channels, _STEM_CHANNELS, 3, stride=2)]
        channels = _STEM_CHANNELS
        for expansion, width, count, first_stride in _STAGES:
            for index in range(count):
                stride = first_stride if index == 0 else 1
                blocks.append(_InvertedResidual(channels, width, stride, expansion))
                channels = width
        self.features = nn.Sequential(*blocks)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features [B, out_channels[i], H / 2^(i+1), W / 2^(i+1)] for images [B, C, H, W].

        In Keras these are called block_1_expand_relu, block_3_expand_relu, block_6_expand_relu,
        block_13_expand_relu and block_16_project.
        """
        skips = []
        features = images
        for block in self.features:
            # Inside a block that halves the size are the last features before, and the widest.
            if isinstance(block, _InvertedResidual) and block.stride == 2:
                features = block.expand(features)
                skips.append(features)
                features = block.project(features)
            else:
                features = block(features)
        return [*skips, features]

    def load_weights(self, path: str) -> None:
        """Load published weights.

        Args:
            path: File or URL of a .safetensors or a .pth that holds nothing but tensors.

        Raises:
            UserError: If the file is missing or unreadable, or holds another network's weights.
        """
        weights = {name: w for name, w in _read(path).items() if not name.startswith(_UNUSED)}
        expected = "the weights of MobileNetV2 with torchvision's names"
        check_shapes(path, weights, self.state_dict(), expected)
        self.load_state_dict(weights)


class _InvertedResidual(nn.Module):
    """Expand the channels, convolve each by itself, project them to fewer; section 3.3.

    The input is added where the output has its shape. There is no expansion by a factor of 1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = in_channels * expansion
        layers: list[nn.Module] = [
            *([_convolution(in_channels, inside, 1)] if expansion != 1 else []),
            _convolution(inside, inside, 3, stride=stride, groups=inside),
            nn.Conv2d(inside, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.stride = stride
        self.adds_input = stride == 1 and in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, out_channels, H / stride, W / stride]."""
        output: Tensor = self.conv(features)
        return features + output if self.adds_input else output

    def expand(self, features: Tensor) -> Tensor:
        """Return what the first convolution makes: [B, in_channels * expansion, H, W]."""
        expanded: Tensor = self.conv[0](features)
        return expanded

    def project(self, expanded: Tensor) -> Tensor:
        """Finish what `expand` began, in a block that does not add its input."""
        for layer in list(self.conv)[1:]:
            expanded = layer(expanded)
        return expanded


def _convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    sizes = (in_channels, out_channels, kernel_size, stride, kernel_size // 2)
    return nn.Sequential(
        nn.Conv2d(*sizes, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):  # He et al., 2015, arXiv:1502.01852
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")


def _read(path: str) -> dict[str, Tensor]:
    content = storage.read_bytes(storage.resolve(path))
    try:
        if path.endswith(".safetensors"):
            return safetensors.torch.load(content)
        # Only tensors and plain values: a file from elsewhere must not run code.
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if isinstance(found, dict) and all(isinstance(value, Tensor) for value in found.values()):
            return found
        reason = "it holds more than names and tensors"
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).partition("\n")[0]
    raise UserError(
        f"{storage.shown(path)} cannot be read as weights: {reason}.\n"
        "Expected a .safetensors file, or a .pth file that holds a dictionary of tensors."
    )
