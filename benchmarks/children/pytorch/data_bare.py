"""Images a second of what most people write: Pillow in a `DataLoader` without workers."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Files(Dataset[tuple[Tensor, Tensor]]):
    """Images and masks with the same names in two folders."""

    def __init__(self, root: Path, size: int) -> None:
        self.images = sorted((root / "images").iterdir())
        self.masks = sorted((root / "masks").iterdir())
        self.size = (size, size)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return float32 [3, H, W], normalised, and int64 [H, W]."""
        image = Image.open(self.images[index]).convert("RGB")
        image = image.resize(self.size, Image.Resampling.BILINEAR)
        mask = Image.open(self.masks[index]).resize(self.size, Image.Resampling.NEAREST)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
        return tensor.sub(0.5).div(0.25), torch.from_numpy(np.array(mask)).long()


def main() -> None:
    """Print the seconds of an epoch, as JSON; every one is like the first."""
    dataset = Files(Path(sys.argv[1]), int(sys.argv[2]))
    loader = DataLoader(dataset, batch_size=int(sys.argv[3]), shuffle=True)
    began = time.perf_counter()
    for _images, _masks in loader:
        pass
    print(json.dumps({"images": len(dataset), "epoch": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
