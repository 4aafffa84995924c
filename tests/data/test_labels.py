import struct

import pytest

from speechvq.data.label_names import without_context
from speechvq.data.labels import (
    SILENCE,
    has_times,
    read_ctm,
    read_labels,
    read_mlf,
    units_that_fit,
)
from speechvq.data.manifest import CorpusError, Phone

EXPECTED = (Phone(0.0, 0.25, SILENCE), Phone(0.25, 0.4, "HH"), Phone(0.4, 0.75, "AH0"))

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.75
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "{prefix}words"
        xmin = 0
        xmax = 0.75
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 0.75
            text = "h\u00fch"
    item [2]:
        class = "IntervalTier"
        name = "{prefix}phones"
        xmin = 0
        xmax = 0.75
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = ""
        intervals [2]:
            xmin = 0.25
            xmax = 0.4
            text = "HH"
        intervals [3]:
            xmin = 0.4
            xmax = 0.75
            text = "AH0"
"""

SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
0.75
<exists>
1
"IntervalTier"
"{prefix}phones"
0
0.75
3
0
0.25
"sp"
0.25
0.4
"HH"
0.4
0.75
"AH0"
"""


@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("prefix", ["", "p225 - "])
def test_textgrid(tmp_path, text, encoding, prefix):
    path = tmp_path / "a.TextGrid"
    path.write_text(text.format(prefix=prefix), encoding=encoding)
    assert read_labels(path).phones == EXPECTED


def test_textgrid_big_endian_and_suffix_in_lower_case(tmp_path):
    path = tmp_path / "a.textgrid"
    path.write_bytes(b"\xfe\xff" + LONG.format(prefix="").encode("utf-16-be"))
    assert read_labels(path).phones == EXPECTED


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("phones", "words"), "expected one tier named 'phones'"),
        (("xmin = 0.4\n", "xmin = 0.8\n"), "is before start"),
        (("xmin = 0.4\n", "xmin = 0.3\n"), "overlap"),
        (("xmin = 0.4\n", "xmin = soon\n"), "not a TextGrid"),
    ],
    ids=["no tier", "reversed", "overlap", "not a number"],
)
def test_bad_textgrid(tmp_path, change, complaint):
    path = tmp_path / "a.TextGrid"
    path.write_text(LONG.format(prefix="").replace(*change), encoding="utf-8")
    with pytest.raises(CorpusError, match=complaint) as caught:
        read_labels(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\xff\xfe\xff", b"\x00" * 40])
def test_textgrid_that_is_none(tmp_path, content):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="TextGrid"):
        read_labels(path)


