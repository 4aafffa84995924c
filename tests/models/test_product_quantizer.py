"""Product quantization: each codebook is a quantizer of its own part of the latents."""

import pytest
import torch

from speechvq.config import QuantizerConfig
from speechvq.models.product_quantizer import ProductQuantizer
from speechvq.models.quantizer import Quantizer

K, D, G = 5, 6, 3


def make(G: int = G, **settings) -> ProductQuantizer:
    torch.manual_seed(0)
    config = QuantizerConfig(codebook_size=K, codebook_dim=D, codebooks=G, **settings)
    return ProductQuantizer(config)


def alone(product: ProductQuantizer, g: int, **settings) -> Quantizer:
    """A quantizer in the state of one part."""
    config = QuantizerConfig(codebook_size=K, codebook_dim=D // len(product.parts), **settings)
    quantizer = Quantizer(config)
    quantizer.load_state_dict(product.parts[g].state_dict())
    return quantizer


def latents(n: int = 40, rows: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(rows, n, D)


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_one_codebook_is_the_quantizer(update):
    product = make(1, update=update)
    single, z = alone(product, 0, update=update), latents()
    torch.manual_seed(2)
    found = product(z)
    torch.manual_seed(2)
    expected = single(z)
    assert torch.equal(found.codes, expected.codes.unsqueeze(-1))
    assert torch.equal(found.quantized, expected.quantized)
    assert torch.equal(found.codebook_loss, expected.codebook_loss)
    assert torch.equal(found.commitment_loss, expected.commitment_loss)
    for one, other in zip(product.parts[0].buffers(), single.buffers(), strict=True):
        assert torch.equal(one, other)


def test_each_part_is_nearest_in_its_own_codebook():
    product, z = make(), latents(5)
    codes = product.nearest(z)
    assert codes.shape == (2, 5, G) and codes.dtype == torch.int64
    for b in range(2):
        for n in range(5):
            for g in range(G):
                part = z[b, n, 2 * g : 2 * g + 2]
                distances = [(part - e).norm().item() for e in product.codebooks[g]]
                assert codes[b, n, g] == distances.index(min(distances))


def test_no_other_product_of_codes_is_nearer():
    """The parts together are the nearest of all K^G code vectors."""
    product, z = make(), latents(20)
    every = torch.cartesian_prod(*[torch.arange(K)] * G)
    vectors = product.lookup(every[None])[0]
    assert vectors.shape == (K**G, D) and len(vectors.unique(dim=0)) == K**G
    nearest = torch.cdist(z.flatten(0, 1), vectors).argmin(1)
    assert torch.equal(every[nearest], product.nearest(z).flatten(0, 1))
    assert torch.equal(product.nearest(vectors[None])[0], every)


def test_gradient_passes_straight_through():
    product = make().eval()
    z = latents().requires_grad_()
    out = product(z)
    torch.testing.assert_close(out.quantized, product.lookup(out.codes))
    weight = torch.randn(2, 40, D)
    (out.quantized * weight).sum().backward()
    torch.testing.assert_close(z.grad, weight)


def test_losses_are_means_over_all_components():
    product, z = make(update="loss"), latents()
    out = product(z)
    expected = (z - product.lookup(out.codes)).square().mean()
    torch.testing.assert_close(out.codebook_loss, expected)
    torch.testing.assert_close(out.commitment_loss, expected)
    assert len(list(product.parameters())) == G


def test_each_codebook_learns_from_its_part():
    """By moving averages, as a quantizer of that part alone."""
    product, z = make(decay=0.8, restart_below=0.0), latents()
    singles = [alone(product, g, decay=0.8, restart_below=0.0) for g in range(G)]
    for _ in range(3):
        product(z)
        for single, part in zip(singles, z.chunk(G, dim=-1), strict=True):
            single(part)
    for part, single in zip(product.parts, singles, strict=True):
        assert not torch.equal(part.code_counts, torch.ones(K))
        for one, other in zip(part.buffers(), single.buffers(), strict=True):
            torch.testing.assert_close(one, other)


def test_a_dead_code_is_restarted_in_its_own_codebook():
    product, z = make(decay=0.5), latents()
    product.parts[1].codebook[3] = product.parts[1].code_sums[3] = 1e3
    others = [p.codebook.clone() for p in (product.parts[0], product.parts[2])]
    for _ in range(20):
        product(z)
    assert product.parts[1].codebook.abs().max() < 10
    assert 3 in product.nearest(z)[..., 1]
    for part, before in zip((product.parts[0], product.parts[2]), others, strict=True):
        assert (part.codebook - before).abs().max() < 10


def test_eval_leaves_the_codebooks_alone():
    product = make().eval()
    before = {name: x.clone() for name, x in product.state_dict().items()}
    product(latents())
    assert all(torch.equal(x, before[name]) for name, x in product.state_dict().items())


def test_the_start_is_kmeans_of_each_part():
    product = make()
    assert not product.started
    centres = 10 * torch.randn(G, K, D // G)
    of = torch.randint(K, (300, G))
    of[:K] = torch.arange(K).unsqueeze(1)  # every centre is there
    z = torch.cat([centres[g][of[:, g]] for g in range(G)], dim=1) + 0.01 * torch.randn(300, D)
    product.initialise(z)
    assert product.started
    for codebook, expected in zip(product.codebooks, centres, strict=True):
        assert torch.cdist(codebook, expected).amin(0).max() < 0.05
    with pytest.raises(ValueError, match="4 latents cannot initialise 5 codes"):
        make().initialise(z[:4])


def test_it_has_started_when_every_codebook_has():
    product = make()
    for part in product.parts:
        assert not product.started
        part.start(torch.randn(K, D // G))
    assert product.started


def test_codes_do_not_depend_on_autocast():
    product, z = make(), latents(500)
    expected = product.nearest(z)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(product.nearest(z), expected)
