"""speechvq-train: manifests to a trained model, and its codes to a prior."""

from __future__ import annotations

import sys
from pathlib import Path

from speechvq.cli.errors import command
from speechvq.cli.settings import SettingsParser
from speechvq.cli.training import add_common, check_manifests, finished, let_threads_spin
from speechvq.config import DataConfig, ModelConfig, StageConfig, TrainingConfig, check_stages

DESCRIPTION = """Train a VQ-VAE on the manifests of speechvq-prepare. Every setting of the
configuration file is an option too, which overrides the file: --stages.decoder.steps 20000.
Ctrl-C writes a checkpoint, and the same command with --resume goes on from it, exactly. torchrun
--nproc-per-node N -m speechvq.cli.train … shares each batch among N processes.
"speechvq-train prior" trains an autoregressive prior on the codes of a model."""

SECTIONS = {
    "model": ModelConfig,
    "data": DataConfig,
    "stages": tuple[StageConfig, ...],
    "training": TrainingConfig,
}


def parser() -> SettingsParser:
    """The options of speechvq-train."""
    parser = SettingsParser("train", DESCRIPTION, SECTIONS)
    add = parser.add_argument
    add("--out", default="exp/vctk/vqvae", metavar="DIR", help="model folder to write")
    add_common(parser)
    parser.add_sections()
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Train as the configuration says and print the folder."""
    let_threads_spin()
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["prior"]:
        from speechvq.cli import train_prior

        return train_prior.run(argv[1:])
    reader = parser()
    options, sections = reader.parse_settings(argv)
    data, stages = sections["data"], sections["stages"]
    with reader.located():
        check_stages(sections["model"], stages, sections["training"].init_from is not None)
    check_manifests(data.train, data.valid)

    def train() -> Path:
        from speechvq.training.train import train as train_model

        return train_model(
            sections["model"],
            data,
            stages,
            sections["training"],
            options.out,
            device=options.device,
            resume=options.resume,
            overwrite=options.overwrite,
            progress=True,
        )

    return finished(train)


if __name__ == "__main__":
    sys.exit(main())
