"""Model folders: writing them, finding them, and building a model from one.

A model folder holds ``config.yaml`` (keys `model`, `data`, `training`), ``model.safetensors``,
``speakers.json`` and ``README.md``. The weights' header repeats the model's configuration and its
speakers, so that files of two different saves are never taken for one model. Nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import logging
import os
import re
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from speechvq.audio import write_bytes, write_together
from speechvq.codes import Codebook
from speechvq.config import VQVAEConfig

if typing.TYPE_CHECKING:
    from torch import Tensor, nn

    from speechvq.models.vqvae import VQVAE

logger = logging.getLogger(__name__)

CONFIG = "config.yaml"
WEIGHTS = "model.safetensors"
SPEAKERS = "speakers.json"
CARD = "README.md"

ENVIRONMENT = "SPEECHVQ_MODEL"
"""The environment variable that names a model folder."""
PRETRAINED = Path(__file__).parent / "pretrained"
"""The model that comes with the package."""

_FORMAT = "speechvq 1"
_TABLES = "conditioner.speakers.weight", "envelope.conditioner.speakers.weight"
_NAME = re.compile(r"[^\W_][\w.-]{0,49}")


def save_model(folder: str | os.PathLike, model: VQVAE, config: dict, card: str) -> None:
    """Write a model folder.

    Each file appears whole or not at all, and the weights come last: a folder that is killed on
    its first save is not taken for a model, and one that is killed on a later save still loads
    or is refused with a clear message.

    Parameters
    ----------
    folder
        Made when missing.
    model
        Its weights and speakers are written.
    config
        Plain values for ``config.yaml``; the key `model` is set from `model.config`, others such
        as `data` and `training` are kept as they are.
    card
        The model card, Markdown.
    """
    from safetensors.torch import save

    folder = Path(folder)
    described = plain(dataclasses.asdict(model.config))
    whole = {"model": described, **{k: plain(v) for k, v in config.items() if k != "model"}}
    speakers = [{"name": name} for name in model.speakers]
    header = {
        "format": _FORMAT,
        "model": json.dumps(described),
        "speakers": json.dumps(model.speakers, ensure_ascii=False),
    }
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    yaml_text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
    write_bytes(folder / CONFIG, yaml_text.encode())
    speakers_text = json.dumps(speakers, ensure_ascii=False, indent=1)
    write_bytes(folder / SPEAKERS, (speakers_text + "\n").encode())
    write_bytes(folder / CARD, card.encode())
    write_bytes(folder / WEIGHTS, save(tensors, metadata=header))


def check_new_speaker(folder: str | os.PathLike, name: str, replace: bool = False) -> None:
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
    folder: str | os.PathLike,
    name: str,
    vectors: Sequence[Tensor],
    card: Callable[[str], str],
    out: str | os.PathLike | None = None,
    replace: bool = False,
) -> Path:
    """Add a speaker to a model folder, or to a copy of it; all files change or none.

    Every other weight is kept bit for bit, and so is ``config.yaml``.

    Parameters
    ----------
    folder
        A model folder.
    name
        Of the new speaker.
    vectors
        (C,) each: the row of the decoder's speaker embedding, and that of the envelope's if the
        model has one.
    card
        Makes the new model card of the old one; gets "" where there is none.
    out
        Folder to write the model to, with the new speaker; None for `folder` itself.
    replace
        Whether a speaker of this name may be replaced.

    Returns
    -------
    pathlib.Path
        The folder with the new speaker.

    Raises
    ------
    ValueError
        As `check_new_speaker`; or the folder's files are damaged or do not fit each other.
    OSError
        A file cannot be read or written.
    """
    import torch
    from safetensors.torch import save

    folder = Path(folder)
    check_new_speaker(folder, name, replace)
    config = build_config(read_config(folder)["model"])
    names = read_speakers(folder)
    tensors, header = read_weights(folder / WEIGHTS)
    _check_one_save(folder, config, names, header)
    entries = json.loads((folder / SPEAKERS).read_text(encoding="utf-8"))
    tables = [table for table in _TABLES if table in tensors]
    place = names.index(name) if name in names else len(names)
    for table, vector in zip(tables, vectors, strict=True):
        rows = tensors[table]
        row = vector.detach().to("cpu", rows.dtype).unsqueeze(0)
        tensors[table] = torch.cat([rows[:place], row, rows[place + 1 :]])
    if name not in names:
        names, entries = [*names, name], [*entries, {"name": name}]
    header["speakers"] = json.dumps(names, ensure_ascii=False)
    old_card = folder / CARD
    text = old_card.read_text(encoding="utf-8") if old_card.is_file() else ""
    files = {
        SPEAKERS: (json.dumps(entries, ensure_ascii=False, indent=1) + "\n").encode(),
        CARD: card(text).encode(),
        WEIGHTS: save(tensors, metadata=header),
    }
    if out is not None:
        files = {CONFIG: (folder / CONFIG).read_bytes(), **files}
    target = Path(folder if out is None else out)
    write_together({target / file: content for file, content in files.items()})
    return target


def load_model(folder: str | os.PathLike, device: str = "cpu") -> VQVAE:
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
        The folder or one of its files is missing.
    ValueError
        A file is damaged, or the files do not fit each other; the message begins with its path.
    """
    import torch

    from speechvq.models.vqvae import VQVAE

    folder = Path(folder)
    _require(folder)
    whole = read_config(folder)
    try:
        config = build_config(whole["model"])
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from error
    speakers = read_speakers(folder)
    tensors, header = read_weights(folder / WEIGHTS)
    _check_one_save(folder, config, speakers, header)
    model = VQVAE(config, speakers)
    model.speech_level = whole.get("speech_level")  # dB, or None; sampling scales recordings to it
    fill(model, tensors, folder / WEIGHTS)
    try:
        return model.eval().to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # how PyTorch refuses a device
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"device {device!r} cannot be used here ({reason}); try cpu") from error


