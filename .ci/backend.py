"""setuptools, made reproducible: the same sources give the same files, byte for byte.

All that is in them is dated as the last commit is, or as SOURCE_DATE_EPOCH says; outside of a
repository, as in an unpacked sdist, as setup.cfg is.
"""

import gzip
import io
import os
import subprocess
import tarfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403


def _date() -> str:
    """Seconds since 1970."""
    if Path(".git").exists():
        git = ["git", "log", "-1", "--format=%ct"]
        found = subprocess.run(git, capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.strip()
    return str(int(Path("setup.cfg").stat().st_mtime))


os.environ.setdefault("SOURCE_DATE_EPOCH", _date())
os.umask(0o022)


def build_sdist(sdist_directory, config_settings=None):
    """Build an sdist that has no times, owners and permissions of this machine."""
    name = build_meta.build_sdist(sdist_directory, config_settings)
    path, date = Path(sdist_directory, name), int(os.environ["SOURCE_DATE_EPOCH"])
    content = io.BytesIO()
    with tarfile.open(path) as given, tarfile.open(fileobj=content, mode="w") as made:
        for member in sorted(given.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = date, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            made.addfile(member, given.extractfile(member))
    path.write_bytes(gzip.compress(content.getvalue(), 6, mtime=date))
    return name
