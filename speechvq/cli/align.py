"""speechvq-align: phone labels from transcripts by forced alignment."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq import audio
from speechvq.cli import speaking
from speechvq.cli.errors import Parser, command, one_line
from speechvq.progress import track

if TYPE_CHECKING:
    from speechvq.data.manifest import Phone, Utterance

logger = logging.getLogger(__name__)

NOTES = """\
examples:
  speechvq-align exp/vctk/data/test.jsonl
  speechvq-align train.jsonl --out train-aligned.jsonl
  speechvq-align train.jsonl --aligner ctc --ctc MMS_FA --ctc-weights mms_fa.pt

Utterances with text and without phones get phones by forced alignment with pocketsphinx, which
works offline and for American English only. Without --out, the manifest is rewritten in place.
Phones in the manifest are kept: to continue an interrupted run, align the manifest that it has
written. Utterances with words
that are not in the dictionary get no phones and are counted.

--aligner ctc aligns the letters of the text instead, with a CTC model of torchaudio, and writes
them as phones: of use in languages whose spelling is near to the sound. Texts in other alphabets
must be romanised. A text that is not what was said is not noticed. torchaudio fetches the weights,
unless they are named. It needs: pip install "speechvq[ssl]".
"""
WORDS_NAMED = 8


def parser() -> Parser:
    """Return the parser of speechvq-align."""
    parser = Parser("align", "Align the phones of transcribed utterances in time, offline.", NOTES)
    parser.add_argument("manifest", metavar="MANIFEST", help="manifest from speechvq-prepare")
    parser.add_argument(
        "--out", metavar="FILE", help="the manifest to write (default: MANIFEST itself)"
    )
    add = parser.add_argument
    add("--aligner", choices=("pocketsphinx", "ctc"), default="pocketsphinx",
        help="phones by pocketsphinx, or letters by CTC (default: %(default)s)")  # fmt: skip
    add("--ctc", metavar="NAME", default="MMS_FA",
        help="pipeline of torchaudio, such as MMS_FA or WAV2VEC2_ASR_BASE_960H "
        "(default: %(default)s)")  # fmt: skip
    add("--ctc-weights", metavar="FILE", help="its weights (default: torchaudio fetches them)")
    add("--json", action="store_true", help="print the summary as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Align the utterances of a manifest, write it, and print a summary."""
    options = parser().parse_args(argv)
    if options.ctc_weights and options.aligner != "ctc":
        raise ValueError("--ctc-weights: is of --aligner ctc; give that as well")

    from speechvq.data.manifest import read_manifest, write_manifest
    from speechvq.data.roots import Roots

    utterances = list(read_manifest(options.manifest))
    out = Path(options.out or options.manifest)
    speaking.check_not_sources([out], [Path(u.path) for u in utterances])
    speaking.check_writable(out)
    roots = Roots(Path(options.manifest).parent).folders
    pending = [i for i, u in enumerate(utterances) if u.phones is None and u.text is not None]
    done, unknown, unread, failed = 0, {}, [], []
    try:
        aligner: Any = _aligner(options, utterances) if pending else None
        for index in track(pending, "align", " utterances"):
            utterance = utterances[index]
            if missing := aligner.unknown(utterance.text):
                unknown[utterance.id] = missing
                continue
            try:
                phones = _align(aligner, utterance)
            except (audio.AudioError, OSError) as error:
                logger.error("%s; left out", one_line(error))
                unread.append(utterance.id)
                continue
            if phones is None:
                failed.append(utterance.id)
                continue
            utterances[index] = dataclasses.replace(utterance, phones=phones)
            done += 1
    finally:  # keeps the utterances aligned before an interrupt
        if done:
            write_manifest(out, utterances, roots)
    if options.out and not done:
        write_manifest(out, utterances, roots)

    if unknown:
        words = sorted({word for missing in unknown.values() for word in missing})
        more = ", …" if len(words) > WORDS_NAMED else ""
        logger.warning(
            "%d utterances skipped for words that are not in the dictionary: %s%s"
            if options.aligner == "pocketsphinx"
            else "%d utterances skipped for words with letters that the model lacks: %s%s",
            len(unknown), ", ".join(words[:WORDS_NAMED]), more,
        )  # fmt: skip
    if failed:
        logger.warning(
            "%d utterances skipped, speech and text do not match: %s%s",
            len(failed), ", ".join(failed[:WORDS_NAMED]), ", …" if failed[WORDS_NAMED:] else "",
        )  # fmt: skip
    summary = {
        "manifest": str(out),
        "utterances": len(utterances),
        "aligned": done,
        "had_phones": sum(u.phones is not None for u in utterances) - done,
        "no_text": sum(u.phones is None and u.text is None for u in utterances),
        "unknown_words": len(unknown),
        "failed": len(failed),
        "unread": len(unread),
    }
    if options.json:
        print(json.dumps(summary, indent=1))
    else:
        print(
            f"{out}: {done} utterances aligned, {summary['had_phones']} had phones already, "
            f"{summary['no_text']} have no text, "
            f"{len(unknown) + len(failed) + len(unread)} skipped"
        )
    return 0


def _aligner(options: argparse.Namespace, utterances: list[Utterance]) -> Any:
    """The aligner asked for; ValueError if its letters would stand beside phones."""
    from speechvq.data.labels import SILENCE

    if options.aligner == "pocketsphinx":
        from speechvq.analysis.align import Aligner

        return Aligner()
    from speechvq.analysis.ctc_align import LetterAligner

    aligner = LetterAligner(options.ctc, options.ctc_weights)
    there = {phone.label for u in utterances for phone in u.phones or ()} - {SILENCE}
    if others := sorted(there - set(aligner.letters)):
        raise ValueError(
            f"{options.manifest}: has labels that are no letters of {options.ctc}, such as "
            f"{others[0]!r}; letters and phones in one manifest cannot be compared"
        )
    logger.info("the labels are letters of the text, not phones")
    return aligner


def _align(aligner: Any, utterance: Utterance) -> tuple[Phone, ...] | None:
    """Align an utterance; None if speech and text do not match."""
    from speechvq.analysis.align import SAMPLE_RATE, AlignmentError

    waveform, _ = audio.read(utterance.path, SAMPLE_RATE, utterance.start, utterance.duration)
    try:
        return aligner.align(waveform, utterance.text)
    except AlignmentError:
        return None


if __name__ == "__main__":
    raise SystemExit(main())
