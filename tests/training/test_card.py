"""The model card, and the speakers that are added to it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from speechvq.config import DataConfig, QuantizerConfig, TrainingConfig
from speechvq.training.card import Facts, model_card, with_enrolled
from speechvq.training.checkpoint import State

CARD = "# A card\n\n## Data\n\n- me: no, not here\n\n## Limits\n\n- some: here\n"


def test_enrolled_speakers_are_listed_before_the_limits():
    card = with_enrolled(with_enrolled(CARD, "me", "one"), "you", "two")
    assert card == (
        "# A card\n\n## Data\n\n- me: no, not here\n\n## Enrolled speakers\n\n"
        "Added to the trained model, which they do not change:\n\n- me: one\n- you: two\n\n"
        "## Limits\n\n- some: here\n"
    )
    again = with_enrolled(card, "me", "three")
    assert again == card.replace("- me: one\n- you: two", "- you: two\n- me: three")


def test_a_card_of_another_kind_gets_them_at_its_end():
    for card in ("", "Mine.\n", "Mine.", "Mine.\n\n"):
        section = with_enrolled(card, "me", "one").removeprefix("Mine.\n\n")
        assert section.startswith("## Enrolled speakers\n\nAdded")
        assert section.endswith(":\n\n- me: one\n")
        assert with_enrolled(section, "you", "two").endswith(":\n\n- me: one\n- you: two\n")


MODEL = SimpleNamespace(
    speakers=["p225", "p226"],
    sample_rate=16000,
    frame_rate=50.0,
    hop_length=320,
    config=SimpleNamespace(quantizer=QuantizerConfig(codebook_size=512)),
)
FACTS = Facts(40, 3.25, "CPU, 2 threads", 1, {"mel": 300, "decoder": 0})


@pytest.mark.parametrize("decoder_trained", [False, True])
def test_the_card_of_a_model(decoder_trained):
    state = State("mel", best_global_step=250, seconds=90.0, validation={"loss": 0.5, "other": 1})
    facts = replace(FACTS, decoder_trained=decoder_trained)
    card = model_card(MODEL, DataConfig(train="a.jsonl"), TrainingConfig(seed=3), facts, state)
    assert "16000 Hz" in card and "50 codes per second" in card and "p225, p226" in card
    assert "`a.jsonl`: 40 utterances, 3.2 minutes" in card
    assert "\n300 mel steps; these weights are from step 250 of all. 2 minutes on CPU" in card
    assert "| validation loss of the last stage | 0.500 |" in card and "other" not in card
    assert ("The decoder is untrained" in card) is not decoder_trained
