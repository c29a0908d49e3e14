"""What holds for the job of any scheduler: when it is refused, where its settings come from."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from configs.loading import load_section
from executor.launch import schedulers
from main import main
from utils.errors import UserError
from utils.storage import PROJECT

SEVERAL = ("--nodes", "4", "--processes", "8")
OPTIONS = {"kubernetes": ("--set", "image=it", "--set", "volume_claim=runs")}


@pytest.fixture(params=schedulers.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def rendered(folder: Path, name: str, *words: str, options: tuple[str, ...] = ()) -> Path:
    options = (*OPTIONS.get(name, ()), *options)
    main(["launch", *options, "--on", name, "--render", str(folder), "--", "train", *words])
    return folder / str(schedulers.scheduler(name).FILE)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.batch_size=48", "train.batch_size=48 cannot be split over 32 processes"),
        ("executor.strategy=single", "executor.strategy=single, but 32 processes were launched"),
        ("executor.resources.environment={A B: x}", "executor.resources.environment"),
    ],
)
def test_a_training_that_cannot_be_shared_need_not_wait_for_a_scheduler(
    tmp_path: Path, name: str, word: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        rendered(tmp_path, name, word, options=SEVERAL)
    assert not list(tmp_path.iterdir())


def test_a_file_that_differs_is_kept(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rendered(tmp_path, name)
    assert capsys.readouterr().out.strip().endswith(path.name)
    rendered(tmp_path, name)  # nothing changes
    path.write_text("mine")
    with pytest.raises(UserError, match="exists and differs"):
        rendered(tmp_path, name)
    assert path.read_text() == "mine"
    rendered(tmp_path, name, options=("--force",))
    assert path.read_text() != "mine"


def test_options_win_over_settings_that_they_stand_for(tmp_path: Path, name: str) -> None:
    path = rendered(tmp_path, name, "executor.resources.nodes=3", options=("--nodes", "2"))
    assert " nodes 2 " in re.sub(r"[-'\s]+", " ", path.read_text())


def test_the_file_of_settings_states_the_defaults(name: str) -> None:
    schema = schedulers.scheduler(name).Settings
    path = PROJECT / "configs" / f"{name}.yaml"
    assert load_section(str(path), schema) == schema()
    keys = [line.partition(":")[0] for line in path.read_text().splitlines() if line[:1] > "#"]
    assert set(keys) == set(schema.model_fields)


def test_all_mistakes_in_the_settings_are_named_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("memory_gb: 3\ntime_limit_minutes: soon\n")
    with pytest.raises(UserError) as caught:
        load_section(str(path), schedulers.scheduler(name).Settings, ["memory_gib=-1"])
    message = str(caught.value)
    assert "the configuration has 3 problems:" in message
    assert "mine.yaml:1: memory_gb: unknown key 'memory_gb'; did you mean 'memory_gib'?" in message
    assert "mine.yaml:2: time_limit_minutes: expected a whole number, received 'soon'" in message
    assert "command line: memory_gib: expected at least 1, received -1" in message


def test_options_of_a_job_belong_together(name: str) -> None:
    for options in (["--on", name], ["--render", "jobs"]):
        with pytest.raises(UserError, match="belong together"):
            main(["launch", *options, "--", "train"])
    for options in (["--force"], ["--set", "memory_gib=1"]):
        with pytest.raises(UserError, match="need --on and --render"):
            main(["launch", *options, "--", "train"])


def test_a_job_numbers_its_machines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in schedulers.names():
        monkeypatch.delenv(schedulers.scheduler(each).NODE_RANK, raising=False)
    assert schedulers.node_rank() is None
    monkeypatch.setenv(schedulers.scheduler(name).NODE_RANK, "1")
    assert schedulers.node_rank() == 1
    with pytest.raises(UserError, match="--node-rank 7: with --nodes 2 it is a number from 0 to 1"):
        main(["launch", "--nodes", "2", "--node-rank", "7", "--", "train"])


def test_writing_a_job_imports_no_framework(tmp_path: Path, name: str) -> None:
    words = [*OPTIONS.get(name, ()), "--on", name, "--render", str(tmp_path)]
    code = (
        "import sys, main\n"
        f"main.main(['launch', *{words!r}, '--', 'train'])\n"
        "heavy = {'torch', 'tensorflow', 'keras'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True)
