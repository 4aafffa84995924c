"""Every command's --help answers at once: it imports nothing that takes long."""

import configparser
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch",
    "librosa",
    "sklearn",
    "matplotlib",
    "scipy",
    "numba",
    "pocketsphinx",
    "pandas",
    "gradio",
)


def console_scripts() -> dict[str, str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    return dict(line.replace(" ", "").split("=") for line in lines)


SCRIPTS = console_scripts()


@pytest.mark.parametrize("command", SCRIPTS)
def test_help_imports_nothing_heavy(command):
    module, function = SCRIPTS[command].split(":")
    program = (
        "import json, sys\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try:\n"
        f"    from {module} import {function}\n"
        f"    code = {function}()\n"
        "except SystemExit as stop:\n"
        "    code = stop.code\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "print(json.dumps([code or 0, heavy]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout, done.stderr
    *help_lines, result = done.stdout.splitlines()
    assert json.loads(result) == [0, []], done.stderr
    assert command in " ".join(help_lines)
    assert not done.stderr


def test_every_command_is_a_console_script():
    files = {path.stem for path in (ROOT / "speechvq" / "cli").glob("*.py")}
    commands = {target.split(":")[0].rsplit(".", 1)[-1] for target in SCRIPTS.values()}
    assert commands <= files
    assert all(
        name.split("-", 1)[1] == target.split(":")[0].rsplit(".", 1)[-1]
        for name, target in SCRIPTS.items()
    )
