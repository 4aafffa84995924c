"""speechvq-align: phone labels from transcripts by forced alignment."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

from speechvq.cli.errors import Parser, command, one_line
from speechvq.progress import track

logger = logging.getLogger(__name__)

NOTES = """\
examples:
  speechvq-align exp/vctk/data/test.jsonl
  speechvq-align train.jsonl --out train-aligned.jsonl

Utterances with text and without phones get phones by forced alignment with pocketsphinx, which
works offline and for American English only. Without --out, the manifest is rewritten in place.
Phones in the manifest are kept, so that an interrupted run can be continued. Utterances with words
that are not in the dictionary get no phones and are counted.
"""
WORDS_NAMED = 8


def parser() -> Parser:
    """Return the parser of speechvq-align."""
    parser = Parser("align", "Align the phones of transcribed utterances in time, offline.", NOTES)
    parser.add_argument("manifest", metavar="MANIFEST", help="manifest from speechvq-prepare")
    parser.add_argument(
        "--out", metavar="FILE", help="the manifest to write (default: MANIFEST itself)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Align the utterances of a manifest, write it, and print a summary."""
    options = parser().parse_args(argv)

    from speechvq.analysis.align import Aligner
    from speechvq.data.manifest import read_manifest, write_manifest

    utterances = read_manifest(options.manifest)
    out = Path(options.out or options.manifest)
    pending = [i for i, u in enumerate(utterances) if u.phones is None and u.text is not None]
    done, unknown, failed = 0, {}, []
    try:
        aligner = Aligner() if pending else None
        for index in track(pending, "align", " utterances"):
            utterance = utterances[index]
            if missing := aligner.unknown(utterance.text):
                unknown[utterance.id] = missing
                continue
            phones = _align(aligner, utterance)
            if phones is None:
                failed.append(utterance.id)
                continue
            utterances[index] = dataclasses.replace(utterance, phones=phones)
            done += 1
    finally:  # keeps the utterances aligned before an interrupt
        if done:
            write_manifest(out, utterances)
    if options.out and not done:
        write_manifest(out, utterances)

    if unknown:
        words = sorted({word for missing in unknown.values() for word in missing})
        more = ", …" if len(words) > WORDS_NAMED else ""
        logger.warning(
            "%d utterances skipped for words that are not in the dictionary: %s%s",
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
    }
    if options.json:
        print(json.dumps(summary, indent=1))
    else:
        print(
            f"{out}: {done} utterances aligned, {summary['had_phones']} had phones already, "
            f"{summary['no_text']} have no text, {len(unknown) + len(failed)} skipped"
        )
    return 0


def _align(aligner, utterance):
    """Align an utterance; None if speech and text do not match or the audio cannot be read."""
    from speechvq import audio
    from speechvq.analysis.align import SAMPLE_RATE, AlignmentError

    try:
        waveform, _ = audio.read(utterance.path, SAMPLE_RATE, utterance.start, utterance.duration)
        return aligner.align(waveform, utterance.text)
    except (audio.AudioError, OSError) as error:
        logger.error("%s; left out", one_line(error))
        return None
    except AlignmentError:
        return None


if __name__ == "__main__":
    raise SystemExit(main())
