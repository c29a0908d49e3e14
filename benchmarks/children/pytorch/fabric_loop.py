"""A loop written by hand over Lightning Fabric."""

from batches import Batches
from lightning_fabric import Fabric
from torch.nn import functional
from workload import Workload


def main() -> None:
    """Train until nobody asks for a further step."""
    work = Workload.given()
    work.set_threads()
    fabric = Fabric(accelerator="cpu")
    fabric.launch()
    model = work.build_model()
    model, optimizer = fabric.setup(model, work.build_optimizer(model))
    total = 0.0
    for images, masks in Batches(work):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), masks)
        fabric.backward(loss)
        optimizer.step()
        total += loss.item()


if __name__ == "__main__":
    main()
