"""Conversion of the utterances of a manifest: outputs of a run that goes on, and their manifest."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speechvq import audio
from speechvq.cli import speaking
from speechvq.cli.errors import OK
from speechvq.data.code_shards import fingerprint
from speechvq.data.manifest import Utterance, read_manifest, write_manifest

logger = logging.getLogger(__name__)

SETTINGS = "conversion.json"
"""What the conversions in a folder were made with."""
MANIFEST = "manifest.jsonl"
NAMED = 10
"""Utterances without a conversion that are named one by one."""


def outputs(options: argparse.Namespace, utterances: Sequence[Utterance]) -> list[Path]:
    """The conversions of utterances, each to every speaker in turn."""
    speakers = dict.fromkeys(options.speaker)
    names = [(u.id, f"-{speaker}.wav") for u in utterances for speaker in speakers]
    return speaking.named(names, options.out)


def check_settings(options: argparse.Namespace, weights: Path) -> None:
    """Write the settings of the conversions into their folder, or compare them with what is there.

    Raises
    ------
    ValueError
        Conversions with other settings are there.
    """
    now = {
        "model": fingerprint(weights),
        "manifest": fingerprint(Path(options.manifest)),
        **{
            name: getattr(options, name)
            for name in ("temperature", "top_k", "top_p", "seed", "precision", "post_filter")
        },
    }
    path = Path(options.out, SETTINGS)
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        audio.write_bytes(path, json.dumps(now, indent=1).encode())
        return
    except ValueError:
        before = None
    if before != now:
        kept = before if isinstance(before, dict) else {}
        changed = [name for name in now if kept.get(name) != now[name]]
        raise ValueError(
            f"{path}: conversions with another {' and '.join(changed)} are there; take another "
            "--out, or delete this folder"
        )


def missing(paths: Sequence[Path]) -> set[Path]:
    """The outputs that are not there; one appears whole, so what is there is done."""
    return {path for path in paths if not path.exists()}


def join(options: argparse.Namespace) -> int:
    """Write the manifest of all conversions, and name what is missing."""
    utterances = read_manifest(options.manifest)
    if not Path(options.out, SETTINGS).exists():
        raise ValueError(f"{options.out}: no conversions of a manifest there; convert it first")
    paths = iter(outputs(options, utterances))
    converted, lacking = [], []
    for utterance in utterances:
        for speaker in dict.fromkeys(options.speaker):
            path = next(paths)
            if path.exists():
                converted.append(
                    replace(utterance, id=path.stem, speaker=speaker, path=str(path), start=0.0)
                )
            else:
                lacking.append(path)
    for path in lacking[:NAMED]:
        logger.error("%s: is not there; convert the manifest again, which makes it", path)
    if len(lacking) > NAMED:
        logger.error("%d more are not there", len(lacking) - NAMED)
    write_manifest(Path(options.out, MANIFEST), converted)
    speaking.announce(Path(options.out, MANIFEST))
    return OK
