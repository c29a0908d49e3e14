"""Trains, evaluates and predicts in an environment; the only part that knows about devices."""

import os

# OpenMP's idle threads otherwise spin: on a machine that others use too, a step then takes up to
# eight times as long. It must be set before the framework is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
