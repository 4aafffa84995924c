"""Condition vectors of codes that come piece by piece, as if at once."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from speechvq.config import ConditionerConfig
from speechvq.model import Model
from speechvq.sampling.conditions import Conditions


@pytest.fixture(params=[(1, 0), (1, 2), (4, 0), (4, 1), (8, 2), (2, 3)], ids=str)
def model(request, tiny_config):
    torch.manual_seed(0)
    upsample, layers = request.param
    conditioner = ConditionerConfig(channels=4, upsample=upsample, layers=layers)
    decoder = dataclasses.replace(tiny_config.decoder, conditioner=conditioner)
    config = dataclasses.replace(tiny_config, decoder=decoder)
    model = Model(config, ["a", "b"]).eval()
    with torch.no_grad():
        for (
            weights
        ) in model.vqvae.decoder.conditioner.parameters():  # no ReLU hides the far neighbours
            weights.abs_()
    return model


@pytest.fixture
def codes(model):
    return np.random.default_rng(0).integers(0, model.codebook_size, 40)


def cut(codes, *ends):
    return [codes[a:b] for a, b in itertools.pairwise([0, *ends, len(codes)])]


def test_vectors_are_those_of_the_model(model, codes):
    vectors = np.concatenate(list(Conditions(model).vectors([codes], "b")))
    with torch.no_grad():
        quantized = model.vqvae.quantizer.lookup(torch.from_numpy(codes)[None])
        expected = model.vqvae.decoder.conditioner(quantized, torch.tensor([1]))[0].numpy()
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-5)
    assert vectors.dtype == np.float32


@pytest.mark.parametrize("ends", [(1,), (1, 2, 3), tuple(range(40)), (0, 7, 7, 30), (39,)], ids=str)
def test_pieces_are_the_whole_to_the_last_bit(model, codes, ends):
    whole = np.concatenate(list(Conditions(model).vectors([codes], "a")))
    pieces = list(Conditions(model).vectors(cut(codes, *ends), "a"))
    assert all(len(piece) for piece in pieces)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_a_vector_comes_when_what_it_depends_on_is_known_and_not_later(model, codes):
    """By change: the first vector does not depend on the first code that it did not wait for."""
    conditions = Conditions(model)
    came = 0

    def arriving():
        nonlocal came
        for code in codes:
            came += 1
            yield np.array([code])

    next(conditions.vectors(arriving(), "a"))
    assert came == 1 + conditions.lookahead

    def first_vector(codes):
        return np.concatenate(list(conditions.vectors([codes], "a")))[0]

    def matters(place):
        changes = []
        for code in range(model.codebook_size):
            changed = codes.copy()
            changed[place] = code
            changes.append((first_vector(changed) != first_vector(codes)).any())
        return any(changes)

    assert not matters(came)
    assert matters(came - 1)


def test_what_is_refused(model):
    conditions = Conditions(model)
    for codes, message in (
        (np.array([8]), "codes: 8 is out of range; this model's codes are 0 … 7"),
        (np.array([0.5]), "got float64 of shape"),
        (np.array([[1]]), r"got int64 of shape \(1, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            list(conditions.vectors([codes], "a"))
    with pytest.raises(ValueError, match="unknown speaker 'c'"):
        list(conditions.vectors([np.array([1])], "c"))
    assert list(conditions.vectors([], "a")) == []
