"""What the page shows of a model: the files beside it, read."""

from __future__ import annotations

import logging
import math
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from speechvq.analysis.stored import stored
from speechvq.config import DecoderConfig, ModelConfig, WaveNetDecoderConfig
from speechvq.model_folder import (
    CARD,
    PRETRAINED,
    build_config,
    read_config,
    steps_of_stages,
)
from speechvq.report.code_map import read_code_map
from speechvq.report.figures import rendered
from speechvq.report.page import Highlight, Page
from speechvq.report.pictures import curves_figure
from speechvq.report.players import find_codes, find_players, find_utterances
from speechvq.report.scores import Analysis, find_analyses, number
from speechvq.training.metrics import FILE, read_records

logger = logging.getLogger(__name__)

SAMPLES = "generation"
"""Folder of samples from a prior."""


def page_of(folder: Path, results: Path) -> Page:
    """Collect what there is about a model.

    Parameters
    ----------
    folder
        The model.
    results
        Folder of sounds, codes and analyses.

    Raises
    ------
    ValueError, OSError
        The model or a file of scores is damaged or cannot be read.
    """
    whole = read_config(folder)
    config = build_config(whole["model"])
    records = read_records(folder / FILE)
    card = folder / CARD
    quantizer = config.quantizer
    files = [*sorted(results.glob("codes/*.txt")), *results.glob(f"{SAMPLES}/codes.txt")]
    codes = find_codes(files, config)
    test = (whole.get("data") or {}).get("test")
    utterances = find_utterances([test, results / "data/test.jsonl"])
    meanings = read_code_map(results / "phonemes/codes.csv") if quantizer.codebooks == 1 else {}
    speech, samples = (
        find_players(results / name, utterances, codes, config.frame_rate, meanings)
        for name in ("wavs", SAMPLES)
    )
    analyses = find_analyses(results)
    figure = curves_figure(records, quantizer.codebook_size)
    stages = list(dict.fromkeys(filter(None, (record.get("stage") for record in records))))
    page = Page(
        title=_title(folder),
        subtitle=f"{config.frame_rate:g} codes per second, of {quantizer.description}, "
        f"from {config.sample_rate} Hz speech.",
        highlights=list(_highlights(config, analyses, records)),
        speech=speech,
        samples=samples,
        codes=meanings,
        analyses=list(analyses.values()),
        curves=None if figure is None else rendered(figure, "svg"),
        stages="Stages: " + ", then ".join(stages) + "." if len(stages) > 1 else "",
        facts=list(_facts(config, whole)),
        card=card.read_text("utf-8", "replace") if card.is_file() else "",
        missing={},
    )
    page.missing.update(_missing(page, folder, results))
    return page


def _title(folder: Path) -> str:
    if folder.resolve() == PRETRAINED.resolve():
        return "speechvq: the model in the package"
    relative = os.path.relpath(folder)
    return f"speechvq: {folder if relative.startswith('..') else relative}"


HIGHLIGHTS: Iterable[tuple[str, tuple[str, ...], Callable[[float], str], str, str]] = (
    (
        "phonemes", ("scores", "learned codes", "accuracy"), "{:.1%}".format, "phone accuracy",
        "Share of the codes that stand for the phone that is spoken.",
    ),
    (
        "conversion", ("WER", "conversion", "WER"), "{:.0%}".format, "WER of conversions",
        "Wrong, missing and added words for each word said, by a speech recogniser.",
    ),
    (
        "conversion", ("speaker", "conversion", "similarity to target"), number,
        "similarity to the target",
        "Cosine of speaker embeddings; two recordings of one person have some 0.95.",
    ),
    (
        "generation", ("bits_per_code", "prior"), "{:.2f}".format, "bits per code of the prior",
        "Needed for held-out speech: as if it chose among 2 to this power of codes.",
    ),
)  # fmt: skip
"""Numbers at the top: the analysis, where in its scores, format, name, meaning."""


