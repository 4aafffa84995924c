"""speechvq-analyze: what the codes of a model stand for, one question at a time."""

from __future__ import annotations

import importlib
import sys

from speechvq.cli.errors import Parser, command

QUESTIONS = {
    "phonemes": "how well do the codes tell phones, beside MFCC k-means and an untrained encoder?",
    "prior": "what does a prior know of the codes, and does it babble like the language?",
    "conversion": "whose voice, which words, how good? by judges that were not trained here",
}
"""Every question is the module ``analyze_QUESTION`` beside this one: a parser() and a run()."""


def parser() -> Parser:
    """The options of speechvq-analyze before the question's own."""
    listed = "\n".join(f"  {name:12} {asked}" for name, asked in QUESTIONS.items())
    parser = Parser(
        "analyze",
        "Ask what the codes of a model stand for.",
        f"questions:\n{listed}\n\nspeechvq-analyze QUESTION --help tells the options of each.",
    )
    parser.add_argument("question", metavar="QUESTION", choices=QUESTIONS, help="see below")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Hand the options to the question that is asked."""
    argv = sys.argv[1:] if argv is None else argv
    question = parser().parse_args(argv[:1]).question
    module = importlib.import_module(f"speechvq.cli.analyze_{question}")
    return module.run(module.parser().parse_args(argv[1:]))


if __name__ == "__main__":
    raise SystemExit(main())
