"""Pretrained models of torchaudio: load one by the name of its pipeline, and frame speech for it.

Shapes: T samples.
"""

from __future__ import annotations

import difflib
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from speechvq.audio.reading import resampled

if TYPE_CHECKING:
    from torch import Tensor

LAST = 11
"""Minor version of the last torchaudio, 2.11; it needs the torch of the same number."""
TESTED = 9


def import_torchaudio() -> ModuleType:
    """The package torchaudio; ValueError in one line where it cannot be imported."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchaudio
            import torchaudio.pipelines
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"torchaudio cannot be imported beside torch {torch.__version__} ({reason}); "
            f"{_that_fits(torch.__version__)}"
        ) from error
    return torchaudio


def _that_fits(torch_version: str) -> str:
    """Which versions of torchaudio and torch fit each other, and how to install them."""
    major, minor = (int(number) for number in torch_version.split(".")[:2])
    if (major, minor) <= (2, LAST):
        fitting = f"torchaudio=={major}.{minor}.*"
        return f'its version must be that of torch: pip install "{fitting}"'
    both = f'"torch==2.{TESTED}.*" "torchaudio==2.{TESTED}.*"'
    return f"its last version, 2.{LAST}, is older; in another environment: pip install {both}"


@dataclass(frozen=True)
class Pretrained:
    """A model of `torchaudio.pipelines`, in eval mode.

    Attributes
    ----------
    name : str
        Of the pipeline.
    bundle : object
        The pipeline.
    model : nn.Module
        A `torchaudio.models.Wav2Vec2Model`, or one with normalisation before it.
    """

    name: str
    bundle: Any
    model: Any

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.bundle.sample_rate)

    @property
    def inner(self) -> Any:
        """The `Wav2Vec2Model`, without what normalises before it."""
        return self.model.model if hasattr(self.model, "model") else self.model

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        return len(self.inner.encoder.transformer.layers)

    @property
    def stride(self) -> int:
        """Samples per frame."""
        layers = self.inner.feature_extractor.conv_layers
        return math.prod(layer.conv.stride[0] for layer in layers)

    @property
    def receptive_field(self) -> int:
        """Samples that a frame of the feature extractor depends on."""
        samples = 1
        for layer in reversed(self.inner.feature_extractor.conv_layers):
            samples = (samples - 1) * layer.conv.stride[0] + layer.conv.kernel_size[0]
        return samples

    def framed(self, waveform: np.ndarray, sample_rate: int) -> Tensor:
        """Resample a waveform (T,) and pad it, as a batch of one.

        Frame j of the model is then centred on samples ``j * stride`` to ``(j + 1) * stride``, and
        the frames cover the waveform.
        """
        import torch

        parts = list(resampled([np.asarray(waveform, np.float32)], sample_rate, self.sample_rate))
        own = np.concatenate(parts)
        S, margin = self.stride, self.receptive_field - self.stride
        frames = -(-len(own) // S)
        padding = margin // 2, frames * S - len(own) + margin - margin // 2
        return torch.from_numpy(np.pad(own, padding))[None]


def load_pretrained(name: str, weights: str | os.PathLike[str] | None = None) -> Pretrained:
    """Load a model of `torchaudio.pipelines` on the CPU.

    Parameters
    ----------
    name
        Of a pipeline of the kind wav2vec 2.0, such as HUBERT_BASE, WAVLM_BASE or MMS_FA.
    weights
        The file that torchaudio fetches; None lets torchaudio fetch it, or take it from its cache.
        Nothing but tensors is unpickled.

    Raises
    ------
    ValueError
        No such pipeline, torchaudio cannot be imported, or the weights are of another model.
    OSError
        There is no such file, or the weights cannot be fetched.
    """
    pipelines = import_torchaudio().pipelines
    base = pipelines.Wav2Vec2Bundle
    known = [key for key in dir(pipelines) if isinstance(getattr(pipelines, key), base)]
    if name not in known:
        near = difflib.get_close_matches(name.upper(), known, 3, 0.4) or known[:3]
        raise ValueError(f"{name}: torchaudio.pipelines has no such model; try {', '.join(near)}")
    bundle = getattr(pipelines, name)
    how: dict[str, Any] = {"dl_kwargs": {"weights_only": True, "map_location": "cpu"}}
    if weights is not None:
        path = Path(os.path.abspath(weights))
        if not path.is_file():
            raise FileNotFoundError(f"{weights}: no such file of weights")
        how["dl_kwargs"] |= {"model_dir": str(path.parent), "file_name": path.name}
    if isinstance(bundle, pipelines.Wav2Vec2FABundle):
        how["with_star"] = False
    origin = weights or f"the weights of {name}"
    try:
        model = bundle.get_model(**how)
    except OSError as error:
        raise OSError(
            f"{origin}: cannot be fetched or read ({error}); fetch them elsewhere, and name the "
            "file"
        ) from error
    except Exception as error:  # whatever torch.load and load_state_dict raise
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{origin}: not those of torchaudio's {name} ({reason})") from error
    return Pretrained(name, bundle, model.eval())
