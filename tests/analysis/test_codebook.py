import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from speechvq.analysis.codebook import (
    CODINGS,
    ENTROPY,
    MERGED,
    RUNS,
    RUNS_ENTROPY,
    UNIFORM,
    bit_rates,
    code_map,
    codebook_use,
    runs,
    side_by_side,
)

SPEECH = [np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1])]  # 8 frames, 3 runs


def test_use_and_bit_rates_by_hand():
    use = codebook_use(SPEECH, codebook_size=4, frame_rate=10)
    assert use.counts.tolist() == [4, 4, 0, 0]
    assert use.used == 2
    assert use.perplexity.value == pytest.approx(2)  # two codes, each in half of the frames
    assert use.run_seconds.value == pytest.approx(8 / 3 / 10)
    assert use.run_counts.tolist() == [0, 0, 2, 0, 1]
    rates = bit_rates(use.codings, np.array([0.6, 0.2]))
    found = {name: rate.rate.value * 0.8 for name, rate in rates.items()}  # bits in all
    # Runs: (0, 4), (1, 2), (1, 2). Pairs, as codes of runs, are 1/3 and 2/3.
    third = np.log2(3) + 2 * np.log2(1.5)
    expected = {
        UNIFORM: 8 * 2,
        ENTROPY: 8 * 1,
        RUNS: 3 * (2 + 2),  # K = 4, longest run 4
        RUNS_ENTROPY: third,
        MERGED: third,
    }
    assert found == pytest.approx(expected)
    assert [rates[name].symbols for name in CODINGS] == [8, 8, 3, 3, 3]
    # Miller: one more symbol than one is half a nat
    missing = 0.8 * (rates[ENTROPY].corrected - rates[ENTROPY].rate.value)
    assert missing == pytest.approx(0.5 / np.log(2))


def test_a_run_ends_with_its_utterance():
    split = codebook_use([np.array([3, 3]), np.array([3])], 4, 10)
    whole = codebook_use([np.array([3, 3, 3])], 4, 10)
    assert split.run_counts.tolist() == [0, 1, 1]
    assert whole.run_counts.tolist() == [0, 0, 0, 1]
    assert whole.perplexity.value == 1
    assert whole.codings[RUNS_ENTROPY].bits.tolist() == [0]


def test_product_codes_are_tuples_and_side_by_side():
    codes = [np.array([[0, 0], [0, 1], [1, 0], [1, 1]])]
    tuples = codebook_use(codes, 2, 10)
    assert tuples.counts is None
    assert tuples.used == 4
    assert tuples.perplexity.value == pytest.approx(4)
    assert tuples.codings[UNIFORM].bits.tolist() == [4 * 2]
    alone = [codebook_use([codes[0][:, g]], 2, 10) for g in (0, 1)]
    both = side_by_side([use.codings for use in alone])
    assert both[ENTROPY].bits.tolist() == pytest.approx([8.0])
    # Runs of the first codebook 00 11, of the second 0 1 0 1: one bit a run, six runs
    assert both[MERGED].bits.tolist() == pytest.approx([2 + 4])


codes = st.lists(st.integers(0, 4), min_size=1, max_size=40).map(np.array)


@given(codes)
def test_runs_are_undone_by_repeating(codes):
    values, lengths = runs(codes)
    assert np.repeat(values, lengths).tolist() == codes.tolist()
    assert (np.diff(values) != 0).all()


@given(st.lists(codes, min_size=1, max_size=5))
def test_orders_that_hold_for_all_codes(utterances):
    use = codebook_use(utterances, 5, 1)
    bits = {name: coded.bits.sum() for name, coded in use.codings.items()}
    assert bits[ENTROPY] <= bits[UNIFORM] + 1e-9
    assert bits[MERGED] <= bits[RUNS_ENTROPY] + 1e-9 <= bits[RUNS] + 2e-9
    assert 1 <= use.perplexity.value <= use.used + 1e-9
    assert use.run_counts @ np.arange(len(use.run_counts)) == sum(map(len, utterances))


@pytest.mark.parametrize(
    ("utterances", "complaint"), [([np.zeros(0, int)], "no codes"), ([np.array([4])], "4 to 4")]
)
def test_errors(utterances, complaint):
    with pytest.raises(ValueError, match=complaint):
        codebook_use(utterances, 4, 10)


def test_pca_keeps_distances_of_a_plane_and_tsne_neighbours():
    generator = np.random.default_rng(0)
    plane = generator.normal(size=(30, 2)) @ np.linalg.qr(generator.normal(size=(6, 6)))[0][:2]
    assert cdist(*[code_map(plane, "pca")] * 2) == pytest.approx(cdist(plane, plane))
    clusters = np.repeat(10 * np.eye(4), 8, axis=0) + generator.normal(0, 0.1, (32, 4))
    placed = code_map(clusters, "tsne", seed=1)
    nearest = (cdist(placed, placed) + 1e9 * np.eye(32)).argmin(axis=1)
    assert (nearest // 8 == np.arange(32) // 8).all()
    assert (placed == code_map(clusters, "tsne", seed=1)).all()


@pytest.mark.parametrize("shape", [(2, 1), (3, 4), (8, 1), (5, 2)])
@pytest.mark.parametrize("how", ["tsne", "pca"])
def test_maps_of_few_codes_and_dimensions(shape, how):
    placed = code_map(np.random.default_rng(0).normal(size=shape), how)
    assert placed.shape == (shape[0], 2)
    assert np.isfinite(placed).all()
