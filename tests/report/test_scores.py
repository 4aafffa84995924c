"""Tables from files of scores of any shape."""

import json

import pytest

from speechvq.report.questions import QUESTIONS
from speechvq.report.scores import find_analyses, number, spoken, tables_of


def test_numbers_and_rows_become_tables():
    few, bits, many = tables_of(
        {
            "model": "exp/m",
            "seed": 3,
            "codebook_size": 512,
            "well_used": True,
            "trials": [{"x": 1}],
            "bits_per_code": {"prior": {"value": 4.24, "low": 4.1, "high": 4.3}, "uniform": 7.0},
            "scores": {
                "codes": {"accuracy": 0.5, "accuracy_interval": [0.4, 0.625], "codebook_size": 512},
                "k-means": {"pnmi": None, "accuracy": 0.25},
            },
        }
    )
    assert (few.title, few.headings, few.rows) == ("", [], [["codebook size", "512"]])
    assert bits.title == "bits per code"
    assert bits.rows == [["prior", "4.24 (4.10 to 4.30)"], ["uniform", "7"]]
    assert (many.title, many.headings) == ("", ["", "accuracy"])
    assert many.rows == [["codes", "0.500 (0.400 to 0.625)"], ["k-means", "0.250"]]


def test_rows_within_rows_have_both_names():
    (table,) = tables_of({"WER by group": {"mp3": {"source": {"WER": 0.5}, "none": {}}, "b": {}}})
    assert table.rows == [["mp3, source", "0.500"]]


def test_bounds_of_a_row_are_those_of_its_first_number():
    (table,) = tables_of({"scores": {"codes": {"error": 0.5, "low": 0.25, "high": 1, "n": 9}}})
    assert table.headings == ["", "error", "n"]
    assert table.rows == [["codes", "0.500 (0.250 to 1)", "9"]]


def test_every_meaning_is_a_sentence():
    for question in QUESTIONS.values():
        for text in (*question.meanings.values(), *question.captions.values()):
            assert text[0].isupper() and text.endswith("."), text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12345.6, "12,346"), (0.5487, "0.549"), (-0.31, "−0.310"), (0.000567, "0.0006"),
     (float("nan"), "–"), (float("inf"), "–"), (3.0, "3"), (-2, "−2")],
)  # fmt: skip
def test_numbers(value, text):
    assert number(value) == text


def test_names():
    assert spoken("phone_purity") == "phone purity" and spoken("learning-curve") == "learning curve"
    assert spoken("uniform (log2 K)") == "uniform (log2 K)" and spoken("pnmi") == "PNMI"


def test_every_folder_with_scores_is_found(tmp_path):
    for name in ("abx", "unknown-question", "phonemes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores.json").write_text('{"perplexity": 2.5, "accuracy": 0.5}')
    (tmp_path / "wavs").mkdir()
    (tmp_path / "phonemes" / "confusion.png").write_bytes(b"")
    (tmp_path / "phonemes" / "broad-classes.png").write_bytes(b"")
    found = find_analyses(tmp_path)
    assert list(found) == ["phonemes", "abx", "unknown-question"]
    assert found["unknown-question"].question.title == "unknown question"
    assert [name for name, _ in found["phonemes"].meanings] == ["accuracy", "perplexity"]
    captions = [figure.caption for figure in found["phonemes"].figures]
    assert captions[0] == "broad classes" and captions[1].startswith("For each phone")


@pytest.mark.parametrize("text", ["[]", "{", json.dumps(None)])
def test_damaged_scores_are_named_and_left_out(tmp_path, text, caplog):
    for name, scores in (("abx", text), ("phonemes", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores.json").write_text(scores)
    assert list(find_analyses(tmp_path)) == ["phonemes"]
    assert "abx/scores.json: damaged" in caplog.text and "left out" in caplog.text
