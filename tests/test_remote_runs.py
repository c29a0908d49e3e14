"""Data, configuration and run directory on S3, against a real S3 API on this machine's loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import QUIET, Run, in_one_framework

pytestmark = pytest.mark.slow

BUCKET = "bucket"
STEPS = 120
SETTINGS = f"""\
data:
  source:
    target: dataloader.sources.folder:Folder
    root: s3://{BUCKET}/data
    class_names: [dark, bright]
    images: "{{split}}/images"
    masks: "{{split}}/masks"
    image_size: 32
  workers: 2
model: {{widths: [4, 8], dropout: 0.1}}
train:
  max_steps: {STEPS}
  epochs: 100
  batch_size: 4
  checkpoint_every: 8
  ema_decay: 0.9
  optimizer: {{learning_rate: 0.02}}
  schedule: constant
run: {{log_every: 1}}
"""

# Draws the data, with the project's own environment, on the local disk.
DRAW = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image

root, generator = Path(sys.argv[1]), np.random.default_rng(0)
for split, count in (("train", 16), ("validation", 8), ("test", 8)):
    for kind in ("images", "masks"):
        (root / split / kind).mkdir(parents=True)
    for number in range(count):
        mask = np.repeat(generator.integers(0, 2, (32, 1), dtype=np.uint8), 32, axis=1)
        image = np.repeat((60 + 120 * mask)[..., None], 3, axis=2)
        Image.fromarray(image).save(root / split / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / split / "masks" / f"{number}.png")
"""

COPY = """
import sys
from fsspec.core import url_to_fs
filesystem, inner = url_to_fs(sys.argv[2])
if not filesystem.exists(inner.split("/")[0]):
    filesystem.mkdir(inner.split("/")[0])
filesystem.put(sys.argv[1].rstrip("/") + "/", inner.rstrip("/") + "/", recursive=True)
"""

# Polls from within one process: to start one takes longer than the steps do.
KILL_AT_FIRST = """
import os, signal, sys
from utils.storage import exists, list_folder
folder, process = sys.argv[1], int(sys.argv[2])
while not (exists(folder) and any(name.endswith(".json") for name in list_folder(folder)[0])):
    pass
os.kill(process, signal.SIGKILL)
"""

FETCH = """
import sys
from fsspec.core import url_to_fs
filesystem, inner = url_to_fs(sys.argv[1])
filesystem.get(inner.rstrip("/") + "/", sys.argv[2], recursive=True)
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start an S3 server on a free port; yield the environment that leads to it."""
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while not (port := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port[1]}",
            "AWS_ACCESS_KEY_ID": "anyone",
            "AWS_SECRET_ACCESS_KEY": "anything",  # pragma: allowlist secret
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def place(
    s3: dict[str, str], project: Path, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Draw data, put it and the settings into the bucket, and keep a local copy of both."""
    folder = tmp_path_factory.mktemp("place")
    drawn = run(project, "-c", DRAW, str(folder / "data"))
    assert drawn.returncode == 0, drawn.stderr
    (folder / "mine.yaml").write_text(SETTINGS, encoding="utf-8")
    copied = run(project, "-c", COPY, str(folder), f"s3://{BUCKET}", **s3)
    assert copied.returncode == 0, copied.stderr
    return folder


def results(run: Path) -> dict[str, bytes]:
    names = ["metrics.jsonl", "metrics.json", "model.safetensors"]
    files = [run / name for name in names] + sorted((run / "checkpoints").iterdir())
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


def train(
    run: Run, project: Path, s3: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    return run(project, "main.py", "train", *words, **s3)


def test_a_run_on_s3_has_the_bits_of_a_local_one(
    s3: dict[str, str], place: Path, project: Path, run: Run, python: Path, framework: str, tmp_path
):
    local = train(
        run,
        project,
        s3,
        *("--config", str(place / "mine.yaml"), f"run.dir={tmp_path / 'local'}"),
        f"data.source.root={place / 'data'}",
    )
    assert local.returncode == 0, local.stderr

    url = f"s3://{BUCKET}/runs/{framework}"
    words = ["train", "--config", f"s3://{BUCKET}/mine.yaml", f"run.dir={url}"]
    killed = subprocess.Popen(
        [str(python), "main.py", *words],
        cwd=project,
        env={**os.environ, **QUIET, **s3},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    waited = run(project, "-c", KILL_AT_FIRST, f"{url}/checkpoints", str(killed.pid), **s3)
    assert waited.returncode == 0, waited.stderr
    assert killed.wait() == -signal.SIGKILL

    remote = train(run, project, s3, *words[1:])
    assert remote.returncode == 0, remote.stderr
    assert re.search(r"continues after step \d+", remote.stderr)
    fetched = run(project, "-c", FETCH, url, str(tmp_path / "remote"), **s3)
    assert fetched.returncode == 0, fetched.stderr
    assert results(tmp_path / "remote") == results(tmp_path / "local")
    assert (tmp_path / "remote" / "report.html").exists()
    assert list((tmp_path / "remote" / "tensorboard").iterdir())
    assert not (tmp_path / "remote" / "owner.json").exists()

    evaluated = run(project, "main.py", "evaluate", url, **s3)
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads(evaluated.stdout)["mean_iou"] > 0.9
    masks = ["predict", url, str(place / "data/test/images"), "--output", str(tmp_path / "masks")]
    predicted = run(project, "main.py", *masks, **s3)
    assert predicted.returncode == 0, predicted.stderr
    assert len(list((tmp_path / "masks").iterdir())) == 16


@in_one_framework
def test_a_bucket_that_is_not_there_is_told(
    s3: dict[str, str], place: Path, project: Path, run: Run
):
    words = ["--config", str(place / "mine.yaml"), f"data.source.root={place / 'data'}"]
    result = train(run, project, s3, *words, "run.dir=s3://no-such-bucket/run")
    assert result.returncode == 2, result.stderr
    assert "s3://no-such-bucket/run" in result.stderr
    assert "Traceback" not in result.stderr
