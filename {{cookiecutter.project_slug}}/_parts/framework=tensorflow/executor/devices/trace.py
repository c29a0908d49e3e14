"""Traces what TensorFlow does, operation by operation and kernel by kernel."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.framework import tf

_TENSORBOARD = "plugins/profile"  # TensorFlow makes a folder in it, named by the time


class Tracer:
    """A trace of what happens from `start` to `stop`."""

    def __init__(self) -> None:
        self._folder = Path()
        self.is_running = False

    def start(self, folder: Path) -> None:
        """Begin; the folder gets TensorFlow's own form, for TensorBoard's plugin (XProf)."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        tf.profiler.experimental.start(str(folder))
        self.is_running = True

    def stop(self) -> None:
        """End what was begun, if anything was."""
        if self.is_running:
            tf.profiler.experimental.stop()
        self.is_running = False

    def write(self, path: Path) -> None:
        """Write what was traced in Chrome's form, as Perfetto reads it, to a new `.json.gz`."""
        from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

        newest = max((self._folder / _TENSORBOARD).iterdir())
        space = XSpace()
        for file in newest.glob("*.xplane.pb"):
            space.MergeFromString(file.read_bytes())
        events = [e for number, plane in enumerate(space.planes) for e in _events(number, plane)]
        path.write_bytes(gzip.compress(json.dumps({"traceEvents": events}).encode("utf-8")))


def _events(process: int, plane: Any) -> Iterator[dict[str, Any]]:
    """Yield what happened on a device: first the names of device and threads, then the events.

    Chrome's form knows processes only, so the device is one; `plane` is TensorFlow's `XPlane`.
    """
    names = {key: metadata.name for key, metadata in plane.event_metadata.items()}
    yield _name("process_name", plane.name, pid=process)
    for thread, line in enumerate(plane.lines):
        place = {"pid": process, "tid": thread}
        yield _name("thread_name", line.name, **place)
        for event in line.events:
            begun = line.timestamp_ns / 1e3 + event.offset_ps / 1e6  # microseconds
            times = {"ts": begun, "dur": event.duration_ps / 1e6}
            yield {"ph": "X", "name": names[event.metadata_id], **place, **times}


def _name(kind: str, name: str, **place: int) -> dict[str, Any]:
    return {"ph": "M", "name": kind, **place, "args": {"name": name}}
