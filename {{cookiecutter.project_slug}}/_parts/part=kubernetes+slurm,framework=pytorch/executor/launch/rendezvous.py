"""How the machines of a job find each other."""

from collections.abc import Sequence

# What `rendezvous_arguments` returns, in a bash script with an array `addresses`.
IN_BASH = '--rendezvous "${addresses[0]}"'


def rendezvous_arguments(addresses: Sequence[str]) -> list[str]:
    """Return the options of `launch` for addresses HOST:PORT, one of each machine."""
    return ["--rendezvous", addresses[0]]
