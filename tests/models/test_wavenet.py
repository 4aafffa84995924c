import pytest
import torch
import torch.nn.functional as F

from speechvq.config import WaveNetConfig
from speechvq.models.wavenet import WaveNet

CONFIGS = {
    "two taps": WaveNetConfig(6, 3, 2, 8, 4, 12),
    "three taps": WaveNetConfig(4, 2, 3, 6, 8, 10),
    "one layer": WaveNetConfig(1, 1, 2, 4, 4, 4),
}


def wavenet(config: WaveNetConfig, bands: int = 1) -> WaveNet:
    torch.manual_seed(0)
    return WaveNet(config, levels=16, condition_channels=5, start=7, bands=bands)


@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_depends_on_its_receptive_field_and_no_future(name, bands, monkeypatch):
    config, T, t = CONFIGS[name], 60, 45
    model = wavenet(config, bands)
    embedded, look_up = [], model.embedded

    def watched(x):
        embedded.append(look_up(x))
        embedded[-1].retain_grad()
        return embedded[-1]

    monkeypatch.setattr(model, "embedded", watched)
    x, condition = torch.randint(16, (1, T, bands)), torch.randn(1, T, 5)
    logits = model(x, condition)
    logits[0, t].sum().backward()
    other = torch.cat([x[:, :t], 15 - x[:, t:]], dim=1)
    torch.testing.assert_close(model(other, condition)[0, : t + 1], logits[0, : t + 1])
    # Embedding i holds x at i - 1, so t depends on x from t - receptive_field to t - 1
    used = embedded[0].grad[0].abs().sum(-1).nonzero().flatten() - 1
    assert used.max() == t - 1
    assert used.min() == t - config.receptive_field


@pytest.mark.parametrize("name", CONFIGS)
def test_bands_depend_on_each_others_past(name):
    T, t = 20, 12
    model = wavenet(CONFIGS[name], bands=4)
    x, condition = torch.randint(16, (1, T, 4)), torch.randn(1, T, 5)
    other = x.clone()
    other[0, t, 1] = (x[0, t, 1] + 8) % 16
    one, two = model(x, condition), model(other, condition)
    torch.testing.assert_close(one[:, : t + 1], two[:, : t + 1])
    assert ((one - two)[0, t + 1].abs().amax(-1) > 1e-3).all()  # in each band


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_stack_of_convolutions_of_the_wavenet_paper(name, bands):
    config = CONFIGS[name]
    model, C = wavenet(config, bands), config.residual_channels
    x, condition = torch.randint(16, (2, 24, bands)), torch.randn(2, 6, 5)
    before = torch.cat([torch.full((2, 1, bands), 7), x[:, :-1]], 1)
    tables = model.embed.weight.unflatten(0, (bands, 16))
    h = sum(tables[j][before[..., j]] for j in range(bands)).transpose(1, 2)
    conditions = model.condition(condition).transpose(1, 2).repeat_interleave(4, dim=2)
    skips = 0
    for i, (layer, dilation) in enumerate(zip(model.layers, config.dilations, strict=True)):
        kernel = layer.gates.weight.view(2 * C, config.kernel_size, C).transpose(1, 2)
        past = F.pad(h, ((config.kernel_size - 1) * dilation, 0))
        z = F.conv1d(past, kernel, layer.gates.bias, dilation=dilation)
        z = z + conditions[:, 2 * C * i : 2 * C * (i + 1)]
        out = F.conv1d(
            torch.tanh(z[:, :C]) * torch.sigmoid(z[:, C:]),
            layer.outputs.weight[:, :, None],
            layer.outputs.bias,
        )
        h, skips = h + out[:, :C], skips + out[:, C:]
    expected = model.output(F.relu(model.hidden(F.relu(skips.transpose(1, 2)))))
    expected = expected.unflatten(-1, (bands, 16))
    torch.testing.assert_close(model(x, condition), expected, atol=1e-5, rtol=1e-4)


def test_condition_reaches_its_own_elements_only():
    model = wavenet(CONFIGS["two taps"])
    x, condition = torch.randint(16, (1, 12, 1)), torch.randn(1, 3, 5)
    other = condition.clone()
    other[0, 2] += 1
    one, two = model(x, condition), model(x, other)
    torch.testing.assert_close(one[:, :8], two[:, :8])
    assert (one[:, 8:] - two[:, 8:]).abs().min() > 0


def test_dilations_and_receptive_field():
    config = WaveNetConfig(layers=20, dilation_cycle=10)
    assert config.dilations == tuple(2**i for i in range(10)) * 2
    assert config.receptive_field == 2047
