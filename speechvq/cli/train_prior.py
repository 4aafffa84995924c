"""speechvq-train prior: the codes of a model to a prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechvq.cli.settings import SettingsParser, built
from speechvq.cli.train import add_common, check_manifests, finished
from speechvq.config import PriorConfig, PriorTrainingConfig

DESCRIPTION = """Train a prior on the codes of a model: what follows what. The codes of the
utterances that the model learned from are found once and kept. Every setting of the configuration
file is an option too, which overrides the file: --prior.wavenet.layers 8. Ctrl-C writes a
checkpoint, and the same command with --resume goes on from it, exactly."""

_SECTIONS = {"prior": PriorConfig, "training": PriorTrainingConfig}


def parser() -> SettingsParser:
    """The options of speechvq-train prior."""
    parser = SettingsParser("train prior", DESCRIPTION, _SECTIONS)
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: as speechvq-convert finds it)")
    add("--train", metavar="FILE", help="manifest to learn from (default: the model's own)")
    add("--valid", metavar="FILE", help="manifest to validate on (default: the model's own)")
    add("--codes", metavar="DIR",
        help="folder of train.txt and valid.txt by speechvq-encode; what is missing is made there "
        "(default: codes in --out)")  # fmt: skip
    add("--out", metavar="DIR", help="prior folder to write (default: prior in the model folder)")
    add_common(parser)
    parser.add_sections()
    return parser


def run(options: Any) -> int:
    """Train as the configuration says and print the prior's folder."""
    from speechvq.checkpoint import find_model, read_config
    from speechvq.cli.analyzing import manifest

    values = options.as_dict()
    prior, training = (built(cls, values[name], name) for name, cls in _SECTIONS.items())
    model = find_model(options.model)
    config = read_config(model)
    manifests = {
        part: manifest(getattr(options, part), config, part, f"--{part}")
        for part in ("train", "valid")
    }
    check_manifests(*manifests.values())

    def train() -> Path:
        from speechvq.training.prior import train_prior

        return train_prior(
            model,
            prior,
            training,
            manifests,
            options.out,
            options.codes,
            device=options.device,
            resume=options.resume,
            overwrite=options.overwrite,
            progress=True,
        )

    return finished(train)
