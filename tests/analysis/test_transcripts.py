"""Marks of what is no word, as corpora write them."""

import pytest

from speechvq.analysis.transcripts import spoken


@pytest.mark.parametrize("mark", [
    "<noise>", "<unk>", "<UNK>", "<sil>", "<s>", "</s>", "<Laughter>", "<no speech>",
    "[noise]", "[laughter]", "[vocalized-noise]", "[silence]", "[lip_smack]", "[ Cough ]",
    "{breath}", "{laugh}", "{COUGH}", "(unk)", "(laughs)", "((inaudible))", "( noise )", "(*unk*)",
    "++", "++noise++", "+SPN+", "!SIL",
])  # fmt: skip
def test_a_mark_is_no_word(mark):
    assert spoken(mark).split() == []
    assert spoken(f"{mark} don't {mark} stop, {mark}").split() == ["don't", "stop,"]


@pytest.mark.parametrize(("text", "words"), [
    ("[laughter-yes] I [laughter-can't]", "yes I can't"),
    ("(he said) {cuddlier} ((maybe so))", "he said cuddlier maybe so"),
    ("rock 'n' roll, dogs' \u2018tis", "rock 'n' roll, dogs' \u2018tis"),
    ("a noise, a laugh and a C++ program", "a noise, a laugh and a C++ program"),
    ("th[is]- that", "th- that"),
    ("", ""),
])  # fmt: skip
def test_words_stay(text, words):
    assert spoken(text).split() == words.split()
