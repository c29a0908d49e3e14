"""What both sides of the comparison on a GPU train, and when they are timed."""

import json
import os
import resource
import sys
import time

import torch
from configs.loading import load_config
from configs.schema import CFG

_ENDLESS = 10**6  # epochs: more than is measured


class Watch:
    """Times the steps after the first ones, and then prints a report and ends the process."""

    def __init__(self, cfg: CFG, warmup: int, steps: int) -> None:
        self._batch, self._warmup, self._steps = cfg.train.batch_size, warmup, steps
        self._is_cuda = cfg.executor.device == "cuda"
        self._done, self._first, self._began = 0, 0, 0.0

    def passed(self, steps: int) -> None:
        """Note that the loop has done some steps, or has given them to the GPU."""
        self._done += steps
        if not self._first and self._done >= self._warmup:
            self._wait()
            if self._is_cuda:
                torch.cuda.reset_peak_memory_stats()
            self._first, self._began = self._done, time.perf_counter()
        elif self._first and self._done - self._first >= self._steps:
            self._wait()
            seconds = time.perf_counter() - self._began
            images = (self._done - self._first) * self._batch
            report = {"images_per_second": images / seconds, "peak_mib": self._peak()}
            print(json.dumps(report), flush=True)
            os._exit(0)  # at once: the end of a training is not measured

    def _wait(self) -> None:
        if self._is_cuda:
            torch.cuda.synchronize()

    def _peak(self) -> float:
        """Return MiB of the GPU's memory that tensors had, without one of the process."""
        if self._is_cuda:
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def given() -> tuple[CFG, Watch]:
    """Return what the command line describes in JSON."""
    work = json.loads(sys.argv[1])
    own = [
        f"run.dir={work['folder']}/run",
        f"train.epochs={_ENDLESS}",
        f"train.evaluate_every={_ENDLESS}",  # the bare loop does not evaluate either
    ]
    cfg = load_config(work["config"], [*work["words"], *own])
    return cfg, Watch(cfg, work["warmup"], work["steps"])
