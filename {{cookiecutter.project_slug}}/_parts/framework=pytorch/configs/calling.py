"""How PyTorch's own classes are called, for checking the configuration without importing them."""

OPTIMIZER_POSITIONAL = 1
"""Arguments before the configured ones: a `torch.optim` optimizer is given the parameters."""
SCHEDULE_POSITIONAL = 1
"""A `torch.optim.lr_scheduler` is given the optimizer."""
