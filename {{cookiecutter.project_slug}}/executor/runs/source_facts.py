"""What a run's source said of the data: predicting needs no data, and changes are noticed."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dataloader.sample import KnownFacts
from executor.runs.run_directory import RunDirectory
from utils.errors import UserError


def known_facts(run: RunDirectory) -> KnownFacts | None:
    """Return what a run's source said when it was trained; None where that was not kept."""
    if not run.facts.is_file():
        return None
    content = json.loads(run.facts.read_text(encoding="utf-8"))
    return KnownFacts({k: tuple(v) if isinstance(v, list) else v for k, v in content.items()})


def keep_facts(run: RunDirectory | None, facts: Mapping[str, Any]) -> None:
    """Write what a source says into a run's folder, unless it is more than JSON can hold."""
    if run is not None:
        with suppress(TypeError):
            run.write_json(run.facts, facts)


def check_facts(run: RunDirectory | None, facts: Mapping[str, Any]) -> None:
    """Raise a UserError if a source says otherwise than when a run was trained."""
    known = None if run is None else known_facts(run)
    if run is None or known is None:
        return
    changed = [
        f"{key}: {_plain(before)} -> {_plain(facts.get(key))}"
        for key, before in known.facts.items()
        if _plain(facts.get(key)) != _plain(before)
    ]
    if changed:
        raise UserError(
            f"the data say otherwise than when {run.address} was trained: {'; '.join(changed)}. "
            "Restore them, or state what is meant in data.source."
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
