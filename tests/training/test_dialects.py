"""Codes that another speaker would have had."""

import pytest
import torch

from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.models.vqvae import VQVAE
from speechvq.training.dialects import Dialects, find_dialects, surroundings_of

RATE = 100.0


def dialects(of_speakers: list[tuple[torch.Tensor, torch.Tensor]]) -> Dialects:
    """From latents (M, D) and codes (M,) of each speaker."""
    around = [surroundings_of(latents[None], RATE)[0] for latents, _ in of_speakers]
    return Dialects(around, [codes for _, codes in of_speakers], RATE)


def test_what_is_most_alike_is_found_by_its_surroundings():
    """Both moments of the other's are as near in themselves; only one goes up where this does."""
    up, down = torch.arange(-9.0, 10.0)[:, None], torch.arange(9.0, -10.0, -1.0)[:, None]
    other = torch.cat([down, up]), torch.arange(38)
    said = dialects([(up, torch.arange(100, 119)), other])
    own = torch.zeros(20, 19, dtype=torch.int64)
    codes = said.translate(up.expand(20, 19, 1), own, torch.zeros(20, dtype=torch.int64), 1.0)
    translated = codes[codes.any(1)]
    assert 4 < len(translated) < 16  # the other rows have drawn the speaker
    inside = slice(6, -6)  # at the ends there is less to compare
    assert (translated[:, inside] == torch.arange(19, 38)[inside]).all()


def test_so_many_rows_are_said_by_others():
    torch.manual_seed(0)
    one, two = torch.randn(50, 3), torch.randn(50, 3)
    said = dialects([(one, torch.full((50,), 1)), (two, torch.full((50,), 2))])
    latents, speaker = torch.randn(4000, 5, 3), torch.arange(4000) % 2
    own = torch.full((4000, 5), 7)
    codes = said.translate(latents, own, speaker, 0.5)
    assert torch.equal(codes.amin(1), codes.amax(1))  # a row is of one speaker
    others = codes[:, 0] != 7
    assert others.float().mean() == pytest.approx(0.25, abs=0.03)  # half of them of the very same
    assert torch.equal(codes[others, 0], 2 - speaker[others])
    assert (own == 7).all()
    assert torch.equal(said.translate(latents, own, speaker, 0.0), own)


def test_a_single_speaker_has_no_dialect():
    said = dialects([(torch.randn(9, 3), torch.arange(9))])
    own = torch.randint(9, (8, 5))
    assert torch.equal(said.translate(torch.randn(8, 5, 3), own, torch.zeros(8).long(), 1.0), own)


def test_surroundings_of_slow_codes():
    """At 25 codes a second they are the two before and the two after."""
    latents = torch.arange(6.0)[None, :, None]
    assert surroundings_of(latents, 25.0)[0, 3].tolist() == [1, 2, 3, 4, 5]
    assert surroundings_of(latents, 25.0)[0, 0].tolist() == [0, 0, 0, 1, 2]  # the edge repeated
    assert surroundings_of(torch.zeros(2, 6, 20), 25.0).shape == (2, 6, 60)


def test_they_are_found_in_recordings_of_each_speaker(tiny_config):
    torch.manual_seed(0)
    model = VQVAE(tiny_config, ["a", "b"])
    utterances = [Utterance(f"{name}_{i}", name, "unread.wav", 0.5) for i in "12" for name in "ab"]
    audio = [0.1 * torch.randn(8000).numpy() for _ in utterances]
    waveforms = Waveforms(utterances, 16000, waveforms=audio)
    model.quantizer.initialise(model.latents(torch.randn(1, 16000)).detach()[0])
    found = find_dialects(model, waveforms)
    own = torch.from_numpy(waveforms.crop(1, 0, 8000))[None]  # of speaker b
    with torch.no_grad():
        latents, codes = model.latents(own), model.encode(own)
    silent = torch.zeros_like(codes)
    torch.manual_seed(1)
    rows = [found.translate(latents, silent, torch.tensor([0]), 1.0) for _ in range(20)]
    assert any(row.any() for row in rows)
    assert all(torch.equal(row, codes) for row in rows if row.any())  # what is b's is found again
