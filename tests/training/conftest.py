"""What the tests of training share."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).parents[1])


@pytest.fixture(autouse=True, scope="module")
def on_one_thread(one_thread):
    """Small products are fastest on one thread, the more so beside other tests."""


@pytest.fixture(scope="session")
def launch():
    """Runs a program in several processes, as torchrun would start them."""

    def run(program: str, count: int, *arguments: str) -> list[str]:
        """What each process wrote to stderr, "" for those that succeeded."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        started = []
        for rank in range(count):
            environment = {
                **os.environ,
                "WORLD_SIZE": str(count),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join([TESTS, os.environ.get("PYTHONPATH", "")]),
            }
            command = [sys.executable, "-c", program, *arguments]
            started.append(
                subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
            )
        errors = [process.communicate(timeout=120)[1] for process in started]
        return [
            error if process.returncode else ""
            for process, error in zip(started, errors, strict=True)
        ]

    return run
