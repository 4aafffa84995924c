"""Adding a speaker to a model folder: all that is not the speaker's own stays bit for bit."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from speechvq.audio import write_bytes
from speechvq.model_folder import (
    CARD,
    WEIGHTS,
    export_config,
    export_speakers,
    read_config,
    read_speakers,
)
from speechvq.speaker_weights import MEL_TABLE, put_speaker
from speechvq.weights import as_json, read_weights, write_weights

_NAME = re.compile(r"[^\W_][\w.-]{0,49}")


def check_new_speaker(folder: str | os.PathLike[str], name: str, replace: bool = False) -> None:
    """Refuse a name that cannot be given to a new speaker of a model folder.

    Raises
    ------
    ValueError
        Not fit for a file's name, or taken and not to be replaced.
    OSError
        The folder holds no model.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name {name!r}: files are named after speakers; expected a letter or digit, then "
            "letters, digits, '_', '-' and '.', 50 at most in all"
        )
    if name in read_speakers(folder) and not replace:
        raise ValueError(
            f"name {name!r}: {folder} has a speaker of this name; take another, or replace it "
            "with --replace"
        )


def add_speaker(
    folder: str | os.PathLike[str],
    name: str,
    vectors: Sequence[Tensor],
    card: Callable[[str], str],
    out: str | os.PathLike[str] | None = None,
    replace: bool = False,
    film: Sequence[Tensor] = (),
) -> Path:
    """Add a speaker to a model folder, or to a copy of it.

    The weights with their header are one file, which appears whole or not at all; the exports and
    the card follow. Every other weight is kept bit for bit.

    Parameters
    ----------
    folder
        A model folder.
    name
        Of the new speaker.
    vectors
        As in `speaker_weights.put_speaker`.
    card
        Makes the new model card from the old one; gets "" where there is none.
    out
        Folder to write the model to, with the new speaker; None for `folder` itself.
    replace
        Whether a speaker of this name may be replaced.
    film
        As in `speaker_weights.put_speaker`.

    Returns
    -------
    pathlib.Path
        The folder with the new speaker.

    Raises
    ------
    ValueError
        As `check_new_speaker`; or the weights are damaged.
    OSError
        A file cannot be read or written.
    """
    folder, target = Path(folder), Path(folder if out is None else out)
    check_new_speaker(folder, name, replace)
    config, names = read_config(folder), read_speakers(folder)
    tensors, header = read_weights(folder / WEIGHTS)
    place = names.index(name) if name in names else len(names)
    put_speaker(tensors, place, vectors, film)
    if MEL_TABLE in tensors:
        config["model"]["mel_predictor"]["speaker_dim"] = tensors[MEL_TABLE].shape[1]
    names[place:] = [name, *names[place + 1 :]]
    old_card = folder / CARD
    # A card of another encoding keeps its bytes
    text = card(old_card.read_text("utf-8", "surrogateescape") if old_card.is_file() else "")
    header |= {"config": as_json(config), "speakers": as_json(names)}
    write_weights(target / WEIGHTS, tensors, header)
    export_config(target, config)
    export_speakers(target, names)
    write_bytes(target / CARD, text.encode("utf-8", "surrogateescape"))
    return target
