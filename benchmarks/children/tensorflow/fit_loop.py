"""`keras.Model.fit` with its defaults, on normalised arrays in memory."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from arrays import MEAN, STD, Arrays
from turns import begin_step
from workload import Workload

_ENDLESS = 10**6  # epochs


def main() -> None:
    """Train until nobody asks for a further step."""
    work = Workload.given()
    work.set_threads()
    arrays = Arrays(work.side, work.samples)
    images = (arrays.images.astype(np.float32) - MEAN) / STD
    model = work.build_model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=work.build_optimizer(), loss=loss)
    model.make_train_function()
    model.train_function = announced(model.train_function)
    model.fit(images, arrays.masks, batch_size=work.batch, epochs=_ENDLESS)


def announced(train_function: Callable[..., Any]) -> Callable[..., Any]:
    """Say when a step begins. A callback could too, but fit then waits for its other callbacks."""

    def begin_and_train(iterator: object) -> object:
        begin_step()
        return train_function(iterator)

    return begin_and_train


if __name__ == "__main__":
    main()
