import pytest
import torch

from speechvq.config import QuantizerConfig
from speechvq.models.quantizer import Quantizer


def quantizer(K=8, D=3, **settings) -> Quantizer:
    torch.manual_seed(0)
    return Quantizer(QuantizerConfig(codebook_size=K, codebook_dim=D, **settings))


def test_nearest_is_the_naive_loop():
    model, z = quantizer(), torch.randn(2, 5, 3)
    codes = model.nearest(z)
    for b in range(2):
        for n in range(5):
            distances = [(z[b, n] - e).norm().item() for e in model.codebook]
            assert codes[b, n] == distances.index(min(distances))


def test_a_code_vector_is_its_own_nearest():
    model = quantizer()
    assert model.nearest(model.lookup(torch.arange(8))[None]).tolist() == [list(range(8))]


def test_gradient_passes_straight_through():
    model = quantizer().eval()
    z = torch.randn(2, 5, 3, requires_grad=True)
    out = model(z)
    torch.testing.assert_close(out.quantized, model.lookup(out.codes))
    weight = torch.randn(2, 5, 3)
    (out.quantized * weight).sum().backward()
    torch.testing.assert_close(z.grad, weight)


def test_each_loss_moves_its_own_side():
    model = quantizer(update="loss").eval()
    z = torch.randn(1, 6, 3, requires_grad=True)
    out = model(z)
    out.codebook_loss.backward(retain_graph=True)
    assert z.grad is None and model.codebook.grad.abs().sum() > 0
    model.codebook.grad = None
    out.commitment_loss.backward()
    assert z.grad.abs().sum() > 0 and model.codebook.grad is None
    expected = (z - model.lookup(out.codes)).square().mean()
    torch.testing.assert_close(out.codebook_loss, expected)
    torch.testing.assert_close(out.commitment_loss, expected)


def test_moving_averages_are_those_of_appendix_a1():
    model = quantizer(decay=0.9, restart_below=0)
    before, counts, sums = (x.clone() for x in (model.codebook, model.code_counts, model.code_sums))
    z = torch.randn(1, 20, 3)
    codes = model(z).codes[0]
    for k in range(8):
        mine = z[0, codes == k]
        count = 0.9 * counts[k] + 0.1 * len(mine)
        total = 0.9 * sums[k] + 0.1 * mine.sum(0)
        torch.testing.assert_close(model.codebook[k], total / count)
        if not len(mine):
            torch.testing.assert_close(model.codebook[k], before[k])


def test_moving_averages_find_the_centres():
    model = quantizer(K=2, decay=0.5)
    centres = torch.tensor([[3.0, 0, 0], [-3.0, 0, 0]])
    for _ in range(30):
        model((centres[torch.randint(2, (64,))] + 0.1 * torch.randn(64, 3))[None])
    found = model.codebook[model.codebook[:, 0].argsort(descending=True)]
    torch.testing.assert_close(found, centres, atol=0.1, rtol=0)


def test_eval_leaves_the_codebook_alone():
    model = quantizer().eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model(torch.randn(1, 20, 3))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_a_dead_code_is_restarted_with_count_and_sum(update):
    model = quantizer(update=update, decay=0.5)
    model.codebook.data[3] = 1e3  # far from everything
    model.code_sums[3] = 1e3
    z = torch.randn(1, 50, 3)
    for _ in range(20):
        model(z)
    assert model.codebook[3].abs().max() < 10
    torch.testing.assert_close(
        model.code_sums[3] / model.code_counts[3], model.codebook[3].detach(), atol=1.0, rtol=0
    )
    assert 3 in model.nearest(z)


def test_no_restart_when_turned_off():
    model = quantizer(decay=0.5, restart_below=0)
    model.codebook[3] = 1e3
    model.code_sums[3] = 1e3
    for _ in range(20):
        model(torch.randn(1, 50, 3))
    assert model.codebook[3].min() > 900


def test_initialise_puts_a_code_on_every_cluster():
    model = quantizer(K=4)
    centres = 10 * torch.eye(4)[:, :3]
    z = centres.repeat(50, 1) + 0.01 * torch.randn(200, 3)
    model.initialise(z)
    assert len(model.nearest(centres[None]).unique()) == 4
    with pytest.raises(ValueError, match="3 latents cannot initialise 4 codes"):
        model.initialise(z[:3])


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_start_takes_the_codebook_as_it_is(update):
    """The moving averages start anew, else the next one would drag the codes back."""
    model = quantizer(update=update, decay=0.5, restart_below=0)
    for _ in range(5):
        model(torch.randn(1, 50, 3))
    codebook = 10 * torch.randn(8, 3)
    model.start(codebook)
    assert torch.equal(model.codebook, codebook)
    assert isinstance(model.codebook, torch.nn.Parameter) == (update == "loss")
    assert model.nearest(codebook[None]).tolist() == [list(range(8))]
    model(codebook[None])  # each code is used once, by itself
    torch.testing.assert_close(model.codebook.detach(), codebook)


def test_moving_averages_are_over_the_latents_of_all_processes(monkeypatch):
    """Each of two processes, with one half of a batch, takes the averages of the whole."""
    z = torch.randn(1, 40, 3)
    whole = quantizer(decay=0.9, restart_below=0)
    codes = whole(z).codes[0]
    half = quantizer(decay=0.9, restart_below=0)

    def add_the_other_half(x):
        other, k = z[0, 20:], codes[20:]
        x += k.bincount(minlength=8) if x.dim() == 1 else torch.zeros(8, 3).index_add(0, k, other)

    monkeypatch.setattr("speechvq.models.quantizer.sum_over_processes", add_the_other_half)
    half(z[:, :20])
    for found, expected in zip(half.buffers(), whole.buffers(), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_restarts_are_those_of_the_first_process(update, monkeypatch):
    model, first = quantizer(update=update), torch.randn(2, 3)
    monkeypatch.setattr(
        "speechvq.models.quantizer.broadcast_from_rank0", lambda chosen: chosen.copy_(first)
    )
    before = model.codebook.detach().clone()
    dead = torch.tensor([False, True, False, False, True, False, False, False])
    model.restart(dead, torch.randn(30, 3))
    assert torch.equal(model.codebook[dead], first)
    assert torch.equal(model.codebook[~dead], before[~dead])


def test_restarts_are_latents_of_the_batch():
    model, z = quantizer(), torch.randn(30, 3)
    model.code_counts.copy_(torch.arange(8.0))  # of mean 3.5
    model.restart(torch.ones(8, dtype=torch.bool), z)
    for vector in model.codebook:
        assert (z == vector).all(1).any()
    assert (model.code_counts == 3.5).all()
    torch.testing.assert_close(model.code_sums / model.code_counts.unsqueeze(1), model.codebook)


def test_codes_do_not_depend_on_autocast():
    model, z = quantizer(K=64), torch.randn(4, 200, 3)
    expected = model.nearest(z)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.nearest(z)
        rounded = torch.cdist(z.bfloat16(), model.codebook.bfloat16()[None]).argmin(-1)
    assert torch.equal(found, expected)
    assert not torch.equal(rounded, expected), "the test above could not fail"
