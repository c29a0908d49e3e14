"""Where launchers meet, which each framework is told in its own way."""

import socket

import pytest


@pytest.fixture
def addresses() -> str:
    """Where two launchers on this machine find each other."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"
