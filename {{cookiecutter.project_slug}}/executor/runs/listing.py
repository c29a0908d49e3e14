"""Lists the runs in a folder: what each is doing, how far it came and how good it is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from configs.yaml_text import read_yaml
from executor.runs import status
from utils.errors import UserError
from utils.nested import flat
from utils.storage import shown

_DEPTH = 2  # runs/name and runs/group/name
_CONTINUES = "the same command continues it"
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))
_BEFORE, _BEHIND = ("status", "step", "best"), ("updated", "name")
_MOST_SETTINGS = 5  # columns in the table; JSON has all


@dataclass(frozen=True)
class Run:
    """One run as the list shows it; what is not known is None. See also `Status`."""

    name: str
    """Its folder, from the one that was searched."""
    status: str
    step: int | None
    total_steps: int | None
    monitor: str | None
    best: float | None
    updated: str
    path: str
    """The absolute path of its folder."""
    note: str | None = None
    """What to know or do about it."""
    samples_per_second: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """All but the folder, by key such as `train.batch_size`."""


def find_runs(folder: str) -> list[Run]:
    """Return the runs in a folder and in the folders directly in it, newest first.

    A run's folder is one that holds `config.yaml`; `folder` may be one itself.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise UserError(
            f"{shown(folder)}: there is no such folder. Give one that holds runs, for example runs."
        )
    found = (_described(path, root) for path in _run_folders(root, _DEPTH))
    return sorted(found, key=lambda run: (run.updated, run.name), reverse=True)


def as_table(runs: Sequence[Run]) -> str:
    """Return the runs as aligned columns for people; settings that differ have columns, too."""
    now, keys = datetime.now(UTC), _differing(runs)
    shown = keys[:_MOST_SETTINGS]
    last = [key.rpartition(".")[2] for key in shown]
    names = [
        short if last.count(short) == 1 else key for short, key in zip(last, shown, strict=True)
    ]
    rows = [(*_BEFORE, *names, *_BEHIND), *(_row(run, shown, now) for run in runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if len(keys) > len(shown):
        lines += ["", f"{len(keys) - len(shown)} more settings differ; --json has all."]
    if any(run.note for run in runs):
        lines += ["", f"A run that stopped is not lost: {_CONTINUES}."]
    return "\n".join(lines)


def best_first(runs: Sequence[Run]) -> list[Run]:
    """Return the runs by their best value, those without one last, each monitor by itself."""

    def place(run: Run) -> tuple[bool, str, float]:
        is_lower_better = run.settings.get("train.monitor_mode") == "min"
        value = 0.0 if run.best is None else run.best
        return run.best is None, run.monitor or "", value if is_lower_better else -value

    return sorted(runs, key=place)


def as_json(runs: Sequence[Run]) -> str:
    """Return the runs as a JSON list of objects with the fields of `Run`."""
    return json.dumps([asdict(run) for run in runs], indent=2)


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders of runs; what is inside of one is not searched."""
    if (folder / "config.yaml").is_file():
        yield folder
    elif depth:
        try:
            inner = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
        except OSError:  # not ours to read
            return
        for path in inner:
            yield from _run_folders(path, depth - 1)


def _settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a run by key, but for its folder; nothing if they cannot be read."""
    try:
        text = (folder / "config.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return {key: v for key, v in flat(read_yaml(text, "").values) if key != "run.dir"}


def _differing(runs: Sequence[Run]) -> list[str]:
    """Return the settings that are not the same in all runs."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    return [key for key in keys if len({repr(run.settings.get(key)) for run in runs}) > 1]


def _described(folder: Path, root: Path) -> Run:
    name = folder.relative_to(root).as_posix() if folder != root else folder.name
    found = status.read(folder / "status.json")
    if found is None:  # it has not begun to train
        changed = datetime.fromtimestamp((folder / "config.yaml").stat().st_mtime, UTC)
        unknown = (None, None, None, None)
        place = (_in_utc(changed), str(folder), _CONTINUES)
        return Run(name, "stopped", *unknown, *place, settings=_settings(folder))
    state, note = found.status, _CONTINUES if found.status == "stopped" else None
    if state == "running" and not status.is_alive(found):
        state, note = "stopped", f"it was killed; {_CONTINUES}"
    known = (found.step, found.total_steps, found.monitor, found.best, _in_utc(found.time))
    further = (note, found.samples_per_second, _settings(folder))
    return Run(name, state, *known, str(folder), *further)


def _in_utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")


def _row(run: Run, keys: Sequence[str], now: datetime) -> tuple[str, ...]:
    step = "-" if run.step is None else str(run.step)
    total = "" if run.total_steps is None else f" of {run.total_steps}"
    best = "-" if run.best is None else f"{run.monitor} {run.best:.4f}"
    seconds = (now - datetime.fromisoformat(run.updated)).total_seconds()
    settings = [_cell(run.settings.get(key)) for key in keys]
    return run.status, step + total, best, *settings, _age(seconds), run.name


def _cell(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 24 else text[:23] + "…"


def _age(seconds: float) -> str:
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