def load(folder: str | os.PathLike | None = None, device: str = "cpu") -> VQVAE:
    """Load the model of a folder, or the one that `find_model` finds; in eval mode.

    Examples
    --------
    >>> model = speechvq.load("exp/vctk/vqvae")  # doctest: +SKIP
    """
    return load_model(find_model(folder), device)


def find_model(model: str | os.PathLike | None = None) -> Path:
    """Decide which model folder a command uses, and log which rule chose it.

    In this order: the folder given; the environment's ``SPEECHVQ_MODEL``; the newest model that a
    recipe trained below ``exp/`` of the working folder (``exp/*/`` and ``exp/*/*/``, by the time
    of its weights); the model inside the package.

    Raises
    ------
    FileNotFoundError
        The folder that was given, or that the environment names, is not a model folder.
    """
    if model is not None:
        folder, rule = Path(model), "as given"
        _require(folder)
    elif os.environ.get(ENVIRONMENT):
        folder, rule = Path(os.environ[ENVIRONMENT]), f"from {ENVIRONMENT}"
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


def read_config(folder: str | os.PathLike) -> dict:
    """``config.yaml`` of a model folder as plain values; the key `model` is there.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not YAML, or has no section `model`.
    """
    path = Path(folder) / CONFIG
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; {_WANTED}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ValueError(
            f"{path}: not YAML{where}; copy it again from where it was trained"
        ) from error
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise ValueError(f"{path}: no section 'model', which describes the network")
    return values


def read_speakers(folder: str | os.PathLike) -> list[str]:
    """Names of the speakers of a model folder; a name's place is its index in the embedding.

    Raises
    ------
    FileNotFoundError
        There is no ``speakers.json``.
    ValueError
        It is damaged.
    """
    path = Path(folder) / SPEAKERS
    advice = 'expected a list such as [{"name": "p225"}]; copy it again from where it was trained'
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        names = [entry["name"] for entry in entries]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: damaged; {advice}") from error
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: no names in it; {advice}")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: a name stands in it twice; {advice}")
    return names


def build_config(values: dict) -> VQVAEConfig:
    """Check plain values, as YAML gives them, and build a configuration from them.

    A key left out takes its default.

    Raises
    ------
    ValueError
        An unknown key, a wrong type or a value out of range; the message begins with the key's
        path, such as ``model.wavenet.layers``.
    """
    return built(VQVAEConfig, values, "model")


def fingerprint(model: VQVAE) -> str:
    """Twelve hexadecimal digits for what the model's codes mean.

    They stand for the sample rate, the hop length, and every weight of encoder and codebook.
    A decoder that learns on, or learns a new voice, keeps the fingerprint and so the codes.
    """
    sha = hashlib.sha256(f"{model.sample_rate} {model.config.strides}".encode())
    state = model.state_dict()
    for name in sorted(state):
        if name.startswith("encoder.") or name == "quantizer.codebook":
            weights = state[name].detach().float().cpu().numpy()
            sha.update(f"{name} {weights.shape}".encode() + weights.tobytes())
    return sha.hexdigest()[:12]


def codebook_of(model: VQVAE) -> Codebook:
    """What the codes of a model refer to."""
    return Codebook(
        model.config.codebook_size, model.hop_length, model.sample_rate, fingerprint(model)
    )


_WANTED = f"a model folder holds {CONFIG}, {WEIGHTS} and {SPEAKERS}"


