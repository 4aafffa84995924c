"""Conversion of the utterances of a manifest: one folder, which is gone on with after a stop."""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speechvq import audio
from speechvq.cli import speaking
from speechvq.cli.errors import ERROR, OK, one_line
from speechvq.data.code_shards import file_fingerprint
from speechvq.data.manifest import Utterance, write_manifest
from speechvq.json_reader import parse_json

logger = logging.getLogger(__name__)

SETTINGS = "conversion.json"
"""What the conversions in a folder were made with."""
MANIFEST = "manifest.jsonl"
_OF_DRAWING = ("temperature", "top_k", "top_p", "seed", "precision", "post_filter", "guidance")


def output(out: str, speaker: str, id: str) -> Path:
    """The conversion of an utterance, which no other id or speaker has, within the folder."""
    return Path(out, _file_name(speaker), f"{_file_name(id)}.wav")


def _file_name(text: str) -> str:
    return re.sub(r"[/\0%]|^\.", lambda found: f"%{ord(found[0]):02X}", text)


def check_settings(options: argparse.Namespace, weights: Path) -> None:
    """Write the settings of the conversions into their folder, or compare them with what is there.

    Raises
    ------
    ValueError
        Conversions with other settings are there.
    """
    now = {
        "model": file_fingerprint(weights),
        "manifest": file_fingerprint(Path(options.manifest)),
        **{name: getattr(options, name) for name in _OF_DRAWING},
    }
    path = Path(options.out, SETTINGS)
    if not path.exists():
        audio.write_bytes(path, json.dumps(now, indent=1).encode())
    try:
        before = parse_json(path.read_bytes(), dict)
        changed = [name for name in now if before[name] != now[name]]
    except (ValueError, KeyError):
        changed = ["version of speechvq"]
    if changed:
        raise ValueError(
            f"{path}: conversions with another {' and '.join(changed)} are there; pass another "
            "--out, or delete this folder"
        )


def join(options: argparse.Namespace, utterances: Sequence[Utterance]) -> int:
    """Write the manifest of each speaker's conversions; name the utterances that are left out.

    Raises
    ------
    ValueError
        An utterance is not converted, and its recording can be used; the conversions are of
        another manifest.
    """
    settings = Path(options.out, SETTINGS)
    if settings.exists():  # else nothing is converted
        made_with = parse_json(settings.read_bytes(), dict)
        if made_with.get("manifest") != file_fingerprint(Path(options.manifest)):
            raise ValueError(f"{settings}: the conversions are of another manifest; pass that one")
    failed, written = [], []
    for speaker in dict.fromkeys(options.speaker):
        paths = (output(options.out, speaker, u.id) for u in utterances)
        lacking = [i for i, path in enumerate(paths) if not audio.is_drawn(path)]
        for i in lacking:
            path = output(options.out, speaker, utterances[i].id)
            if (fault := _fault(utterances[i], path)) is None:
                raise ValueError(
                    f"{path}: is missing, one of up to {len(lacking)} of {len(utterances)}; "
                    "convert the manifest again, which goes on with what is there"
                )
            logger.error("%s: left out, %s", utterances[i].id, fault)
            failed.append({"id": utterances[i].id, "speaker": speaker, "error": fault})
        without = set(lacking)
        path = output(options.out, speaker, "").with_name(MANIFEST)
        write_manifest(
            path,
            (
                replace(u, speaker=speaker, path=str(output(options.out, speaker, u.id)), start=0.0)
                for i, u in enumerate(utterances)
                if i not in without
            ),
        )
        written.append({"speaker": speaker, "manifest": str(path)})
        if not options.json:
            speaking.announce(path)
    if options.json:
        outcome = {"written": written, "failed": failed}
        print(json.dumps(outcome, indent=1, ensure_ascii=False))
    return ERROR if failed else OK


def _fault(utterance: Utterance, path: Path) -> str | None:
    """Why an utterance cannot be converted, if there is a reason."""
    source = Path(utterance.path)
    try:
        speaking.check_writable(path)
        speaking.check_ours(path)
        rate = audio.info(source)[1]
        for _ in audio.Recording(source, rate, utterance.start, utterance.duration):
            pass
    except (ValueError, OSError) as error:
        return one_line(error)
    return None
