"""What memory a container's groups leave, of either version and on every level."""

from pathlib import Path

import pytest

from utils.memory import _of_the_container, available_memory

NO_LIMIT = 1 << 62
NAMES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def group(folder: Path, version: int, limit: str, used: int, cache: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = NAMES[version]
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cache}\nfile 9\n")


@pytest.mark.parametrize("version", [1, 2])
def test_the_least_of_all_levels_counts(tmp_path: Path, version: int) -> None:
    root = tmp_path / ("memory" if version == 1 else "")
    own = tmp_path / "own"
    own.write_text("7:cpu,cpuacct:/x\n5:memory:/job/step\n" if version == 1 else "0::/job/step\n")
    assert _of_the_container(tmp_path, own) == NO_LIMIT
    group(root, version, "max", 900)
    group(root / "job" / "step", version, "5000", 1000)
    assert _of_the_container(tmp_path, own) == 4000
    group(root / "job", version, "4000", 2000, cache=300)
    assert _of_the_container(tmp_path, own) == 2300


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_that_does_not_see_its_path_sees_its_group_as_root(
    tmp_path: Path, version: int
) -> None:
    group(tmp_path / ("memory" if version == 1 else ""), version, "5000", 1000, cache=200)
    own = tmp_path / "own"
    own.write_text("5:memory:/docker/abc\n" if version == 1 else "0::/../../docker/abc\n")
    assert _of_the_container(tmp_path, own) == 4200


def test_without_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert _of_the_container(tmp_path, tmp_path / "none") == NO_LIMIT
    assert available_memory() > 0
