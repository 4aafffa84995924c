"""What is added to a model card."""

from speechvq.training.card import with_enrolled

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
