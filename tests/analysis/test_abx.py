"""ABX against naive loops over triples, naive warping, and values computed by hand."""

import math
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest

from speechvq.analysis.abx import (
    Cell,
    abx_score,
    cell_errors,
    cells_across,
    cells_within,
    pair_errors,
)
from speechvq.analysis.abx_tokens import Token, item_file, thinned, tokens_of
from speechvq.data.manifest import Phone

RATE = Fraction(25)


def token(phone, speaker="s", before="p", after="q", utterance="u"):
    return Token(utterance, speaker, phone, before, after, Fraction(0), Fraction(1), 0, 1)


def made_up(seed, count=60, dimension=3):
    """Tokens of three phones, three contexts and three speakers, with frames near their phone."""
    rng = np.random.default_rng(seed)
    tokens, features = [], []
    for _ in range(count):
        phone, before, speaker = (rng.choice(list(names)) for names in ("abc", "xyz", "rst"))
        tokens.append(token(str(phone), str(speaker), str(before)))
        centre = np.eye(3)["abc".index(phone)][:dimension]
        features.append(centre + rng.standard_normal((rng.integers(1, 6), dimension)))
    return tokens, features


# The oracle: every path, every triple, averages as they are defined.


def paths(n, m):
    """All warping paths of n by m frames."""
    if n == m == 1:
        return [[(0, 0)]]
    before = [(n - 1, m - 1), (n - 1, m), (n, m - 1)]
    return [p + [(n - 1, m - 1)] for i, j in before if i and j for p in paths(i, j)]


def angle(u, v):
    cosine = np.dot(u, v) / (np.linalg.norm(u) * np.linalg.norm(v))
    return math.acos(min(1, max(-1, cosine))) / math.pi


def differing(u, v):
    return float(np.sum(u != v))


def warped(x, y, distance):
    """By the path of least sum, of several the shortest: mostly what a preference finds."""
    sums = [(sum(distance(x[i], y[j]) for i, j in p), len(p)) for p in paths(len(x), len(y))]
    least = min(total for total, _ in sums)
    length = min(length for total, length in sums if total < least + 1e-9)
    return least / length


def naive(tokens, features, distance, across):
    """The error over all triples, by four nested averages."""
    triples = {}
    warping = cache(lambda i, j: warped(features[i], features[j], distance))
    for (i, a), (j, b), (k, x) in product(enumerate(tokens), repeat=3):
        same_context = len({(t.before, t.after) for t in (a, b, x)}) == 1
        speakers = a.speaker == b.speaker and (a.speaker != x.speaker) == across
        if a.phone == x.phone != b.phone and same_context and speakers and i != k:
            to_a, to_b = warping(k, i), warping(k, j)
            wrong = 0.5 if abs(to_a - to_b) < 1e-9 else float(to_a > to_b)
            keys = (a.phone, b.phone), a.speaker, (a.before, a.after, x.speaker)
            triples.setdefault(keys[0], {}).setdefault(keys[1], {}).setdefault(keys[2], [])
            triples[keys[0]][keys[1]][keys[2]].append(wrong)
    pairs = [
        np.mean([np.mean([np.mean(cell) for cell in cells.values()]) for cells in own.values()])
        for own in triples.values()
    ]
    return np.mean(pairs), sum(
        len(cell) for own in triples.values() for cells in own.values() for cell in cells.values()
    )


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_error_is_that_of_naive_loops(seed, across):
    tokens, features = made_up(seed)
    cells = (cells_across if across else cells_within)(tokens)
    found = abx_score(cells, cell_errors(features, cells))
    expected, triples = naive(tokens, features, angle, across)
    assert found.error == pytest.approx(expected, abs=1e-9)
    assert 0.02 < expected < 0.48
    assert found.triples == triples > 500
    assert found.speakers == 3 and found.pairs == 6
    assert found.low < found.error < found.high


def test_pairs_that_resamples_miss_do_not_move_the_interval():
    """A pair of large errors in many contexts, and thirty of none in one context each."""
    one = np.arange(1)
    cells = [Cell("a", "b", ("x", str(i)), "s", one, one, one, False) for i in range(30)]
    cells += [Cell("c", str(i), ("y", str(i)), "s", one, one, one, False) for i in range(30)]
    found = abx_score(cells, np.r_[np.tile([0.4, 0.6], 15), np.zeros(30)])
    assert found.error == pytest.approx(0.5 / 31)
    assert found.low < found.error < found.high
    middle = (found.low + found.high) / 2
    assert abs(found.error - middle) < (found.high - found.low) / 4


