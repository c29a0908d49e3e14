"""A network with an auxiliary head, in PyTorch."""

from torch import Tensor, nn


class TwoHeads(nn.Module):
    """Two convolutions; there is a head after each, of which the second one counts."""

    def __init__(self, num_classes: int, in_channels: int = 1, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(in_channels, width, 3, stride=2, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU())
        self.early = nn.Linear(width, num_classes)
        self.head = nn.Linear(16 * width, num_classes)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return logits [B, num_classes] of both heads for images [B, in_channels, 16, 16]."""
        features = self.first(images)
        logits = self.head(self.second(features).flatten(1))
        return {"logits": logits, "early": self.early(features.mean(dim=(2, 3)))}
