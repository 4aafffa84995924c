"""Our ABX beside that of the package fastabx, which needs Python 3.12 (docs/analyze/abx.md)."""

from fractions import Fraction

import numpy as np
import pytest

from speechvq.analysis.abx import abx_score, cell_errors, cells_across, cells_within
from speechvq.analysis.abx_tokens import item_file, tokens_of
from speechvq.data.manifest import Phone

REASON = "fastabx is not installed (Python 3.12: pip install fastabx): ABX is not compared with it"
fastabx = pytest.importorskip("fastabx", reason=REASON)
torch = pytest.importorskip("torch")

FRAMES = 60
RATE = Fraction(25)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Tokens of made-up utterances, and their features (N, …), also as files."""
    folder = tmp_path_factory.mktemp("abx")
    rng = np.random.default_rng(0)
    tokens, features = [], {"angular": {}, "identical": {}}
    for i in range(48):
        id, ends = f"u{i}", np.cumsum(rng.integers(30, 200, 18)) / 1000
        phones = [
            Phone(start, end, str(rng.choice(["a", "b", "c"])))
            for start, end in zip([0.0, *ends], ends, strict=False)
            if end < FRAMES / 25
        ]
        tokens += tokens_of(id, f"s{i % 4}", phones, RATE, FRAMES)[0]
        features["angular"][id] = rng.standard_normal((FRAMES, 6)).astype(np.float32)
        features["identical"][id] = rng.integers(0, 5, (FRAMES, 1))
        for kind, of_kind in features.items():
            (folder / kind).mkdir(exist_ok=True)
            np.save(folder / kind / f"{id}.npy", of_kind[id])
    (folder / "made-up.item").write_text(item_file(tokens))
    return folder, tokens, features


# Of any context across speakers, fastabx averages over pairs of speakers, ZeroSpeech over X first.
@pytest.mark.parametrize(
    ("speaker", "context"), [("within", "within"), ("across", "within"), ("within", "any")]
)
@pytest.mark.parametrize("distance", ["angular", "identical"])
def test_the_error_is_that_of_fastabx(speech, speaker, distance, context):
    folder, tokens, features = speech
    cells = {"within": cells_within, "across": cells_across}[speaker](tokens, context == "within")
    found = [features[distance][t.utterance][t.first : t.end] for t in tokens]
    ours = abx_score(cells, cell_errors(found, cells, distance == "angular"))
    theirs = fastabx.zerospeech_abx(
        folder / "made-up.item",
        folder / distance,
        max_size_group=None,
        max_x_across=None,
        speaker=speaker,
        context=context,
        distance=distance,
        frequency=int(RATE),
        feature_maker=lambda path: torch.from_numpy(np.load(path)),
        extension=".npy",
        device="cpu",
        progress=False,
    )
    assert ours.triples > 1000
    assert ours.error == pytest.approx(theirs, abs=2e-6)
