"""A loop written by hand over Hugging Face Accelerate."""

from accelerate import Accelerator
from batches import Batches
from torch.nn import functional
from workload import Workload


def main() -> None:
    """Train until nobody asks for a further step."""
    work = Workload.given()
    work.set_threads()
    accelerator = Accelerator(cpu=True)
    model = work.build_model()
    model, optimizer = accelerator.prepare(model, work.build_optimizer(model))
    total = 0.0
    for images, masks in Batches(work):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), masks)
        accelerator.backward(loss)
        optimizer.step()
        total += loss.item()


if __name__ == "__main__":
    main()
