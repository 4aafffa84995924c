"""What `python -m build` makes: a whole sdist, a wheel that works, the same bytes each time."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from speechvq import audio

ROOT = Path(__file__).parents[1]
COMMITTED = 1_700_000_000


def tracked() -> set[str]:
    """Names of the files that git has, as far as they are there."""
    if not (ROOT / ".git").exists():
        pytest.skip("the tests run outside of a repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().rstrip("\0").split("\0")
    return {name for name in names if (ROOT / name).is_file()}


def build(folder: Path, names: set[str], umask: int, modified: int) -> list[Path]:
    """Build files in a repository of their own; the sdist and the wheel."""
    before = os.umask(umask)
    try:
        for name in names:
            copy = folder / "source" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy)
            copy.chmod((ROOT / name).stat().st_mode & ~umask)
            os.utime(copy, (modified, modified))
        who = ["-c", "user.name=-", "-c", "user.email=-"]
        date = {"GIT_COMMITTER_DATE": f"{COMMITTED} +0000"}
        for command in (
            ["git", "init", "-q"],
            ["git", *who, "commit", "-q", "--allow-empty", "-m", "all"],
            [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist"],
        ):
            environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"} | date
            done = subprocess.run(
                command, cwd=folder / "source", env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        os.umask(before)
    return sorted((folder / "dist").iterdir(), key=lambda path: path.suffix)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> list[Path]:
    return build(tmp_path_factory.mktemp("build"), tracked(), 0o022, 1_600_000_000)


def test_the_sdist_is_all_that_git_has(built):
    with tarfile.open(built[0]) as sdist:
        names = {
            name.partition("/")[2] for name in sdist.getnames() if sdist.getmember(name).isreg()
        }
    made = {name for name in names if name.startswith("speechvq.egg-info/")} | {"PKG-INFO"}
    assert names - made == tracked()


def test_the_wheel_is_all_of_the_package(built):
    names = {n for n in zipfile.ZipFile(built[1]).namelist() if ".dist-info/" not in n}
    assert names == {name for name in tracked() if name.startswith("speechvq/")}


def test_another_build_has_the_same_bytes(built, tmp_path):
    """In another folder, at another time, of files with other dates and permissions."""
    again = build(tmp_path / "elsewhere", tracked(), 0o077, 1_650_000_000)
    assert [path.name for path in again] == [path.name for path in built]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def test_the_wheel_is_enough(built, tmp_path):
    """Installed without the sources, it encodes with the model that it brings."""
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", installed]
    subprocess.run([*pip, built[1]], check=True)
    rate = 16000
    tone = np.sin(np.arange(rate, dtype=np.float32))
    audio.write(tmp_path / "tone.wav", tone, rate)
    command = [installed / "bin" / "speechvq-encode", "--src", "tone.wav"]
    alone = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "# codebook_size" in done.stdout