def test_textgrid_tier_of_points(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1\n<exists>\n1\n'
        '"TextTier"\n"phones"\n0\n1\n1\n0.5\n"AH0"\n',
        encoding="utf-8",
    )
    with pytest.raises(CorpusError, match="points"):
        read_labels(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.PHN", "0 4000 h#\n4000 6400 HH\n6400 12000 AH0\n"),
        ("a.phn", "0 4000 h#\r\n4000 6400 HH\r\n\r\n6400 12000 AH0\r\n"),
        ("htk.lab", "0 2500000 sil\n2500000 4000000 HH -12.5 HELLO\n4000000 7500000 AH0\n"),
        ("seconds.lab", "0 0.25 pau\n0.25 0.4 HH\n0.4 0.75 AH0\n"),
        ("a.ctm", ";; note\nu1 1 0.25 0.15 HH 0.9\nu1 1 0.00 0.25 <sil>\nu1 1 0.40 0.35 AH0\n"),
    ],
)
def test_line_formats(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    phones = read_labels(path, sample_rate=16000).phones
    assert [phone.label for phone in phones] == [phone.label for phone in EXPECTED]
    for phone, expected in zip(phones, EXPECTED, strict=True):
        assert (phone.start, phone.end) == pytest.approx((expected.start, expected.end))


def test_phn_counts_samples_at_the_given_rate(tmp_path):
    path = tmp_path / "a.phn"
    path.write_text("0 12000 aa\n", encoding="utf-8")
    assert read_labels(path, sample_rate=48000).phones == (Phone(0.0, 0.25, "aa"),)


def test_ctm_of_several_utterances(tmp_path):
    path = tmp_path / "all.ctm"
    path.write_text("u1 A 0.0 0.5 AA1\nu2 A 0.0 0.2 B\nu1 A 0.5 0.1 SIL\n", encoding="utf-8")
    assert read_ctm(path) == {
        "u1": (Phone(0.0, 0.5, "AA1"), Phone(0.5, 0.6, SILENCE)),
        "u2": (Phone(0.0, 0.2, "B"),),
    }
    with pytest.raises(CorpusError, match="2 utterances"):
        read_labels(path)


def test_rounding_overlap_is_given_to_the_earlier_phone(tmp_path):
    path = tmp_path / "a.ctm"
    path.write_text("u 1 0.00 0.11 AA1\nu 1 0.10 0.10 B\n", encoding="utf-8")
    assert read_labels(path).phones == (Phone(0.0, 0.11, "AA1"), Phone(0.11, 0.2, "B"))


@pytest.mark.parametrize(
    ("name", "text", "line", "complaint"),
    [
        ("a.lab", "0.0 0.5 aa\n0.7 0.6 b\n", 2, "before start"),
        ("a.lab", "-0.1 0.5 aa\n", 1, "negative"),
        ("a.lab", "0.0 0.5 aa\n0.3 0.9 b\n", 2, "overlaps 'aa'"),
        ("a.lab", "0.0 0.50 aa\n0.495 0.498 b\n", 2, "overlaps 'aa'"),
        ("a.lab", "0.0 half aa\n", 1, "'half' is not a time"),
        ("a.lab", "0.0 nan aa\n", 1, "'nan' is not a time"),
        ("a.lab", "hello\n", 1, "expected 'start end phone'"),
        ("a.lab", "please call stella\n", 1, "not a time"),
        ("a.phn", "0 4000 h#\n\n4000 oops aa\n", 3, "'oops' is not a time"),
        ("a.phn", "4000 0 h#\n", 1, "before start"),
        ("a.ctm", "u 1 0.0 -0.5 aa\n", 1, "negative"),
        ("a.ctm", "u 1 0.0 0.5\n", 1, "4 fields"),
        ("a.ctm", "u 1 0.0 0.5 aa\nu 1 0.2 0.5 b\n", 2, "overlaps"),
        ("a.mp3", "", 1, "unknown label format"),
    ],
)
def test_bad_lines(tmp_path, name, text, line, complaint):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=complaint) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_binary_file_and_missing_file(tmp_path):
    path = tmp_path / "a.lab"
    path.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(CorpusError, match="UTF-8"):
        read_labels(path)
    with pytest.raises(FileNotFoundError, match="no such label file"):
        read_labels(tmp_path / "none.lab")
    with pytest.raises(FileNotFoundError, match="no such label file"):
        read_ctm(tmp_path / "none.ctm")


@pytest.mark.parametrize(
    "label", ["", "sil", "SIL", "sp", "spn", "pau", "h#", "<sil>", "<eps>", "epi"]
)
def test_every_silence_is_one(tmp_path, label):
    path = tmp_path / "a.lab"
    path.write_text(f"0.0 1.0 {label}\n", encoding="utf-8")
    assert read_labels(path).phones == (Phone(0.0, 1.0, SILENCE),)


# ---- forms of aligners and editors


@pytest.mark.parametrize(
    "text",
    [
        "#\n0.25 125 pau\n0.5 125 ah\n0.75 125 t\n",
        "separator ;\nnfields 1\n#\n0.25 26 pau ; a 1\n0.5 26 ah ;\n0.75 26 t\n",
        "signal a\ntype 0\r\ncolor 121\r\n#\r\n  0.25  121 #\r\n  0.5  121 ah\r\n  0.75 121 t\r\n",
    ],
)
def test_xlabel(tmp_path, text):
    path = tmp_path / "a.lab"
    path.write_bytes(text.encode())
    expected = [(0.0, 0.25, SILENCE), (0.25, 0.5, "ah"), (0.5, 0.75, "t")]
    assert [(p.start, p.end, p.label) for p in read_labels(path).phones] == expected
    assert has_times(text)


@pytest.mark.parametrize(
    "text", ["#\nHello there.\n", "2001 2002 and 2003\nwere years.", "# one\n", "", "Call Stella."]
)
def test_a_sentence_has_no_times(text):
    assert not has_times(text)


