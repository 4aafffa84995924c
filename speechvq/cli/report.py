"""speechvq-report: what a model does, on one page."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from speechvq import audio
from speechvq.cli.errors import OK, Parser, command

if TYPE_CHECKING:
    from speechvq.analysis.report import Section, Sound

logger = logging.getLogger(__name__)

EMBEDDED = 1 << 20
"""Bytes of the largest sound that is put into the page; larger ones are linked."""

EXAMPLES = """\
examples:
  speechvq-report
  speechvq-report --model exp/mine/vqvae --out mine.html

The page is one HTML file: small sounds and all pictures are inside it, larger sounds are linked.
What is not there yet, such as the wavs before anything was converted, is left out, and the page
says so.
The model is the folder given with --model; else the one that SPEECHVQ_MODEL names; else the newest
below exp/ of the working folder; else the one inside the package. stderr says which it was.
"""

_NAME = re.compile(r"(?P<id>.+?)-(?P<kind>original|reconstruction|to-(?P<speaker>.+))")


def parser() -> Parser:
    """The options of speechvq-report."""
    parser = Parser("report", "Show on one page what a model has learned.", EXAMPLES)
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: see below)")
    add("--wavs", metavar="DIR", help="sounds to play (default: wavs beside the model)")
    add(
        "--phonemes",
        metavar="DIR",
        help="what speechvq-analyze phonemes wrote (default: phonemes beside the model)",
    )
    add(
        "--babble",
        metavar="DIR",
        help="samples, and what speechvq-analyze prior wrote (default: babble beside the model)",
    )
    add("--out", metavar="FILE", help="page to write (default: report.html beside the model)")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Gather what there is of a model and write the page."""
    options = parser().parse_args(argv)

    from speechvq.analysis.report import page
    from speechvq.model_folder import CARD, build_config, find_model, read_config

    model = find_model(options.model)
    beside = Path(os.path.abspath(model)).parent
    wavs = _folder(options.wavs, "--wavs", beside / "wavs")
    phonemes = _folder(options.phonemes, "--phonemes", beside / "phonemes")
    babble = _folder(options.babble, "--babble", beside / "babble")
    out = Path(options.out) if options.out else beside / "report.html"
    if out.is_dir():
        raise IsADirectoryError(f"--out {out}: a folder; name a file such as {out}/report.html")

    whole = read_config(model)
    config = build_config(whole["model"])
    records = _records(model / "metrics.jsonl")
    card = model / CARD
    card_text = card.read_text("utf-8") if card.is_file() else ""
    sections = [
        _sounds(wavs, _texts(whole), out),
        _scores(phonemes),
        _babble(babble, out),
        _training(records, config.codebook_size),
        _described(config, whole, records, card_text),
    ]
    subtitle = (
        f"{config.frame_rate:g} codes per second, each one of {config.codebook_size}, "
        f"from {config.sample_rate} Hz speech."
    )
    text = page(f"speechvq: {_shown(model)}", subtitle, sections)
    audio.write_bytes(out, text.encode())
    for section in sections:
        for line in section.missing:
            logger.warning("not on the page: %s", line)
    print(out)
    return OK


def _folder(given: str | None, option: str, default: Path) -> Path:
    if given is not None and Path(given).exists() and not Path(given).is_dir():
        raise NotADirectoryError(f"{option} {given}: a file, where a folder was expected")
    return default if given is None else Path(given)


