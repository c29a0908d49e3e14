"""The side of a training loop that takes turns with others: it runs when told to, and reports.

The other side is `loops.py`. A line on standard input says how many steps to take; a line on what
was standard output says how long they took. The loop itself has one line for this, at the beginning
of each step; where it has none of its own, the model's forward pass calls it.
"""

import json
import os
import sys
import time

# Frameworks print; only reports may reach the reader.
_reports = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

_left = 0
_began: tuple[float, float] | None = None


def begin_step() -> None:
    """Note that a step begins. Wait here while it is the turn of others; end when nobody asks."""
    global _left, _began
    if _left == 0:
        if _began is not None:
            wall, cpu = time.perf_counter() - _began[0], time.process_time() - _began[1]
            print(json.dumps({"wall": wall, "cpu": cpu}), file=_reports)
        order = sys.stdin.readline()
        if not order:
            os._exit(0)  # at once: what frameworks do at the end of a training is not measured
        _left = int(order)
        _began = time.perf_counter(), time.process_time()
    _left -= 1