@pytest.mark.parametrize(
    ("labels", "plain"),
    [
        (["SIL", "DH_B", "AH0_E", "spn_S"], ["SIL", "DH", "AH0", "spn"]),
        (["sil", "t_S"], ["sil", "t"]),
        (["a_S", "b"], ["a_S", "b"]),  # another alphabet
        (["x^x-sil+ah=t@1_2/A:0_0", "x^sil-ah+t=x@2_1/B:x-x"], ["sil", "ah"]),
        (["xx^sil-j+i4=x@i@/A:xx-4", "sil^j-i4+x=v4@i@"], ["j", "i4"]),
        (["sil", "sil-b+ih", "b-ih+t", "ih-t", "sp"], ["sil", "b", "ih", "t", "sp"]),
        (["x^x-sil+k=a/J:2+1[2]", "x^sil-k+a=t/J:2+1[6]"], ["sil", "k"]),
        (["sil[2]", "ah[3]"], ["sil", "ah"]),
        (["++noise++", "AA1", "a-", "+"], ["++noise++", "AA1", "a-", "+"]),
    ],
)
def test_context_is_cut(labels, plain):
    assert without_context(labels) == plain


LONG_LABELS = """
  File type = "ooTextFile"
  Object class = "TextGrid"
  xmin = 0ignored
  xmax = 2e0ignored
  tiers? <exists>
  size = 1ignored
  item []:
      item [2]:
          class = "IntervalTier"
          name = "phones"
          xmin = 0
          xmax = 2
          intervals: size = 2
          intervals [2]:
              xmin = 0
              xmax = 5e-1ignored
              text = "
"
          intervals [3]:
              xmin = 0.5
              xmax = 2
              text = "
t
\n"
"""


def textgrid(intervals, tier="phones"):
    lines = ['"IntervalTier"', f'"{tier}"', "0", "2", str(len(intervals))]
    lines += [f'{start}\n{end}\n"{label}"' for start, end, label in intervals]
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2\n<exists>\n1\n'
    return head + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("intervals", "tier"),
    [
        ([("0", "5e-1", ""), (".5", "2.", "t")], "phones"),
        ([("-0", "0.5", ""), ("+0.5", "2", "t")], "ann - phones"),
        ([(0, 0.5, ""), (0.5, 0.5, "ah"), (0.5, 2, "t")], "MAU"),
        ([("2.2E-16", 0.5, "sp"), (0.495, 2, "t")], "Phone"),
        ([(0, 0.5, ""), (0.5, 2, "t")], " segments "),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_textgrids_that_praat_opens(tmp_path, intervals, tier, encoding):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(textgrid(intervals, tier).encode(encoding))
    assert [(p.end, p.label) for p in read_labels(path).phones] == [(0.5, SILENCE), (2.0, "t")]


def test_textgrid_with_quotes_and_comments(tmp_path):
    path = tmp_path / "a.TextGrid"
    text = textgrid([(0, 0.5, 'a""b 7'), (0.5, 2, "t! 3")])
    text = text.replace("<exists>", "! five 5\n<exists>")
    path.write_text(text)
    assert [p.label for p in read_labels(path).phones] == ['a"b 7', "t! 3"]


def test_chronological_and_binary_textgrids(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(
        '"Praat chronological TextGrid text file"\n0 2 ! Time domain.\n2 ! Number of tiers.\n'
        '"IntervalTier" "words" 0 2\n"IntervalTier" "phones" 0 2\n'
        '1 0 2\n"at"\n2 0 0.5\n""\n2 0.5 2\n"t"\n'
    )
    assert [(p.end, p.label) for p in read_labels(path).phones] == [(0.5, SILENCE), (2.0, "t")]

    def string(text):
        return struct.pack(">H", len(text)) + text.encode()

    tier = b"\x0cIntervalTier" + string("phones") + struct.pack(">ddi", 0, 2, 2)
    tier += struct.pack(">dd", 0, 0.5) + string("") + struct.pack(">dd", 0.5, 2)
    tier += struct.pack(">HH", 0xFFFF, 1) + "\u0259".encode("utf-16-be")
    head = b"ooBinaryFile\x08TextGrid" + struct.pack(">ddBi", 0, 2, 1, 1)
    path.write_bytes(head + tier)
    assert [(p.end, p.label) for p in read_labels(path).phones] == [(0.5, SILENCE), (2.0, "\u0259")]
    path.write_bytes((head + tier)[:-1])
    with pytest.raises(CorpusError, match="ends too early"):
        read_labels(path)


@pytest.mark.parametrize(
    ("suffix", "scale", "whole", "unit"),
    [
        (".lab", 1e3, True, "milliseconds"),
        (".lab", 1e6, True, "microseconds"),
        (".lab", 16000, True, "samples at 16000 Hz"),
        (".lab", 1e3, False, "milliseconds"),
        (".TextGrid", 1e3, True, "milliseconds"),
        (".phn", 48000, True, "samples at 48000 Hz"),
        (".phn", 8000, True, "samples at 8000 Hz"),
        (".phn", 1e7, True, "units of 100 ns"),
        (".phn", 1, False, "seconds"),
    ],
)
def test_the_unit_that_would_fit(tmp_path, suffix, scale, whole, unit):
    times = [t * scale for t in (0, 1.0, 3.25)]
    shown = [str(round(t)) if whole else f"{t:.3f}" for t in times]
    rows = [(shown[0], shown[1], "ah"), (shown[1], shown[2], "t")]
    text = textgrid(rows) if suffix == ".TextGrid" else "\n".join(map(" ".join, rows))
    path = tmp_path / f"a{suffix}"
    path.write_text(text)
    assert units_that_fit(read_labels(path, 16000), 3.3)[0] == unit


MLF = (
    '#!MLF!#\n"*/a.lab"\n0 2500000 sil\n2500000 5000000 x-ah+t -12.5\n.\n'
    '"C:\\\\data\\\\b.rec"\n0 5000000 t_S\n.\n'
)


def test_master_label_file(tmp_path):
    path = tmp_path / "a.mlf"
    path.write_text(MLF)
    assert read_mlf(path) == {
        "a": (Phone(0.0, 0.25, SILENCE), Phone(0.25, 0.5, "ah")),
        "b": (Phone(0.0, 0.5, "t"),),
    }
    path.write_text("#!MLF!#\n0 1 a\n")
    with pytest.raises(CorpusError, match="expected the name of a .lab file"):
        read_mlf(path)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_ctm, "a 1 0 0.5 t\nb 1 0 x t\nc 1 0 0.5 t\nb 1 1 1 t\n"),
        (read_mlf, '"a.lab"\n0 5000000 t\n.\n"b.lab"\n0 x t\n.\n"c.lab"\n0 5000000 t\n.\n'),
    ],
)
def test_a_wrong_line_costs_one_utterance(tmp_path, read, text):
    path = tmp_path / "all"
    path.write_text(text)
    said = []
    assert list(read(path, said.append)) == ["a", "c"]
    assert len(said) == 1
    with pytest.raises(CorpusError):
        read(path)


