"""Prints what the numbers depend on, as JSON."""

import json

import torch

print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}))
