"""Where launchers meet, which each framework is told in its own way."""

import pytest

from executor.launch.launcher import _free_ports


@pytest.fixture
def addresses() -> str:
    """Where two launchers on this machine find each other."""
    return ",".join(f"127.0.0.1:{port}" for port in _free_ports(2))
