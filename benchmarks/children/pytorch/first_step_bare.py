"""The script that one writes by hand to get to the first optimizer step of the sample."""

import os

import numpy as np
import torch
from dataloader.sources.digit_scenes import DigitScenes
from model.unet import UNet
from torch import Tensor
from torch.nn import functional

_BATCH = 32


def main() -> None:
    """Make the sample, build the model, take one step."""
    torch.manual_seed(0)
    source = DigitScenes(train=1024, validation=256, test=256)
    images, masks = arrays(source, "train")
    arrays(source, "validation")
    model = UNet(num_classes=3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    chosen = torch.randperm(len(images))[:_BATCH]
    optimizer.zero_grad()
    loss = functional.cross_entropy(model(normalised(images[chosen])), masks[chosen].long())
    loss.backward()
    optimizer.step()
    print(loss.item())
    os._exit(0)  # as the other side ends


def arrays(source: DigitScenes, name: str) -> tuple[Tensor, Tensor]:
    """Return a split: uint8 [N, 3, H, W] and [N, H, W]."""
    split = source.split(name)
    samples = [split.read(index) for index in range(len(split))]
    images = np.stack([sample["image"] for sample in samples]).transpose(0, 3, 1, 2)
    return torch.from_numpy(images), torch.from_numpy(
        np.stack([sample["mask"] for sample in samples])
    )


def normalised(images: Tensor) -> Tensor:
    """Return float32 in about -2 to 2."""
    return images.float().div(255).sub(0.5).div(0.25)


if __name__ == "__main__":
    main()
