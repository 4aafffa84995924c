"""Model folders: write, find and read them, and build a model from one.

A model folder is ``model.safetensors``: the weights, and a header with the configuration and the
speakers. Nothing else is needed. ``config.yaml`` and ``speakers.json`` repeat the header for
people: no model is built from them. ``README.md`` is the model card. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from speechvq import hub
from speechvq.audio import write_bytes
from speechvq.codes import Codebook
from speechvq.config import ModelConfig
from speechvq.settings import RemovedError, build, plain
from speechvq.weights import (
    COPY_AGAIN,
    OTHER_VERSION,
    check_training,
    filled,
    make_header,
    parsed,
    read_header,
    speakers_of,
    write_weights,
)

if typing.TYPE_CHECKING:
    from speechvq.model import Model

logger = logging.getLogger(__name__)

CONFIG = "config.yaml"
WEIGHTS = "model.safetensors"
SPEAKERS = "speakers.json"
CARD = "README.md"

ENVIRONMENT = "SPEECHVQ_MODEL"
"""The environment variable that names a model folder."""
PRETRAINED = Path(__file__).parent / "pretrained"
"""The model that comes with the package."""

FORMAT = "speechvq 2"
PRIOR_FORMAT = "speechvq prior 2"
OTHER_PARTS = (
    f"import the module that defines this part, if it is not of speechvq; else {OTHER_VERSION}"
)
_WANTED = f"a model folder holds {WEIGHTS}"


def save_model(
    folder: str | os.PathLike[str], model: Model, config: dict[str, Any], card: str
) -> None:
    """Write a model folder.

    Each file appears whole or not at all, and the weights come last: when the process is killed,
    the folder is the previous model, or no model if there was none.

    Parameters
    ----------
    folder
        Made when missing.
    model
        Its weights, configuration and speakers are written.
    config
        Whatever else the header is to keep, as dataclasses or plain values: sections such as
        `data` and `training`. The key `model` is set from
        `model.config`.
    card
        The model card, Markdown.
    """
    folder = Path(folder)
    others = {key: value for key, value in config.items() if key != "model"}
    whole = plain({"model": model.config, **others})
    header = make_header(FORMAT, whole, model.speakers)
    export_config(folder, whole)
    export_speakers(folder, model.speakers)
    write_bytes(folder / CARD, card.encode())
    write_weights(folder / WEIGHTS, model.state_dict(), header)


def check_free(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder for a new model, or prior, where there are files that it would overwrite.

    Raises
    ------
    FileExistsError
        A file there has the name of one of a model's.
    """
    for path in (Path(folder, name) for name in (WEIGHTS, CONFIG, SPEAKERS, CARD)):
        if path.exists():
            raise FileExistsError(f"{path}: would be overwritten; name another folder with --out")


def load_model(folder: str | os.PathLike[str], device: str = "cpu") -> Model:
    """Build the model of a folder, in eval mode.

    Parameters
    ----------
    folder
        A model folder.
    device
        "cpu", "cuda", "cuda:1" or another device of PyTorch's.

    Raises
    ------
    FileNotFoundError
        The folder or its weights are missing.
    ValueError
        The weights are damaged or of another version; the message begins with their path. Or a
        device that cannot be used.
    """
    from speechvq.distributed import usable_device
    from speechvq.model import Model

    folder = Path(folder)
    values, speakers = read_config(folder), read_speakers(folder)
    path = folder / WEIGHTS
    try:
        config = build_config(values["model"])
    except RemovedError as error:
        raise ValueError(f"{path}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {OTHER_PARTS}") from error
    model = filled(lambda: Model(config, speakers), path)
    return model.eval().to(usable_device(device))


def load(folder: str | os.PathLike[str] | None = None, device: str = "cpu") -> Model:
    """Load the model of a folder, or the one that `find_model` finds; in eval mode.

    Examples
    --------
    >>> model = speechvq.load("exp/vctk/vqvae")  # doctest: +SKIP
    """
    return load_model(find_model(folder), device)


