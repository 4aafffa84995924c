"""speechvq: discrete speech codes from raw audio, after the VQ-VAE paper, section 4.3.

From a recording to the same words in another voice:

    import speechvq

    model = speechvq.load("exp/vctk/vqvae")
    waveform, _ = speechvq.audio.read("a.wav", model.sample_rate)
    speechvq.audio.write("b.wav", speechvq.convert(model, waveform, "p225"), model.sample_rate)
"""

import importlib
import os
from typing import Any

__version__ = "0.1.0"

# Read when torch, numba or scikit-learn load their OpenMP. Threads that spin while they wait take
# the cores from the thread they wait for, as soon as another program uses one of these.
_WAITS_BY_DEFAULT = "OMP_WAIT_POLICY" not in os.environ
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Public names and where they live: imported when first asked for, so that commands start fast.
_PUBLIC = {
    "CodesDataset": "speechvq.sampling.dataset",
    "SamplingOptions": "speechvq.sampling",
    "Model": "speechvq.model",
    "ModelConfig": "speechvq.config",
    "audio": "speechvq.audio",
    "codes": "speechvq.codes",
    "convert": "speechvq.sampling",
    "encode": "speechvq.sampling",
    "latents": "speechvq.sampling",
    "load": "speechvq.model_folder",
    "sample": "speechvq.sampling",
    "sample_batch": "speechvq.sampling",
    "stream": "speechvq.sampling",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'speechvq' has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC[name])
    value = module if module.__name__ == f"speechvq.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
