"""What the benchmarks found: one row for each comparison, as a table and as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Row:
    """One comparison, or one number that has a limit of its own."""

    name: str
    """Short and lasting: what later results are compared by."""
    meaning: str
    """What is compared with what, in a line."""
    value: float
    """What decides: the median of the ratios, unless `meaning` says otherwise."""
    limit: float | None = None
    """None: reported only."""
    better: Literal["lower", "higher"] = "lower"
    """Which side of the limit is the good one."""
    cpu: float | None = None
    """The same in CPU time, where `value` is in wall time."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """The numbers behind it."""

    @property
    def holds(self) -> bool | None:
        """Whether the value keeps its limit; None without one."""
        if self.limit is None:
            return None
        return self.value <= self.limit if self.better == "lower" else self.value >= self.limit


def table(rows: Sequence[Row]) -> str:
    """Return the rows for people."""
    heads = ("benchmark", "value", "in CPU time", "wanted", "holds", "what it is")
    lines = [heads, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) - 1)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]
        )
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    sign = "<=" if row.better == "lower" else ">="
    return (
        row.name,
        _number(row.value),
        "" if row.cpu is None else _number(row.cpu),
        "" if row.limit is None else f"{sign} {row.limit:g}",
        {True: "yes", False: "NO", None: ""}[row.holds],
        row.meaning,
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 and math.isfinite(value) else f"{value:.1f}"


def write_json(path: Path, machine: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write everything for programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": dict(machine),
        "results": [{**asdict(row), "holds": row.holds} for row in rows],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
