"""Codes of a large manifest in shards: files of codes that grow, go on after a stop, and join.

Utterance i of a manifest belongs to shard i mod N. Shard I of ``codes.txt`` is the file
``codes.txt.I-of-N``, a file of codes whose header names the manifest by its fingerprint, too. It
has one line for each utterance, in the order of the manifest: its codes, or why there are none::

    # left out<TAB>"p225_003"<TAB>p225_003.flac: an empty file

Until it is whole it is ``….part``, which grows by a line at a time. So the number of its lines is
the place to go on from.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from speechvq import codes
from speechvq.audio import write_bytes
from speechvq.json_reader import parse_json
from speechvq.shards import Shard

LEFT_OUT = "# left out\t"
_NAMED = 5  # shards that are named


def file_fingerprint(file: Path) -> str:
    """Twelve hexadecimal digits that change when a file does."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:12]


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
        Its `file_fingerprint`.

    Attributes
    ----------
    done : int
        Utterances of the shard that are in it already.
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
        self.done = 0
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
            raise ValueError(
                f"{self._part}: another process is writing this shard; take another --shard"
            ) from None
        except OSError:  # a file system without locks
            pass
        self._go_on(self._file)

    def write(self, id: str, found: np.ndarray) -> None:
        """Append the codes (N,) or (N, G) of an utterance."""
        self._append(codes.line(id, found))

    def leave_out(self, id: str, reason: str) -> None:
        """Append that an utterance has no codes, and why, in one line."""
        self._append(f"{LEFT_OUT}{json.dumps(id)}\t{reason}\n")

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

    def _append(self, line: str) -> None:
        assert self._file is not None
        self._file.write(line.encode())
        self._file.flush()

    def _go_on(self, file: IO[bytes]) -> None:
        """Cut a line that was not finished, and count the others."""
        file.seek(0)
        head = file.read(len(self._head))
        if len(head) < len(self._head):  # stopped within the header, or new
            file.truncate(0)
            self._append(self._head.decode())
            return
        self._check(head, self._part)
        size = len(head)
        for line in file:
            if line.endswith(b"\n"):
                size, self.done = size + len(line), self.done + 1
        file.truncate(size)

    def _check(self, head: bytes, path: Path) -> None:
        if head != self._head:
            raise ValueError(
                f"{path}: made by another model or of another manifest; delete it, or take "
                "another --out"
            )


def join_shards(
    out: Path, manifest: str, ids: Iterable[str], left_out: list[tuple[str, str]]
) -> None:
    """Join the shards of a manifest to one file of codes, in the order of the manifest.

    The shards stay. The file is that of an encoding without shards, byte for byte.

    Parameters
    ----------
    out : Path
        The file to write; its shards lie beside it.
    manifest : str
        Its `file_fingerprint`.
    ids : iterable of str
        Ids of all utterances of the manifest.
    left_out : list
        Gets the ids of utterances that could not be encoded, each with the reason.

    Raises
    ------
    ValueError
        A shard is missing, not whole, or of another number of shards, model or manifest; or it
        lacks an utterance of its own, or has one twice or of another shard.
    """
    paths = _shards(out)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        heads = [_head(file, path) for file, path in zip(files, paths, strict=True)]
        for head, path in zip(heads, paths, strict=True):
            if head[-1] != f"# manifest {manifest}\n".encode():
                raise ValueError(f"{path}: of another manifest; delete it and encode it again")
            if head != heads[0]:
                raise ValueError(
                    f"{path}: made by another model than {paths[0]}; delete one of them and encode "
                    "it again"
                )
        lines = _in_order(files, paths, ids, left_out)
        first = next(lines, None)
        if first is None:
            raise ValueError(f"{out}: no utterance of the manifest could be encoded")
        write_bytes(out, itertools.chain(heads[0][:-1], [first], lines))


def _in_order(
    files: Sequence[IO[bytes]],
    paths: Sequence[Path],
    ids: Iterable[str],
    left_out: list[tuple[str, str]],
) -> Iterator[bytes]:
    """The lines with codes of all shards; the other utterances go to `left_out`."""
    turns = itertools.cycle(zip(files, paths, strict=True))
    for id, (file, path) in zip(ids, turns):  # noqa: B905, since the turns do not end
        line = file.readline()
        found, reason = _parsed(line)
        if found != id or not line.endswith(b"\n"):
            what = f"{found!r} is there instead" if found else "it ends before, or is damaged"
            raise ValueError(
                f"{path}: utterance {id!r} is missing, {what}; delete the file and encode it again"
            )
        if reason is None:
            yield line
        else:
            left_out.append((id, reason))
    for file, path in zip(files, paths, strict=True):
        if line := file.readline():
            raise ValueError(
                f"{path}: utterance {_parsed(line)[0]!r} is there twice, or of another shard; "
                "delete the file and encode it again"
            )


def _parsed(line: bytes) -> tuple[str, str | None]:
    """The id of a line, and for one without codes the reason."""
    text = line.decode(errors="replace")
    if not text.startswith(LEFT_OUT):
        return text.partition("\t")[0], None
    id, _, reason = text.removeprefix(LEFT_OUT).rstrip("\n").partition("\t")
    try:
        return parse_json(id, str), reason
    except ValueError:
        return "", reason


def _shards(out: Path) -> list[Path]:
    """The files of all shards, in their order."""
    found: dict[int, set[Path]] = {}
    pattern = re.compile(re.escape(out.name) + r"\.([0-9]{1,9})-of-([0-9]{1,9})(\.part)?")
    for path in out.parent.iterdir() if out.parent.is_dir() else ():
        if match := pattern.fullmatch(path.name):
            found.setdefault(int(match[2]), set()).add(path)
    if len(found) != 1:
        kinds = " and ".join(f"of {count}" for count in sorted(found)) or "none"
        raise ValueError(
            f"{out}: expected shards {out.name}.I-of-N of one N beside it, found {kinds}; "
            "speechvq-encode --shard I/N makes them"
        )
    ((count, there),) = found.items()
    paths = [Shard(index, count).path(out) for index in range(count)]
    if lacking := [path.name for path in paths if path not in there]:
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
