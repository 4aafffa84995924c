"""Small random models as pipelines of torchaudio."""

import pytest
import torch

SMALL = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [(8, 10, 5), *[(8, 3, 2)] * 4, *[(8, 2, 2)] * 2],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 16,
    "encoder_projection_dropout": 0.0,
    "encoder_pos_conv_kernel": 4,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 4,
    "encoder_num_heads": 2,
    "encoder_attention_dropout": 0.0,
    "encoder_ff_interm_features": 16,
    "encoder_ff_interm_dropout": 0.0,
    "encoder_dropout": 0.0,
    "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.0,
    "aux_num_out": None,
}
"""HuBERT's strides, 320 samples a frame of 400, and little else of it."""


def torchaudio():
    """The package; skips the test where it cannot be imported."""
    from speechvq.analysis.torchaudio_models import import_torchaudio

    try:
        return import_torchaudio()
    except ValueError as error:
        pytest.skip(str(error))


def pipeline(monkeypatch, folder, name="TINY", labels=None, normalise=False):
    """Add a pipeline with random weights to torchaudio; return the file of weights, and a model."""
    found = torchaudio()
    params = SMALL | {"aux_num_out": len(labels) + 1 if labels else None}
    torch.manual_seed(0)
    model = found.models.wav2vec2_model(**params).eval()
    weights = folder / f"{name}.pth"
    torch.save(model.state_dict(), weights)
    # Where nothing answers: the file is there, and so nothing is fetched
    values = {
        "_path": "https://127.0.0.1:1/weights.pth",
        "_params": params,
        "_sample_rate": 16000,
        "_normalize_waveform": normalise,
        "_model_type": "Wav2Vec2",
    }
    kind = found.pipelines.Wav2Vec2Bundle
    if labels:
        kind = found.pipelines.Wav2Vec2ASRBundle
        values |= {"_labels": labels, "_remove_aux_axis": ()}
    monkeypatch.setattr(found.pipelines, name, kind(**values), raising=False)
    return weights, model
