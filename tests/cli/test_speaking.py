"""What the commands that speak have in common."""

import json
import os
import subprocess
import sys

import pytest

ASKED = {  # what ends in an error before anything heavy is imported
    "convert": ["--src", "none.wav", "--speaker", "p225"],
    "encode": ["--src", "none.wav"],
    "decode": ["--codes", "none.txt", "--speaker", "p225"],
    "sample": ["--speaker", "p225", "--out", "a.wav", "--codes", "a.wav"],
}


@pytest.mark.parametrize("command", ASKED)
@pytest.mark.parametrize("wish", [None, "ACTIVE"])
def test_threads_sleep_before_torch_is_there_unless_one_wishes_otherwise(command, wish, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    program = (
        "import json, os, sys\n"
        f"from speechvq.cli.{command} import main\n"
        f"code = main({ASKED[command]})\n"
        "print(json.dumps([code, os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment | ({"OMP_WAIT_POLICY": wish} if wish else {}),
        timeout=60,
    )
    assert done.stdout, done.stderr
    assert json.loads(done.stdout) == [2, wish or "PASSIVE", False], done.stderr
