"""A run directory at a URL: worked on in a local folder, and copied there whenever it matters.

Neither PyTorch nor TensorFlow nor TensorBoard can write to every storage, and none can rename
there. So a run is written to a local folder, as any other; what changed is uploaded after each
checkpoint, first what a checkpoint consists of, then the small file that makes it count.
"""

from pathlib import Path

from utils import storage

# What an earlier process left that the next one needs; the rest is only ever written.
_NEEDED = (
    *("config.yaml", "environment.json", "metrics.jsonl", "metrics.json", "model.safetensors"),
    "speed.json",
)
_CHECKPOINTS = "checkpoints"
_TEMPORARY = ".tmp"
OWNER = "owner.json"
"""Says which process writes to the URL; see `executor.runs.lock`."""


class Mirror:
    """Keeps a URL equal to a local folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._known: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Download what is needed to look at the run or to continue it."""
        if not storage.exists(self._url):
            return
        here = [name for name in storage.list_folder(self._url)[0] if name != OWNER]
        names = [name for name in here if name in _NEEDED]
        below = storage.join(self._url, _CHECKPOINTS)
        if storage.exists(below):
            names += [f"{_CHECKPOINTS}/{name}" for name in storage.list_folder(below)[0]]
        if here and "config.yaml" not in here:
            names += here[:1]  # something else lies there: let it be seen, and be refused
        for name in names:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.download(storage.join(self._url, name), str(path))
        self._known = self._now()

    def publish(self) -> None:
        """Upload what changed and remove what is gone."""
        now = self._now()
        changed = [name for name in now if self._known.get(name) != now[name]]
        for name in sorted(changed, key=_makes_others_count):
            storage.upload(str(self._folder / name), storage.join(self._url, name))
            self._known[name] = now[name]
        gone = [name for name in self._known if name not in now]
        for name in sorted(gone, key=_makes_others_count, reverse=True):
            storage.remove(storage.join(self._url, name))
            del self._known[name]

    def _now(self) -> dict[str, tuple[int, int]]:
        """Return when each local file was last changed, in nanoseconds, and its size."""
        found = {}
        for path in self._folder.rglob("*"):
            if path.suffix != _TEMPORARY and path.is_file():
                facts = path.stat()
                name = path.relative_to(self._folder).as_posix()
                found[name] = (facts.st_mtime_ns, facts.st_size)
        return found


def _makes_others_count(name: str) -> bool:
    """Return whether a file marks a checkpoint as complete; it is written last."""
    return name.startswith(f"{_CHECKPOINTS}/") and name.endswith(".json")
