"""Traces what PyTorch does, operator by operator and kernel by kernel."""

import os
from pathlib import Path

import torch

_SILENT = "6"  # of Kineto, which else prints that it begins and ends; KINETO_LOG_LEVEL=0 shows all


class Tracer:
    """A trace of what happens from `start` to `stop`."""

    def __init__(self) -> None:
        self._profile: torch.profiler.profile | None = None
        self.is_running = False

    def start(self, folder: Path) -> None:
        """Begin; files that belong to the trace may be put into the folder, PyTorch has none."""
        os.environ.setdefault("KINETO_LOG_LEVEL", _SILENT)
        self._profile = torch.profiler.profile(record_shapes=True)
        self._profile.start()
        self.is_running = True

    def stop(self) -> None:
        """End what was begun, if anything was."""
        if self._profile is not None and self.is_running:
            self._profile.stop()
        self.is_running = False

    def write(self, path: Path) -> None:
        """Write what was traced in Chrome's form, as Perfetto reads it, to a new `.json.gz`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._profile is not None:
            self._profile.export_chrome_trace(str(path))