def _highlights(
    config: ModelConfig, analyses: Mapping[str, Analysis], records: list[dict[str, Any]]
) -> Iterable[Highlight]:
    """The most important numbers that there are."""
    yield Highlight(
        f"{config.bitrate:,.0f} bit/s",
        "rate of the codes",
        f"16-bit samples have {16 * config.sample_rate / config.bitrate:,.0f} times as many bits.",
    )
    for name, path, form, title, meaning in HIGHLIGHTS:
        found = stored(analyses[name].scores, *path) if name in analyses else None
        if found is None:
            continue
        text = form(found.value)
        if math.isfinite(found.low + found.high):
            text += f" ({form(found.low)} to {form(found.high)})"
        yield Highlight(text, title, meaning)
    valid = [r for r in records if r.get("kind") == "valid"]
    for name, layout, title, meaning in (
        ("bits_per_sample", "{:.2f}", "bits per sample", "Needed by the decoder for held-out "
         "speech, given its codes; mu-law has 8."),
        ("perplexity", "{:.0f}", "perplexity of the codes", "Codes in use, each counted by how "
         f"often it is used, of {config.quantizer.codebook_size}."),
    ):  # fmt: skip
        values = [record[name] for record in valid if name in record]
        if values:
            yield Highlight(layout.format(values[-1]), title, meaning)


def _facts(config: ModelConfig, whole: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """The model's dimensions and its training."""
    quantizer = config.quantizer
    yield "samples per code", f"{config.hop_length}"
    encoder, features = (getattr(part, part.TAG) for part in (config.encoder, config.features))
    yield "encoder", f"{encoder}, of features: {features}"
    yield "codebook", f"{quantizer.description}, D = {quantizer.codebook_dim}"
    yield "decoder", _decoder(config.decoder)
    if steps := steps_of_stages(whole):
        yield "training steps", " + ".join(steps)


def _decoder(config: DecoderConfig) -> str:
    """The dimensions of a decoder."""
    if not isinstance(config, WaveNetDecoderConfig):
        return type(config).__name__
    wavenet = config.wavenet
    return (
        f"WaveNet, {wavenet.layers} layers, {wavenet.residual_channels} residual and "
        f"{wavenet.skip_channels} skip channels; receptive field {wavenet.receptive_field}"
    )


def _missing(page: Page, folder: Path, results: Path) -> Iterable[tuple[str, list[str]]]:
    """What there is not yet, with the commands that make it."""
    model = f"--model {shlex.quote(str(folder))}"
    wavs, codes, samples = (shlex.quote(str(results / name)) for name in ("wavs", "codes", SAMPLES))
    if not page.speech:
        yield (
            f"Speech: no sounds in {results / 'wavs'}; stage 4 of a recipe makes them, or",
            [
                f"mkdir -p {wavs} && cp a.wav {wavs}/a-original.wav",
                f"speechvq-convert {model} --src a.wav --speaker NAME --out {wavs}/a-to-NAME.wav",
                f"speechvq-encode {model} --src a.wav --out {codes}/a.txt",
            ],
        )
    elif not any(player.frame_rate for player in page.speech):
        yield (
            "The codes of the sounds",
            [f"speechvq-encode {model} --manifest FILE --out {codes}/test.txt"],
        )
    there = {analysis.name for analysis in page.analyses}
    for name, title in (("phonemes", "Codes and phones"), ("conversion", "Judges of conversions")):
        if name not in there:
            out = shlex.quote(str(results / name))
            yield title, [f"speechvq-analyze {name} {model} --out {out}"]
    if SAMPLES not in there:
        drawn = f"--out {samples} --codes {samples}/codes.txt"
        yield (
            "A prior and its samples",
            [
                f"speechvq-sample {model} --speaker NAME --count 3 {drawn}",
                f"speechvq-analyze prior {model} --codes {codes} --out {samples}",
            ],
        )
    if page.curves is None:
        yield "Training curves: the model folder has no metrics.jsonl with numbers in it", []
    if not page.card:
        yield "Model card: the model folder has no README.md", []
