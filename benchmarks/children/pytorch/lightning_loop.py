"""Lightning's `Trainer` with its defaults: a progress bar, a logger, checkpoints."""

import pytorch_lightning
import torch
from batches import Batches
from torch import Tensor
from torch.nn import functional
from workload import Workload


class Module(pytorch_lightning.LightningModule):
    """The same model, loss and optimizer as in the other loops."""

    def __init__(self, work: Workload) -> None:
        super().__init__()
        self.model = work.build_model()
        self.work = work

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of a batch."""
        images, masks = batch
        loss = functional.cross_entropy(self.model(images), masks)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return what updates the model."""
        return self.work.build_optimizer(self.model)


def main() -> None:
    """Train until nobody asks for a further step."""
    work = Workload.given()
    work.set_threads()
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu", max_epochs=-1, default_root_dir=work.folder
    )
    trainer.fit(Module(work), Batches(work))


if __name__ == "__main__":
    main()
