"""Where things are: the generated project, the children's code, and room to write."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

CHILDREN = Path(__file__).resolve().parent / "children"


@dataclass(frozen=True)
class Places:
    """What the benchmarks need to know about the machine's folders."""

    project: Path
    """A project fresh from the template."""
    python: Path
    """The interpreter with the project's requirements."""
    work: Path
    """A folder of which each child gets a part."""

    def fresh_folder(self, name: str) -> Path:
        """Return an empty folder with this name."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def environment(self) -> dict[str, str]:
        """Return the environment of the children.

        Waiting threads sleep unless you say otherwise: on a shared machine those that spin make
        every loop several times slower, and the slowest by chance.
        """
        paths = os.pathsep.join((str(CHILDREN), str(self.project)))
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        return {**quiet, "PYTHONPATH": paths, "PYTHONUTF8": "1"}
