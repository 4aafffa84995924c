"""Prior folders: a prior beside the model whose codes it has learned.

``prior/`` in a model folder, or a folder anywhere, holds ``config.yaml`` (keys `prior`, `data`,
`training`), ``model.safetensors`` and ``README.md``. The header of the weights says of which codes
the prior is, so that it is never asked for those of another model.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from speechvq.audio import write_together
from speechvq.checkpoint import CARD, CONFIG, SPEAKERS, WEIGHTS, built, fill, plain, read_weights
from speechvq.codes import Codebook
from speechvq.config import PriorConfig

if TYPE_CHECKING:
    from speechvq.models.prior import Prior

FOLDER = "prior"
"""Of a model folder, where its prior lies."""
CODES = "codes"
"""Of a prior folder, where the codes that it has learned from are kept."""
_FORMAT = "speechvq prior 1"


def save_prior(
    folder: str | os.PathLike, prior: Prior, codebook: Codebook, config: dict, card: str
) -> None:
    """Write a prior folder; all its files change or none.

    Parameters
    ----------
    folder
        Made when missing.
    prior
        Its weights and speakers are written.
    codebook
        What its codes refer to.
    config
        Plain values for ``config.yaml``, beside the key `prior`.
    card
        The model card, Markdown.
    """
    from safetensors.torch import save

    folder = Path(folder)
    described = plain(dataclasses.asdict(prior.config))
    header = {
        "format": _FORMAT,
        "prior": json.dumps(described),
        "speakers": json.dumps(prior.speakers, ensure_ascii=False),
        "codebook": json.dumps(dataclasses.asdict(codebook)),
    }
    tensors = {name: x.detach().cpu().contiguous() for name, x in prior.state_dict().items()}
    whole = {"prior": described, **plain(config)}
    text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
    write_together(
        {
            folder / CONFIG: text.encode(),
            folder / CARD: card.encode(),
            folder / WEIGHTS: save(tensors, metadata=header),
        }
    )


def copy_prior(model: str | os.PathLike, to: str | os.PathLike) -> None:
    """Copy the prior of a model folder, if it has one, to a copy of the model."""
    prior = Path(model) / FOLDER
    if not (prior / WEIGHTS).is_file():
        return
    files = (prior / name for name in (CONFIG, CARD, WEIGHTS))
    write_together({Path(to) / FOLDER / f.name: f.read_bytes() for f in files if f.is_file()})


def find_prior(folder: str | os.PathLike) -> Path:
    """The prior's folder: the one in a model folder, if it has one, else the folder itself."""
    folder = Path(folder)
    return folder / FOLDER if (folder / FOLDER / WEIGHTS).is_file() else folder


def load_prior(folder: str | os.PathLike, codebook: Codebook) -> Prior:
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
        Its file is damaged, or it has learned the codes of another model.
    """
    from speechvq.models.prior import Prior

    folder = find_prior(folder)
    path = folder / WEIGHTS
    if not path.is_file() or (folder / SPEAKERS).is_file():  # the latter is a model's
        raise FileNotFoundError(
            f"{folder}: no prior there; train one with: speechvq-train prior --model MODEL"
        )
    tensors, header = read_weights(path)
    if header.get("format") != _FORMAT:
        raise ValueError(
            f"{path}: not a prior of this version (format {header.get('format')!r}, expected "
            f"{_FORMAT!r}); pass --prior with a folder of speechvq-train prior"
        )
    try:
        config = built(PriorConfig, json.loads(header["prior"]), "prior")
        speakers = json.loads(header["speakers"])
        its = Codebook(**json.loads(header["codebook"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: its header is damaged ({error}); copy it again") from error
    if its != codebook:
        raise ValueError(
            f"{path}: learned from the codes of model {its.model}, and this model is "
            f"{codebook.model}; train a prior for it with: speechvq-train prior"
        )
    prior = Prior(config, codebook.codebook_size, speakers)
    fill(prior, tensors, path)
    return prior.eval()
