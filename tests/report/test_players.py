"""Sounds by their names, and the lanes below their spectrograms."""

import numpy as np
import pytest
import soundfile

from speechvq import audio
from speechvq.codes import Codebook, write_codes
from speechvq.config import ModelConfig, QuantizerConfig, StridedEncoderConfig
from speechvq.data.manifest import Phone, Utterance, write_manifest
from speechvq.report.code_map import Meaning, by_phone, read_code_map
from speechvq.report.players import (
    code_lanes,
    find_codes,
    find_players,
    find_utterances,
    phone_lane,
)


def test_versions_of_an_utterance_share_a_player(tmp_path, caplog):
    for name in ("b-to-p2", "a-to-z-original", "b-original", "b-reconstruction", "b-to-p1", "mine"):
        audio.write(tmp_path / f"{name}.wav", np.zeros(1600), 16000)
    (tmp_path / "bad-original.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "other.aiff", np.zeros(160), 16000)
    phones = (Phone(0.0, 0.05, "s"),)
    utterances = {"b": Utterance("b", "p1", "b.wav", 0.1, text="Said.", phones=phones)}
    players = find_players(tmp_path, utterances, {"b": np.array([1, 1, 2])}, 25.0, {})
    assert [player.id for player in players] == ["a-to-z", "b", "mine"]
    titles = [version.title for version in players[1].versions]
    assert titles == ["original", "reconstruction", "to p1", "to p2"]
    assert players[1].text == "Said." and players[1].seconds == 0.1
    assert [lane.name for lane in players[1].lanes] == ["code", "phone"]
    assert players[2].lanes == [] and players[2].frame_rate is None
    assert "bad-original.wav" in caplog.text and "other.aiff" in caplog.text


def test_no_sounds_no_players(tmp_path):
    assert find_players(tmp_path / "nowhere", {}, {}, 25.0, {}) == []
    (tmp_path / "scores.json").write_text("{}")
    assert find_players(tmp_path, {}, {}, 25.0, {}) == []


def test_repeated_codes_are_one_cell_of_their_length():
    meanings = {7: Meaning(7, 3, "s", "s 1.00")}
    (lane,) = code_lanes(np.array([7, 7, 7, 2, 7]), 25.0, meanings)
    assert [(cell.text, cell.length) for cell in lane.cells] == [("7", 3), ("2", 1), ("7", 1)]
    assert [cell.kind for cell in lane.cells] == ["fricatives", "", "fricatives"]
    assert lane.seconds == 0.2 and lane.cells[1].hue is not None


def test_each_codebook_has_a_lane():
    lanes = code_lanes(np.array([[1, 5], [1, 6]]), 100.0, {})
    assert [[cell.text for cell in lane.cells] for lane in lanes] == [["1"], ["5", "6"]]
    assert [lane.name for lane in lanes] == ["code", "code"]


def test_time_without_a_phone_is_an_empty_cell():
    lane = phone_lane([Phone(0.1, 0.3, "aa"), Phone(0.3, 0.5, "?")])
    assert [(cell.length, cell.text, cell.kind) for cell in lane.cells] == [
        (0.1, "", ""), (0.2, "aa", "vowels"), (0.2, "?", "other")
    ]  # fmt: skip
    assert lane.seconds == 0.5


def test_codes_of_another_model_are_left_out(tmp_path, caplog):
    config = ModelConfig(
        encoder=StridedEncoderConfig(strides=(5, 4, 4, 4, 2)),
        quantizer=QuantizerConfig(codebook_size=8),
    )
    write_codes(tmp_path / "a.txt", Codebook(8, 640, 16000, "m"), {"a": np.array([1])})
    write_codes(tmp_path / "b.txt", Codebook(9, 640, 16000, "m"), {"b": np.array([1])})
    (tmp_path / "c.txt").write_text("no codes")
    assert find_codes(sorted(tmp_path.iterdir()), config).keys() == {"a"}
    assert "b.txt: codes of another model" in caplog.text and "c.txt:1" in caplog.text


def test_the_first_manifest_that_can_be_read(tmp_path):
    write_manifest(tmp_path / "good.jsonl", [Utterance("a", "p", str(tmp_path / "a.wav"), 1.0)])
    (tmp_path / "bad.jsonl").write_text("{")
    names = ("nowhere.jsonl", "bad.jsonl", "good.jsonl")
    assert find_utterances([None, *(tmp_path / name for name in names)]).keys() == {"a"}


def test_the_code_map(tmp_path):
    path = tmp_path / "codes.csv"
    assert read_code_map(path) == {}
    path.write_text(
        "code,count,share,phone,phones\n3,9,0.5,s,s 0.9; z 0.1\n1,5,0.2,aa,aa 1.0\n"
        "2,7,0.3,s,s 0.6; f 0.4\n0,0,0.0,-,-\n"
    )
    codes = read_code_map(path)
    assert codes.keys() == {1, 2, 3}
    named = [(k, [(p, [m.code for m in ms]) for p, ms in phones]) for k, phones in by_phone(codes)]
    assert named == [("vowels", [("aa", [1])]), ("fricatives", [("s", [3, 2])])]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"codes\.csv: damaged"):
        read_code_map(path)
