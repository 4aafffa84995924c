import pytest
import torch

from speechvq.speaker_weights import MEL_TABLE, own_dimensions, put_speaker

DECODER = "vqvae.decoder.conditioner.speakers.weight"
LAYERS = [f"mel_predictor.stack.layers.{i}.speaker.weight" for i in range(2)]


@pytest.fixture
def weights():
    draw = torch.Generator().manual_seed(0)
    shapes = {DECODER: (3, 4), MEL_TABLE: (3, 5), LAYERS[0]: (6, 5), LAYERS[1]: (6, 5)}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def speaker(seed):
    """Vectors, and a scale and shift of each layer."""
    draw = torch.Generator().manual_seed(seed)
    vectors = [torch.randn(n, generator=draw) for n in (4, 5)]
    return vectors, [torch.randn(6, generator=draw) for _ in LAYERS]


def heard(weights, place):
    """Scale and shift of a speaker in each layer."""
    return torch.stack([weights[name] @ weights[MEL_TABLE][place] for name in LAYERS])


def test_a_dimension_of_its_own(weights):
    before = {name: tensor.clone() for name, tensor in weights.items()}
    vectors, film = speaker(1)
    put_speaker(weights, 3, vectors, film)
    assert torch.equal(weights[DECODER], torch.cat([before[DECODER], vectors[0][None]]))
    for place in range(3):
        torch.testing.assert_close(heard(weights, place), heard(before, place))
    expected = torch.stack([before[name] @ vectors[1] for name in LAYERS]) + torch.stack(film)
    torch.testing.assert_close(heard(weights, 3), expected)
    assert own_dimensions(weights[MEL_TABLE]).tolist() == [False] * 5 + [True]


def test_what_is_anothers_own_is_not_for_the_next(weights):
    put_speaker(weights, 3, *speaker(1))
    before = {name: tensor.clone() for name, tensor in weights.items()}
    put_speaker(weights, 4, *speaker(2))
    assert weights[MEL_TABLE][4, 5:].tolist() == [0, 1]
    for place in range(4):
        torch.testing.assert_close(heard(weights, place), heard(before, place))


def test_nothing_is_left_of_who_is_replaced(weights):
    alone = {name: tensor.clone() for name, tensor in weights.items()}
    put_speaker(weights, 3, *speaker(1))
    vectors, film = speaker(2)
    put_speaker(weights, 3, vectors, film)
    put_speaker(alone, 3, vectors, film)
    for name, tensor in alone.items():
        assert torch.equal(weights[name], tensor), name


def test_half_precision_and_no_scales(weights):
    half = {name: tensor.half() for name, tensor in weights.items()}
    put_speaker(half, 3, *speaker(1))
    assert {tensor.dtype for tensor in half.values()} == {torch.float16}
    put_speaker(half, 4, speaker(2)[0])
    assert half[MEL_TABLE].shape == (5, 6) and half[MEL_TABLE][4, 5] == 0


def test_a_model_of_one_speaker(weights):
    """All dimensions are its own, and none is taken from it."""
    weights = {name: t[:1] if t.shape[0] == 3 else t for name, t in weights.items()}
    assert not own_dimensions(weights[MEL_TABLE]).any()
    vectors, film = speaker(1)
    put_speaker(weights, 0, vectors, film)
    assert weights[MEL_TABLE].tolist() == [[*vectors[1].tolist(), 1]]
