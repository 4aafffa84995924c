"""speechvq-analyze phonemes: how well the codes tell phones."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechvq.cli.analyzing import beside, manifest, progress
from speechvq.cli.errors import Parser

logger = logging.getLogger(__name__)

NOTES = """\
Every code is mapped to its most likely phone on one part of the data, and the map is scored on
another. The phone of a code is the one at the centre of its frame. Beside the learned codes stand
the same number of codes by k-means on the latents of an untrained encoder and on MFCCs.

Without options: the last trained model, mapped on the data it was trained on and scored on its test
data. Writes scores.json, codes.tsv (the codes and their phones), confusion.png and codes.png.
"""

LEARNED, UNTRAINED, MFCC = "learned codes", "untrained encoder", "MFCC k-means"
WELL_USED = 4
"""A codebook whose perplexity is under K over this is poorly used."""


def parser() -> Parser:
    """The options of speechvq-analyze phonemes."""
    parser = Parser("analyze phonemes", "How well do the codes of a model tell phones?", NOTES)
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: the last one trained)")
    add("--map-on", metavar="FILE", help="manifest to map on (default: the training data)")
    add("--score-on", metavar="FILE", help="manifest to score on (default: the test data)")
    add("--out", metavar="DIR", help="folder to write to (default: phonemes beside the model)")
    add("--max-minutes", type=float, default=60, metavar="M",
        help="draw at most so much speech from each manifest (default: 60)")  # fmt: skip
    add("--no-baselines", action="store_true", help="the learned codes alone")
    add("--json", action="store_true", help="print the scores as JSON")
    add("--seed", type=int, default=0, help="of the baselines and the draw (default: 0)")
    add("--device", default="cpu", help="cpu, cuda, cuda:1, … (default: cpu)")
    return parser


@dataclass
class Part:
    """The speech that is mapped on or scored: an entry of each list is an utterance."""

    manifest: str
    waveforms: list[np.ndarray]
    codes: list[np.ndarray]
    labels: list[np.ndarray]

    @property
    def frames(self) -> list[int]:
        """Codes of each utterance."""
        return [len(codes) for codes in self.codes]

    def described(self) -> str:
        """The manifest and how much of it there is."""
        return f"{self.manifest} ({len(self.codes)} utterances, {sum(self.frames):,} frames)"


def run(options: argparse.Namespace) -> int:
    """Score the codes, write tables and pictures, and print the scores."""
    if options.max_minutes <= 0:
        raise ValueError(f"--max-minutes must be above 0, got {options.max_minutes:g}")
    from speechvq import model_folder

    folder = model_folder.find_model(options.model)
    config = model_folder.read_config(folder)
    map_on, score_on = (
        _map_manifest(options.map_on, config),
        manifest(options.score_on, config, "test", "--score-on"),
    )
    spoken = [_utterances(path, options) for path in (map_on, score_on)]
    if shared := {u.id for u in spoken[0]} & {u.id for u in spoken[1]}:
        logger.warning(
            "%d utterances are both mapped on and scored: the scores flatter the codes", len(shared)
        )
    model = model_folder.load_model(folder, options.device)
    mapped, scored = (
        _encoded(model, path, part, options.device)
        for path, part in zip((map_on, score_on), spoken, strict=True)
    )

    codes = {LEARNED: (mapped.codes, scored.codes)}
    if not options.no_baselines:
        codes |= _baselines(model, mapped, scored, options)
    rows = {name: _score(model, mapped, scored, *pair) for name, pair in codes.items()}

    out = Path(options.out) if options.out else beside(folder, "phonemes")
    result = _result(model, folder, mapped, scored, rows, options)
    _write(out, model, mapped, scored, rows[LEARNED], result)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        _report(model, folder, mapped, scored, rows, out)
    return 0


def _map_manifest(given: str | None, config: dict) -> str:
    """The train manifest; where it has no phones and the valid one does, that."""
    from speechvq.data.manifest import read_manifest

    train = manifest(given, config, "train", "--map-on")
    valid = (config.get("data") or {}).get("valid")
    if given or not valid or not Path(valid).is_file():
        return train

    def labelled(path: str) -> bool:
        return any(u.phones for u in read_manifest(path))

    if not labelled(train) and labelled(valid):
        logger.info("%s has no phones; mapping on %s", train, valid)
        return str(valid)
    return train


def _utterances(path: str, options: argparse.Namespace) -> list:
    from speechvq.data.manifest import CorpusError, read_manifest

    everything = read_manifest(path)
    labelled = [u for u in everything if u.phones is not None]
    if not labelled:
        raise CorpusError(
            f"{path}:1: no utterance has phones; make them with: speechvq-align {path}"
        )
    if len(labelled) < len(everything):
        logger.warning(
            "%s: %d of %d utterances have no phones and are left out",
            path, len(everything) - len(labelled), len(everything),
        )  # fmt: skip
    order = np.random.default_rng(options.seed).permutation(len(labelled))
    seconds = np.cumsum([labelled[index].duration for index in order])
    wanted = np.searchsorted(seconds, options.max_minutes * 60) + 1
    if wanted < len(labelled):
        logger.info("%s: %d of %d utterances drawn (--max-minutes)", path, wanted, len(labelled))
    return [labelled[index] for index in sorted(order[:wanted])]


def _encoded(model, path: str, utterances: list, device: str) -> Part:
    import torch

    from speechvq import audio
    from speechvq.analysis.frames import frame_labels, normalise

    part = Part(path, [], [], [])
    for utterance in progress(utterances, f"encode {Path(path).name}"):
        waveform, _ = audio.read(
            utterance.path, model.sample_rate, utterance.start, utterance.duration
        )
        codes = model.encode(torch.from_numpy(waveform)[None].to(device))[0].cpu().numpy()
        labels = frame_labels(normalise(utterance.phones), len(codes), 1 / model.frame_rate)
        part.waveforms.append(waveform)
        part.codes.append(codes)
        part.labels.append(labels)
    return part


def _baselines(model, mapped: Part, scored: Part, options: argparse.Namespace) -> dict[str, tuple]:
    """Codes of both parts by k-means with the model's K, on two kinds of vectors."""
    import torch

    from speechvq.analysis.baselines import kmeans_codes, mfcc_kmeans

    size = model.config.codebook_size
    if (frames := sum(mapped.frames)) < size:
        logger.warning("%d frames are too few for %d clusters: no baselines", frames, size)
        return {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        untrained = type(model)(model.config, model.speakers).eval().to(options.device)

    @torch.no_grad()
    def latents(part: Part) -> list[np.ndarray]:
        return [
            untrained.latents(torch.from_numpy(waveform)[None].to(options.device))[0].cpu().numpy()
            for waveform in progress(part.waveforms, UNTRAINED)
        ]

    return {
        UNTRAINED: kmeans_codes(latents(mapped), latents(scored), size, options.seed),
        MFCC: mfcc_kmeans(
            mapped.waveforms,
            mapped.frames,
            scored.waveforms,
            scored.frames,
            model.sample_rate,
            model.hop_length,
            size,
            options.seed,
        ),
    }


def _score(model, mapped: Part, scored: Part, map_codes: list, score_codes: list):
    from speechvq.analysis.phonemes import score

    return score(
        np.concatenate(map_codes),
        np.concatenate(mapped.labels),
        np.concatenate(score_codes),
        np.concatenate(scored.labels),
        model.config.codebook_size,
        np.repeat(np.arange(len(scored.codes)), scored.frames),
    )


def _bitrate(model) -> float:
    return model.frame_rate * math.log2(model.config.codebook_size)


def _result(model, folder: Path, mapped: Part, scored: Part, rows: dict, options) -> dict:
    return {
        "model": str(folder),
        "codebook_size": model.config.codebook_size,
        "frame_rate": model.frame_rate,
        "bitrate": _bitrate(model),
        "phone_classes": rows[LEARNED].phone_classes,
        "map_on": mapped.manifest,
        "score_on": scored.manifest,
        "seed": options.seed,
        "codebook_well_used": _well_used(rows[LEARNED]),
        "scores": {name: dataclasses.asdict(scores) for name, scores in rows.items()},
    }


def _well_used(scores) -> bool:
    return scores.perplexity >= scores.codebook_size / WELL_USED


def _write(out: Path, model, mapped: Part, scored: Part, scores, result: dict) -> None:
    from speechvq.analysis.confusion import codes_png, confusion_png
    from speechvq.analysis.phonemes import code_to_phone
    from speechvq.analysis.table import code_table
    from speechvq.audio import write_bytes

    size = model.config.codebook_size
    map_codes, map_labels = np.concatenate(mapped.codes), np.concatenate(mapped.labels)
    score_codes, score_labels = np.concatenate(scored.codes), np.concatenate(scored.labels)
    phone_of_code = code_to_phone(map_codes, map_labels, size)
    what = f"{model.frame_rate:g} codes/s, K = {size}"
    write_bytes(out / "scores.json", (json.dumps(result, indent=1) + "\n").encode())
    write_bytes(out / "codes.tsv", code_table(map_codes, map_labels, size).encode())
    write_bytes(
        out / "confusion.png",
        confusion_png(
            score_labels,
            phone_of_code[score_codes],
            f"Phones, and what their codes stand for\n{what}, "
            f"{len(score_codes):,} frames not mapped on: {scores.accuracy:.1%} right",
        ),
    )
    write_bytes(
        out / "codes.png",
        codes_png(map_codes, map_labels, size, f"Which phones a code stands for: {what}"),
    )


def _report(model, folder: Path, mapped: Part, scored: Part, rows: dict, out: Path) -> None:
    from speechvq.analysis.table import score_table

    learned = rows[LEARNED]
    size = model.config.codebook_size
    print(f"model      {folder}")
    print(
        f"codes      K = {size}, {model.frame_rate:g} a second, {_bitrate(model):.0f} bits/s; "
        f"{learned.phone_classes} phone classes"
    )
    print(f"mapped on  {mapped.described()}")
    print(f"scored on  {scored.described()}\n")
    print(score_table(rows))
    if _well_used(learned):
        print(f"\ncodebook well used: perplexity {learned.perplexity:.1f} is over K/{WELL_USED}")
    else:
        print(
            f"\ncodebook poorly used: perplexity {learned.perplexity:.1f} is under K/{WELL_USED} = "
            f"{size / WELL_USED:g}; the scores are those of a smaller codebook"
        )
    print(f"written    {out}/: scores.json, codes.tsv, confusion.png, codes.png")
