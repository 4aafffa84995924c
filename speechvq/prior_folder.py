"""Prior folders: a prior beside the model whose codes it was trained on.

``prior/`` in a model folder, or a folder anywhere, holds ``model.safetensors``, whose header has
the prior's configuration, its speakers and what its codes refer to, so that it is never used with
the codes of another model. ``config.yaml`` repeats the configuration for people; ``README.md`` is
the model card.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.audio import write_bytes
from speechvq.codes import Codebook
from speechvq.config import PriorConfig
from speechvq.model_folder import (
    CARD,
    CONFIG,
    FORMAT,
    PRIOR_FORMAT,
    WEIGHTS,
    check_free,
    export_config,
)
from speechvq.settings import build, plain
from speechvq.weights import (
    COPY_AGAIN,
    filled,
    make_header,
    parsed,
    read_header,
    speakers_of,
    write_weights,
)

if TYPE_CHECKING:
    from speechvq.models.prior import Prior

FOLDER = "prior"
"""Of a model folder, where its prior lies."""
CODES = "codes"
"""Of a prior folder, where the codes that it was trained on are kept."""


def save_prior(
    folder: str | os.PathLike[str],
    prior: Prior,
    codebook: Codebook,
    config: dict[str, Any],
    card: str,
) -> None:
    """Write a prior folder; each file appears whole or not at all, and the weights come last.

    Parameters
    ----------
    folder
        Made when missing.
    prior
        Its weights, configuration and speakers are written.
    codebook
        What its codes refer to.
    config
        Whatever else the header is to keep, beside the key `prior`.
    card
        The model card, Markdown.
    """
    folder = Path(folder)
    whole = {"prior": plain(prior.config), **plain(config)}
    header = make_header(PRIOR_FORMAT, whole, prior.speakers, codebook=plain(codebook))
    export_config(folder, whole)
    write_bytes(folder / CARD, card.encode())
    write_weights(folder / WEIGHTS, prior.state_dict(), header)


def check_free_for_copy(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder for a copy of a model with its prior, as `model_folder.check_free`."""
    for part in (Path(folder), Path(folder) / FOLDER):
        check_free(part)


def copy_prior(model: str | os.PathLike[str], to: str | os.PathLike[str]) -> None:
    """Copy the prior of a model folder, if it has one, to a copy of the model."""
    prior = Path(model) / FOLDER
    if not (prior / WEIGHTS).is_file():
        return
    for name in (CONFIG, CARD, WEIGHTS):
        if (prior / name).is_file():
            write_bytes(Path(to) / FOLDER / name, (prior / name).read_bytes())


def find_prior(folder: str | os.PathLike[str]) -> Path:
    """The prior's folder: the one in a model folder, if it has one, else the folder itself."""
    folder = Path(folder)
    return folder / FOLDER if (folder / FOLDER / WEIGHTS).is_file() else folder


def load_prior(folder: str | os.PathLike[str], codebook: Codebook) -> Prior:
    """The prior of a folder, in eval mode on the CPU.

    Parameters
    ----------
    folder
        A prior folder, or a model folder with one in it.
    codebook
        What the codes that are wanted refer to.

    Raises
    ------
    FileNotFoundError
        There is no prior.
    ValueError
        Its file is damaged, or it was trained on the codes of another model.
    """
    from speechvq.models.prior import Prior

    folder = find_prior(folder)
    path = folder / WEIGHTS
    header = read_header(path) if path.is_file() else {"format": FORMAT}
    if header.get("format") == FORMAT:  # a model without a prior
        raise FileNotFoundError(
            f"{folder}: no prior there; train one with: speechvq-train prior --model MODEL"
        )
    if header.get("format") != PRIOR_FORMAT:
        raise ValueError(
            f"{path}: not a prior of this version (format {header.get('format')!r}, expected "
            f"{PRIOR_FORMAT!r}); pass --prior with a folder of speechvq-train prior"
        )
    try:
        config = build(PriorConfig, parsed(path, header, "config", dict).get("prior"), "prior")
        trained_on = build(Codebook, parsed(path, header, "codebook", dict), "codebook")
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: its header is damaged ({error}); {COPY_AGAIN}") from error
    if trained_on != codebook:
        raise ValueError(
            f"{path}: trained on the codes of model {trained_on.model}, and this model is "
            f"{codebook.model}; train a prior for it with: speechvq-train prior"
        )
    speakers = speakers_of(path, header)
    K, G = codebook.codebook_size, codebook.codebooks
    return filled(lambda: Prior(config, K, speakers, G), path).eval()
