"""What every judge of speech is: a name, and one method from speech to numbers.

A judge from outside of the package is one class with these attributes, handed to
:func:`speechvq.evaluation.conversion.evaluate_conversion`. Shapes: T samples.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from speechvq.data.manifest import Utterance

SOURCE, RECONSTRUCTION, CONVERSION = "source", "reconstruction", "conversion"
REAL_TARGET, REAL_SOURCE = "real target", "real source"


class Errors(NamedTuple):
    """Errors of a recogniser, and the length of the reference that they are divided by."""

    errors: int
    length: int


@dataclass(frozen=True)
class Score:
    """Numbers of one piece of speech, by name, and what a recogniser transcribed.

    A float is averaged over speech; a bool gives a share, an `Errors` an error rate. NaN is left
    out.
    """

    numbers: Mapping[str, float | bool | Errors]
    transcript: str | None = None


@dataclass(frozen=True)
class Recordings:
    """The recordings of real speakers that synthesised speech is compared with.

    Attributes
    ----------
    pools : dict
        By speaker, utterances that represent the speaker's voice: of targets and sources.
    targets : collection of str
        Speakers among which, and the source, a voice is identified.
    waveform : callable
        From an utterance to a waveform (T,) at the judges' sample rate and level.
    """

    pools: Mapping[str, Sequence[Utterance]]
    targets: Collection[str]
    waveform: Callable[[Utterance], np.ndarray]
    _measured: dict[Hashable, Any] = field(default_factory=dict, compare=False)

    def measured(self, measure: Callable[[np.ndarray], Any], utterance: Utterance) -> Any:
        """Apply a measure to a recording, once for each recording."""
        key = (measure, utterance.recording)
        if key not in self._measured:
            self._measured[key] = measure(self.waveform(utterance))
        return self._measured[key]


@dataclass(frozen=True)
class Speech:
    """One piece of speech to judge.

    Attributes
    ----------
    kind : str
        SOURCE, RECONSTRUCTION, CONVERSION, REAL_TARGET or REAL_SOURCE.
    utterance : Utterance
        The utterance that is said: its text and phones are the references of recognisers.
        Recordings of targets are utterances of their own.
    recordings : Recordings
    target, source : str, optional
        Speakers that the voice is compared with.
    synthesised : ndarray, optional
        (T,) at 16 kHz; None for a recording.
    group : str, optional
        The group of sources that the utterance belongs to.
    """

    kind: str
    utterance: Utterance
    recordings: Recordings
    target: str | None = None
    source: str | None = None
    synthesised: np.ndarray | None = None
    group: str | None = None

    def measured(self, measure: Callable[[np.ndarray], Any]) -> Any:
        """Apply a measure to the waveform; recordings are measured once each."""
        if self.synthesised is not None:
            return measure(self.synthesised)
        return self.of_recording(measure)

    def of_recording(self, measure: Callable[[np.ndarray], Any]) -> Any:
        """Apply a measure to the recording of the utterance, once for each recording."""
        return self.recordings.measured(measure, self.utterance)


class Judge:
    """Base class of judges: set the attributes and write `score`.

    Attributes
    ----------
    title : str
        Heading of the table and key in JSON, e.g. "WER".
    name : str
        The package and its version.
    kinds : sequence of str
        The kinds of speech that are judged; the rows of the table.
    formats : dict
        The numbers that the table shows, in order, and how each is formatted.
    by_target : bool
        Whether there is a second table with a row for each target speaker.
    """

    title: ClassVar[str]
    name: str
    kinds: ClassVar[Sequence[str]] = (SOURCE, RECONSTRUCTION, CONVERSION)
    formats: ClassVar[Mapping[str, str]]
    by_target: ClassVar[bool] = False

    def score(self, speech: Speech) -> Score:
        """Score one piece of speech."""
        raise NotImplementedError
