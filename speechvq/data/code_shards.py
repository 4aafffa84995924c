"""Codes of a large manifest in shards: files of codes that grow, go on after a stop, and join.

Utterance i of a manifest belongs to shard i mod N. Shard I of ``codes.txt`` is the file
``codes.txt.I-of-N``, a file of codes of its own. Until it is whole it is ``….part``, which grows by
an utterance at a time, so that a job that was killed goes on where it stopped. The header of a
shard names the manifest by its fingerprint.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from speechvq import codes
from speechvq.audio import write_bytes
from speechvq.shards import Shard

_NAMED = 5  # utterances or shards that are named


def fingerprint(manifest: Path) -> str:
    """Twelve hexadecimal digits that change when a manifest does."""
    with manifest.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


class ShardWriter:
    """The file of a shard, which is gone on with if it is there in part.

    As a context manager it keeps what was written where the body raises an error; `close` ends the
    shard and gives the file its name.

    Parameters
    ----------
    out : Path
        The joined file, from which that of the shard has its name.
    shard : Shard
    codebook : Codebook
    manifest : str
        Its `fingerprint`.

    Attributes
    ----------
    last : str or None
        The id of the last utterance that is there already.
    whole : bool
        Whether the shard was ended before.

    Raises
    ------
    ValueError
        What is there is of another model or manifest, or another process writes it.
    OSError
        The file cannot be written.
    """

    def __init__(self, out: Path, shard: Shard, codebook: codes.Codebook, manifest: str):
        self.path = shard.path(out)
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._head = f"{codes.header(codebook)}# manifest {manifest}\n".encode()
        self.whole = self.path.exists()
        self.last: str | None = None
        self._file: IO[bytes] | None = None
        if self.whole:
            with self.path.open("rb") as file:
                self._check(file.read(len(self._head)), self.path)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ValueError(f"{self._part}: another process is writing this shard") from None
        self._go_on(self._file)

    def write(self, id: str, found: np.ndarray) -> None:
        """Append the codes (N,) or (N, G) of an utterance."""
        assert self._file is not None
        self._file.write(codes.line(id, found).encode())
        self._file.flush()

    def close(self) -> None:
        """End the shard: the file gets its name."""
        assert self._file is not None
        os.fsync(self._file.fileno())
        os.replace(self._part, self.path)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _go_on(self, file: IO[bytes]) -> None:
        """Cut a line that was not finished, and find the last utterance."""
        file.seek(0)
        whole, last = 0, b""
        for line in file:
            if line.endswith(b"\n"):
                whole, last = whole + len(line), line
        if whole < len(self._head):  # stopped within the header
            file.truncate(0)
            file.write(self._head)
            file.flush()
            return
        file.seek(0)
        self._check(file.read(len(self._head)), self._part)
        file.truncate(whole)
        if whole > len(self._head):
            self.last = last.partition(b"\t")[0].decode()

    def _check(self, head: bytes, path: Path) -> None:
        if head != self._head:
            raise ValueError(
                f"{path}: made by another model or of another manifest; delete it, or take "
                "another --out"
            )


def join_shards(out: Path, manifest: str, ids: Iterable[str]) -> tuple[int, list[str]]:
    """Join the shards of a manifest to one file of codes, in the order of the manifest.

    The shards stay. The file is that of an encoding without shards, byte for byte.

    Parameters
    ----------
    out : Path
        The file to write; its shards lie beside it.
    manifest : str
        Its `fingerprint`.
    ids : iterable of str
        Ids of all utterances of the manifest.

    Returns
    -------
    count : int
        Utterances in the file.
    missing : list of str
        Ids of utterances that could not be encoded.

    Raises
    ------
    ValueError
        A shard is missing, not whole, or of another number of shards, model or manifest; or one
        has an utterance that is not its own, or has it twice.
    """
    shards = _shards(out)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in shards]
        heads = [_head(file, path) for file, path in zip(files, shards, strict=True)]
        for head, path in zip(heads, shards, strict=True):
            if head != heads[0] or head[-1] != f"# manifest {manifest}\n".encode():
                raise ValueError(
                    f"{path}: made by another model or of another manifest than {shards[0]} and "
                    "this manifest; encode this shard again"
                )
        missing: list[str] = []
        joined = _Joined(heads[0][:-1], [_lines(f, p) for f, p in zip(files, shards, strict=True)])
        write_bytes(out, joined.lines(ids, missing))
    return joined.count, missing


class _Joined:
    """The lines of several shards, in the order of the manifest."""

    def __init__(self, head: list[bytes], lines: list[Iterator[bytes]]):
        self.count = 0
        self._head, self._lines = head, lines

    def lines(self, ids: Iterable[str], missing: list[str]) -> Iterator[bytes]:
        """The header and all lines; ids without a line go to `missing`."""
        yield from self._head
        ahead = [next(lines, b"") for lines in self._lines]
        for place, id in enumerate(ids):
            shard = place % len(ahead)
            if ahead[shard].partition(b"\t")[0] == id.encode():
                yield ahead[shard]
                self.count += 1
                ahead[shard] = next(self._lines[shard], b"")
            else:
                missing.append(id)
        for shard, line in enumerate(ahead):
            if line:
                id = line.partition(b"\t")[0].decode(errors="replace")
                raise ValueError(
                    f"shard {shard}/{len(ahead)}: utterance {id!r} is there twice, or not of this "
                    "shard; delete the shard and encode it again"
                )
        if not self.count:
            raise ValueError("no utterance in any shard")


def _shards(out: Path) -> list[Path]:
    """The files of all shards, in their order."""
    found: dict[int, list[Path]] = {}
    pattern = re.compile(re.escape(out.name) + r"\.([0-9]{1,9})-of-([0-9]{1,9})(\.part)?")
    for path in out.parent.iterdir() if out.parent.is_dir() else ():
        if match := pattern.fullmatch(path.name):
            found.setdefault(int(match[2]), []).append(path)
    if len(found) != 1:
        kinds = " and ".join(f"of {count}" for count in sorted(found)) or "none"
        raise ValueError(
            f"{out}: expected shards {out.name}.I-of-N of one N beside it, found {kinds}; "
            "speechvq-encode --shard I/N makes them"
        )
    (count,) = found
    paths = [Shard(index, count).path(out) for index in range(count)]
    if lacking := [path.name for path in paths if path not in found[count]]:
        raise ValueError(
            f"{out}: {len(lacking)} of {count} shards are missing or not whole: "
            f"{', '.join(lacking[:_NAMED])}{', …' if len(lacking) > _NAMED else ''}; encode these "
            "with --shard I/N, which goes on with what is there"
        )
    return paths


def _head(file: IO[bytes], path: Path) -> list[bytes]:
    """The header lines of a shard, that of the manifest last."""
    lines = []
    while True:
        line = file.readline(1000)
        lines.append(line)
        if line.startswith(b"# manifest "):
            return lines
        if not line.startswith(b"#"):
            raise ValueError(f"{path}: no shard of codes; delete it and encode it again")


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """The lines of a shard after its header; ValueError for one that is cut."""
    for line in file:
        if not line.endswith(b"\n"):
            raise ValueError(f"{path}: ends within a line; delete it and encode it again")
        yield line
