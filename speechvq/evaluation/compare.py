"""Models side by side: their configurations, and what has been measured of them already."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechvq import model_folder
from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.stored import stored
from speechvq.json_reader import parse_json
from speechvq.training.metrics import FILE, read_records

logger = logging.getLogger(__name__)

SCORES = {
    "phone accuracy": (".3f", "scores", "learned codes", "accuracy"),
    "PNMI": (".3f", "scores", "learned codes", "pnmi"),
    "ABX error within speakers": (".1%", "scores", "codes", "within", "error"),
    "ABX error across speakers": (".1%", "scores", "codes", "across", "error"),
    "speaker told by codes": (".0%", "probes", "code histograms", "linear"),
    "bits per sample": (".3f", "bits_per_sample"),
    "LSD, dB": (".2f", "scores", "spectrum", "reconstruction", "LSD, dB"),
    "MCD, dB": (".2f", "scores", "spectrum", "reconstruction", "MCD, dB"),
    "STOI": (".2f", "scores", "STOI", "reconstruction", "STOI"),
    "ViSQOL": (".2f", "scores", "ViSQOL", "reconstruction", "ViSQOL"),
    "F0 RMSE, cents": (".0f", "scores", "pitch error", "reconstruction", "F0 RMSE, cents"),
    "WER of conversions": (".0%", "WER", "conversion", "WER"),
    "PER of conversions": (".0%", "PER", "conversion", "PER"),
    "similarity to target": (".2f", "speaker", "conversion", "similarity to target"),
    "identification accuracy": (".0%", "speaker", "conversion", "identification accuracy"),
    "DNSMOS of conversions": (".2f", "DNSMOS", "conversion", "overall"),
    "prior, bits per code": (".2f", "bits_per_code", "prior"),
}
"""By its name, the format of a score, and where it lies in a ``scores.json``."""

METRICS = {
    "validation, bits per sample": ("bits_per_sample", ".3f"),
    "validation, loss": ("loss", ".3f"),
    "perplexity": ("perplexity", ".1f"),
    "codes unused": ("dead_codes", ".0f"),
}
"""Of the best validation of the last stage: the name of a metric, and its format."""


@dataclass(frozen=True)
class Compared:
    """What is known of one model.

    Attributes
    ----------
    folder : Path
    facts : dict
        Of the configuration, as text by name.
    numbers : dict
        Estimates by name, of validation and analyses; those that there are not are absent.
    sources : list of Path
        The ``scores.json`` that the numbers come from.
    """

    folder: Path
    facts: dict[str, str]
    numbers: dict[str, Estimate]
    sources: list[Path]


FORMATS = {name: form for name, (_, form) in METRICS.items()}
FORMATS |= {name: form for name, (form, *_) in SCORES.items()}
"""Of all numbers, in the order of the table."""


def compare_models(folders: Sequence[str | Path]) -> list[Compared]:
    """Read what there is of several models; one that cannot be read is reported and left out.

    Raises
    ------
    ValueError, OSError
        None of them can be read.
    """
    found, faults = [], []
    for folder in dict.fromkeys(map(Path, folders)):
        try:
            found.append(_compared(folder))
        except (ValueError, OSError) as error:
            faults.append(error)
    if not found:
        raise faults[0]
    for fault in faults:
        logger.error("%s; left out", fault)
    return found


def _compared(folder: Path) -> Compared:
    values, speakers = model_folder.read_config(folder), model_folder.read_speakers(folder)
    config = model_folder.build_config(values["model"])
    quantizer = config.quantizer
    facts = {
        "codes a second": f"{config.frame_rate:g}",
        "K": f"{quantizer.codebook_size}",
        "G": f"{quantizer.codebooks}",
        "bits/s": f"{config.bitrate:,.0f}",
        "weights": f"{_weights(folder):,}",
        "speakers": f"{len(speakers)}",
        "training steps": ", ".join(model_folder.steps_of_stages(values)) or "-",
    }
    sources = _sources(folder)
    numbers = _metrics(folder / FILE)
    for name, (_, *path) in SCORES.items():
        for scores in sources.values():
            if (estimate := stored(scores, *path)) is not None:
                numbers[name] = estimate
                break
    return Compared(folder, facts, numbers, list(sources))


def _weights(folder: Path) -> int:
    """Numbers in the file of weights."""
    from safetensors import safe_open

    with safe_open(folder / model_folder.WEIGHTS, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _sources(folder: Path) -> dict[Path, dict[str, Any]]:
    """The analyses that lie beside a model; of the packaged one, in the working folder."""
    packaged = folder.resolve() == model_folder.PRETRAINED.resolve()
    beside = Path() if packaged else folder.parent
    found = {}
    for path in sorted(beside.glob("*/scores.json")):
        try:
            scores = parse_json(path.read_bytes(), dict)
            of_it = Path(scores["model"]).resolve() == folder.resolve()
        except (OSError, ValueError, TypeError, KeyError):
            continue  # of something else
        if of_it:
            found[path] = scores
    return found


def _metrics(path: Path) -> dict[str, Estimate]:
    """The best validation of the last stage in a ``metrics.jsonl``, if there is one."""
    records = [record for record in read_records(path) if record.get("kind") == "valid"]
    if not records:
        return {}
    of_last = [r for r in records if r.get("stage") == records[-1].get("stage")]
    best = min(of_last, key=_score)
    return {
        name: Estimate(best[key], math.nan, math.nan, utterances=0)
        for name, (key, _) in METRICS.items()
        if key in best
    }


def _score(record: Mapping[str, Any]) -> float:
    """What the best checkpoint is chosen by: the lowest."""
    return record.get("bits_per_sample", record.get("loss", math.inf))
