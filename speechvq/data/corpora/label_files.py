"""Phone labels of recordings, from a folder of label files or from a CTM or MLF file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from speechvq import audio
from speechvq.data.corpora.faults import Fault, Faults, reason
from speechvq.data.labels import ARCHIVES, SUFFIXES, Labels, read_labels
from speechvq.data.manifest import CorpusError, Phone

EXPECTED = "expected SPEAKER/UTTERANCE.TextGrid (or .lab, .phn), or a .ctm or .mlf file"


class LabelFiles:
    """Label files below a folder, by name, or the utterances of a CTM or MLF file.

    A file is found by the path below the folder or by the file name alone, both without suffix. A
    file name that occurs twice is ambiguous and finds nothing.

    Parameters
    ----------
    where : Path, optional
        A folder, searched recursively, or one ``.ctm`` or ``.mlf`` file.
    faults : Faults
        Takes what cannot be used in the folder.
    tier : str, optional
        Name of the tier of TextGrids that holds the phones; by default one of `labels.TIERS`.
    """

    def __init__(self, where: Path | None, faults: Faults, tier: str | None = None) -> None:
        self._tier = tier
        self._paths: dict[str, Path] = {}
        self._listed: dict[str, tuple[Phone, ...]] = {}
        if where is None:
            return
        if where.is_file():
            if where.suffix.lower() not in ARCHIVES:
                raise CorpusError(f"{where}: not a folder of label files; {EXPECTED}")
            self._listed = ARCHIVES[where.suffix.lower()](where, partial(_report, faults))
            return
        if not where.is_dir():
            raise FileNotFoundError(f"{where}: no such folder of label files")
        stems: dict[str, list[Path]] = {}
        for path in sorted(audio.walk(where, SUFFIXES, faults.report)):
            if read := ARCHIVES.get(path.suffix.lower()):
                try:
                    self._listed.update(read(path, partial(_report, faults)))
                except (CorpusError, OSError) as error:
                    _report(faults, reason(error))
                continue
            self._paths.setdefault(path.relative_to(where).with_suffix("").as_posix(), path)
            stems.setdefault(path.stem, []).append(path)
        for stem, paths in stems.items():
            if len({path.with_suffix("") for path in paths}) == 1:
                self._paths.setdefault(stem, paths[0])

    def __bool__(self) -> bool:
        """Return whether there are any labels."""
        return bool(self._paths or self._listed)

    def find(self, names: tuple[str, ...], beside: Path | None, sample_rate: int) -> Labels | None:
        """Return the labels of the first name found, else of the file beside the audio, else None.

        .phn needs `sample_rate` in Hz.
        """
        for name in names:
            if name in self._paths:
                return read_labels(self._paths[name], sample_rate, self._tier)
            if name in self._listed:
                return Labels(self._listed[name])
        return None if beside is None else read_labels(beside, sample_rate, self._tier)


def _report(faults: Faults, line: str) -> None:
    faults.add(Fault("list", "of phone labels that cannot be read, skipped", line, unusable=True))
