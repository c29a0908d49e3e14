"""Where things are: the generated project, the children's code, and room to write."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_CHILDREN = Path(__file__).resolve().parent / "children"


@dataclass(frozen=True)
class Places:
    """What the benchmarks need to know about the machine's folders."""

    framework: str
    """The project's; the children that need it lie in a folder with its name."""
    project: Path
    """A project fresh from the template."""
    python: Path
    """The interpreter with the project's requirements."""
    work: Path
    """A folder of which each child gets a part."""

    def child(self, script: str) -> Path:
        """Return where a script lies: with those of the framework, or with those of all."""
        own, shared = (folder / script for folder in self._children())
        return own if own.is_file() else shared

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
        paths = os.pathsep.join(str(folder) for folder in (*self._children(), self.project))
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
        return {**quiet, "PYTHONPATH": paths, "PYTHONUTF8": "1"}

    def _children(self) -> tuple[Path, Path]:
        # Not `children` itself: Python would take its folder `tensorflow` for the package where
        # that is not installed, and TensorBoard asks for it.
        return _CHILDREN / self.framework, _CHILDREN / "shared"
