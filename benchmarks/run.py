"""Runs the benchmarks on a project fresh from the template: a table here, all numbers in JSON.

    python benchmarks/run.py                  everything that needs no further environment
    python benchmarks/run.py tiny data        only these
    python benchmarks/run.py --quick          tiny counts: shows that all runs, measures nothing

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
import others
import startup
import step
from effort import FULL, QUICK, Effort
from places import Places
from results import Row, table, write_json

REPOSITORY = Path(__file__).resolve().parent.parent

SUITES: dict[str, Callable[[Places, Effort], list[Row]]] = {
    "unet": step.unet_rows,
    "tiny": step.tiny_rows,
    "data": data.data_rows,
    "first-step": startup.first_step_rows,
    "answers": startup.answer_rows,
    "accuracy": accuracy.accuracy_rows,
}
OTHERS: dict[str, Callable[[Places, Effort, Path], list[Row]]] = {
    "others-step": others.step_rows,
    "others-memory": others.memory_rows,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line names."""
    arguments = _parser().parse_args(argv)
    unknown = [name for name in arguments.suites if name not in SUITES and name not in OTHERS]
    if unknown:
        raise SystemExit(f"There is no {', '.join(unknown)}. See --help.")
    chosen = arguments.suites or [*SUITES, *(OTHERS if arguments.others else ())]
    if arguments.others is None and any(name in OTHERS for name in chosen):
        raise SystemExit("Give --others, the interpreter that has requirements-others.txt.")
    effort = QUICK if arguments.quick else FULL
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        project = arguments.project or _fresh_project(Path(folder, "project"))
        places = Places(project.resolve(), arguments.python, Path(folder, "work"))
        machine = _machine(places, arguments.quick)
        for name in chosen:
            print(f"{name} ...", file=sys.stderr, flush=True)
            if name in OTHERS:
                rows += OTHERS[name](places, effort, arguments.others.absolute())
            else:
                rows += SUITES[name](places, effort)
            write_json(arguments.output, machine, rows)  # what is measured is not lost
    print(f"\n{machine['cpu']}, {machine['cores']} cores, load {machine['load']} at the start\n")
    print(table(rows))
    print(f"\nAll numbers: {arguments.output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure a generated project.")
    names = [*SUITES, *OTHERS]
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="tiny counts, to see that all runs")
    default = os.environ.get("CDL_PYTHON_PYTORCH", REPOSITORY / ".venv-pytorch/bin/python")
    text = "interpreter with the requirements of a project"
    parser.add_argument("--python", type=Path, default=Path(default).absolute(), help=text)
    text = "interpreter with requirements-others.txt"
    parser.add_argument("--others", type=Path, help=text)
    text = "a generated project, to measure that one"
    parser.add_argument("--project", type=Path, help=text)
    default = REPOSITORY / "build" / "benchmarks.json"
    parser.add_argument("--output", type=Path, default=default, help="where all numbers go")
    return parser


def _fresh_project(folder: Path) -> Path:
    """Generate a project with the default answers from the template as it is now."""
    command: list[str | Path] = [sys.executable, REPOSITORY / "tools" / "generate.py", folder]
    done = subprocess.run([*command, "framework=pytorch"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"The project could not be generated:\n{done.stderr}")
    return Path(done.stdout.strip())


def _machine(places: Places, quick: bool) -> dict[str, object]:
    """Return what the numbers depend on, and nothing that tells whose machine it is."""
    code = "import json, torch; print(json.dumps([torch.__version__, torch.get_num_threads()]))"
    command: list[str | Path] = [places.python, "-c", code]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    version, threads = json.loads(output)
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": version,
        "threads": threads,
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