def test_warping_is_the_best_of_all_paths():
    from speechvq.analysis.dtw import same_length, sequence_distance

    rng = np.random.default_rng(0)
    for n, m in product(range(1, 5), repeat=2):
        x, y = rng.standard_normal((n, 3)), rng.standard_normal((m, 3))
        frames = same_length(np.concatenate([x, y]))
        assert sequence_distance(frames, 0, n, n, m, True) == pytest.approx(warped(x, y, angle))


def test_code_distance_counts_differing_codebooks():
    from speechvq.analysis.dtw import sequence_distance

    frames = np.array([[1, 2, 3], [4, 5, 6], [1, 2, 6], [4, 5, 6.0]])
    assert sequence_distance(frames, 0, 2, 2, 2, False) == 0.5  # 1 of 3, then none
    assert sequence_distance(frames, 0, 1, 3, 1, False) == 3
    # By hand: 1 1 2 beside 1 2: the path 1-1, 1-1, 2-2 costs nothing
    frames = np.array([[1.0], [1], [2], [1], [2]])
    assert sequence_distance(frames, 0, 3, 3, 2, False) == 0
    # 1 2 beside 3: two steps of 1 each
    frames = np.array([[1.0], [2], [3]])
    assert sequence_distance(frames, 0, 2, 2, 1, False) == 1


def test_codes_of_one_codebook_are_as_their_one_hot_vectors():
    tokens, _ = made_up(2, 80)
    rng = np.random.default_rng(2)
    codes = [rng.integers(0, 4, (rng.integers(1, 6), 1)) for _ in tokens]
    one_hot = [np.eye(4)[c[:, 0]] for c in codes]
    for cells in (cells_within(tokens), cells_across(tokens)):
        errors = cell_errors(codes, cells, angular=False)
        assert np.array_equal(errors, cell_errors(one_hot, cells))
        assert len(set(errors)) > 5


def test_a_cell_by_hand():
    """A and X are 0° and 30°, B is at 20°: of the two triples one is wrong, one is not."""
    tokens = [token("a"), token("a"), token("b")]
    degrees = np.radians([0, 30, 20])
    features = [np.array([[math.cos(d), math.sin(d)]]) for d in degrees]
    (cell,) = cells_within(tokens)  # there is no second b
    assert (cell.phone, cell.other, cell.triples) == ("a", "b", 2)
    assert cell_errors(features, [cell]) == [1.0]  # 30 from A, 20 and 10 from B
    features[1] = np.array([[math.cos(-0.1), math.sin(-0.1)]])
    assert cell_errors(features, [cell]) == [0.0]
    features[2] = features[0]  # X at 0°: nearer to B; X at -0.1: as near to B as to A
    assert cell_errors(features, [cell]) == [0.75]


def test_equal_and_zero_frames_tie():
    tokens = [token("a"), token("a"), token("b")]
    cells = cells_within(tokens)
    same = np.array([[0.1, 0.2, 0.3], [0.3, 0.1, 0.7]])
    assert cell_errors([same, same, same], cells) == [0.5]
    zero = np.zeros((2, 3))
    assert cell_errors([zero, zero, zero], cells) == [0.5]
    assert cell_errors([zero, zero, same], cells) == [0.0]
    assert cell_errors([same, same[::-1], zero], cells) == [0.0]


def test_averages_give_each_pair_and_each_speaker_the_same_weight():
    tokens = (
        [token("a", "r", before=c) for c in "xxyy"]
        + [token("b", "r", before=c) for c in "xy"]
        + [token("a", "s", before="x")] * 2
        + [token("c", "s", before="x")]
    )
    cells = cells_within(tokens)
    assert [(c.phone, c.other, c.speaker) for c in cells] == [
        ("a", "b", "r"), ("a", "c", "s"), ("a", "b", "r"),
    ]  # fmt: skip
    errors = np.array([0.2, 0.9, 0.6])
    assert pair_errors(cells, errors) == pytest.approx({("a", "b"): 0.4, ("a", "c"): 0.9})
    assert abx_score(cells, errors).error == pytest.approx(0.65)


