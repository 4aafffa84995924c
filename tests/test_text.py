"""Text in the encodings that corpora come in."""

import pytest

from speechvq.text import EncodingError, decode, read_text

SENTENCE = "Don\u2019t stop.\nNaïve café \u65e5\u672c.\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_mark_decides(tmp_path, encoding, end):
    path = tmp_path / "a.txt"
    path.write_bytes(SENTENCE.replace("\n", end).encode(encoding))
    assert read_text(path) == SENTENCE


@pytest.mark.parametrize(("mark", "encoding"), [
    (b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"),
    (b"\0\0\xfe\xff", "utf-32-be"), (b"\xff\xfe\0\0", "utf-32-le"),
])  # fmt: skip
def test_both_orders_of_bytes(mark, encoding):
    assert decode(mark + SENTENCE.encode(encoding)).content == SENTENCE


@pytest.mark.parametrize("text", ["Don\u2019t stop \u2014 now", "déjà vu", "Über alle Flüsse"])
def test_windows_1252_is_a_guess(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("cp1252"))
    assert decode(path.read_bytes()).content == text
    assert decode(path.read_bytes()).guessed
    with pytest.raises(EncodingError, match="save the file as UTF-8"):
        read_text(path)


@pytest.mark.parametrize("content", [
    "こんにちは".encode("shift_jis"), "コンニチハ".encode("shift_jis"), "привет".encode("koi8-r"),
    "привет".encode("cp1251"), "你好世界".encode("gb2312"), "안녕하세요".encode("euc-kr"),
    "Don\u2019t go".encode("mac-roman"), "Hello there".encode("utf-16-le"),
    "Hello there".encode("utf-32-be"), b"\xff\xfe\x00", b"\xff\xfea\x00\x00\xd8", b"\x81\x8d",
])  # fmt: skip
def test_what_cannot_be_known_is_refused(content):
    with pytest.raises(EncodingError, match="save the file as UTF-8"):
        decode(content)
