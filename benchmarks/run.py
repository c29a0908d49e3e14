"""Runs the benchmarks on a project fresh from the template: a table here, all numbers in JSON.

    python benchmarks/run.py                           all that needs no further environment
    python benchmarks/run.py --framework tensorflow    the same of a TensorFlow project
    python benchmarks/run.py tiny data                 only these
    python benchmarks/run.py --quick                   tiny counts: shows that it runs, no more

`make bench` and `make bench-others` make the environments first. What each measures: README.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import accuracy
import data
import files
import gpu
import others
import scaling
import startup
import step_pytorch
import step_tensorflow
from effort import FULL, QUICK, Effort
from places import Places
from results import Row, table, write_json

REPOSITORY = Path(__file__).resolve().parent.parent

SUITES: dict[str, dict[str, Callable[[Places, Effort], list[Row]]]] = {
    "pytorch": {
        "unet": step_pytorch.unet_rows,
        "tiny": step_pytorch.tiny_rows,
        "data": data.data_rows,
        "many-files": files.many_files_rows,
        "predict": files.predict_rows,
        "first-step": startup.first_step_rows,
        "answers": startup.answer_rows,
        "scaling": scaling.weak_rows,
        "accuracy": accuracy.precision_rows,
        "gpu": gpu.gpu_rows,
    },
    "tensorflow": {
        "unet": step_tensorflow.unet_rows,
        "tiny": step_tensorflow.tiny_rows,
        "first-step": startup.first_step_rows,
        "answers": startup.answer_rows,
        "scaling": scaling.weak_rows,
        "accuracy": accuracy.default_rows,
    },
}
# With the interpreter of other trainers.
OTHERS: dict[str, dict[str, Callable[[Places, Effort, Path], list[Row]]]] = {
    "pytorch": {"others-step": others.step_rows, "others-memory": others.memory_rows},
    "tensorflow": {},
}
# With a project of the first framework beside that of another.
FRAMEWORKS: dict[str, dict[str, Callable[[Places, Effort, Places], list[Row]]]] = {
    "pytorch": {},
    "tensorflow": {"frameworks": accuracy.framework_rows},
}
FIRST, *_ = SUITES


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line names."""
    arguments = _parser().parse_args(argv)
    framework = arguments.framework
    python = _python(arguments)
    chosen = _chosen(arguments)
    if not python.is_file():
        raise SystemExit(f"There is no {python}. `make bench` makes it; or give --python.")
    build = REPOSITORY / "build"
    suffix = "" if framework == FIRST else f"-{framework}"
    output = arguments.output or build / f"benchmarks{suffix}.json"
    effort = QUICK if arguments.quick else FULL
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        project = arguments.project or _fresh_project(framework, folder / "project")
        places = Places(framework, project.resolve(), python, folder / "work")
        machine = _machine(places, arguments.quick)
        for name in chosen:
            print(f"{name} ...", file=sys.stderr, flush=True)
            if name in OTHERS[framework]:
                rows += OTHERS[framework][name](places, effort, arguments.others.absolute())
            elif name in FRAMEWORKS[framework]:
                rows += FRAMEWORKS[framework][name](places, effort, _first(folder))
            else:
                rows += SUITES[framework][name](places, effort)
            write_json(output, machine, rows)  # what is measured is not lost
    print(f"\n{machine['cpu']}, {machine['cores']} cores, load {machine['load']} at the start\n")
    print(table(rows))
    print(f"\nAll numbers: {output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure a generated project.")
    text = "; ".join(f"{name}: {', '.join(_names(name))}" for name in SUITES)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=text)
    parser.add_argument("--framework", choices=SUITES, default=FIRST, help=f"default: {FIRST}")
    parser.add_argument("--quick", action="store_true", help="tiny counts, to see that all runs")
    text = "interpreter with the requirements of a project"
    parser.add_argument("--python", type=lambda text: Path(text).absolute(), help=text)
    text = "interpreter with requirements-others.txt"
    parser.add_argument("--others", type=Path, help=text)
    text = "a generated project, to measure that one"
    parser.add_argument("--project", type=Path, help=text)
    text = (
        "where all numbers go; default: build/benchmarks.json, or build/benchmarks-FRAMEWORK.json"
    )
    parser.add_argument("--output", type=Path, help=text)
    return parser


def _python(arguments: argparse.Namespace) -> Path:
    chosen: Path = arguments.python or _interpreter(arguments.framework)
    return chosen


def _names(framework: str) -> list[str]:
    return [*SUITES[framework], *OTHERS[framework], *FRAMEWORKS[framework]]


def _chosen(arguments: argparse.Namespace) -> list[str]:
    """Return the suites to run; by default all that have what they need."""
    framework = arguments.framework
    lacking = {}
    if arguments.others is None:
        text = "Give --others, the interpreter that has requirements-others.txt."
        lacking.update(dict.fromkeys(OTHERS[framework], text))
    if not _interpreter(FIRST).is_file():
        text = f"There is no {_interpreter(FIRST)}, the interpreter for {FIRST} to compare with."
        lacking.update(dict.fromkeys(FRAMEWORKS[framework], text))
    if framework == FIRST and not arguments.quick and not gpu.has_gpu(_python(arguments)):
        lacking["gpu"] = "There is no GPU here that PyTorch finds; --quick shows that it would run."
    names = _names(framework)
    unknown = [name for name in arguments.suites if name not in names]
    if unknown:
        raise SystemExit(f"There is no {', '.join(unknown)} for {framework}. See --help.")
    for name in arguments.suites:
        if name in lacking:
            raise SystemExit(lacking[name])
    return arguments.suites or [name for name in names if name not in lacking]


def _interpreter(framework: str) -> Path:
    """Return where the interpreter with a framework's requirements is expected."""
    default = REPOSITORY / f".venv-{framework}" / "bin" / "python"
    return Path(os.environ.get(f"CDL_PYTHON_{framework.upper()}", default)).absolute()


def _first(folder: Path) -> Places:
    """Return a fresh project of the first framework, to compare with."""
    project = _fresh_project(FIRST, folder / FIRST)
    return Places(FIRST, project, _interpreter(FIRST), folder / f"work-{FIRST}")


def _fresh_project(framework: str, folder: Path) -> Path:
    """Generate a project with the default answers from the template as it is now."""
    command: list[str | Path] = [sys.executable, REPOSITORY / "tools" / "generate.py", folder]
    done = subprocess.run([*command, f"framework={framework}"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"The project could not be generated:\n{done.stderr}")
    return Path(done.stdout.strip())


def _machine(places: Places, quick: bool) -> dict[str, object]:
    """Return what the numbers depend on, and nothing that tells whose machine it is."""
    command: list[str | Path] = [places.python, places.child("versions.py")]
    done = subprocess.run(
        command, env=places.environment(), capture_output=True, check=True, text=True
    )
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **json.loads(done.stdout),
        "omp_wait_policy": places.environment()["OMP_WAIT_POLICY"],
        "quick": quick,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
