"""Settings of features: what is computed of a recording before a network sees it."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from speechvq.config.checks import above_zero, at_least


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

    def __post_init__(self):
        for name in ("mel_bands", "warps", "warp_rounds", "compared_cepstra", "gmm_components"):
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

    @property
    def hop_length(self) -> int:
        """Samples per feature frame."""
        raise NotImplementedError


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


@dataclass(frozen=True)
class NormalisedCepstraConfig(FeatureConfig):
    """Speaker-normalised cepstra; the transform of a recording is estimated from the recording.

    Attributes
    ----------
    kind : {"normalised_cepstra"}
    frame_length : int
        Samples per frame.
    cepstra : int
        Cepstra of a frame.
    log_warp_std : float
        Standard deviation of the prior of a recording's log VTLN warp factor.
    stored_speakers : int
        Transforms of training speakers that a recording's search begins from, at most.
    prior_frames : float
        Frames that a starting point weighs beside those of a recording.
    frames : int
        Frames of a recording by which its transform is estimated, at most.
    coarse_frames, beam : int
        Frames by which starting points are ranked, and how many of these are searched further.
    rounds : int
        Iterations of expectation maximisation.
    normalisation : SpeakerNormalisationConfig
    """

    kind: Literal["normalised_cepstra"] = "normalised_cepstra"
    frame_length: int = 128
    cepstra: int = 16
    log_warp_std: float = 0.15
    stored_speakers: int = 128
    prior_frames: float = 20.0
    frames: int = 2000
    coarse_frames: int = 200
    beam: int = 5
    rounds: int = 4
    normalisation: SpeakerNormalisationConfig = field(default_factory=SpeakerNormalisationConfig)

    def __post_init__(self):
        for name in ("frame_length", "cepstra", "frames", "coarse_frames", "beam", "rounds"):
            at_least(1, name, getattr(self, name))
        at_least(0, "stored_speakers", self.stored_speakers)
        for name in ("log_warp_std", "prior_frames"):
            above_zero(name, getattr(self, name))

    @property
    def hop_length(self) -> int:
        """Samples per feature frame."""
        return self.frame_length
