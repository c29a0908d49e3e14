"""A process that trains on several devices: the strategy `mirrored`."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from executor.distributed.world import World
from ops.optimizer_functions import Optimizer
from utils.errors import UserError
from utils.framework import tf

# Settings of Keras' optimizers that make them update under a condition.
_CONDITIONS = ("gradient_accumulation_steps", "ema_overwrite_frequency", "inner_optimizer")


class Mirrored(World):
    """The only process of a training, with a copy of all variables on each of its devices.

    `stack` is closed when the training is over.
    """

    def __init__(self, devices: int, stack: ExitStack) -> None:
        super().__init__("mirrored")
        self._devices = devices
        self._stack = stack

    def __str__(self) -> str:
        return f"{self.strategy}, {self._devices} devices"

    @property
    def replicas(self) -> int:
        """In how many shares the devices take a batch."""
        return self._devices

    def connect(self, timeout_minutes: float) -> None:
        """Let all variables from here on be made on each device."""
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        self._engine = tf.distribute.MirroredStrategy([device.name for device in devices])
        self._stack.enter_context(self._engine.scope())
        self._stack.enter_context(tf.variable_creator_scope(_made))

    def each(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function for each device; see `World.each`."""
        return self._engine.run(function, arguments)

    def first(self, values: Any) -> Any:
        """Return the first device's of values that there are for each."""
        local = self._engine.experimental_local_results
        return tf.nest.map_structure(lambda value: local(value)[0], values)

    def replica(self) -> int:
        """Return which device is computed for; inside of a function that `each` calls."""
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return int(tf.get_static_value(number))

    def shares(self, tensors: Any) -> Any:
        """Return for each device an equal share of each tensor, in order."""
        parts = [tf.split(tensor, self._devices) for tensor in tf.nest.flatten(tensors)]

        def own() -> Any:
            mine = [tf.identity(part[self.replica()]) for part in parts]
            return tf.nest.pack_sequence_as(tensors, mine)

        return self._engine.run(own)

    def take_over(self, optimizer: Optimizer) -> None:
        """Let an optimizer take gradients that are the same on all devices as they are.

        It is a UserError if the optimizer cannot update on several devices.
        """
        # Keras adds up what the devices give, which is the mean of all already.
        if not hasattr(optimizer, "_all_reduce_sum_gradients"):
            raise UserError(
                f"executor.strategy=mirrored does not know how {type(optimizer).__name__} of this "
                "version of Keras adds up gradients. Take executor.strategy=single."
            )
        optimizer._all_reduce_sum_gradients = list
        for name in _CONDITIONS:
            if getattr(optimizer, name, None):
                raise UserError(
                    f"train.optimizer.{name} does not go with executor.strategy=mirrored, whose "
                    "devices cannot meet inside of a condition. Leave it out: train.accumulate and "
                    "train.ema_decay do the same; or take executor.strategy=single."
                )

    def apart(self, function: Callable[[Any], Any], tensors: Any) -> Any:
        """Return what a function makes of samples, each device of its share; see `World.apart`."""
        # Some items are computed twice where there is no equal share for each.
        count = tf.shape(tf.nest.flatten(tensors)[0])[0]
        places = tf.range(-(-count // self._devices) * self._devices)
        chosen = tf.minimum(places, count - 1)
        filled = tf.nest.map_structure(lambda tensor: tf.gather(tensor, chosen), tensors)
        results = self._engine.run(function, args=(self.shares(filled),))
        local = self._engine.experimental_local_results
        return tf.nest.map_structure(lambda r: tf.concat(local(r), axis=0)[:count], results)


def _made(make: Callable[..., Any], **settings: Any) -> Any:
    """Make a variable for several devices, each of which changes those that are not trainable.

    These are running statistics and the states of random generators. Outside of `each` the first
    device's are read, and all are written.
    """
    if not settings.get("trainable", True):
        settings["synchronization"] = tf.VariableSynchronization.ON_READ
        settings["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return make(**settings)
