"""TF_CONFIG names all processes and which one this is; GPUs are shared out."""

import json
from typing import Any

import pytest

from configs.schema import Resources
from executor.launch import launcher as ranks
from executor.launch.processes import Launch
from utils.errors import UserError


def launch(address: str | None = None, node_rank: int | None = None, **given: Any) -> Launch:
    needs: dict[str, Any] = {
        "processes_per_node": 2,
        "max_restarts": 2,
        "cpus_per_process": 1,
        **given,
    }
    return Launch(("main.py",), Resources(**needs), address, node_rank)


def test_one_machine_uses_ports_of_its_own() -> None:
    first, second = (json.loads(each["TF_CONFIG"]) for each in ranks._settings(launch()))
    workers = first["cluster"]["worker"]
    assert first["cluster"] == second["cluster"]
    assert len(set(workers)) == 2
    assert all(worker.startswith("127.0.0.1:") for worker in workers)
    assert [each["task"] for each in (first, second)] == [
        {"type": "worker", "index": 0},
        {"type": "worker", "index": 1},
    ]


def test_one_process_is_a_cluster_of_one() -> None:
    (settings,) = ranks._settings(launch(processes_per_node=1))
    config = json.loads(settings["TF_CONFIG"])
    assert len(config["cluster"]["worker"]) == 1
    assert config["task"]["index"] == 0


def test_several_machines_name_all_processes() -> None:
    several = launch(nodes=2, address="a:10,b:20", node_rank=1)
    configs = [json.loads(each["TF_CONFIG"]) for each in ranks._settings(several)]
    assert configs[0]["cluster"]["worker"] == ["a:10", "a:11", "b:20", "b:21"]
    assert [config["task"]["index"] for config in configs] == [2, 3]
    with pytest.raises(UserError, match="needs --hosts with 2 addresses"):
        ranks._settings(launch(nodes=2, address="a:1", node_rank=0))
    with pytest.raises(UserError, match="needs --node-rank"):
        ranks._settings(launch(nodes=2, address="a:1,b:1"))


def test_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    shown = [each["CUDA_VISIBLE_DEVICES"] for each in ranks._settings(launch(gpus_per_process=2))]
    assert shown == ["0,1", "2,3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5")
    shown = [each["CUDA_VISIBLE_DEVICES"] for each in ranks._settings(launch(gpus_per_process=1))]
    assert shown == ["7", "5"]
    with pytest.raises(UserError, match="need 4, but CUDA_VISIBLE_DEVICES names 2"):
        ranks._settings(launch(gpus_per_process=2))


def test_the_environment_wins_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert all("OMP_NUM_THREADS" not in each for each in ranks._settings(launch()))


def test_free_ports_differ() -> None:
    assert len(set(ranks._free_ports(20))) == 20


def test_how_a_process_ended_in_words() -> None:
    assert ranks._describe_exit(-9) == "was killed by SIGKILL"
    assert ranks._describe_exit(-99) == "was killed by signal 99"
    assert ranks._describe_exit(1) == "ended with exit code 1"
