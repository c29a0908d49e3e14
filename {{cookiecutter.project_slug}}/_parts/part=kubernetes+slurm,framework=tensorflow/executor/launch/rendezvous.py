"""How the machines of a job find each other."""

from collections.abc import Sequence

# What `rendezvous_arguments` returns, in a bash script with an array `addresses`.
IN_BASH = '--hosts "$(IFS=,; echo "${addresses[*]}")"'


def rendezvous_arguments(addresses: Sequence[str]) -> list[str]:
    """Return the options of `launch` for addresses HOST:PORT, one of each machine."""
    return ["--hosts", ",".join(addresses)]
