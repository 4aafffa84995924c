"""Where the bytes of a recording lie: a file, a part of a tar, or an object at a URL.

=========================  =========================================================================
``a.flac``                 a file
``a.tar:OFFSET:SIZE``      bytes of an uncompressed tar, as fairseq's manifests name them
``https://…/a.flac``       an object, read by fsspec; or ``s3://``, ``gs://``, and any other of its
                           protocols
``s3://…/a.tar:OFFSET:SIZE``  bytes of an object, one request of a range
=========================  =========================================================================
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from speechvq.audio.containers import Finding, Patched
from speechvq.audio.errors import AudioError, missing

TRIES = 3
"""Requests for a range until the recording is given up."""
PAUSE = 0.5
"""Seconds before the second request; twice as many before each further one."""

_PART = re.compile(r"(.+\.tar):(\d+):(\d+)", re.DOTALL)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?=[^/])")  # one slash is left in a Path
_IN_MEMORY = 64 << 20  # bytes of a remote recording; more go through a temporary file


def as_url(path: str | os.PathLike[str]) -> str | None:
    """Return the URL that a path is, None for a path on this machine."""
    match = _URL.match(text := os.fspath(path))
    return f"{match[1]}://{text[match.end() :]}" if match else None


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a recording; a URL is one."""
    return as_url(path) or os.path.abspath(path)


@dataclass(frozen=True)
class Raw:
    """The bytes of a recording, open for reading."""

    file: BinaryIO
    size: int
    changed: int = 0
    """When the file was written, in ns; 0 for an object at a URL, which is to stay as it is."""
    name: bytes | None = None
    """Name of the file, where these are all of its bytes."""


@contextlib.contextmanager
def raw(path: Path) -> Iterator[Raw]:
    """Open the bytes of a recording.

    Raises
    ------
    OSError, AudioError
        They are not there, the file ends before them, or a server does not answer.
    """
    part, url = _PART.fullmatch(str(path)), as_url(path)
    if url is not None:
        url = url if part is None else url.rsplit(":", 2)[0]
        begin, size = (0, None) if part is None else (int(part[2]), int(part[3]))
        with fetched(url, begin, size) as file:
            yield Raw(file, file.seek(0, os.SEEK_END))
        return
    whole = path if part is None else Path(part[1])
    if whole.is_dir():
        raise AudioError(f"{path}: a folder, where an audio file was expected")
    if not whole.exists():
        raise missing(path)
    if not whole.is_file():
        raise AudioError(f"{path}: not a regular file")
    with open(whole, "rb") as file:  # an unreadable file is a PermissionError here
        held = os.fstat(file.fileno())
        if part is None:
            yield Raw(file, held.st_size, held.st_mtime_ns, os.fsencode(path))
            return
        begin, end = int(part[2]), int(part[2]) + int(part[3])
        if end > held.st_size:
            raise AudioError(_beyond(str(path), begin, end, held.st_size))
        window = io.BufferedReader(Patched(file, Finding("", b"", begin, end)))
        yield Raw(cast(BinaryIO, window), end - begin, held.st_mtime_ns)


@contextlib.contextmanager
def fetched(url: str, begin: int = 0, size: int | None = None) -> Iterator[BinaryIO]:
    """Read an object at a URL, or a range of its bytes; what is large waits on the disk.

    Raises
    ------
    AudioError
        It cannot be read, after `TRIES` requests.
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        last = _asked(url, "size") if size is None else begin + size
        for first in range(begin, last, _IN_MEMORY):
            end = min(last, first + _IN_MEMORY)
            piece = _asked(url, "cat_file", start=first, end=end)
            if len(piece) < end - first:
                raise AudioError(_beyond(url, begin, last, first + len(piece)))
            if len(piece) > end - first:
                raise AudioError(f"{url}: the server sends all where a range was asked for")
            file.write(piece)
        file.seek(0)
        yield cast(BinaryIO, file)


def _asked(url: str, method: str, **arguments: int) -> Any:
    """Call a method of the file system that fsspec has for a URL, again where it fails."""
    try:
        # An earlier fsspec waits for ever in the forked processes that load batches
        from fsspec.asyn import reset_after_fork  # noqa: F401
        from fsspec.core import url_to_fs

        system, name = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise AudioError(
            f"{url}: {error}; http:// needs pip install 'speechvq[remote]', s3:// needs s3fs, "
            "gs:// needs gcsfs"
        ) from error
    for attempt in range(TRIES):
        try:
            return getattr(system, method)(name, **arguments)
        except FileNotFoundError:
            raise FileNotFoundError(f"{url}: no such object") from None
        except Exception as error:  # each protocol has errors of its own
            fault = error
        if attempt + 1 < TRIES:
            time.sleep(PAUSE * 2**attempt)
    reason = " ".join(str(fault).split()) or type(fault).__name__
    raise AudioError(f"{url}: cannot be read, after {TRIES} requests: {reason}") from fault


def _beyond(path: str, begin: int, end: int, held: int) -> str:
    return (
        f"{path}: ends at byte {held}, and bytes {begin} to {end} were expected; it is truncated, "
        "or has changed since its manifest was made"
    )
