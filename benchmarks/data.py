"""How fast samples reach the model, beside decoding every file in every epoch."""

import json
import statistics
import subprocess
from pathlib import Path

from effort import Effort
from places import Places
from results import Row

_FIRST, _LATER = 2.5, 60.0  # what is wanted
_SIZE, _BATCH = 128, 64  # the original experiment's


def data_rows(places: Places, effort: Effort) -> list[Row]:
    """Compare the project's data path with Pillow in a `DataLoader` without workers."""
    root = places.fresh_folder("images") / "root"
    child(places, "made_up_images.py", str(root), str(effort.files))
    words = (str(root), str(_SIZE), str(_BATCH))
    rounds = []
    for _ in range(effort.repetitions):
        bare = child(places, "data_bare.py", *words)
        own = child(places, "data_project.py", *words, str(places.fresh_folder("data")))
        rounds.append(
            {
                "bare": bare["images"] / bare["epoch"],
                "first": own["images"] / own["first"],
                "later": own["images"] / own["later"],
            }
        )
    rates = {name: [round(each[name], 1) for each in rounds] for name in rounds[0]}
    meanings = {
        "first": "the first epoch, two threads decoding",
        "later": "each epoch from the second on",
    }
    return [
        Row(
            f"data.{name}-epoch",
            f"images/s of {meaning} / Pillow in a DataLoader without workers",
            value=statistics.median(each[name] / each["bare"] for each in rounds),
            limit=limit,
            better="higher",
            details={"images a second": {"project": rates[name], "bare": rates["bare"]}},
        )
        for (name, meaning), limit in zip(meanings.items(), (_FIRST, _LATER), strict=True)
    ]


def child(places: Places, script: str, *words: str) -> dict[str, float]:
    """Run a script and return what it prints as JSON, if anything."""
    command: list[str | Path] = [places.python, places.child(script), *words]
    done = subprocess.run(
        command, cwd=places.project, env=places.environment(), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script} failed:\n{done.stderr[-4000:]}")
    found: dict[str, float] = json.loads(done.stdout or "{}")
    return found
