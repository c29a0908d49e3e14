"""The generated project's own training, `executor.train.train`, with everything on."""

from executor.training.trainer import train
from training import configuration
from workload import MODELS, Workload


def main() -> None:
    """Train with the generated defaults, but for the data, the model and the length."""
    work = Workload.given()
    target = f"workload:{MODELS[work.model].__name__}"
    train(configuration(work, target, channels_last=work.tuned))


if __name__ == "__main__":
    main()