def _is_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def _require(folder: Path) -> None:
    """Raise FileNotFoundError unless the three files that make a model are there."""
    if not folder.is_dir():
        what = "a file, not a model folder" if folder.exists() else "no such model folder"
        raise FileNotFoundError(f"{folder}: {what}; {_WANTED}")
    missing = [name for name in (CONFIG, WEIGHTS, SPEAKERS) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: no {' and no '.join(missing)} in it; {_WANTED}")


def _newest_below(root: Path) -> Path | None:
    weights = [*root.glob(f"*/{WEIGHTS}"), *root.glob(f"*/*/{WEIGHTS}")]
    found = [w.parent for w in weights if _is_model(w.parent) and "checkpoints" not in w.parts]
    return max(found, key=lambda f: ((f / WEIGHTS).stat().st_mtime_ns, str(f)), default=None)


def read_weights(path: Path) -> tuple[dict, dict[str, str]]:
    """The tensors of a safetensors file, and its header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path}: truncated or not a safetensors file ({error}); "
            "copy it again, or take one of checkpoints/"
        ) from error


def _check_one_save(folder: Path, config: VQVAEConfig, speakers: list[str], header: dict) -> None:
    """Refuse files that were not written together."""
    if header.get("format") != _FORMAT:
        raise ValueError(
            f"{folder / WEIGHTS}: not written by save_model of this version "
            f"(format {header.get('format')!r}, expected {_FORMAT!r})"
        )
    try:
        saved = build_config(json.loads(header["model"]))
        saved_speakers = json.loads(header["speakers"])
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{folder / WEIGHTS}: its header is damaged ({error}); copy it again"
        ) from error
    advice = "the files are not of one save; copy the whole folder again"
    for key, here, there in _differences(dataclasses.asdict(config), dataclasses.asdict(saved)):
        raise ValueError(
            f"{folder / CONFIG}: model.{key} is {here!r} and {WEIGHTS} has {there!r}; {advice}"
        )
    if speakers != saved_speakers:
        raise ValueError(f"{folder / SPEAKERS}: other speakers than {WEIGHTS} has; {advice}")


def _differences(one: dict, other: dict, prefix: str = ""):
    for key, value in one.items():
        if isinstance(value, dict):
            yield from _differences(value, other[key], f"{prefix}{key}.")
        elif value != other[key]:
            yield prefix + key, value, other[key]


def fill(model: nn.Module, tensors: dict, path: Path) -> None:
    """Give the model its weights, or say in one line which of them do not fit."""
    state = model.state_dict()
    advice = "it was saved by another version; train again or install that version"
    if missing := sorted(state.keys() - tensors.keys()):
        raise ValueError(f"{path}: no {missing[0]!r} in it ({len(missing)} missing); {advice}")
    if unknown := sorted(tensors.keys() - state.keys()):
        raise ValueError(f"{path}: unknown {unknown[0]!r} in it ({len(unknown)} unknown); {advice}")
    for name, tensor in tensors.items():
        if tensor.shape != state[name].shape:
            raise ValueError(
                f"{path}: {name!r} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(state[name].shape)}; {advice}"
            )
    model.load_state_dict(tensors)


def plain(value):
    """Tuples as lists and paths as text, which is all that YAML and JSON know."""
    if dataclasses.is_dataclass(value):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, os.PathLike) else value


def built(cls: type, values: object, path: str):
    """An instance of the dataclass `cls` from a dict whose keys are checked."""
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected keys and values, got {values!r}")
    expected = typing.get_type_hints(cls)
    arguments = {}
    for key, value in values.items():
        where = f"{path}.{key}"
        if key not in expected:
            near = difflib.get_close_matches(str(key), expected, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(expected)}"
            raise ValueError(f"{where}: unknown key; {hint}")
        arguments[key] = _checked(expected[key], value, where)
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ValueError(f"{path}.{error}") from error


def _checked(expected, value, where: str):
    if dataclasses.is_dataclass(expected):
        return built(expected, value, where)
    origin, choices = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Literal:
        if value not in choices:
            known = ", ".join(map(str, choices))
            raise ValueError(f"{where}: must be one of {known}, got {value!r}")
        return value
    if origin in (typing.Union, types.UnionType):
        # A list can only be meant for the choice that takes one
        is_list = isinstance(value, list | tuple)
        fitting = [c for c in choices if (typing.get_origin(c) is tuple) == is_list]
        return _checked((fitting or choices)[0], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where}: expected a list, got {value!r}")
        return tuple(_checked(choices[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    accepted = (int, float) if expected is float else expected
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise ValueError(f"{where}: expected {expected.__name__}, got {value!r}")
    return float(value) if expected is float else value
