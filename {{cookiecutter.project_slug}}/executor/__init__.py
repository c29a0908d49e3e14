"""Everything that runs: commands, training, inference and what they stand on."""

import os

# OpenMP's idle threads otherwise spin: on a machine that others use too, a step then takes up to
# eight times as long. It must be set before the framework is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
