"""`launch` reads back how the machines of a job find each other."""

import argparse
import subprocess

from executor.launch import rank
from executor.launch.rendezvous import IN_BASH, rendezvous_arguments


def test_the_arguments_are_those_of_launch() -> None:
    parser = argparse.ArgumentParser()
    rank.add_options(parser)
    assert parser.parse_args(rendezvous_arguments(["a:1", "b:1"])).address == "a:1"


def test_bash_makes_the_same_of_its_array() -> None:
    code = f"addresses=(a:1 b:1); printf '%s\\n' {IN_BASH}"
    said = subprocess.run(["/bin/bash", "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == rendezvous_arguments(["a:1", "b:1"])
