"""The long-term equaliser: whose average spectrum the frames take, and whose frames it leaves."""

import numpy as np
import torch

from speechvq.postfilter.equaliser import MEMORY, PRIOR, LongTermEqualiser, long_term_mean

BANDS, RATE = 6, 100.0


def speech(n: int, seed: int = 0) -> torch.Tensor:
    """Log-mel frames (1, n, BANDS) in float64, some softer than others."""
    torch.manual_seed(seed)
    return torch.randn(1, n, BANDS).double() - 4 * torch.rand(1, n, 1).double()


def equalised(frames: torch.Tensor, *long_terms: torch.Tensor) -> torch.Tensor:
    return frames + LongTermEqualiser(torch.stack(long_terms), RATE).gains(frames)


def test_the_mean_is_weighted_by_amplitudes():
    frames = speech(50)[0]
    amplitudes = np.exp(frames.numpy()).sum(1) ** 0.5
    expected = (amplitudes[:, None] * frames.numpy()).sum(0) / amplitudes.sum()
    found = long_term_mean(frames.split([7, 0, 43]))
    np.testing.assert_allclose(found[:-1], expected)
    np.testing.assert_allclose(found[-1], amplitudes.mean())


def test_it_is_the_slow_loop():
    """From the speaker's mean, by exponentially fading weights; in one piece and in pieces."""
    own, frames = long_term_mean(speech(200, seed=1)), speech(60)
    total, weight = PRIOR * RATE * own[-1] * own[:-1], PRIOR * RATE * own[-1]
    expected, fade = [], np.exp(-1 / (MEMORY * RATE))
    for frame in frames[0]:
        amplitude = frame.exp().sum().sqrt()
        total, weight = fade * total + amplitude * frame, fade * weight + amplitude
        expected.append(frame + own[:-1] - total / weight)
    torch.testing.assert_close(equalised(frames, own)[0], torch.stack(expected))
    equaliser = LongTermEqualiser(own[None], RATE)
    pieces = [piece + equaliser.gains(piece) for piece in frames.split([1, 20, 0, 39], dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), torch.stack(expected)[None])


def test_it_removes_the_sources_average_spectrum():
    """Speech through another channel comes to the same frames, with the speaker's mean."""
    frames, own = speech(6000), long_term_mean(speech(200, seed=1)[0].split(50))
    channel = torch.linspace(-1, 1, BANDS).double()
    one, other = equalised(frames, own), equalised(frames + channel, own)
    assert (frames[:, -1000:] - one[:, -1000:] - own[:-1]).abs().max() > 0.1  # there was a way
    assert (one - other)[:, :1].abs().max() > 0.9  # at the beginning nothing is known
    assert (one - other)[:, -1000:].abs().max() < 0.1
    assert (long_term_mean(one[:, -2000:])[:-1] - own[:-1]).abs().max() < 0.1


def test_a_row_of_zeros_leaves_all_bits():
    frames, own = speech(30).float(), long_term_mean(speech(200, seed=1)[0].split(50)).float()
    both = equalised(frames.expand(2, -1, -1), torch.zeros(BANDS + 1), own)
    assert torch.equal(both[0], frames[0])
    assert not torch.equal(both[1], frames[0])
