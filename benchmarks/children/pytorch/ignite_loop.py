"""PyTorch-Ignite's supervised trainer, without any handlers."""

from batches import Batches
from ignite.engine import create_supervised_trainer
from torch.nn import functional
from workload import Workload

_ENDLESS = 10**9


def main() -> None:
    """Train until nobody asks for a further step."""
    work = Workload.given()
    work.set_threads()
    model = work.build_model()
    optimizer = work.build_optimizer(model)
    trainer = create_supervised_trainer(model, optimizer, functional.cross_entropy)
    trainer.run(Batches(work), max_epochs=1, epoch_length=_ENDLESS)


if __name__ == "__main__":
    main()