def test_letters_of_an_unknown_encoding_in_a_textgrid(tmp_path):
    path = tmp_path / "a.TextGrid"
    words = textgrid([(0, 2, "M\u00fcller")], "words").partition('"IntervalTier"')[2]
    text = textgrid([(0, 0.5, ""), (0.5, 2, "t")]).replace("<exists>\n1", "<exists>\n2")
    path.write_bytes((text + '"IntervalTier"' + words).encode("latin-1"))
    assert [p.label for p in read_labels(path).phones] == [SILENCE, "t"]
    path.write_bytes(textgrid([(0, 0.5, "y\u02d0"), (0.5, 2, "\u00f8")]).replace("\u02d0", "")
                     .encode("latin-1"))  # fmt: skip
    with pytest.raises(CorpusError, match="save it as UTF-8"):
        read_labels(path)


@pytest.mark.parametrize(
    "text",
    [
        # With comments, as in Praat's manual
        '"ooTextFile"\n"TextGrid"\n0 2.0 ! time domain of TextGrid\n<exists>\n2 tiers\n'
        '"IntervalTier" "Mary" ! type and name of tier 1\n0 2.0 ! time\n1 interval coming\n'
        '0 2.0 "" ! interval 1\n"IntervalTier" "phones"\n0 2.0\n2 intervals coming\n'
        '0 0.5 ""\n0.5 2 "t"\n',
        # Units after numbers, line ends in labels, counts of another order
        LONG_LABELS,
    ],
)
def test_textgrids_of_other_programs(tmp_path, text):
    path = tmp_path / "a.TextGrid"
    path.write_text(text)
    assert [(p.end, p.label) for p in read_labels(path).phones] == [(0.5, SILENCE), (2.0, "t")]
