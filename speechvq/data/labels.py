"""Time-aligned phone labels, in the formats of corpora and forced aligners.

============  =====================================================================================
``.TextGrid``  Praat's formats (`speechvq.data.textgrid`); the interval tier ``phones`` or
               ``<speaker> - phones``, as the Montreal Forced Aligner writes it, else another of
               :data:`TIERS`
``.phn``       TIMIT: start, end, phone; times in samples
``.lab``       HTK: start, end, phone; times in units of 100 ns, or, if any time in the file has a
               decimal point, in seconds; Festival's xlabel, too: after a line ``#``, end in
               seconds, colour, phone
``.ctm``       utterance, channel, start, duration, phone; times in seconds; one file may hold many
               utterances (:func:`read_ctm`)
``.mlf``       HTK: the .lab files of many utterances in one (:func:`read_mlf`)
============  =====================================================================================

Every label of silence becomes :data:`SILENCE`; context is cut from labels of HTK, HTS and Kaldi
(`speechvq.data.label_names`); other labels are kept as written. All formats are text as
`speechvq.text` decodes it. A time without a label in the file gets no phone, and counts as silence
in the analysis.
"""

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from speechvq.data.label_names import SILENCE, SILENCES, without_context
from speechvq.data.manifest import CorpusError, Phone
from speechvq.data.textgrid import UNKNOWN, read_textgrid
from speechvq.text import EncodingError, read_text

__all__ = [
    "ARCHIVES",
    "SILENCE",
    "SILENCES",
    "SUFFIXES",
    "Labels",
    "has_times",
    "read_ctm",
    "read_labels",
    "read_mlf",
    "units_that_fit",
]

SUFFIXES = (".textgrid", ".phn", ".lab", ".ctm", ".mlf")
"""Suffixes, in lower case, of the files that :func:`read_labels` understands."""

TIERS = ("phones", "phone", "mau", "phoneme", "phonemes", "phon", "phn", "segment", "segments")
"""Names of tiers of phones, in lower case; the Munich aligner's is MAU."""

Report = Callable[[str], None]

