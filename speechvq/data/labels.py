"""Time-aligned phone labels, in the formats of corpora and forced aligners.

============  =====================================================================================
``.TextGrid``  Praat's long and short text formats, UTF-8 or UTF-16; the interval tier ``phones`` or
               ``<speaker> - phones``, as the Montreal Forced Aligner writes it
``.phn``       TIMIT: start, end, phone; times in samples
``.lab``       HTK: start, end, phone; times in units of 100 ns, or, if any time in the file has a
               decimal point, in seconds (what :func:`write_lab` writes)
``.ctm``       utterance, channel, start, duration, phone; times in seconds; one file may hold many
               utterances (:func:`read_ctm`)
============  =====================================================================================

Labels are kept as written, but every label of silence becomes :data:`SILENCE`. A time without a
label in the file gets no phone, and counts as silence in the analysis.
"""

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from speechvq.audio import write_bytes
from speechvq.data.manifest import CorpusError, Phone

SILENCE = "sil"
"""Label of silence, pauses, and segments that an aligner could not identify."""

SUFFIXES = (".textgrid", ".phn", ".lab", ".ctm")
"""Suffixes, in lower case, of the files that :func:`read_phones` understands."""

SILENCES = frozenset(
    ["", "sil", "sp", "spn", "spl", "sp1", "silence", "pau", "epi", "h#", "#h", "#", "ssil", "nsn"]
    + ["<sil>", "<s>", "</s>", "<p>", "<eps>", "++noise++", "[noise]", "[silence]", "_"]
)

HTK_UNITS_PER_SECOND = 10_000_000
ROUNDING = 0.0101
"""Overlap of neighbours, in seconds, that times rounded to 0.01 s can cause; it is removed."""


def read_phones(path: str | os.PathLike, sample_rate: int = 16000) -> tuple[Phone, ...]:
    """Read the phones of one utterance from a label file, in the format of the suffix.

    Parameters
    ----------
    path
        A ``.TextGrid``, ``.phn``, ``.lab`` or ``.ctm`` file (suffixes in any case).
    sample_rate
        Hz; times in ``.phn`` files are in samples.

    Returns
    -------
    tuple of Phone
        In temporal order, without overlap; times in seconds.

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
        return _checked(_textgrid_intervals(path))
    if suffix == ".phn":
        return _checked(_phn_intervals(path, sample_rate))
    if suffix == ".lab":
        return _checked(_lab_intervals(path))
    if suffix == ".ctm":
        utterances = read_ctm(path)
        if len(utterances) != 1:
            raise CorpusError(
                f"{path}:1: holds {len(utterances)} utterances, expected one; use read_ctm()"
            )
        return next(iter(utterances.values()))
    raise CorpusError(
        f"{path}:1: unknown label format {path.suffix!r}, expected .TextGrid, .phn, .lab or .ctm"
    )


def read_ctm(path: str | os.PathLike) -> dict[str, tuple[Phone, ...]]:
    """Read a CTM file: ``utterance channel start duration phone [confidence]`` a line, seconds.

    Returns
    -------
    dict
        The phones of each utterance, in the order of the file. The lines of an utterance may stand
        anywhere and in any order.
    """
    path = Path(path)
    found: dict[str, list[tuple[str, float, float, str]]] = {}
    for where, line in _lines(path):
        if line.startswith(";;"):  # a comment, in NIST's format
            continue
        fields = line.split()
        if len(fields) not in (5, 6):
            raise CorpusError(
                f"{where}: {len(fields)} fields, expected "
                "'utterance channel start duration phone [confidence]'"
            )
        start, duration = _number(fields[2], where), _number(fields[3], where)
        if duration < 0:
            raise CorpusError(f"{where}: duration {duration:g} s is negative; fix or drop the line")
        found.setdefault(fields[0], []).append((where, start, start + duration, fields[4]))
    # Sorted by start time alone; the line number is for error messages
    return {
        utterance: _checked(sorted(intervals, key=lambda interval: interval[1]))
        for utterance, intervals in found.items()
    }


def write_lab(path: str | os.PathLike, phones: Iterable[Phone]) -> None:
    """Write ``start end label`` a line, in seconds, for :func:`read_phones` to read back.

    Times have six decimals, which resolves a sample at any usual rate. The file appears whole or
    not at all.
    """
    lines = [f"{phone.start:.6f} {phone.end:.6f} {phone.label}\n" for phone in phones]
    write_bytes(path, "".join(lines).encode())


def _checked(intervals: Iterable[tuple[str, float, float, str]]) -> tuple[Phone, ...]:
    """Turn (where, start, end, label) into phones; CorpusError for impossible times."""
    phones: list[Phone] = []
    for where, start, end, label in intervals:
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


def _lab_intervals(path: Path) -> Iterator[tuple[str, float, float, str]]:
    lines = list(_lines(path))
    in_seconds = any("." in field for _, line in lines for field in line.split()[:2])
    unit = 1.0 if in_seconds else 1 / HTK_UNITS_PER_SECOND
    for where, line in lines:
        start, end, label = _three_fields(line, where)
        yield where, start * unit, end * unit, label


def _three_fields(line: str, where: str) -> tuple[float, float, str]:
    # HTK may add scores and words after the label; an empty label may be missing
    fields = line.split()
    if len(fields) < 2:
        raise CorpusError(f"{where}: {line!r}, expected 'start end phone'")
    label = fields[2] if len(fields) > 2 else ""
    return _number(fields[0], where), _number(fields[1], where), label


def _textgrid_intervals(path: Path) -> Iterator[tuple[str, float, float, str]]:
    try:
        from praatio import textgrid
        from praatio.data_classes.interval_tier import IntervalTier
        from praatio.utilities.errors import PraatioException
    except ImportError as error:
        raise ValueError(
            f"{path}: reading TextGrid needs praatio; install it with: pip install praatio"
        ) from error

    try:
        grid = textgrid.openTextgrid(
            str(path), True, reportingMode="silence", duplicateNamesMode="rename"
        )
    except (PraatioException, ValueError, LookupError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CorpusError(f"{path}:1: not a TextGrid that can be read ({reason})") from error
    names = [name for name in grid.tierNames if name.strip().lower() == "phones"]
    names = names or [name for name in grid.tierNames if name.lower().endswith("- phones")]
    if len(names) != 1:
        raise CorpusError(
            f"{path}:1: expected one tier named 'phones' or '<speaker> - phones', "
            f"found the tiers {', '.join(map(repr, grid.tierNames)) or '(none)'}"
        )
    tier = grid.getTier(names[0])
    if not isinstance(tier, IntervalTier):
        raise CorpusError(f"{path}:1: tier {names[0]!r} holds points, expected intervals")
    for number, entry in enumerate(tier.entries, start=1):
        yield f"{path}: tier {names[0]!r}, interval {number}", entry.start, entry.end, entry.label


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ("file:line", text) for every line that is not blank."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such label file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}:1: not text in UTF-8 ({error.reason})") from error
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
