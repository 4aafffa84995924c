"""Write a copy of a model folder with its matrices in half precision: half of the size.

    python recipes/librispeech/half.py exp/librispeech/vqvae exp/librispeech/half

Codebooks, scales and other vectors keep their precision. The codes of the copy differ in a few
places, so it counts as another model: round before you train a prior, and then the prior, too.
"""

import argparse
import shutil
import sys
from pathlib import Path

from speechvq.cli.errors import command
from speechvq.model_folder import CARD, CONFIG, SPEAKERS, WEIGHTS
from speechvq.weights import read_weights, write_weights


def halved(tensors: dict) -> dict:
    """The tensors by name, those of more than one dimension that are no codebook in half."""
    found = {}
    for name, tensor in tensors.items():
        rounds = tensor.dtype.is_floating_point and tensor.ndim > 1 and "quantizer" not in name
        found[name] = tensor.half() if rounds else tensor
        if tensor.isfinite().all() and not found[name].isfinite().all():
            raise ValueError(f"{name}: too large for half precision")
    return found


@command
def main(argv: list[str] | None = None) -> int:
    """Round the model, or prior, of one folder into another."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="model or prior folder")
    parser.add_argument("out", type=Path, help="folder to write")
    options = parser.parse_args(argv)
    if not (options.model / WEIGHTS).is_file():
        raise ValueError(f"{options.model}: no {WEIGHTS} in it; pass a model folder")
    tensors, header = read_weights(options.model / WEIGHTS)
    options.out.mkdir(parents=True, exist_ok=True)
    if any(options.out.iterdir()):
        raise ValueError(f"{options.out}: is not empty; name another folder")
    for name in (CONFIG, CARD, SPEAKERS):  # a prior has no speakers.json
        if (options.model / name).is_file():
            shutil.copy(options.model / name, options.out / name)
    write_weights(options.out / WEIGHTS, halved(tensors), header)
    return 0


if __name__ == "__main__":
    sys.exit(main())
