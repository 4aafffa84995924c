"""speechvq-analyze: experiments on a model, one subcommand each."""

from __future__ import annotations

import importlib
import sys

from speechvq.cli.errors import Parser, command

QUESTIONS = {
    "codebook": "use of the codes, runs, bit rates before and after coding, a map",
    "phonemes": "phone accuracy of the codes, with k-means baselines",
    "speakers": "what is left of the speaker in codes and latents: probes, information",
    "abx": "ABX error of phones in codes and latents, within and across speakers",
    "prior": "bits per code of a prior, and unconditional generation against speech",
    "conversion": "speaker similarity, WER, PER, DNSMOS and pitch of conversions",
    "reconstruction": "bits per sample, spectral distances, STOI and pitch of reconstructions",
    "collapse": "whether a decoder uses its latents, behind VQ, a Gaussian VAE and others",
    "compare": "model folders side by side, by what has been measured",
}
"""Each is the module ``analyze_QUESTION`` beside this one: a parser() and a run()."""


def parser() -> Parser:
    """The options of speechvq-analyze before those of the question."""
    listed = "\n".join(f"  {name:14} {asked}" for name, asked in QUESTIONS.items())
    parser = Parser(
        "analyze",
        "Measure what the codes of a model represent.",
        f"questions:\n{listed}\n\nspeechvq-analyze QUESTION --help shows the options of each.",
    )
    parser.add_argument("question", metavar="QUESTION", choices=QUESTIONS, help="see below")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Run the question with the remaining options."""
    argv = sys.argv[1:] if argv is None else argv
    question = parser().parse_args(argv[:1]).question
    module = importlib.import_module(f"speechvq.cli.analyze_{question}")
    return module.run(module.parser().parse_args(argv[1:]))


if __name__ == "__main__":
    raise SystemExit(main())
