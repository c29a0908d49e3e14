"""What a step of the executor computes, and nothing around it: no rows, schedule or checkpoints."""

import torch
from batches import Batches
from ops.losses import cross_entropy
from ops.optimizers import adam
from ops.weighted_loss import mean
from workload import Workload


def main() -> None:
    """Train with the project's loss and optimizer, and measure the gradient's norm."""
    work = Workload.given()
    work.set_threads()
    model = work.build_model()
    loss_of, optimizer = cross_entropy(), adam(model.parameters())
    parameters = list(model.parameters())
    total = 0.0
    for images, masks in Batches(work):
        for parameter in parameters:
            parameter.grad = None
        loss = mean(loss_of(model(images), masks))
        loss.backward()
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        total += loss.item() + norm.item()
        optimizer.step()


if __name__ == "__main__":
    main()
