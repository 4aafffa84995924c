"""Settings of features: what is computed of a recording before a network sees it.

`FeatureConfig` is an open union: a subclass that is imported is known by the value of its field
`kind`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from speechvq.config.checks import BANDS, above_zero, at_least


@dataclass(frozen=True)
class SpeakerNormalisationConfig:
    """How the cepstra of a corpus's speakers are normalised: VTLN, CMVN, INCA and GMM mapping.

    Attributes
    ----------
    mel_bands : int
        Bands of the mel filterbank from which the cepstra are computed.
    dynamic_range : float
        Nats below the level of speech at which log-mel frames are floored.
    seconds_per_speaker, seconds : float
        Speech from which statistics are estimated: of each speaker, and of all speakers, at most.
    warps : int
        VTLN warp factors that are tried, spaced evenly on a logarithmic scale.
    largest_log_warp : float
        Logarithm of the largest warp factor.
    warp_rounds : int
        Rounds in which each speaker's warp factor is chosen, given the other speakers' factors.
    compared_cepstra : int
        Cepstra of the frames that are compared between speakers.
    context : float
        Seconds before and after a frame that are compared with it.
    query_frames, reference_frames : int
        Frames of a speaker, and of the other speakers, between which distances are measured.
    inca_rounds : int
        Rounds of INCA alignment.
    inca_frames, inca_speakers : int
        Frames of a speaker to which a linear transform is fitted, and other speakers in whose
        speech their nearest neighbours are sought, at most.
    inca_ridge : float
        Weight of the identity in the least-squares fit, as a share of the frames.
    inca_threshold : float
        Ratio of cross-speaker to within-speaker nearest-neighbour distance from which linear
        transforms are fitted.
    gmm_components : int
        Gaussians of the speaker mapping.
    gmm_likelihood_scale : float
        Weight of a frame's log-likelihood in the posteriors: neighbouring frames are correlated.
    gmm_relevance_factor : float
        MAP relevance factor of a speaker's means, in frames.
    gmm_iterations : int
        Iterations of expectation maximisation.
    """

    mel_bands: int = 40
    dynamic_range: float = 10.0
    seconds_per_speaker: float = 150.0
    seconds: float = 3600.0
    warps: int = 17
    largest_log_warp: float = 0.32
    warp_rounds: int = 4
    compared_cepstra: int = 12
    context: float = 0.09
    query_frames: int = 2500
    reference_frames: int = 18000
    inca_rounds: int = 3
    inca_frames: int = 4000
    inca_speakers: int = 12
    inca_ridge: float = 0.1
    inca_threshold: float = 1.5
    gmm_components: int = 128
    gmm_likelihood_scale: float = 0.5
    gmm_relevance_factor: float = 30.0
    gmm_iterations: int = 15

    def __post_init__(self) -> None:
        at_least(1, "mel_bands", self.mel_bands, BANDS)
        for name in ("warps", "warp_rounds", "compared_cepstra", "gmm_components"):
            at_least(1, name, getattr(self, name))
        for name in ("query_frames", "reference_frames", "inca_frames", "inca_speakers"):
            at_least(1, name, getattr(self, name))
        for name in ("inca_rounds", "context", "inca_ridge", "inca_threshold", "gmm_iterations"):
            at_least(0, name, getattr(self, name))
        for name in ("seconds_per_speaker", "seconds", "dynamic_range"):
            above_zero(name, getattr(self, name))


@dataclass(frozen=True)
class FeatureConfig:
    """What is computed of a recording before the encoder sees it."""

    TAG: ClassVar[str] = "kind"
    REMOVED: ClassVar[dict[str, str]] = {
        "normalised_cepstra": "gone, with encoders of kind context: learned encoders of the "
        "waveform lose fewer words of people in no training; train a model by "
        "recipes/librispeech/conf/real.yaml, or use the one in the package"
    }

    @property
    def hop_length(self) -> int:
        """Samples per feature frame."""
        raise NotImplementedError(f"{type(self).__name__}: settings of features need hop_length")


@dataclass(frozen=True)
class WaveformConfig(FeatureConfig):
    """The raw waveform, as in the paper.

    Attributes
    ----------
    kind : {"waveform"}
    """

    kind: Literal["waveform"] = "waveform"

    @property
    def hop_length(self) -> int:
        """Samples per feature frame."""
        return 1
