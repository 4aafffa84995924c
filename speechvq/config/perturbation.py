"""Settings of the perturbation of the encoder's input (features/perturbation.py)."""

from dataclasses import dataclass

from speechvq.config.checks import above_zero, at_least, share

MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates, in Hz, that MP3 has."""


@dataclass(frozen=True)
class PerturbationConfig:
    """Random changes of the encoder's input, while the target stays as it is.

    Attributes
    ----------
    speed : float
        Logarithm of the largest factor by which the speed changes, and with it formants and pitch;
        in steps of 320 samples of the segment, so segments are to be of half a second at least.
    equaliser : float
        dB: standard deviation of a smooth random equaliser.
    gain : float
        dB: the level is raised or lowered by up to so much.
    low_pass : float
        Share of the segments that lose all above a random frequency.
    low_pass_from, low_pass_to : float
        Hz: range of that frequency.
    noise : float
        Share of the segments that get noise, white or stronger at low frequencies.
    noise_from, noise_to : float
        dB: range of the signal-to-noise ratio.
    reverberation : float
        Share of the segments that sound as in a room.
    codec : float
        Share of the segments that go through an MP3 of 16 to 40 kbit/s.
    """

    speed: float = 0.0
    equaliser: float = 0.0
    gain: float = 0.0
    low_pass: float = 0.0
    low_pass_from: float = 3400.0
    low_pass_to: float = 7400.0
    noise: float = 0.0
    noise_from: float = 10.0
    noise_to: float = 40.0
    reverberation: float = 0.0
    codec: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether the input is changed at all."""
        shares = self.low_pass, self.noise, self.reverberation, self.codec
        return any((self.speed, self.equaliser, self.gain, *shares))

    def __post_init__(self) -> None:
        for name in ("equaliser", "gain"):
            at_least(0, name, getattr(self, name))
        for name in ("speed", "low_pass", "noise", "reverberation", "codec"):
            share(name, getattr(self, name))
        if self.speed > 0.5:
            raise ValueError(f"speed: must be at most 0.5, got {self.speed}")
        above_zero("low_pass_from", self.low_pass_from)
        for low, high in (("low_pass_from", "low_pass_to"), ("noise_from", "noise_to")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{high}: must be at least {low}, {getattr(self, low)}")
