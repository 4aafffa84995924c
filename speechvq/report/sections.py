"""The sections of the page, from the files beside a model.

Each section is made from one folder or file; where files are missing, it says how to make them.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from speechvq import audio
from speechvq.analysis.generation import OF_PRODUCT_CODES
from speechvq.analysis.phonemes import PRODUCT_NOTE
from speechvq.analysis.table import code_files, known
from speechvq.config import DecoderConfig, ModelConfig, WaveNetDecoderConfig
from speechvq.data.manifest import read_manifest
from speechvq.report.page import Section, Sound, SoundGroup, Table, data_uri
from speechvq.report.pictures import curves_png

logger = logging.getLogger(__name__)

EMBEDDED = 1 << 20
"""Bytes of the largest sound file that is embedded in the page; larger ones are linked."""

_NAME = re.compile(r"(?P<id>.+?)-(?P<kind>original|reconstruction|to-(?P<speaker>.+))")


def read_records(path: Path) -> list[dict]:
    """The lines of a metrics file; a line that is not JSON, such as a truncated one, is skipped."""
    records = []
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                logger.warning("%s: a line that is not JSON is skipped", path)
    return records


def read_texts(whole: dict) -> dict[str, str]:
    """Texts of the test utterances by id, if the manifest exists."""
    path = (whole.get("data") or {}).get("test")
    if not path or not Path(path).is_file():
        return {}
    try:
        return {u.id: u.text for u in read_manifest(path) if u.text}
    except ValueError:
        return {}


def speech_section(folder: Path, texts: dict[str, str], out: Path) -> Section:
    """Original recordings, reconstructions and conversions, grouped by utterance."""
    title = "Speech"
    order = {"original": 0, "reconstruction": 1}
    groups: dict[str, list[tuple]] = {}
    paths = audio.find(folder) if folder.is_dir() and any(folder.iterdir()) else []
    for path in paths:
        match = _NAME.fullmatch(path.stem)
        id, kind = (match["id"], match["kind"]) if match else ("other sounds", path.stem)
        caption = f"converted to {match['speaker']}" if match and match["speaker"] else kind
        groups.setdefault(id, []).append((order.get(kind, 2), caption, path))
    if not groups:
        missing = f"no sounds in {folder}; stage 4 of the recipe makes them"
        return Section(title, missing=[missing])
    found: list[SoundGroup] = []
    for id, sounds in groups.items():
        sounds.sort(key=lambda sound: sound[:2])
        found.append(
            SoundGroup(
                id, texts.get(id), _sounds([(caption, path) for _, caption, path in sounds], out)
            )
        )
    intro = (
        "Sentences that the model was not trained on. A reconstruction is decoded from the codes "
        "for the original speaker, a conversion from the same codes for another speaker."
    )
    return Section(title, intro, groups=found)


def _sounds(named: list[tuple[str, Path]], out: Path) -> list[Sound]:
    """Sounds of captions and files; files that cannot be used are logged and left out."""
    sounds = []
    for caption, path in named:
        try:
            sounds.append(_sound(caption, path, out))
        except (audio.AudioError, OSError) as error:
            logger.error("%s; left out", error)
    return sounds


def _sound(caption: str, path: Path, out: Path) -> Sound:
    waveform, sample_rate = audio.read(path)
    kinds = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}
    if path.stat().st_size <= EMBEDDED:
        source = data_uri(path.read_bytes(), kinds[path.suffix.lower()])
    else:
        source = quote(os.path.relpath(path, out.parent))
    return Sound(caption, source, waveform, sample_rate)


def phoneme_section(folder: Path) -> Section:
    """Phoneme scores of the codes and the baselines, and the pictures."""
    title = "Codes and phonemes"
    path = folder / "scores.json"
    if not path.is_file():
        return Section(title, missing=[f"no {path}; speechvq-analyze phonemes writes it"])

    def parse(result: dict) -> tuple[list, list[str]]:
        several = f"{G} codebooks, " if (G := result.get("codebooks", 1)) > 1 else ""
        return [_score_row(name, scores) for name, scores in result["scores"].items()], [
            f"{several}K = {result['codebook_size']}, {result['frame_rate']:g} codes/s, "
            f"{result['bitrate']:.0f} bits/s, {result['phone_classes']} phone classes; "
            "scores are comparable at equal values only.",
            f"Mapped on {result['map_on']}, scored on {result['score_on']}.",
            *([PRODUCT_NOTE] if several else []),
        ]

    result, (rows, notes) = _read_scores(path, parse, "speechvq-analyze phonemes")
    if result.get("codebook_well_used") is False:
        notes.append("The codebook is poorly used: its perplexity is under K/4.")
    files = code_files(result.get("codebooks", 1))
    captions = {
        "confusion.png": "Confusion of phones: for each true phone, the phones of its codes.",
        **{f"{name}.png": f"The phones of each code{which}." for name, which in files.items()},
    }
    found = [(text, folder / name) for name, text in captions.items()]
    pictures = [(text, picture.read_bytes()) for text, picture in found if picture.is_file()]
    missing = [
        f"no {picture}; speechvq-analyze phonemes draws it"
        for _, picture in found
        if not picture.is_file()
    ]
    folded = [
        (f"Every code{which} and its phones", table.read_text("utf-8"))
        for name, which in files.items()
        if (table := folder / f"{name}.csv").is_file()
    ]
    intro = (
        "Each code is mapped to its most likely phone on one part of the data; the map is scored "
        "on another part. Chance is the accuracy of always choosing the most likely phone."
    )
    headings = ("", *_MEASURES.values())
    return Section(
        title,
        intro,
        table=Table(headings, rows),
        notes=notes,
        pictures=pictures,
        folded=folded,
        missing=missing,
    )


def generation_section(folder: Path, out: Path) -> Section:
    """Unconditional generation, and bits per code of the prior."""
    title = "Unconditional generation"
    path = folder / "scores.json"
    if not path.is_file():
        return Section(title, missing=[f"no {path}; speechvq-analyze prior writes it"])

    def parse(result: dict) -> tuple[list, list[str]]:
        rate, bound = result["frame_rate"], result["decoder_bits_per_second"]
        rows = [
            [
                name,
                f"{bits['value']:.3f}",
                f"{bits['value'] * rate:.1f}",
                f"{bits['value'] * rate + bound:,.0f}",
            ]
            for name, bits in result["bits_per_code"].items()
        ]
        apart = [
            f"{row}, from held-out speech: "
            + ", ".join(f"{name} {bits['value']:.3f}" for name, bits in found.items())
            for row, found in result["divergences"].items()
        ]
        return rows, apart

    result, (rows, apart) = _read_scores(path, parse, "speechvq-analyze prior")
    sounds = _sounds([(path.stem, path) for path in sorted(folder.glob("*.wav"))], out)
    picture = folder / "babble.png"
    pictures = []
    if picture.is_file():
        pictures = [("Sampled codes and held-out speech.", picture.read_bytes())]
    intro = (
        "Codes are sampled from the prior, one after the other, and decoded to speech. The fewer "
        "bits per held-out code, the better the prior."
    )
    notes = ["Jensen-Shannon divergences, in bits. " + "; ".join(apart) + "."] if apart else []
    if result.get("codebooks", 1) > 1:
        notes.append(OF_PRODUCT_CODES)
    return Section(
        title,
        intro,
        table=Table(("prior", "bits per code", "bits/s of codes", "bits/s in all"), rows),
        groups=[SoundGroup("from the prior", None, sounds)] if sounds else [],
        notes=notes,
        pictures=pictures,
    )


def _read_scores(path: Path, parse: Callable, command: str) -> tuple[dict, tuple]:
    """What is in a scores.json, and what `parse` makes of it; ValueError if it is damaged."""
    try:
        result = json.loads(path.read_text("utf-8"))
        return result, parse(result)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: damaged ({error}); run {command} again") from error


_MEASURES = {
    "accuracy": "accuracy",
    "chance": "chance",
    "phone_purity": "phone purity",
    "cluster_purity": "cluster purity",
    "pnmi": "PNMI",
    "v_measure": "V-measure",
    "perplexity": "perplexity",
    "codes_used": "codes used",
}


def _score_row(name: str, scores: dict) -> list[str]:
    row = [name]
    forms = {"perplexity": "{:.1f}", "codes_used": "{} of {}"}
    for measure in _MEASURES:
        form = forms.get(measure, "{:.3f}")
        row.append(known(form, scores[measure], scores["codebook_size"]))
    if scores.get("accuracy_interval"):
        low, high = scores["accuracy_interval"]
        row[1] += f" ({low:.3f} to {high:.3f})"
    return row


def training_section(records: list[dict], codebook_size: int) -> Section:
    """Curves of the losses and of the perplexity."""
    picture = curves_png(records, codebook_size)
    if picture is None:
        missing = "no training curves: the model folder has no metrics.jsonl with numbers in it"
        return Section("Training", missing=[missing])
    stages = list(dict.fromkeys(record.get("stage", "") for record in records))
    intro = "Stages: " + ", then ".join(filter(None, stages)) + "." if len(stages) > 1 else ""
    caption = "Losses (lower is better) and the perplexity of the codes, by training step."
    return Section("Training", intro, pictures=[(caption, picture)])


def model_section(config: ModelConfig, whole: dict, records: list[dict], card: str) -> Section:
    """The model's dimensions and its training."""
    steps = [
        f"{stage['steps']:,} {stage.get('name') or stage['objective']}"
        for stage in whole.get("stages") or []
    ]
    quantizer = config.quantizer
    rows = [
        ("samples per code", f"{config.hop_length}"),
        ("encoder", f"{config.encoder.kind}, of features: {config.features.kind}"),
        ("codebook", f"{quantizer.description}, D = {quantizer.codebook_dim}"),
        ("decoder", _decoder(config.decoder)),
    ]
    if steps:
        rows.append(("training steps", " + ".join(steps)))
    for name, title, form in (
        ("loss", "loss of the last stage, validation", "{:.3f}"),
        ("bits_per_sample", "bits per sample, validation", "{:.3f}"),
        ("perplexity", "perplexity of the codes, validation", "{:.1f}"),
        ("dead_codes", "codes unused, validation", "{:.0f}"),
    ):
        values = [r[name] for r in records if r.get("kind") == "valid" and r.get(name) is not None]
        if values:
            rows.append((title, form.format(values[-1])))
    missing = [] if card else ["no model card: the model folder has no README.md"]
    folded = [("Model card", card)] if card else []
    return Section("Model", table=Table(("", ""), rows), folded=folded, missing=missing)


def _decoder(config: DecoderConfig) -> str:
    """The dimensions of a decoder."""
    if not isinstance(config, WaveNetDecoderConfig):
        return type(config).__name__
    wavenet = config.wavenet
    return (
        f"WaveNet, {wavenet.layers} layers, {wavenet.residual_channels} residual and "
        f"{wavenet.skip_channels} skip channels; receptive field {wavenet.receptive_field}"
    )
