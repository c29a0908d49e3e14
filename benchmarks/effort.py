"""How much is measured: enough to trust it, or just enough to see that everything runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Counts that trade time for certainty."""

    rounds: int = 50
    """Turns of each loop."""
    steps: int = 2
    """Of a U-Net in each turn: few, so that what is compared happens at nearly the same time."""
    small_steps: int = 200
    """Of the tiny model in each turn: a checkpoint falls into each."""
    warmup: int = 10
    """Steps that do not count."""
    repetitions: int = 5
    """Of what happens once in a process, such as its start."""
    files: int = 4000
    """Images to decode."""
    training_steps: int = 60
    """Of the short training whose memory is measured."""
    scaling_steps: int = 50
    """Of a training in one process or several, beside one of 14."""
    trainings: int = 3
    """Default trainings of each kind, each with another seed."""
    is_quick: bool = False


FULL = Effort()
QUICK = Effort(
    rounds=1,
    steps=1,
    small_steps=2,
    warmup=1,
    repetitions=1,
    files=64,
    training_steps=2,
    scaling_steps=18,
    trainings=1,
    is_quick=True,
)