HTK_UNITS_PER_SECOND = 10_000_000
UNITS = {
    "seconds": 1.0,
    "milliseconds": 1e-3,
    "microseconds": 1e-6,
    "units of 100 ns": 1e-7,
    "frames of 10 ms": 1e-2,
    "frames of 5 ms": 5e-3,
    **{
        f"samples at {rate} Hz": 1 / rate
        for rate in (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
    },
}
"""Units of time that label files are written in, in seconds."""
ROUNDING = 0.0101
"""Overlap of neighbours, in seconds, that times rounded to 0.01 s can cause; it is removed."""


@dataclass(frozen=True)
class Labels:
    """Phones of an utterance, and the unit, in seconds, that the times were taken to be in."""

    phones: tuple[Phone, ...]
    unit: float = 1.0


def read_labels(
    path: str | os.PathLike[str], sample_rate: int = 16000, tier: str | None = None
) -> Labels:
    """Read the phones of one utterance from a label file, in the format of the suffix.

    Parameters
    ----------
    path
        A ``.TextGrid``, ``.phn``, ``.lab``, ``.ctm`` or ``.mlf`` file (suffixes in any case).
    sample_rate
        Hz; times in ``.phn`` files are in samples.
    tier
        Of a TextGrid, the tier that holds the phones; by default it is one of `TIERS`.

    Returns
    -------
    Labels
        Phones in temporal order, without overlap, with times in seconds; and the unit of the times.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CorpusError
        The file is not in the format of the suffix, or times are negative, reversed or overlapping.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such label file")
    suffix = path.suffix.lower()
    if suffix == ".textgrid":
        return Labels(_checked(_textgrid_intervals(path, tier)))
    if suffix == ".phn":
        return Labels(_checked(_phn_intervals(path, sample_rate)), 1 / sample_rate)
    if suffix == ".lab":
        unit, intervals = _lab_intervals(list(_lines(path)))
        return Labels(_checked(intervals), unit)
    if suffix in ARCHIVES:
        utterances = ARCHIVES[suffix](path)
        if len(utterances) != 1:
            raise CorpusError(
                f"{path}:1: holds {len(utterances)} utterances, expected one; use "
                f"read_{suffix[1:]}()"
            )
        return Labels(next(iter(utterances.values())))
    raise CorpusError(
        f"{path}:1: unknown label format {path.suffix!r}, "
        "expected .TextGrid, .phn, .lab, .ctm or .mlf"
    )


def units_that_fit(labels: Labels, duration: float) -> list[str]:
    """Name the units in which the labels would end where the audio ends, the best one first.

    Parameters
    ----------
    labels : Labels
        Phones of the utterance.
    duration : float
        Seconds of audio.
    """
    end = labels.phones[-1].end / labels.unit
    near = {name: abs(end * unit / duration - 1) for name, unit in UNITS.items()}
    best = min(near.values())
    fitting = [name for name in near if near[name] < 0.1 and near[name] < best + 0.02]
    return sorted(fitting, key=lambda name: near[name])[:2]


def has_times(text: str) -> bool:
    """Return whether the text of a .lab file holds labels with times rather than a sentence."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if _after_header([("", line) for line in lines]) is not None:
        return True
    return bool(lines) and all(_TIMES.match(line) for line in lines)


def read_ctm(
    path: str | os.PathLike[str], report: Report | None = None
) -> dict[str, tuple[Phone, ...]]:
    """Read a CTM file: ``utterance channel start duration phone [confidence]`` a line, seconds.

    Parameters
    ----------
    path
        The file.
    report
        Takes a line about each utterance that is left out for a wrong line; without it, a wrong
        line is a CorpusError.

    Returns
    -------
    dict
        The phones of each utterance, in the order of the file. The lines of an utterance may stand
        anywhere and in any order.
    """
    rows: dict[str, list[tuple[str, str]]] = {}
    for where, line in _lines(Path(path)):
        if not line.startswith(";;"):  # a comment, in NIST's format
            rows.setdefault(line.split()[0], []).append((where, line))
    return _each(rows, _ctm_phones, report)


def read_mlf(
    path: str | os.PathLike[str], report: Report | None = None
) -> dict[str, tuple[Phone, ...]]:
    """Read a master label file of HTK: ``"*/UTTERANCE.lab"``, lines as in a .lab file, a dot.

    Parameters and result are those of `read_ctm`.
    """
    rows: dict[str, list[tuple[str, str]]] = {}
    name = None
    for where, line in _lines(Path(path)):
        if line == "#!MLF!#":
            continue
        if name is None:
            if not line.startswith('"'):
                raise CorpusError(f"{where}: {line!r}, expected the name of a .lab file in quotes")
            name = line.strip('"').replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
        elif line == ".":
            name = None
        else:
            rows.setdefault(name, []).append((where, line))
    return _each(rows, lambda lines: _checked(_lab_intervals(lines)[1]), report)


ARCHIVES = {".ctm": read_ctm, ".mlf": read_mlf}
"""Readers of files of many utterances, by suffix."""


def _each(
    rows: dict[str, list[tuple[str, str]]],
    parse: Callable[[list[tuple[str, str]]], tuple[Phone, ...]],
    report: Report | None,
) -> dict[str, tuple[Phone, ...]]:
    """Parse the lines (where, text) of each utterance; wrong ones are reported or raised."""
    found = {}
    for utterance, lines in rows.items():
        try:
            found[utterance] = parse(lines)
        except CorpusError as error:
            if report is None:
                raise
            report(str(error))
    return found


def _ctm_phones(lines: list[tuple[str, str]]) -> tuple[Phone, ...]:
    intervals = []
    for where, line in lines:
        fields = line.split()
        if len(fields) not in (5, 6):
            raise CorpusError(
                f"{where}: {len(fields)} fields, expected "
                "'utterance channel start duration phone [confidence]'"
            )
        start, duration = _number(fields[2], where), _number(fields[3], where)
        if duration < 0:
            raise CorpusError(f"{where}: duration {duration:g} s is negative; fix or drop the line")
        intervals.append((where, start, start + duration, fields[4]))
    # Sorted by start time alone; the line number is for error messages
    return _checked(sorted(intervals, key=lambda interval: interval[1]))


def _checked(intervals: Iterable[tuple[str, float, float, str]]) -> tuple[Phone, ...]:
    """Turn (where, start, end, label) into phones; CorpusError for impossible times."""
    intervals = list(intervals)
    names = without_context([label for _, _, _, label in intervals])
    phones: list[Phone] = []
    for (where, start, end, _), label in zip(intervals, names, strict=True):
        if start < 0:
            raise CorpusError(
                f"{where}: start {start:g} s is negative, expected seconds from the beginning; "
                "fix or drop the line"
            )
        if end < start:
            raise CorpusError(
                f"{where}: end {end:g} s is before start {start:g} s; fix or drop the line"
            )
        if phones and start < phones[-1].end:
            overlap = phones[-1].end - start
            if overlap > ROUNDING or end < phones[-1].end:
                raise CorpusError(
                    f"{where}: {label!r} from {start:g} s overlaps {phones[-1].label!r}, which "
                    f"ends at {phones[-1].end:g} s; expected phones one after the other"
                )
            start = phones[-1].end
        if end > start:  # a segment of duration 0 holds no speech
            phones.append(Phone(start, end, SILENCE if label.lower() in SILENCES else label))
    return tuple(phones)


def _phn_intervals(path: Path, sample_rate: int) -> Iterator[tuple[str, float, float, str]]:
    for where, line in _lines(path):
        start, end, label = _three_fields(line, where)
        yield where, start / sample_rate, end / sample_rate, label


_TIMES = re.compile(r"[-+.\deE]+\s+[-+.\deE]+(\s+\S.*)?")


def _lab_intervals(
    lines: list[tuple[str, str]],
) -> tuple[float, list[tuple[str, float, float, str]]]:
    """Return the unit of a .lab file in seconds, and (where, start, end, label) in seconds."""
    if (after := _after_header(lines)) is not None:
        return 1.0, list(_xlabel_intervals(after))
    in_seconds = any("." in field for _, line in lines for field in line.split()[:2])
    unit = 1.0 if in_seconds else 1 / HTK_UNITS_PER_SECOND
    rows = [(where, *_three_fields(line, where)) for where, line in lines]
    return unit, [(where, start * unit, end * unit, label) for where, start, end, label in rows]


def _after_header(lines: list[tuple[str, str]]) -> list[tuple[str, str]] | None:
    """Return the lines after the header of an xlabel file, None if the file has no header."""
    for index, (_, line) in enumerate(lines):
        if line == "#":
            rows = lines[index + 1 :]
            return rows if rows and all(_TIMES.match(row) for _, row in rows) else None
        if _TIMES.match(line):
            return None
    return None


def _xlabel_intervals(lines: list[tuple[str, str]]) -> Iterator[tuple[str, float, float, str]]:
    start = 0.0
    for where, line in lines:
        end, _, label = _three_fields(line, where)
        yield where, start, end, label
        start = end


def _three_fields(line: str, where: str) -> tuple[float, float, str]:
    # HTK may add scores and words after the label; an empty label may be missing
    fields = line.split()
    if len(fields) < 2:
        raise CorpusError(f"{where}: {line!r}, expected 'start end phone'")
    label = fields[2] if len(fields) > 2 else ""
    return _number(fields[0], where), _number(fields[1], where), label


def _textgrid_intervals(path: Path, wanted: str | None) -> Iterator[tuple[str, float, float, str]]:
    tiers = read_textgrid(path)
    names = [tier.name.strip().lower() for tier in tiers]
    if wanted is not None:
        expected = repr(wanted)
        found = [tier for tier in tiers if tier.name.strip() == wanted.strip()]
    else:
        expected = f"'phones' or '<speaker> - phones' (or {', '.join(TIERS[1:])})"
        named = list(zip(tiers, names, strict=True))
        found = [tier for tier, name in named if name == TIERS[0]]
        found = found or [tier for tier, name in named if name.endswith("- phones")]
        found = found or [tier for tier, name in named if name in TIERS]
    if len(found) != 1:
        there = [repr(tier.name[:40]) for tier in tiers[:10]] + ["…"] * (len(tiers) > 10)
        raise CorpusError(
            f"{path}:1: expected one tier named {expected}, found the tiers "
            f"{', '.join(there) or '(none)'}; name it with --tier"
        )
    (tier,) = found
    if not tier.is_interval:
        raise CorpusError(f"{path}:1: tier {tier.name[:40]!r} holds points, expected intervals")
    if any(UNKNOWN in label for _, _, label in tier.intervals):
        raise CorpusError(f"{path}:1: letters in no UTF encoding; save it as UTF-8 or UTF-16")
    for number, (start, end, label) in enumerate(tier.intervals, start=1):
        yield f"{path}: tier {tier.name!r}, interval {number}", start, end, label


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ("file:line", text) for every line that is not blank."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such label file")
    try:
        text = read_text(path)
    except EncodingError as error:
        raise CorpusError(f"{path}:1: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def _number(field: str, where: str) -> float:
    try:
        value = float(field)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CorpusError(f"{where}: {field!r} is not a time, expected a number; fix the line")
    return value
