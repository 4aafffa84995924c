"""Options of sampling: defaults and ranges."""

import dataclasses

import pytest

from speechvq.model import Model
from speechvq.sampling import SamplingOptions


def test_the_default_is_the_models_own_distribution():
    options = SamplingOptions()
    assert options.is_models_own and options.post_filter
    assert (options.seed, options.precision) == (0, "float32")
    for change in ({"temperature": 0.9}, {"top_k": 5}, {"top_p": 0.5}):
        assert not dataclasses.replace(options, **change).is_models_own


def test_what_is_not_given_is_the_models_own(tiny_streaming_config):
    config = dataclasses.replace(
        tiny_streaming_config,
        decoder=dataclasses.replace(tiny_streaming_config.decoder, top_p=0.8),
        mel_predictor=dataclasses.replace(tiny_streaming_config.mel_predictor, guidance=0.3),
    )
    model = Model(config, ["p225"])
    own = SamplingOptions(seed=3).of(model)
    assert own == SamplingOptions(seed=3, top_p=0.8, guidance=0.3)
    given = SamplingOptions(top_p=1.0, guidance=0.0)
    assert given.of(model) == given
    assert SamplingOptions(post_filter=False).of(model).guidance is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature: must be above 0, got 0.0; 1 is the model's own"),
        ({"top_k": 0}, "top_k: must be a whole number, 1 or more, got 0"),
        ({"top_p": 1.5}, "top_p: must be above 0 and at most 1, got 1.5"),
        ({"seed": -1}, "seed: must be a whole number, 0 or more, got -1"),
        ({"guidance": -0.1}, "guidance: must be 0 or more, got -0.1"),
        ({"guidance": float("nan")}, "guidance: must be 0 or more, got nan"),
        ({"guidance": 0.3, "post_filter": False}, "guidance: it is what the post-filter does"),
        ({"precision": "int8"}, "precision: expected float32 or bfloat16, got 'int8'"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SamplingOptions(**change)
