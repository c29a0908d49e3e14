"""What a loop trains, without saying who runs it or with which framework."""

import json
import sys
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Work:
    """One training."""

    model: str
    """`unet` or `tiny`."""
    arguments: dict[str, Any]
    """The model's own."""
    side: int
    """Of the square images, in pixels."""
    folder: str
    """An empty one to write to."""
    precision: str = "fp32"
    """`fp32` or `bf16`."""
    optimizer: str = "adamw"
    """`adam` or `adamw`."""
    item: bool = True
    """Read the loss in every step, as most loops do to show it."""
    threads: int | None = None
    """Of one operation; None: the framework's own choice."""
    checkpoint_every: int = 200
    """Steps; the default of generated projects. Other loops than theirs write none."""
    batch: int = 32
    samples: int = 1024

    @classmethod
    def given(cls) -> Self:
        """Return the work that the command line describes in JSON."""
        return cls(**json.loads(sys.argv[1]))
