"""Shards of a WebDataset: tars whose members of one name are a recording and what is known of it.

Of ``1089/0001.flac`` the name is ``1089/0001``, up to the first dot. Beside it may lie ``.txt``,
the text; ``.json``, with `speaker` and `text`; ``.cls``, the speaker. Else the speaker is the first
part of the name, up to a slash, a hyphen or an underscore.

Nothing is unpacked: a recording is a range of the tar's bytes (`speechvq.audio.places`). A tar at a
URL is fetched once, to find them.
"""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from speechvq import audio
from speechvq.data.corpora.faults import Fault, Faults, reason
from speechvq.data.corpora.lines import read_file
from speechvq.data.corpora.reader import CorpusReader
from speechvq.data.corpora.recording import Recording
from speechvq.json_reader import parse_json

LIST = "shards.txt"
"""File that lists paths or URLs of tars, one a line."""

_TAR = re.compile(r".+\.(tar(\.\w+)?|tgz)")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_SPEAKER = ("speaker", "speaker_id", "spk_id", "spk")
_TEXT = ("text", "transcript", "transcription")
_LARGEST = 1 << 20  # bytes of a member that is read to know about a recording


class WebDataset(CorpusReader):
    """Reader of a folder of tar shards, or of a list of them in `LIST`."""

    kind = "webdataset"
    layout = f"SHARD.tar with UTTERANCE.flac, .txt, .json; or a list of tars or URLs, {LIST}"
    expects_text = False

    def is_root(self, folder: Path) -> bool:
        """Return whether the folder has shards, or a list of them."""
        with contextlib.suppress(OSError):
            return (folder / LIST).is_file() or any(map(_TAR.fullmatch, os.listdir(folder)))
        return False

    def find_root(self, folder: Path) -> Path | None:
        """Return the folder itself."""
        return folder if self.is_root(folder) else None

    def recordings(self, root: Path, faults: Faults) -> list[Recording]:
        """List the recordings of all shards, in order; shards that cannot be read are faults."""
        found: dict[str, Recording] = {}
        for shard in _shards(root):
            try:
                for recording in _recordings(shard, faults):
                    if recording.id in found:
                        what = "with the name of another, skipped"
                        faults.add(Fault("recording", what, f"{recording.id} in {shard}"))
                    else:
                        found[recording.id] = recording
            except (tarfile.TarError, audio.AudioError, OSError) as error:
                what = "that cannot be read to the end; what is before is kept"
                text = reason(error)
                example = text if text.startswith(shard) else f"{shard}: {text}"
                faults.add(Fault("shard", what, example, unusable=True))
        return list(found.values())


def _shards(root: Path) -> list[str]:
    """Absolute paths and URLs of the shards."""
    listed = root / LIST
    if not listed.is_file():
        return [str(path) for path in sorted(root.iterdir()) if _TAR.fullmatch(path.name)]
    lines = (line.strip() for line in read_file(listed).content.splitlines())
    names = [line for line in lines if line and not line.startswith("#")]
    return [name if audio.as_url(name) else str(root / name) for name in names]


@contextlib.contextmanager
def _local(shard: str) -> Iterator[str]:
    """Path of a shard on this machine; of one at a URL a copy, which is then deleted."""
    if audio.as_url(shard) is None:
        yield shard
        return
    with tempfile.NamedTemporaryFile(suffix=".tar") as copy, audio.fetched(shard) as file:
        while block := file.read(1 << 20):
            copy.write(block)
        copy.flush()
        yield copy.name


def _recordings(shard: str, faults: Faults) -> Iterator[Recording]:
    with _local(shard) as path:
        with open(path, "rb") as file:
            if file.read(8).startswith(_COMPRESSED) or not shard.endswith(".tar"):
                raise audio.AudioError(
                    f"{shard}: compressed, so that no recording can be read alone; make a plain "
                    f"tar of it: gzip -dk {Path(shard).name} (or bzip2, xz, zstd)"
                )
        with tarfile.open(path, "r:") as tar:
            for name, members in _samples(tar):
                recording = _recording(name, members, tar, path, shard, faults)
                if recording is not None:
                    yield recording


def _samples(tar: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """Members that follow each other and have one name, by suffix in lower case."""
    name, members = None, dict[str, tarfile.TarInfo]()
    for member in tar:
        tar.members = []  # type: ignore[attr-defined]  # which tarfile would keep, all of them
        folder, slash, file = member.name.removeprefix("./").rpartition("/")
        stem, _, suffix = file.partition(".")
        if not member.isfile() or member.issparse() or not stem or not suffix:
            continue
        if name is not None and folder + slash + stem != name:
            yield name, members
            members = {}
        name = folder + slash + stem
        members[f".{suffix.lower()}"] = member
    if name is not None:
        yield name, members


def _recording(
    name: str,
    members: dict[str, tarfile.TarInfo],
    tar: tarfile.TarFile,
    path: str,
    shard: str,
    faults: Faults,
) -> Recording | None:
    sounds = [m for suffix, m in members.items() if suffix.endswith(audio.SUFFIXES)]
    if not sounds:
        return None
    if len(sounds) > 1:
        what = "with several sounds, of which the first is taken"
        faults.add(Fault("recording", what, f"{name} in {shard}"))
    known = _facts(members, tar)
    first = re.split(r"[-_/]", name)[0]
    speaker = next((str(known[key]) for key in _SPEAKER if known.get(key)), first)
    text = next((" ".join(str(known[key]).split()) for key in _TEXT if known.get(key)), None)
    place = f":{sounds[0].offset_data}:{sounds[0].size}"
    header = None
    if path != shard:  # while the copy is here
        with contextlib.suppress(audio.AudioError, OSError):  # else it is read, and the fault found
            header = audio.info(path + place)
    id = name.replace("/", "_")
    labels = (name, f"{speaker}/{id}", id)
    return Recording(id, speaker, Path(shard + place), text=text, label_names=labels, header=header)


def _facts(members: dict[str, tarfile.TarInfo], tar: tarfile.TarFile) -> dict[str, object]:
    """What is known of a recording beside its sound; later ones stand over earlier ones."""
    found: dict[str, object] = {}
    for suffix, key in ((".cls", "speaker"), (".txt", "text"), (".json", None)):
        member = members.get(suffix)
        file = None if member is None or member.size > _LARGEST else tar.extractfile(member)
        if file is None:
            continue
        content = file.read().decode(errors="replace").strip()
        if key is not None:
            found[key] = content
            continue
        with contextlib.suppress(ValueError):
            found |= parse_json(content, dict)
    return found
