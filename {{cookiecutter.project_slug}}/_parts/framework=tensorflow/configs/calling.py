"""How Keras' own classes are called, for checking the configuration without importing them."""

OPTIMIZER_POSITIONAL = 0
"""Arguments before the configured ones: a `keras.optimizers` optimizer is given none."""
SCHEDULE_POSITIONAL = 0
"""A `keras.optimizers.schedules` schedule is given none."""