def _shown(path: Path) -> str:
    """A path as it is easiest to read: relative where it lies below the working folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _records(path: Path) -> list[dict]:
    """The lines of a metrics file; a last line that was cut off is passed over."""
    records = []
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                logger.warning("%s: a line that is not JSON is passed over", path)
    return records


def _texts(whole: dict) -> dict[str, str]:
    """What is said in the test utterances, by id, where the manifest is still there."""
    from speechvq.data.manifest import read_manifest

    path = (whole.get("data") or {}).get("test")
    if not path or not Path(path).is_file():
        return {}
    try:
        return {u.id: u.text for u in read_manifest(path) if u.text}
    except ValueError:
        return {}


def _sounds(folder: Path, texts: dict[str, str], out: Path) -> Section:
    """Originals beside what the model makes of them, by utterance."""
    from speechvq.analysis.report import Section, SoundGroup

    title = "Speech"
    order = {"original": 0, "reconstruction": 1}
    groups: dict[str, list[tuple]] = {}
    paths = audio.find(folder) if folder.is_dir() and any(folder.iterdir()) else []
    for path in paths:
        match = _NAME.fullmatch(path.stem)
        id, kind = (match["id"], match["kind"]) if match else ("other sounds", path.stem)
        caption = f"in the voice of {match['speaker']}" if match and match["speaker"] else kind
        groups.setdefault(id, []).append((order.get(kind, 2), caption, path))
    if not groups:
        missing = f"no sounds in {folder}; stage 4 of the recipe makes them"
        return Section(title, missing=[missing])
    found: list[SoundGroup] = []
    for id, sounds in groups.items():
        sounds.sort(key=lambda sound: sound[:2])
        found.append(
            SoundGroup(
                id, texts.get(id), [_sound(caption, path, out) for _, caption, path in sounds]
            )
        )
    intro = (
        "Sentences that the model was not trained on. A reconstruction is what the decoder makes "
        "of the codes in the speaker's own voice, a conversion what it makes of the same codes in "
        "another."
    )
    return Section(title, intro, groups=found)


def _sound(caption: str, path: Path, out: Path) -> Sound:
    from speechvq.analysis.report import Sound, data_uri

    waveform, sample_rate = audio.read(path)
    kinds = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}
    if path.stat().st_size <= EMBEDDED:
        source = data_uri(path.read_bytes(), kinds[path.suffix.lower()])
    else:
        source = quote(os.path.relpath(path, out.parent))
    return Sound(caption, source, waveform, sample_rate)


def _scores(folder: Path) -> Section:
    """The scores of the codes beside their baselines, and the pictures."""
    from speechvq.analysis.report import Section, Table

    title = "Codes and phonemes"
    path = folder / "scores.json"
    if not path.is_file():
        return Section(title, missing=[f"no {path}; speechvq-analyze phonemes writes it"])
    try:
        result = json.loads(path.read_text("utf-8"))
        rows = [_score_row(name, scores) for name, scores in result["scores"].items()]
        notes = [
            f"K = {result['codebook_size']}, {result['frame_rate']:g} codes a second, "
            f"{result['bitrate']:.0f} bits/s, {result['phone_classes']} phone classes; scores at "
            "other values cannot be compared with these.",
            f"Mapped on {result['map_on']}, scored on {result['score_on']}.",
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: damaged ({error}); run speechvq-analyze phonemes again"
        ) from error
    if result.get("codebook_well_used") is False:
        notes.append("The codebook is poorly used: its perplexity is under K/4.")
    captions = {
        "confusion.png": "How the frames of each phone are spread over the phones of their codes.",
        "codes.png": "What phones each code stands for.",
    }
    found = [(text, folder / name) for name, text in captions.items()]
    pictures = [(text, picture.read_bytes()) for text, picture in found if picture.is_file()]
    missing = [
        f"no {picture}; speechvq-analyze phonemes draws it"
        for _, picture in found
        if not picture.is_file()
    ]
    codes = folder / "codes.tsv"
    folded = []
    if codes.is_file():
        folded.append(("Every code and its phones", codes.read_text("utf-8").expandtabs(9)))
    intro = (
        "Every code is mapped to its most likely phone on one part of the data, and the map is "
        "scored on sentences of another part. Chance is the score of always saying the most likely "
        "phone."
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


def _babble(folder: Path, out: Path) -> Section:
    """New speech from the prior, and what the prior knows."""
    from speechvq.analysis.report import Section, SoundGroup, Table

    title = "Babble"
    path = folder / "scores.json"
    if not path.is_file():
        return Section(title, missing=[f"no {path}; speechvq-analyze prior writes it"])
    try:
        result = json.loads(path.read_text("utf-8"))
        rate, bound = result["frame_rate"], result["decoder_bits_per_second"]
        rows = [
            [
                name,
                f"{its['value']:.3f}",
                f"{its['value'] * rate:.1f}",
                f"{its['value'] * rate + bound:,.0f}",
            ]
            for name, its in result["bits_per_code"].items()
        ]
        apart = [
            f"{row}, from held-out speech: "
            + ", ".join(f"{name} {its['value']:.3f}" for name, its in found.items())
            for row, found in result["divergences"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: damaged ({error}); run speechvq-analyze prior again") from error
    sounds = [_sound(path.stem, path, out) for path in sorted(folder.glob("*.wav"))]
    picture = folder / "babble.png"
    pictures = []
    if picture.is_file():
        pictures = [("Codes that nobody has said, beside held-out speech.", picture.read_bytes())]
    intro = (
        "What nobody has said: codes drawn from the prior, one after the other, and speech drawn "
        "from the decoder. The fewer bits a prior needs for held-out codes, the more it knows."
    )
    notes = ["Jensen-Shannon divergences, in bits. " + "; ".join(apart) + "."] if apart else []
    return Section(
        title,
        intro,
        table=Table(("prior", "bits per code", "bits/s of codes", "bits/s in all"), rows),
        groups=[SoundGroup("from the prior", None, sounds)] if sounds else [],
        notes=notes,
        pictures=pictures,
    )


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
    for measure in _MEASURES:
        value = scores[measure]
        if measure == "codes_used":
            row.append(f"{value} of {scores['codebook_size']}")
        else:
            row.append(f"{value:.1f}" if measure == "perplexity" else f"{value:.3f}")
    if scores.get("accuracy_interval"):
        low, high = scores["accuracy_interval"]
        row[1] += f" ({low:.3f} to {high:.3f})"
    return row


def _training(records: list[dict], codebook_size: int) -> Section:
    """Curves of the losses and of the use of codes."""
    from speechvq.analysis.report import Section, curves_png

    picture = curves_png(records, codebook_size)
    if picture is None:
        missing = "no training curves: the model folder has no metrics.jsonl with numbers in it"
        return Section("Training", missing=[missing])
    phases = list(dict.fromkeys(record.get("phase", "") for record in records))
    intro = "Phases: " + ", then ".join(filter(None, phases)) + "." if len(phases) > 1 else ""
    caption = "Losses (lower is better) and the perplexity of the codes, by training step."
    return Section("Training", intro, pictures=[(caption, picture)])


def _described(config, whole: dict, records: list[dict], card: str) -> Section:
    """What the model is and how it was trained."""
    from speechvq.analysis.report import Section, Table

    training = whole.get("training") or {}
    steps = [
        f"{training[name]['steps']:,} {name}"
        for name in ("spectral", "likelihood")
        if isinstance(training.get(name), dict) and training[name].get("steps")
    ]
    strides = " x ".join(map(str, config.strides))
    wavenet = config.wavenet
    rows = [
        ("samples per code", f"{config.hop_length} = {strides}"),
        ("codebook", f"K = {config.codebook_size}, D = {config.codebook_dim}"),
        (
            "decoder",
            f"WaveNet, {wavenet.layers} layers, {wavenet.residual_channels} residual and "
            f"{wavenet.skip_channels} skip channels; sees {wavenet.receptive_field} samples back",
        ),
    ]
    if steps:
        rows.append(("training steps", " + ".join(steps)))
    # What the last validation of each phase found
    for name, title, form in (
        ("latent_loss", "loss of the latents, validation", "{:.3f}"),
        ("spectral_loss", "spectral loss, validation", "{:.3f}"),
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


if __name__ == "__main__":
    raise SystemExit(main())
