"""speechvq-train prior: train an autoregressive prior on the codes of a model."""

from __future__ import annotations

from pathlib import Path

from speechvq.cli.settings import SettingsParser
from speechvq.cli.training import add_common, check_manifests, finished
from speechvq.config import LoopConfig, PriorConfig, PriorStage

DESCRIPTION = """Train an autoregressive prior on the codes of a model. The codes of the training
utterances are computed once and kept. Every setting of the configuration file is an option too,
which overrides the file: --prior.wavenet.layers 8. Ctrl-C writes a checkpoint, and the same command
with --resume continues from it, exactly."""

SECTIONS = {"prior": PriorConfig, "stages": tuple[PriorStage, ...], "training": LoopConfig}


def parser() -> SettingsParser:
    """The options of speechvq-train prior."""
    parser = SettingsParser("train prior", DESCRIPTION, SECTIONS)
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


def run(argv: list[str]) -> int:
    """Train a prior and print its folder."""
    options, sections = parser().parse_settings(argv)
    stages = sections["stages"] or (PriorStage(),)
    if len(stages) > 1:
        raise ValueError(f"stages: {len(stages)} of them; a prior is trained in one")

    from speechvq.cli.analyzing import manifest
    from speechvq.hub import is_fetched
    from speechvq.model_folder import find_model, read_config

    model = find_model(options.model)
    if options.out is None and is_fetched(model):
        raise ValueError(f"{model}: the Hub's cache, not yours to change; pass --out DIR")
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
            sections["prior"],
            stages[0],
            sections["training"],
            manifests,
            options.out,
            options.codes,
            device=options.device,
            resume=options.resume,
            overwrite=options.overwrite,
            progress=True,
        )

    return finished(train)
