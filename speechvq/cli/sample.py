"""speechvq-sample: unconditional generation of speech from a prior over the codes."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from speechvq import audio
from speechvq.cli import numbers, speaking
from speechvq.cli.errors import OK, Parser, command, reported
from speechvq.cli.loading import load
from speechvq.codes import check_id

if TYPE_CHECKING:
    import numpy as np

    from speechvq.model import Model

logger = logging.getLogger(__name__)

EXAMPLES = f"""\
examples:
  speechvq-sample --speaker p226                       writes sample-p226-0.wav here
  speechvq-sample --speaker p226 --seconds 5 --count 3 --seed 7 --out samples
  speechvq-sample --speaker p226 --prompt a.wav        continues the codes of a.wav
  speechvq-sample --speaker p226 --codes codes.txt     keeps the codes, for speechvq-decode

Codes are drawn from the autoregressive prior, and speech from the decoder, given the codes.
--temperature, --top-k and --top-p concern the codes. The result has phones in a plausible order but
no words.

{speaking.WHICH_MODEL}
The prior is the one in the model folder, or that of --prior; speechvq-train prior makes it. The
files written are printed on stdout.
"""

LONGEST_RUN = 1.0
"""Seconds; a longer run of one code is hardly speech."""
SILENT = -60.0
"""Peak level, dB, below which a file is silent."""


def parser() -> Parser:
    """The options of speechvq-sample."""
    parser = Parser("sample", "Generate new speech from a prior.", EXAMPLES)
    add = parser.add_argument
    add("--speaker", required=True, nargs="+", metavar="NAME", help="speakers, such as p225")
    add("--seconds", type=numbers.above_zero, default=5.0, metavar="S",
        help="seconds of new speech (default: %(default)g)")  # fmt: skip
    add("--count", type=numbers.whole_number, default=1, metavar="N",
        help="samples of each speaker, with seeds from --seed on (default: 1)")  # fmt: skip
    add("--prompt", metavar="FILE", help="a recording to continue")
    add("--out", metavar="PATH",
        help="a .wav or .flac file for one sample, or a folder (default: here)")  # fmt: skip
    add("--codes", metavar="FILE", help="text file to write the codes to")
    speaking.add_model_options(parser)
    add("--prior", metavar="DIR", help="prior folder (default: prior in the model folder)")
    speaking.add_distribution_options(parser, "codes")
    speaking.add_waveform_options(parser)
    add("--json", action="store_true", help="print the outcome as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Draw codes, then speech."""
    options = parser().parse_args(argv)
    speakers = list(dict.fromkeys(options.speaker))
    seeds = [options.seed + i for i in range(options.count)]
    samples = [(speaker, seed) for speaker in speakers for seed in seeds]
    paths = _paths(samples, options.out)
    inputs = [] if options.prompt is None else [Path(options.prompt)]
    speaking.check_not_sources(paths, inputs)
    given = options.out is not None and paths == [Path(options.out)]
    fine = speaking.writable(paths, named_by_us=not given)
    kept = [(sample, path) for sample, path in zip(samples, paths, strict=True) if path in fine]
    samples, paths = [sample for sample, _ in kept], [path for _, path in kept]
    if options.codes is not None:
        speaking.check_outputs(Path(options.codes), inputs)
        for path in paths:
            check_id(path.stem)
            if path.resolve() == Path(options.codes).resolve():
                raise ValueError(f"--codes {path}: a sample goes there; name another file")

    from speechvq.model_folder import codebook_of
    from speechvq.prior_folder import load_prior

    model, folder = load(options.model, options.device)
    speaking.check_speakers(model, speakers)
    codebook = codebook_of(model)
    prior = load_prior(options.prior or folder, codebook)
    for speaker in speakers:
        if prior.config.by_speaker and speaker not in prior.speakers:
            logger.info("the prior does not know %s; the mean speaker vector is used", speaker)

    from speechvq import codes
    from speechvq.sampling import SamplingOptions
    from speechvq.sampling.generation import sample_codes

    prompt = None if options.prompt is None else _codes_of(model, Path(options.prompt))
    drawn = sample_codes(
        prior,
        max(1, round(options.seconds * model.frame_rate)),
        [speaker for speaker, _ in samples],
        SamplingOptions(options.temperature, options.top_k, options.top_p),
        prompt=prompt,
        seeds=[seed for _, seed in samples],
    )
    _warn_of_runs(paths, drawn, model)
    if prompt is not None:
        import numpy as np

        drawn = [np.concatenate([prompt, new]) for new in drawn]
    if options.codes is not None:
        named = [(path.stem, one) for path, one in zip(paths, drawn, strict=True)]
        codes.write_codes(options.codes, codebook, named)
    outputs = _write(model, samples, drawn, paths, options)
    if options.json:
        written = [
            {"speaker": speaker, "seed": seed, "output": str(output.path)}
            | {"seconds": round(output.seconds, 3)}
            for (speaker, seed), output in zip(samples, outputs, strict=True)
        ]
        outcome = {"model": str(folder), "written": written, "errors": reported()}
        print(json.dumps(outcome, indent=1, ensure_ascii=False))
    return OK


def _paths(samples: list[tuple[str, int]], out: str | None) -> list[Path]:
    if out is not None and speaking.is_audio_file(Path(out)):
        if len(samples) > 1:
            raise ValueError(f"--out {out}: one file for {len(samples)} samples; name a folder")
        return [Path(out)]
    folder = Path(out or ".")
    return [folder / f"sample-{speaker}-{seed}.wav" for speaker, seed in samples]


def _codes_of(model: Model, path: Path) -> np.ndarray:
    from speechvq.sampling import encode_source

    return encode_source(model, audio.Recording(path, model.sample_rate)).codes


def _warn_of_runs(paths: list[Path], drawn: list[np.ndarray], model: Model) -> None:
    from speechvq.sampling.generation import longest_run

    for path, codes in zip(paths, drawn, strict=True):
        seconds = longest_run(codes) / model.frame_rate
        if seconds > LONGEST_RUN:
            logger.warning(
                "%s: one code for %.1f s on end, which is hardly speech; another --seed or a "
                "higher --temperature may help",
                path,
                seconds,
            )


def _write(
    model: Model,
    samples: list[tuple[str, int]],
    drawn: list[np.ndarray],
    paths: list[Path],
    options: argparse.Namespace,
) -> list[speaking.Output]:
    """Draw the waveforms and write them; warn of silent files."""
    from speechvq.sampling import SamplingOptions

    drawings = [
        speaking.Drawing(path, codes, speaker, seed)
        for path, codes, (speaker, seed) in zip(paths, drawn, samples, strict=True)
    ]
    outputs = speaking.draw(
        model,
        drawings,
        SamplingOptions(
            precision=options.precision,
            post_filter=options.post_filter,
            guidance=options.guidance,
        ),
        seconds=sum(map(len, drawn)) / model.frame_rate,
        show=not options.json,
    )
    written = []
    for output in outputs:
        if output.peak < 10 ** (SILENT / 20):
            logger.warning("%s: silent; another --seed may help", output.path)
        written.append(output)
    return written


if __name__ == "__main__":
    raise SystemExit(main())
