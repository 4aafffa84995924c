"""A new corpus reader: recordings in one folder, transcripts in one table.

    python docs/examples/reader.py CORPUS OUT

writes the manifests of a corpus such as

    CORPUS/transcripts.tsv      anna-0001<TAB>Good morning.
    CORPUS/audio/anna-0001.wav
"""

import csv
import sys
from pathlib import Path

from speechvq.data.corpora import CorpusReader, Fault, Faults, Recording
from speechvq.data.prepare import prepare


class TableOfTranscripts(CorpusReader):
    """Reader of audio/SPEAKER-NUMBER.wav and transcripts.tsv."""

    kind = "table"
    layout = "audio/SPEAKER-NUMBER.wav beside transcripts.tsv"

    def is_root(self, folder: Path) -> bool:
        """Return whether a folder is such a corpus."""
        return (folder / "transcripts.tsv").is_file()

    def recordings(self, root: Path, faults: Faults) -> list[Recording]:
        """List all recordings, in order; texts without audio are reported."""
        with open(root / "transcripts.tsv", encoding="utf-8", newline="") as table:
            texts = dict(csv.reader(table, delimiter="\t"))
        paths = {path.stem: path for path in sorted(root.glob("audio/*.wav"))}
        for missing in sorted(texts.keys() - paths.keys()):
            faults.add(Fault("text", "without audio, skipped", missing))
        return [
            Recording(name, name.partition("-")[0], path, texts.get(name))
            for name, path in paths.items()
        ]


def main(corpus: str, out: str) -> None:
    """Write train.jsonl, valid.jsonl and test.jsonl."""
    prepared = prepare(corpus, TableOfTranscripts(), out, valid=0.2, test=0.2)
    for split in prepared.splits:
        print(f"{split.split}: {split.utterances} utterances, {split.with_text} with text")


if __name__ == "__main__":
    main(*sys.argv[1:])
