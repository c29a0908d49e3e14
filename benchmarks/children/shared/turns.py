"""The side of a training loop that takes turns with others: it runs when told to, and reports.

The other side is `loops.py`. A line on standard input says how many steps to take; a line on what
was standard output says how many were taken and how long they took. The loop itself has one line
for this, at the beginning of each step; where it has none of its own, the model's forward pass
calls it. A loop that takes several steps at once says so, and its turn ends when they are done.
"""

import json
import os
import sys
import time

# Frameworks print; only reports may reach the reader.
_reports = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

_asked = _taken = 0
_began: tuple[float, float] | None = None


def begin_step(taken: int = 1) -> None:
    """Note that a step begins. Wait here while it is the turn of others; end when nobody asks.

    Args:
        taken: The steps since the last call; without meaning in the first.
    """
    global _asked, _taken, _began
    _taken += taken
    if _began is None or _taken >= _asked:
        if _began is not None:
            wall, cpu = time.perf_counter() - _began[0], time.process_time() - _began[1]
            print(json.dumps({"steps": _taken, "wall": wall, "cpu": cpu}), file=_reports)
        order = sys.stdin.readline()
        if not order:
            os._exit(0)  # at once: what frameworks do at the end of a training is not measured
        _asked, _taken = int(order), 0
        _began = time.perf_counter(), time.process_time()
