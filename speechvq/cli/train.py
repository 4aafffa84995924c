"""speechvq-train: manifests to a trained model, and its codes to a prior."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from speechvq.cli.errors import INTERRUPTED, OK, command
from speechvq.cli.settings import SettingsParser
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


def add_common(parser: SettingsParser) -> None:
    """The options of every training."""
    add = parser.add_argument
    add("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    add("--resume", action="store_true", help="go on from the last checkpoint of --out, if any")
    add("--overwrite", action="store_true", help="delete the training that --out holds")


@command
def main(argv: list[str] | None = None) -> int:
    """Train as the configuration says and print the folder."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["prior"]:
        from speechvq.cli import train_prior

        return train_prior.run(argv[1:])
    options, sections = parser().parse_settings(argv)
    data, stages = sections["data"], sections["stages"]
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


def check_manifests(*paths: str) -> None:
    """FileNotFoundError for a manifest that is not there."""
    for path in paths:
        if not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such manifest; speechvq-prepare makes it")


def finished(train: Callable[[], Path]) -> int:
    """Run a training, and print its folder or how to go on."""
    from speechvq.distributed import rank
    from speechvq.training.trainer import Interrupted

    try:
        folder = train()
    except Interrupted as stopped:
        if rank() == 0:
            print(
                f"speechvq-train: interrupted ({stopped}); the same command with --resume goes on",
                file=sys.stderr,
            )
        return INTERRUPTED
    if rank() == 0:
        print(folder)
    return OK


if __name__ == "__main__":
    sys.exit(main())
