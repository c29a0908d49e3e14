"""The generated project's own training, with everything on."""

from executor.training.trainer import Trainer
from training import configuration
from workload import MODELS, Workload


def main() -> None:
    """Train with the generated defaults, but for the data, the model and the length."""
    work = Workload.given()
    target = f"workload:{MODELS[work.model].__name__}"
    Trainer(configuration(work, target, channels_last=work.tuned)).fit()


if __name__ == "__main__":
    main()
