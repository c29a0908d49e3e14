"""A whole short training with Lightning: the sample, some steps, a validation.

python lightning_training.py STEPS FOLDER
"""

import sys

import pytorch_lightning
import torch
from dataloader.sources.digit_scenes import DigitScenes
from first_step_bare import arrays, normalised
from model.unet import UNet
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

_BATCH = 32


class Module(pytorch_lightning.LightningModule):
    """The project's U-Net with cross-entropy and AdamW."""

    def __init__(self) -> None:
        super().__init__()
        self.model = UNet(num_classes=3)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of a batch."""
        loss = self._loss(batch)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Record the loss of a batch."""
        self.log("validation_loss", self._loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return what updates the model."""
        return torch.optim.AdamW(self.parameters(), lr=3e-3, weight_decay=1e-2)

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, masks = batch
        return functional.cross_entropy(self.model(normalised(images)), masks.long())


def main() -> None:
    """Train for a number of steps, with the trainer's defaults."""
    steps, folder = int(sys.argv[1]), sys.argv[2]
    source = DigitScenes(train=1024, validation=256, test=256)
    training = DataLoader(TensorDataset(*arrays(source, "train")), _BATCH, shuffle=True)
    validation = DataLoader(TensorDataset(*arrays(source, "validation")), _BATCH)
    trainer = pytorch_lightning.Trainer(accelerator="cpu", max_steps=steps, default_root_dir=folder)
    trainer.fit(Module(), training, validation)
    trainer.validate(dataloaders=validation)


if __name__ == "__main__":
    main()
