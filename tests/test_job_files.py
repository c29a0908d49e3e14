"""The files for schedulers are valid by the schedulers' own rules, whatever was asked for.

What they say is tested in the project (`tests/launch`); the tools are the template's.
"""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from conftest import Run, tool

NEEDS = ("executor.resources.gpus_per_process=1", "executor.resources.cpus_per_process=4")
LIMITS = ("memory_gib=64", "time_limit_minutes=90", "image=example.org/it:1")
SETTINGS = {
    "slurm": (*LIMITS, "partition=gpu", "account=me", "sbatch_options=[--qos=high]"),
    "kubernetes": (*LIMITS, "volume_claim=runs", "node_selector={gpu: a100}"),
}
FEWEST = {"slurm": (), "kubernetes": ("image=it", "volume_claim=runs")}
NASTY = 'run.dir=runs/it\'s $(touch hacked) `id` "q" \\ $HOME *'
CASES = {
    "one": ((), ()),
    "one machine": (("--processes", "8"), NEEDS),
    "four machines": (("--nodes", "4", "--processes", "8"), NEEDS),
    "nasty": (("--nodes", "2"), (*NEEDS, NASTY)),
}


def rendered(run: Run, project: Path, folder: Path, scheduler: str, case: str) -> Path:
    options, words = CASES[case]
    to = ["--on", scheduler, "--render", str(folder)]
    for setting in (SETTINGS if words else FEWEST)[scheduler]:
        to += ["--set", setting]
    result = run(project, "main.py", "launch", *options, *to, "--", "train", *words)
    assert result.returncode == 0, result.stderr
    (path,) = (folder / scheduler).iterdir()
    return path


@pytest.mark.parametrize("case", CASES)
def test_kubernetes_takes_the_manifest(run: Run, whole: Path, tmp_path: Path, case: str):
    path = rendered(run, whole, tmp_path, "kubernetes", case)
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert [each["kind"] for each in documents][-1] == "Job"
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_a_manifest_that_is_none_is_found():
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": {"nods": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("case", CASES)
def test_shellcheck_finds_nothing_in_the_script(run: Run, whole: Path, tmp_path: Path, case: str):
    path = rendered(run, whole, tmp_path, "slurm", case)
    # SC2016: that nothing in the user's words expands is the point.
    tool(tmp_path, "shellcheck", "--exclude=SC2016", "--severity=style", str(path))