def test_what_sounds_alike_is_at_chance_and_what_differs_is_not():
    tokens, _ = made_up(3, 150)
    rng = np.random.default_rng(3)
    noise = [rng.standard_normal((3, 8)) for _ in tokens]
    apart = [np.eye(8)["abc".index(t.phone)] + 0.01 * x for t, x in zip(tokens, noise, strict=True)]
    for cells in (cells_within(tokens), cells_across(tokens)):
        assert abx_score(cells, cell_errors(apart, cells)).error == 0
        at_chance = abx_score(cells, cell_errors(noise, cells))
        assert 0.4 < at_chance.error < 0.6


def test_a_context_less_resamples_nothing():
    tokens, features = made_up(4, 30)
    cells = cells_within(tokens, by_context=False)
    score = abx_score(cells, cell_errors(features, cells))
    assert score.contexts == 1 and 0 < score.error < 1
    assert math.isnan(score.low) and math.isnan(score.high)
    assert score.triples > abx_score(*with_errors(tokens, features)).triples
    empty = abx_score([], np.zeros(0))
    assert math.isnan(empty.error) and empty.cells == 0


def with_errors(tokens, features):
    cells = cells_within(tokens)
    return cells, cell_errors(features, cells)


def test_speakers_of_x_are_limited():
    tokens = [token(phone, speaker) for speaker in "rstuv" for phone in "ab"]
    assert len(cells_across(tokens)) == 5 * 4 * 2
    few = cells_across(tokens, max_speakers=2, seed=1)
    assert len(few) == 5 * 2 * 2
    assert few == few and all(set(c.x) <= set(range(10)) for c in few)
    drawn = [[tuple(c.x) for c in cells_across(tokens, max_speakers=2, seed=s)] for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    for cell in few:
        assert tokens[cell.x[0]].speaker != cell.speaker
        assert tokens[cell.x[0]].phone == cell.phone


def test_groups_are_thinned():
    tokens = [token("a", utterance=str(i)) for i in range(9)] + [token("b"), token("a", "other")]
    kept = thinned(tokens, 3, True, 0)
    assert len(kept) == 5 and kept[-2:] == tokens[-2:]
    assert kept == sorted(kept, key=tokens.index)
    assert thinned(tokens, 3, True, 0) == kept != thinned(tokens, 3, True, 1)
    assert thinned(tokens, 0, True, 0) == tokens


PHONES = (
    Phone(0, 0.1, "sil"), Phone(0.1, 0.2, "b"), Phone(0.2, 0.3, "ae"), Phone(0.3, 0.42, "t"),
    Phone(0.42, 0.5, "s"), Phone(0.6, 0.7, "ow"), Phone(0.7, 0.8, "n"),
)  # fmt: skip


def test_triphones_have_no_silence_and_no_gap():
    tokens, left_out = tokens_of("u", "s", PHONES, RATE, 20)
    assert [(t.before, t.phone, t.after) for t in tokens] == [("b", "ae", "t"), ("ae", "t", "s")]
    assert left_out == 0
    # Centres are at 0.02, 0.06, …: 0.1, 0.42 and 0.5 are some, and are in
    assert [(t.first, t.end) for t in tokens] == [(2, 11), (5, 13)]
    assert tokens_of("u", "s", PHONES, RATE, 11) == (tokens[:1], 1)


def test_phones_alone_know_their_neighbours():
    tokens, left_out = tokens_of("u", "s", PHONES, RATE, 20, triphones=False)
    assert [(t.before, t.phone, t.after) for t in tokens] == [
        ("sil", "b", "ae"), ("b", "ae", "t"), ("ae", "t", "s"), ("t", "s", "sil"),
        ("sil", "ow", "n"), ("ow", "n", "sil"),
    ]  # fmt: skip
    for t in tokens:  # the definition: centres from onset to offset, both included
        inside = [i for i in range(20) if t.onset <= (i + Fraction(1, 2)) / RATE <= t.offset]
        assert inside == list(range(t.first, t.end))
    short = (Phone(0.1, 0.101, "b"), Phone(0.101, 0.109, "t"))
    assert tokens_of("u", "s", short, RATE, 20, triphones=False)[1] == 1  # only 0.1 is a centre


def test_the_item_file():
    tokens, _ = tokens_of("u 1".replace(" ", "_"), "p225", PHONES, RATE, 20)
    assert item_file(tokens) == (
        "#file onset offset #phone prev-phone next-phone speaker\n"
        "u_1 0.100000 0.420000 ae b t p225\n"
        "u_1 0.200000 0.500000 t ae s p225\n"
    )
    with pytest.raises(ValueError, match="'a b' of utterance 'u' has white space"):
        item_file([token("a", "a b")])
