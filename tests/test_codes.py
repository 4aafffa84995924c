"""The text format of codes: a golden file, round trips, and every wrong line."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechvq.codes import PIECE, Codebook, header, line, parse_codes, read_codes, write_codes

CODEBOOK = Codebook(codebook_size=128, hop_length=640, sample_rate=16000, model="595857f535cf")
GOLDEN = """\
# speechvq codes 1
# codebook_size 128
# hop_length 640
# sample_rate 16000
# model 595857f535cf
p225_001\t17 17 93 0
über alles\t127
"""


def test_the_golden_file(tmp_path):
    utterances = {"p225_001": np.array([17, 17, 93, 0]), "über alles": np.array([127])}
    path = tmp_path / "new" / "codes.txt"
    write_codes(path, CODEBOOK, utterances)
    assert path.read_text(encoding="utf-8") == GOLDEN
    codebook, got = read_codes(path)
    assert codebook == CODEBOOK
    assert codebook.frame_rate == 25
    assert list(got) == list(utterances)
    for id, codes in utterances.items():
        assert got[id].dtype == np.int64
        np.testing.assert_array_equal(got[id], codes)


def test_other_line_ends_empty_lines_and_new_header_keys(tmp_path):
    text = GOLDEN.replace("# model", "# made_by speechvq 0.9\n# model") + "\n\n"
    path = tmp_path / "codes.txt"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    codebook, utterances = read_codes(path)
    assert codebook == CODEBOOK
    assert [codes.tolist() for codes in utterances.values()] == [[17, 17, 93, 0], [127]]


ids = st.text(st.characters(exclude_characters="\t\n\r\0", codec="utf-8"), min_size=1).filter(
    lambda id: id == id.strip() and not id.startswith("#")
)


@given(st.dictionaries(ids, st.lists(st.integers(0, 127), min_size=1), min_size=1))
def test_round_trip(tmp_path_factory, utterances):
    path = tmp_path_factory.mktemp("round") / "codes.txt"
    write_codes(path, CODEBOOK, ((id, np.array(codes)) for id, codes in utterances.items()))
    _, got = read_codes(path)
    assert {id: codes.tolist() for id, codes in got.items()} == utterances


@pytest.mark.parametrize("shape", [(0,), (0, 4)])
def test_an_utterance_without_codes_is_refused(shape):
    with pytest.raises(ValueError, match="utterance 'a': no codes; leave it out"):
        line("a", np.zeros(shape, np.int64))


@pytest.mark.parametrize("shape", [(10 * PIECE + 1,), (10 * PIECE, 4)])
def test_hours_are_written_in_the_memory_of_their_text(shape):
    codes = np.random.default_rng(0).integers(0, 128, shape)
    tracemalloc.start()
    text = line("a", codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(text) + 250 * PIECE * (codes.size // len(codes))
    codebook = replace(CODEBOOK, codebooks=codes.size // len(codes))
    found = parse_codes(header(codebook) + text, "here")[1]["a"]
    np.testing.assert_array_equal(found, codes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("codes 1", "codes 2", r"f:1: expected '# speechvq codes 1', got '# speechvq codes 2'"),
        ("# speechvq codes 1\n", "", "f:1: expected"),
        ("# hop_length 640\n", "", "f: no line '# hop_length …' in its header"),
        ("# model 595857f535cf\n", "# model\n", "f: no line '# model …'"),
        ("640", "64.0", r"f: hop_length must be a whole number from 1 to 2147483647, got '64\.0'"),
        ("640", "0", "f: hop_length must be a whole number from 1 to"),
        ("17 17", "17 x", "f:6: a code must be a whole number, got 'x'"),
        ("17 17", "17 1.5", r"f:6: a code must be a whole number, got '1\.5'"),
        ("17 17", "17 -1", "f:6: a code must be a whole number, got '-1'"),
        ("17 17", "17 ²", "f:6: a code must be a whole number"),
        ("17 17", "17 128", "f:6: code 128 is out of range 0 … 127"),
        ("17 17", "17 99999999999999999999", "f:6: code 9+ is out of range"),
        ("17 17 93 0", "", "f:6: no codes after the tab"),
        ("p225_001\t", "p225_001 ", "f:6: expected an id, a tab and codes"),
        ("p225_001\t", "\t", "f:6: expected an id, a tab and codes"),
        ("über alles", "p225_001", "f:7: 'p225_001' is in the file twice"),
    ],
)
def test_a_wrong_line(old, new, message):
    assert old in GOLDEN
    with pytest.raises(ValueError, match=message):
        parse_codes(GOLDEN.replace(old, new, 1), "f")


def test_a_file_that_is_cut():
    """Wherever it is cut: it is refused, unless what is left is whole."""
    _, whole = parse_codes(GOLDEN, "f")
    for end in range(GOLDEN.index("p225_001") + 1, len(GOLDEN)):
        if GOLDEN[end - 1] == "\n":
            _, left = parse_codes(GOLDEN[:end], "f")
            assert all(whole[id].tolist() == codes.tolist() for id, codes in left.items())
            continue
        with pytest.raises(ValueError, match="ends within this line"):
            parse_codes(GOLDEN[:end], "f")
    with pytest.raises(ValueError, match="f:6: ends within this line, so the file may have been"):
        parse_codes(GOLDEN[: GOLDEN.index("93") + 1], "f")


def test_not_text(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="x: not UTF-8 text"):
        read_codes(tmp_path / "x")
    with pytest.raises(FileNotFoundError, match="no such file; speechvq-encode makes them"):
        read_codes(tmp_path / "y")


@pytest.mark.parametrize("id", ["", "#a", " a", "a ", "a\tb", "a\nb", "a\rb", "a\0"])
def test_an_id_that_cannot_be_written(tmp_path, id):
    with pytest.raises(ValueError, match="utterance id"):
        write_codes(tmp_path / "x", CODEBOOK, {id: np.array([1])})
    assert not (tmp_path / "x").exists()


def test_another_codebook():
    with pytest.raises(ValueError, match="f: made with sample_rate 16000, this model has 8000"):
        CODEBOOK.check_same(Codebook(128, 640, 8000, "595857f535cf"), "f")
    CODEBOOK.check_same(Codebook(128, 640, 16000, "595857f535cf"), "f")


PRODUCT = Codebook(128, 160, 16000, "595857f535cf", codebooks=4)
GOLDEN_PRODUCT = """\
# speechvq codes 1
# codebook_size 128
# hop_length 160
# sample_rate 16000
# model 595857f535cf
# codebooks 4
p225_001\t17:93:4:121 0:0:127:5
über alles\t1:2:3:4
"""


def test_the_golden_file_of_product_codes(tmp_path):
    utterances = {
        "p225_001": np.array([[17, 93, 4, 121], [0, 0, 127, 5]]),
        "über alles": np.array([[1, 2, 3, 4]]),
    }
    write_codes(tmp_path / "c.txt", PRODUCT, utterances)
    assert (tmp_path / "c.txt").read_text(encoding="utf-8") == GOLDEN_PRODUCT
    codebook, got = read_codes(tmp_path / "c.txt")
    assert codebook == PRODUCT and list(got) == list(utterances)
    for id, codes in utterances.items():
        assert got[id].dtype == np.int64
        np.testing.assert_array_equal(got[id], codes)


@given(
    st.integers(2, 5).flatmap(
        lambda G: st.lists(st.lists(st.integers(0, 127), min_size=G, max_size=G), min_size=1)
    )
)
def test_round_trip_of_product_codes(tmp_path_factory, codes):
    path = tmp_path_factory.mktemp("round") / "codes.txt"
    codebook = Codebook(128, 160, 16000, "m", codebooks=len(codes[0]))
    write_codes(path, codebook, {"a": np.array(codes)})
    again, got = read_codes(path)
    assert again == codebook and got["a"].tolist() == codes


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("17:93:4:121", "17:93:4", "f:7: expected 4 numbers for each code, got '17:93:4'"),
        ("17:93:4:121", "17:93:4:1:1", "f:7: expected 4 numbers for each code, got '17:93:4:1:1'"),
        ("17:93:4:121", "17", "f:7: expected 4 numbers for each code, got '17'"),
        ("17:93:4:121", "17:93::121", "f:7: a code must be a whole number, got ''"),
        ("17:93:4:121", "17:93:x:121", "f:7: a code must be a whole number, got 'x'"),
        ("17:93:4:121", "17:93:4:128", "f:7: code 128 is out of range 0 … 127"),
        (
            "codebooks 4",
            "codebooks 0",
            "f: codebooks must be a whole number from 1 to 2147483647, got '0'",
        ),
        ("# codebooks 4\n", "", "f:6: expected 1 number for each code, got '17:93:4:121'"),
    ],
)
def test_a_wrong_line_of_product_codes(old, new, message):
    assert old in GOLDEN_PRODUCT
    with pytest.raises(ValueError, match=message):
        parse_codes(GOLDEN_PRODUCT.replace(old, new, 1), "f")


def test_a_file_without_the_number_of_codebooks_has_one():
    """As all files before there were product codes."""
    assert parse_codes(GOLDEN, "f")[0].codebooks == 1
    with pytest.raises(ValueError, match="f: made with codebooks 1, this model has 4"):
        Codebook(128, 160, 16000, "m").check_same(Codebook(128, 160, 16000, "m", 4), "f")