def find_model(model: str | os.PathLike[str] | None = None) -> Path:
    """Decide which model folder a command uses, and log which rule chose it.

    In this order: the folder given; the environment's ``SPEECHVQ_MODEL``; the newest model that a
    recipe trained below ``exp/`` of the working folder (``exp/*/`` and ``exp/*/*/``, by the time
    of its weights); the model inside the package. ``hf://OWNER/NAME`` in place of a folder is
    fetched from the Hugging Face Hub (`speechvq.hub`).

    Raises
    ------
    FileNotFoundError
        The folder that was given, or that the environment names, is not a model folder.
    ValueError, OSError
        As `hub.local_folder`.
    """
    if model is not None:
        folder, rule = hub.local_folder(model), "as given"
        _require(folder)
    elif os.environ.get(ENVIRONMENT):
        folder, rule = hub.local_folder(os.environ[ENVIRONMENT]), f"from {ENVIRONMENT}"
        try:
            _require(folder)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{ENVIRONMENT}: {error}") from error
    elif (newest := _newest_below(Path("exp"))) is not None:
        folder, rule = newest, "newest below exp/"
    else:
        folder, rule = PRETRAINED, "inside the package"
    logger.info("model: %s (%s)", folder, rule)
    return folder


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The configuration of a model folder as plain values, from the header of its weights.

    The key `model` is there; others, such as `data` and `training`, as they were saved.

    Raises
    ------
    FileNotFoundError
        There is no such model folder.
    ValueError
        The weights or their header are damaged, or of another version.
    """
    path = _require(folder)
    config = parsed(path, _checked_header(path), "config", dict)
    if not isinstance(config.get("model"), dict):
        raise ValueError(f"{path}: its header is damaged (no model in 'config'); {COPY_AGAIN}")
    check_training(path, config)
    return config


def steps_of_stages(config: dict[str, Any]) -> list[str]:
    """Steps and name of each stage of a configuration that has any: "12,000 codes"."""
    stages = [stage for stage in config.get("stages") or () if stage.get("steps")]
    return [f"{stage['steps']:,} {stage.get('name') or stage['objective']}" for stage in stages]


def read_speakers(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the speakers of a model folder; a name's place is its index in the embedding.

    Raises
    ------
    FileNotFoundError
        There is no such model folder.
    ValueError
        The weights or their header are damaged, or of another version.
    """
    path = _require(folder)
    return speakers_of(path, _checked_header(path))


def build_config(values: dict[str, Any]) -> ModelConfig:
    """Check plain values, as YAML gives them, and build a configuration from them.

    A key left out takes its default.

    Raises
    ------
    ValueError
        An unknown key, a wrong type or a value out of range; the message begins with the key's
        path, such as ``model.decoder.wavenet.layers``.
    """
    return build(ModelConfig, values, "model")


def fingerprint(model: Model) -> str:
    """Twelve hexadecimal digits that identify the meaning of a model's codes.

    A SHA-256 of the sample rate, the hop length, and every tensor of the encoder (its feature front
    end included) and the codebook. The tensors are hashed as float32, with their shapes, in the
    order of their own digests, so that the names of modules do not matter. Two models that differ
    only in which of two tensors of one shape stands where are therefore not told apart.

    Training the decoder further or enrolling a speaker keeps the fingerprint, and so the codes.
    """
    vqvae = model.vqvae
    parts = [*model.features.state_dict().values(), *vqvae.encoder.state_dict().values()]
    tensors = [*parts, *vqvae.quantizer.codebooks]
    digests = []
    for tensor in tensors:
        values = tensor.detach().float().cpu().numpy().astype("<f4")
        digests.append(hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).digest())
    sha = hashlib.sha256(f"{model.sample_rate} {model.hop_length}".encode())
    sha.update(b"".join(sorted(digests)))
    return sha.hexdigest()[:12]


def codebook_of(model: Model) -> Codebook:
    """What the codes of a model refer to."""
    K, G = model.codebook_size, model.codebooks
    return Codebook(K, model.hop_length, model.sample_rate, fingerprint(model), G)


def export_config(folder: Path, config: dict[str, Any]) -> None:
    """Write the configuration as ``config.yaml``, for people."""
    text = yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)
    write_bytes(folder / CONFIG, text.encode())


def export_speakers(folder: Path, speakers: Sequence[str]) -> None:
    """Write the speakers as ``speakers.json``, for people."""
    entries = [{"name": name} for name in speakers]
    text = json.dumps(entries, ensure_ascii=False, indent=1) + "\n"
    write_bytes(folder / SPEAKERS, text.encode())


def _checked_header(path: Path) -> dict[str, str]:
    """The header of a model's weights; ValueError for those of something else."""
    header = read_header(path)
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path}: not the weights of a model of this version "
            f"(format {header.get('format')!r}, expected {FORMAT!r})"
        )
    return header


def _require(folder: str | os.PathLike[str]) -> Path:
    """The weights of a model folder; FileNotFoundError if there are none."""
    folder = Path(folder)
    if not folder.is_dir():
        what = "a file, not a model folder" if folder.exists() else "no such model folder"
        raise FileNotFoundError(f"{folder}: {what}; {_WANTED}")
    if not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(f"{folder}: no {WEIGHTS} in it; {_WANTED}")
    return folder / WEIGHTS


def _newest_below(root: Path) -> Path | None:
    """The model folder one or two levels below `root` whose weights are the newest."""
    weights = [*root.glob(f"*/{WEIGHTS}"), *root.glob(f"*/*/{WEIGHTS}")]
    found = [w for w in weights if "checkpoints" not in w.parts and not _is_prior(w)]
    newest = max(found, key=lambda w: (w.stat().st_mtime_ns, str(w.parent)), default=None)
    return None if newest is None else newest.parent


def _is_prior(path: Path) -> bool:
    """Whether a file of weights is a prior's; a damaged one is not, so that it is reported."""
    try:
        return read_header(path).get("format") == PRIOR_FORMAT
    except (OSError, ValueError):
        return False
